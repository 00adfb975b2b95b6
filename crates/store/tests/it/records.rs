//! Records that are hard to write down: they are stored as they are, or refused.

use std::ops::ControlFlow;

use loomwork_core::Random;
use loomwork_store::engine::{Engine as _, Lane, Role, Scan, TableNo, TxKind};
use loomwork_store::{MAX_RECORD_DEPTH, Memory, Problem, Store, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "scores", id = "score")]
#[index(by_value(value))]
struct Score {
    value: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "calls", id = "call")]
struct Call {
    arguments: Value,
}

/// Its tag and its second field are written, and are not among the fields that are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "tagged", id = "tagged")]
#[serde(tag = "type")]
struct Tagged {
    number: u64,
    #[serde(skip_deserializing)]
    shown: String,
}

async fn open(memory: &Memory) -> Store {
    let tables = [Score::table(), Call::table(), Tagged::table()];
    Store::builder(memory.clone()).tables(tables).open().await.expect("the store opens")
}

#[tokio::test]
async fn every_finite_float_is_the_same_when_it_is_read() {
    let store = open(&Memory::new()).await;
    let random = Random::seeded(3);
    let drawn = (0..5_000).flat_map(|_| [f64::from_bits(random.u64()), random.unit()]);
    let values: Vec<f64> = drawn.filter(|value| value.is_finite()).collect();
    let expected = {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let insert = move |tx: &mut loomwork_store::Tx| {
        values.into_iter().try_for_each(|value| tx.insert(Score { value }).map(drop))
    };
    store.mutate(insert).await.expect("the mutation commits");
    let read = store.query(|tx| tx.scan(Score::by_value.all())).await.expect("the query runs");
    assert_eq!(read.iter().map(|score| score.value).collect::<Vec<_>>(), expected);
    assert!(store.check().await.expect("the check runs").is_clean());
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[tokio::test]
async fn a_record_is_nested_no_deeper_than_it_can_be_read() {
    let store = open(&Memory::new()).await;
    // The record itself is one level.
    let deepest = Call { arguments: nested(MAX_RECORD_DEPTH - 1) };
    let id = store.mutate(|tx| tx.insert(deepest)).await.expect("it is within the limit").id;
    store.query(move |tx| tx.require(id)).await.expect("it can be read");

    let deeper = Call { arguments: nested(MAX_RECORD_DEPTH) };
    let error = store.mutate(|tx| tx.insert(deeper)).await.expect_err("it is refused");
    let Some(Problem::Unencodable { table: "calls", reason }) = error.downcast_ref() else {
        panic!("{error:?}")
    };
    assert!(reason.contains("127"), "{reason}");
}

/// The stored texts of all rows that hold `part`.
fn stored_texts(memory: &Memory, part: &str) -> Vec<String> {
    let mut session = memory.session(Role::Reader).expect("a session opens");
    session.begin(TxKind::Read, Lane::Relaxed).expect("it begins");
    let mut texts = Vec::new();
    for table in 0..32 {
        let scan = Scan {
            table: TableNo(table),
            index: None,
            low: &[],
            high: &[0xff; 17],
            reverse: false,
            expect: None,
            bodies: true,
            claim: false,
        };
        let mut visit = |entry: loomwork_store::engine::Entry<'_>| {
            texts.push(String::from_utf8_lossy(entry.body).into_owned());
            ControlFlow::Continue(())
        };
        session.scan(&scan, &mut visit).expect("it can be read");
    }
    session.rollback();
    texts.retain(|text| text.contains(part));
    texts
}

#[tokio::test]
async fn updates_do_not_pile_up_what_is_only_written() {
    let memory = Memory::new();
    let store = open(&memory).await;
    let record = Tagged { number: 0, shown: "only written".into() };
    let id = store.mutate(|tx| tx.insert(record)).await.expect("the mutation commits").id;
    for _ in 0..5 {
        let update = move |tx: &mut loomwork_store::Tx| tx.update(id, |record| record.number += 1);
        store.mutate(update).await.expect("the mutation commits");
    }
    let texts = stored_texts(&memory, "\"number\":5");
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0].matches("\"type\"").count(), 1, "{}", texts[0]);
    assert_eq!(texts[0].matches("\"shown\"").count(), 1, "{}", texts[0]);
}
