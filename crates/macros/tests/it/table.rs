//! `#[table(..)]`.

use loomwork_store::{Codec, Id, Layout, Memory, Old, Result, Store, Table, feed};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note")]
struct Plain {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note", version = 3, upgrade = Full::from_old, codec = json)]
#[table(feed, clustered = by_length, crate = loomwork_store)]
#[index(by_text(text))]
#[index(by_length(length, text))]
struct Full {
    text: String,
    length: u64,
}

impl Full {
    fn from_old(from: u32, old: Old<'_>) -> Result<Self> {
        let Plain { text } = old.decode()?;
        Ok(Self { length: text.len() as u64, text: format!("{text}, from version {from}") })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "deltas", id = "delta", codec = compact)]
struct Compact {
    text: String,
}

#[test]
fn what_is_not_said_has_its_default() {
    assert_eq!((Plain::NAME, Plain::ID, Plain::VERSION), ("notes", "note", 1));
    assert_eq!(Plain::CODEC, Codec::Json);
    assert_eq!(Plain::LAYOUT, Layout::ById);
    const { assert!(!Plain::FEED) };
    assert!(Plain::INDEXES.is_empty());
}

#[test]
fn what_is_said_is_in_the_table() {
    assert_eq!(Full::VERSION, 3);
    assert_eq!(Compact::CODEC, Codec::Compact);
    const { assert!(Full::FEED) };
    let indexes: Vec<_> = Full::INDEXES.iter().map(|index| index.name).collect();
    assert_eq!(indexes, ["by_text", "by_length"]);
}

#[test]
fn clustered_gives_the_number_of_the_named_index() {
    assert_eq!(Full::LAYOUT, Layout::ClusteredBy(1));
}

#[tokio::test]
async fn an_old_row_goes_through_the_upgrade() -> Result<()> {
    let engine = Memory::new();
    let store = Store::builder(engine.clone()).tables([Plain::table()]).open().await?;
    let id = store.mutate(|tx| Ok(tx.insert(Plain { text: "hello".into() })?.id)).await?;
    drop(store);

    let store = Store::builder(engine).tables([Full::table()]).open().await?;
    let id: Id<Full> = Id::from_raw(id.raw());
    let note = store.query(move |tx| tx.require(id)).await?;
    assert_eq!(note.record, Full { text: "hello, from version 1".into(), length: 5 });
    Ok(())
}

#[tokio::test]
async fn the_feed_tells_of_a_table_that_asks_for_it() -> Result<()> {
    let store = Store::memory().tables([Full::table(), Compact::table()]).open().await?;
    let start = store.mutate(|tx| feed::subscribe(tx, "test")).await?;
    let id = store
        .mutate(|tx| {
            tx.insert(Compact { text: "unseen".into() })?;
            Ok(tx.insert(Full { text: "seen".into(), length: 4 })?.id)
        })
        .await?;
    let changes = store.query(move |tx| feed::changes(tx, start, 10)).await?;
    let seen: Vec<_> = changes.iter().map(feed::Change::of::<Full>).collect();
    assert_eq!(seen, [Some(id)]);
    Ok(())
}
