//! The letters of the rounds, and the contents that they enclose.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use loomwork_core::{Clock, Random};
use loomwork_files::{Blobs, Files, Options};
use loomwork_store::{Store, Table};
use loomwork_store_sqlite::Sqlite;
use serde::{Deserialize, Serialize};

/// A row that owns one file.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "letters", id = "letter")]
#[index(unique by_number(number))]
pub(super) struct Letter {
    pub(super) number: u64,
}

/// So few contents that most are stored already, are being stored by another, or are being given up.
const CONTENTS: u64 = 5;

/// The largest content takes more than one part.
const LARGE: usize = (8 << 20) + 12_345;
const SMALL: usize = 20_000;

/// One of so many letters has the large content.
const LARGE_EVERY: u64 = 40;

/// Returns what a letter encloses.
pub(super) fn content(number: u64) -> Bytes {
    let (kind, size) = match number % LARGE_EVERY {
        0 => (CONTENTS, LARGE),
        _ => (number % CONTENTS, SMALL),
    };
    let seed = Random::seeded(kind).u64().to_be_bytes();
    seed.into_iter().cycle().take(size).collect::<Vec<_>>().into()
}

/// Times so short that files are given up while the process works, and what a killed one left while the
/// next ones do.
pub(super) fn options() -> Options {
    Options { grace: Duration::from_millis(40), lease: Duration::from_secs(2), ..Options::default() }
}

pub(super) async fn open(place: &Path, clock: Clock) -> Result<(Store, Files)> {
    let tables = loomwork_files::tables().into_iter().chain([Letter::table()]);
    let engine = Sqlite::open(place.join("store.db"))?;
    let store = Store::builder(engine).clock(clock).tables(tables).open().await?;
    let files = Files::new(&store, Blobs::folder(place.join("files"))?, options());
    Ok((store, files))
}
