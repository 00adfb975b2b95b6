//! The tables of these tests, and what is done with them.

use loomwork_store::{Result, Row, Store, Table, TableDef, Tx};
use serde::{Deserialize, Serialize};

/// A line in a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "entries", id = "entry", feed)]
#[index(unique by_number(number))]
#[index(by_topic(topic, number))]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) topic: String,
    pub(crate) text: String,
}

impl Entry {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, topic: format!("topic {}", number % 5), text: format!("entry {number}") }
    }

    /// An entry whose record takes about so many bytes.
    pub(crate) fn large(number: u64, bytes: usize) -> Self {
        Self { text: "x".repeat(bytes), ..Self::new(number) }
    }
}

/// How many entries there are, counted by those who write them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "counters", id = "counter")]
#[index(unique by_name(name))]
pub(crate) struct Counter {
    pub(crate) name: String,
    pub(crate) count: u64,
}

/// A short row, clustered, in the compact codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "points", id = "point", codec = compact, clustered = by_curve)]
#[index(by_curve(curve, x))]
pub(crate) struct Point {
    pub(crate) curve: u32,
    pub(crate) x: i64,
    pub(crate) y: f64,
}

pub(crate) fn all() -> [TableDef; 3] {
    [Entry::table(), Counter::table(), Point::table()]
}

/// Adds the next entry and counts it, in one mutation.
pub(crate) fn add(tx: &mut Tx) -> Result<Row<Entry>> {
    add_of(tx, Entry::new)
}

/// As [`add`], with an entry made of its number.
pub(crate) fn add_of(tx: &mut Tx, entry: impl FnOnce(u64) -> Entry) -> Result<Row<Entry>> {
    let count = match tx.first(Counter::by_name.eq("entries"))? {
        Some(counter) => tx.update(counter.id, |counter| counter.count += 1)?.count,
        None => tx.insert(Counter { name: "entries".into(), count: 1 })?.count,
    };
    tx.insert(entry(count))
}

/// The counter and the numbers of all entries.
pub(crate) fn counted(tx: &Tx) -> Result<(u64, Vec<u64>)> {
    let counter = tx.first(Counter::by_name.eq("entries"))?;
    let numbers = tx.scan(Entry::by_number.all())?.iter().map(|entry| entry.number).collect();
    Ok((counter.map_or(0, |counter| counter.count), numbers))
}

/// Sees that a store holds `count` entries that its counter knows of, and nothing that does not fit.
pub(crate) async fn sound(store: &Store, count: u64) {
    let (counter, numbers) = store.query(counted).await.expect("the entries are readable");
    assert_eq!(counter, count, "the counter");
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "the entries");
    let report = store.check().await.expect("the store is readable");
    assert!(report.is_clean(), "{:?}", report.mismatches);
}
