//! The file that processes are killed over, and what is known of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use loomwork_core::RawId;
use loomwork_store::Store;
use loomwork_store_sqlite::OpenSqlite as _;
use rusqlite::{Connection, OpenFlags};

use super::contents::Contents;
use super::job::Job;
use super::promises::Promises;
use super::tables;
use super::verify::verify;
use super::word::Word;
use crate::crash::tally::{Fault, Tally};

#[derive(Debug)]
pub(super) struct Subject {
    pub(super) path: PathBuf,
    promises: Promises,
    epochs: Epochs,
    id: Option<RawId>,
}

/// How often the file can have been opened.
#[derive(Clone, Copy, Debug, Default)]
struct Epochs {
    least: u64,
    most: u64,
}

impl Subject {
    /// A file that is not there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, promises: Promises::default(), epochs: Epochs::default(), id: None }
    }

    /// Takes in what a process has said before it was killed, and whether it surely began an epoch.
    pub(super) fn hear(&mut self, words: &[Word], job: Job, began_epoch: bool, tally: &mut Tally) {
        self.promises.hear(words, job.callers(), tally);
        self.epochs.most += 1;
        let told = words.iter().find_map(|word| match word {
            Word::Ready { epoch } => Some(*epoch),
            _ => None,
        });
        match told {
            Some(epoch) => self.opened_in(epoch, tally),
            None => self.epochs.least += u64::from(began_epoch),
        }
    }

    /// Returns the store's id, once the file was checked.
    pub(super) fn id(&self) -> Option<RawId> {
        self.id
    }

    fn opened_in(&mut self, epoch: u64, tally: &mut Tally) {
        let Epochs { least, most } = self.epochs;
        tally.fact(epoch > least && epoch <= most, Fault::Broken, || {
            format!("the file was opened in epoch {epoch}, which should be {} to {most}", least + 1)
        });
        self.epochs = Epochs { least: epoch, most: epoch };
    }

    /// Opens the file and checks everything about it; returns what it holds.
    pub(super) async fn check(&mut self, tally: &mut Tally) -> Result<Contents> {
        let store = open(&self.path).await?;
        self.epochs.most += 1;
        self.opened_in(store.epoch(), tally);
        tally.same("the store's id", store.id(), *self.id.get_or_insert(store.id()));
        let contents = inspect(&store, &self.path, tally).await?;
        self.promises.check(&contents, tally);
        store.close().await;
        Ok(contents)
    }
}

pub(super) async fn open(path: &Path) -> Result<Store> {
    let builder = Store::open(path).context("the file cannot be opened")?;
    builder.tables(tables::all()).open().await.context("the store cannot be opened")
}

/// Checks what every open file must hold; returns what this one does.
pub(super) async fn inspect(store: &Store, path: &Path, tally: &mut Tally) -> Result<Contents> {
    check_integrity(store, path, tally).await?;
    let contents = Contents::read(store).await?;
    verify(&contents, tally);
    Ok(contents)
}

/// SQLite's own check, and that of the indexes against the records.
pub(super) async fn check_integrity(store: &Store, path: &Path, tally: &mut Tally) -> Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    tally.same("SQLite's verdict", verdict.as_str(), "ok");
    let report = store.check().await.context("the store cannot be checked")?;
    tally.fact(report.is_clean(), Fault::Broken, || {
        let some: Vec<_> = report.mismatches.iter().take(5).map(ToString::to_string).collect();
        format!("{} index entries do not fit, such as: {}", report.mismatches.len(), some.join("; "))
    });
    Ok(())
}

/// The file beside a database whose name has this behind it.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// How large a file is; nothing where there is none.
pub(super) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// Copies a database that no process has open, with its log.
pub(super) fn copy_dead(from: &Path, to: &Path) -> Result<()> {
    ensure!(from.exists(), "there is no file to copy");
    std::fs::copy(from, to)?;
    let log = beside(from, "-wal");
    if log.exists() {
        std::fs::copy(log, beside(to, "-wal"))?;
    }
    Ok(())
}
