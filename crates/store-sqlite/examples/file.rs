//! A store in one file: written, watched, backed up, closed, and found again.
//!
//! Run it with `cargo run -p loomwork-store-sqlite --example file`, or with a folder behind `--` in
//! which the file stays; run it again there, and it goes on where it was.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::path::PathBuf;

use loomwork_store::{Result, Row, Store, Table, Tx};
use loomwork_store_sqlite::{OpenSqlite as _, Sqlite};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "visits", id = "visit")]
#[index(by_guest(guest, number))]
struct Visit {
    guest: String,
    number: u32,
}

/// The visits of a guest, the newest first.
fn visits_of(tx: &Tx, guest: &str) -> Result<Vec<Row<Visit>>> {
    tx.scan(Visit::by_guest.eq(guest).desc())
}

/// Adds a visit to those that the guest has made before.
fn visit(tx: &mut Tx, guest: &str) -> Result<Row<Visit>> {
    let number = visits_of(tx, guest)?.first().map_or(1, |last| last.number + 1);
    tx.insert(Visit { guest: guest.to_owned(), number })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or(temporary.path().to_owned(), PathBuf::from);
    let path = folder.join("visits.db");

    // The file is made if it is not there. `Sqlite` is the engine; keep it where you want backups.
    let engine = Sqlite::open(&path)?;
    let store = Store::builder(engine.clone()).tables([Visit::table()]).open().await?;
    println!("opening {} of the store in {}", store.epoch(), path.display());

    // A live query: it delivers again when a commit touches what it read.
    let mut guests = store.watch(|tx| visits_of(tx, "ada"));
    println!("ada has been here {} times", guests.next().await.expect("the store is open")?.len());

    // Answered means on stable storage; `relaxed` ones may be lost at a power failure.
    store.mutate(|tx| visit(tx, "ada")).await?;
    store.mutate(|tx| visit(tx, "bob")).relaxed().await?;
    let newest = guests.next().await.expect("the store is open")?.remove(0);
    println!("ada came: visit {} is {}", newest.number, newest.id);

    // One process owns the file.
    if let Err(refused) = Sqlite::open(&path) {
        println!("a second writer: {refused}");
    }

    // A copy of one moment, while the store is in use. It blocks, so it gets a thread.
    let copy = folder.join(format!("visits-{}.db", store.epoch()));
    let to = copy.clone();
    tokio::task::spawn_blocking(move || engine.backup(to)).await??;
    println!("a backup: {}", copy.display());

    store.close().await;
    let store = Store::open(&path)?.tables([Visit::table()]).open().await?;
    let report = store.check().await?;
    println!("opened again: {} rows, {} mismatches", report.rows, report.mismatches.len());
    let found = store.query(|tx| visits_of(tx, "ada")).await?;
    assert_eq!(found[0], newest, "what was answered is there");
    store.close().await;
    println!("read it with: sqlite3 {} 'select id, created, record from visits'", path.display());
    Ok(())
}
