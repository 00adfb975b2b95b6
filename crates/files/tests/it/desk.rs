//! A store with files, under a clock that the test turns.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use loomwork_core::{Clock, ManualClock, Random, Time};
use loomwork_files::object_store::{ObjectStore as _, ObjectStoreExt as _, path::Path};
use loomwork_files::{About, Blobs, CheckOptions, File, FileError, FileId, Files, Options};
use loomwork_store::{Error, Id, Result, Row, Store, Table, Tx};
use serde::{Deserialize, Serialize};

use super::Bed;

/// When the clocks of these tests start.
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A row that may own files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "letters", id = "letter")]
pub(crate) struct Letter {}

/// A store with files and the hand on its clock.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) files: Files,
    pub(crate) bed: Bed,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_over(&Bed::new(), Clock::manual(START)).await
    }

    /// Opens a store over rows and contents that may be there already.
    pub(crate) async fn open_over(bed: &Bed, clock: ManualClock) -> Self {
        Self::open_with(bed, bed.blobs(), clock).await
    }

    pub(crate) async fn open_with(bed: &Bed, blobs: Blobs, clock: ManualClock) -> Self {
        let builder = Store::builder(bed.engine()).clock(clock.clock()).random(Random::seeded(1));
        let tables = builder.tables(loomwork_files::tables()).tables([Letter::table()]);
        let store = tables.open().await.expect("the store opens");
        let files = Files::new(&store, blobs, Options::default());
        Self { store, clock, files, bed: bed.clone() }
    }

    /// The same files under other options.
    pub(crate) fn with(&self, options: Options) -> Files {
        Files::new(&self.store, self.bed.blobs(), options)
    }

    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.store.mutate(change).await.expect("the mutation commits")
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
    ) -> T {
        self.store.query(query).await.expect("the query succeeds")
    }

    /// Stores bytes.
    pub(crate) async fn put(&self, content: &'static str, about: impl Into<About>) -> Row<File> {
        self.files.put(content, about).await.expect("the file is stored")
    }

    /// A new owner.
    pub(crate) async fn letter(&self) -> Id<Letter> {
        self.commit(|tx| Ok(tx.insert(Letter {})?.id)).await
    }

    pub(crate) async fn file(&self, file: FileId) -> Option<Row<File>> {
        self.read(move |tx| tx.get(file)).await
    }

    /// The keys of all contents, as the object store knows them.
    pub(crate) async fn keys(&self) -> Vec<Path> {
        let objects: Vec<_> = self.bed.objects().list(None).try_collect().await.expect("objects are listed");
        objects.into_iter().map(|object| object.location).collect()
    }

    /// Puts other bytes in place of the only content, past the crate.
    pub(crate) async fn damage(&self, content: &'static str) {
        let keys = self.keys().await;
        assert_eq!(keys.len(), 1, "there is one content to damage");
        self.bed.objects().put(&keys[0], content.into()).await.expect("the object is written");
    }

    /// Removes the only content, past the crate.
    pub(crate) async fn lose(&self) {
        let keys = self.keys().await;
        assert_eq!(keys.len(), 1, "there is one content to lose");
        self.bed.objects().delete(&keys[0]).await.expect("the object is removed");
    }

    /// Asserts that rows, counts and contents fit together, and how many of each there are.
    pub(crate) async fn holds(&self, files: usize, contents: usize) {
        let options = CheckOptions { contents: true, ..CheckOptions::default() };
        let report = self.files.check(options).await.expect("the check runs");
        assert_eq!(report.findings, []);
        assert_eq!((report.files, report.contents, report.objects), (files, contents, contents));
    }
}

/// The fault of a file in an error.
pub(crate) fn fault(error: &Error) -> &FileError {
    error.downcast_ref().unwrap_or_else(|| panic!("not a fault of a file: {error}"))
}
