//! Backups of a process that was killed: each is absent or whole.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use loomwork_core::RawId;
use loomwork_store_sqlite::Sqlite;

use super::child::backup_path;
use super::contents::Contents;
use super::subject::{beside, inspect, open};
use super::verify::verify_prefix;
use super::word::Word;
use crate::crash::tally::{Fault, Tally};

/// How many of a process's backups are opened: the last ones.
const OPENED: usize = 2;

/// Checks the backups that processes of this file made, and removes them.
pub(super) async fn check(
    path: &Path,
    words: &[Word],
    id: RawId,
    original: &Contents,
    tally: &mut Tally,
) -> Result<()> {
    let made: Vec<u64> = (0..).take_while(|number| backup_path(path, *number).exists()).collect();
    for word in words {
        if let Word::Backup { number } = word {
            tally.fact(made.contains(number), Fault::Lost, || format!("backup {number} is not there"));
        }
    }
    for number in made.iter().rev().take(OPENED) {
        open_copy(&backup_path(path, *number), id, original, tally).await?;
    }
    // The one that was cut off can be made again.
    let next = backup_path(path, made.len() as u64);
    tally.count("backups cut off", u64::from(beside(&next, ".unfinished").exists()));
    Sqlite::open(path)?.backup(&next).context("the next backup fails")?;
    let again = open_copy(&next, id, original, tally).await?;
    tally.same("how much the next backup holds", again.events.len(), original.events.len());
    made.iter().chain([&(made.len() as u64)]).try_for_each(|number| remove(&backup_path(path, *number)))
}

/// Opens a backup: it is another store, with a beginning of what the original holds.
async fn open_copy(path: &Path, id: RawId, original: &Contents, tally: &mut Tally) -> Result<Contents> {
    let store = open(path).await.context("a backup cannot be opened")?;
    tally.fact(store.id() != id, Fault::Broken, || "a backup has the id of its original".to_owned());
    let contents = inspect(&store, path, tally).await?;
    verify_prefix(&contents, original, tally);
    tally.count("backups opened", 1);
    store.close().await;
    Ok(contents)
}

fn remove(path: &Path) -> Result<()> {
    for end in ["", "-wal", "-shm", ".lock"] {
        let file = beside(path, end);
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
