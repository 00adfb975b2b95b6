//! What a limit will say: a pure function of a snapshot, for clients that count down.

use std::time::Duration;

use loomwork_core::Time;
use serde::{Deserialize, Serialize};

use crate::rules::{Level, Rules};

/// All that the future of a key's balance depends on, as long as nobody takes from it. It is what a client
/// gets, and as JSON what a browser gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The limit's name.
    pub name: String,
    /// How the balance grows.
    pub rules: Rules,
    /// What was there at a time.
    pub level: Level,
}

/// What a request would meet at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prediction {
    /// Whether it would be granted.
    pub ok: bool,
    /// When it will be granted, if it would be refused; `None` beside a refusal is never.
    pub retry_at: Option<Time>,
    /// How many tokens there would be after it, rounded down; negative if it would have to be owed.
    pub value: i64,
    /// If it were taken anyway: when nothing would be owed any more. `None` is never.
    pub paid_at: Option<Time>,
}

impl Snapshot {
    /// Returns what a request for an amount would meet at a time of the server's clock; zero tokens show
    /// what is there, and whether something is owed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use loomwork_core::Time;
    /// use loomwork_rate_limiter::{Level, Limit, SECOND, Snapshot};
    ///
    /// let limit = Limit::token_bucket("send", 2, SECOND);
    /// let now = Time::EPOCH;
    /// let level = Level { value: 0, part: 0, at: now };
    /// let snapshot = Snapshot { name: "send".into(), rules: limit.rules("ada")?, level };
    ///
    /// assert_eq!(snapshot.predict(now, 1).retry_at, Some(now + Duration::from_millis(500)));
    /// assert_eq!(snapshot.predict(now + SECOND, 0).value, 2);
    /// # Ok::<(), loomwork_rate_limiter::LimitError>(())
    /// ```
    pub fn predict(&self, now: Time, amount: u64) -> Prediction {
        let level = self.rules.forward(self.level, now);
        let (value, paid_at) = self.rules.after(level, amount);
        let ok = value >= 0;
        let retry_at = if ok || self.rules.excess(amount, false).is_some() { None } else { paid_at };
        Prediction { ok, retry_at, value, paid_at }
    }
}

/// How far a client's clock is from the server's, measured by asking the server once for its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    /// The milliseconds that the server's clock is ahead.
    millis: i128,
}

impl ClockOffset {
    /// Returns the offset that follows from one question: when the client sent it, what the server's clock
    /// said, and when the client had the answer. It is wrong by half of the round trip at most.
    pub fn measured(sent: Time, server: Time, received: Time) -> Self {
        let round_trip = i128::from(received.millis()) - i128::from(sent.millis());
        Self { millis: i128::from(server.millis()) - i128::from(sent.millis()) - round_trip / 2 }
    }

    /// Returns what the server's clock shows when the client's shows this.
    pub fn to_server(self, client: Time) -> Time {
        shifted(client, self.millis)
    }

    /// Returns what the client's clock shows when the server's shows this.
    pub fn to_client(self, server: Time) -> Time {
        shifted(server, -self.millis)
    }
}

fn shifted(time: Time, millis: i128) -> Time {
    let by = Duration::from_millis(u64::try_from(millis.unsigned_abs()).unwrap_or(u64::MAX));
    if millis < 0 { time - by } else { time + by }
}
