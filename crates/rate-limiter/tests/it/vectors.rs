//! The vectors of the specification. They are a file, so that a client in another language can be held to
//! them too.

use loomwork_core::Time;
use loomwork_rate_limiter::{Level, Rules, Snapshot};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    what: String,
    rules: Rules,
    level: Option<Level>,
    now: Time,
    amount: u64,
    value: i64,
    #[serde(default)]
    part: u64,
    at: Time,
    /// In milliseconds, until nothing would be owed any more.
    wait: Option<u64>,
}

#[test]
fn every_vector_comes_out_exactly() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("vectors.json")).expect("the file reads well");
    assert_eq!(vectors.len(), 18);
    for vector in vectors {
        let level = vector.level.unwrap_or_else(|| vector.rules.fresh(vector.now));
        let forward = vector.rules.forward(level, vector.now);
        assert_eq!((forward.part, forward.at), (vector.part, vector.at), "{}", vector.what);
        let snapshot = Snapshot { name: vector.what.clone(), rules: vector.rules, level };
        let prediction = snapshot.predict(vector.now, vector.amount);
        assert_eq!(
            (prediction.value, prediction.ok),
            (vector.value, vector.wait.is_none()),
            "{}",
            vector.what
        );
        if let Some(wait) = vector.wait {
            let paid = prediction.paid_at.map(|paid| paid.since(vector.now).as_millis());
            assert_eq!(paid, Some(wait.into()), "{}", vector.what);
        }
    }
}
