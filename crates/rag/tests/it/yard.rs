//! A knowledge base over a store, with a model that remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Clock, Fault, ManualClock, Random, Time};
use loomwork_models::MockEmbeddings;
use loomwork_rag::{
    Added, Builder, ChunkRow, Content, EntryId, EntryRow, EntryStatus, Error, Found, NamespaceRow, NewChunk, NewEntry,
    Query, Rag, Settled, entries, namespaces,
};
use loomwork_search::VectorRow;
use loomwork_store::{Page, Row, Store, Table as _};
use loomwork_testkit::soon;
use loomwork_workpool::Workpool;

use super::Bed;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// When the clocks of these tests start.
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

/// The namespace of most tests.
pub(crate) const HALL: &str = "hall";

/// What has settled, as `key status`.
pub(crate) type Told = Arc<Mutex<Vec<String>>>;

#[derive(Clone, Debug)]
pub(crate) struct Yard {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) model: Arc<MockEmbeddings>,
    pub(crate) rag: Rag,
    pub(crate) told: Told,
    pub(crate) bed: Bed,
}

pub(crate) async fn open_store(bed: &Bed, clock: Clock) -> Store {
    let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
    let tables = tables.chain(loomwork_workpool::tables()).chain(loomwork_files::tables());
    let builder = Store::builder(bed.engine()).clock(clock).random(Random::seeded(1));
    builder.tables(tables).open().await.expect("the store opens")
}

/// A model of three directions, and of all else by letters.
pub(crate) fn model() -> MockEmbeddings {
    MockEmbeddings::new(4)
        .with_vector("north", [0.0, 1.0, 0.0, 0.0])
        .with_vector("east", [1.0, 0.0, 0.0, 0.0])
        .with_vector("northeast", [0.6, 0.8, 0.0, 0.0])
        .with_vector("south", [0.0, -1.0, 0.0, 0.0])
}

impl Yard {
    pub(crate) async fn open() -> Self {
        Self::open_with(model(), |builder| builder).await
    }

    pub(crate) async fn open_with(model: MockEmbeddings, with: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = Clock::manual(START);
        let bed = Bed::new();
        let store = open_store(&bed, clock.clock()).await;
        let model = Arc::new(model);
        let told = Told::default();
        let rag = start(&store, &model, &told, with).await;
        Self { store, clock, model, rag, told, bed }
    }

    pub(crate) async fn pool(&self) -> Workpool {
        self.rag.bind(Workpool::builder(&self.store)).start().await.expect("the pool starts")
    }

    pub(crate) async fn add(&self, new: NewEntry, content: impl Into<Content>) -> Added {
        soon(self.rag.add(HALL, new, content)).await.expect("it is added")
    }

    pub(crate) async fn key(&self, key: &str, content: impl Into<Content>) -> Added {
        self.add(NewEntry::key(key), content).await
    }

    pub(crate) async fn find(&self, query: impl Into<Query>) -> Found {
        soon(self.rag.search(HALL, query)).await.expect("it is searched")
    }

    /// Returns the texts that a query finds, best first.
    pub(crate) async fn texts(&self, query: impl Into<Query>) -> Vec<String> {
        texts(&self.find(query).await)
    }

    pub(crate) async fn entry(&self, id: EntryId) -> Row<EntryRow> {
        let found = self.store.query(move |tx| entries::get(tx, id)).await.expect("it is read");
        found.expect("the entry is there")
    }

    pub(crate) async fn status(&self, id: EntryId) -> EntryStatus {
        self.entry(id).await.status
    }

    pub(crate) async fn hall(&self) -> Row<NamespaceRow> {
        let mut all = self.store.query(|tx| namespaces::versions(tx, HALL)).await.expect("they are read");
        all.remove(0)
    }

    /// Returns an entry's chunks.
    pub(crate) async fn chunks(&self, id: EntryId) -> Vec<Row<ChunkRow>> {
        let page = Page::first(20_000);
        let read = self.store.query(move |tx| entries::chunks(tx, id, false, page.clone()));
        read.await.expect("they are read").rows
    }

    /// Waits until upkeep has nothing more to do by the time that it is.
    pub(crate) async fn swept(&self, entry: EntryId, until: impl Fn(&EntryRow, usize) -> bool + Send + Sync + 'static) {
        let mut live = self.store.watch(move |tx| {
            let rows = tx.scan(ChunkRow::all())?;
            let known = rows.iter().filter(|row| row.entry == entry).count();
            Ok(tx.get(entry)?.is_none_or(|row| until(&row, known)))
        });
        while !soon(live.next()).await.expect("the store is open").expect("it is read") {}
    }

    /// Counts the rows of entries, chunks and vectors.
    pub(crate) async fn counts(&self) -> (usize, usize, usize) {
        let counted = self.store.query(|tx| {
            Ok((tx.count(EntryRow::all())?, tx.count(ChunkRow::all())?, tx.count(VectorRow::all())?))
        });
        counted.await.expect("they are counted")
    }

    /// Returns how many texts the model was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.model.requests().iter().map(|request| request.texts.len()).sum()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until an entry stands so.
    pub(crate) async fn becomes(&self, id: EntryId, status: EntryStatus) {
        let mut live = self.store.watch(move |tx| Ok(tx.get(id)?.map(|row| row.status)));
        while soon(live.next()).await.expect("the store is open").expect("it is read") != Some(status) {}
    }

    /// Waits for something while time goes by.
    pub(crate) async fn meanwhile<T>(&self, event: impl Future<Output = T>) -> T {
        let turning = async {
            loop {
                self.clock.timers_waiting(1).await;
                self.clock.advance(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            happened = event => happened,
            () = turning => unreachable!("time does not end"),
        }
    }

    /// Ends all, and opens the same rows again.
    pub(crate) async fn reopen(self, with: impl FnOnce(Builder) -> Builder) -> Self {
        self.rag.shutdown(DEADLINE).await.expect("it ends");
        let Self { store, clock, model, told, bed, rag } = self;
        drop(rag);
        store.close().await;
        let store = open_store(&bed, clock.clock()).await;
        let rag = start(&store, &model, &told, with).await;
        Self { store, clock, model, rag, told, bed }
    }
}

pub(crate) async fn start(
    store: &Store,
    model: &Arc<MockEmbeddings>,
    told: &Told,
    with: impl FnOnce(Builder) -> Builder,
) -> Rag {
    let heard = told.clone();
    let builder = Rag::builder_with(store, model.clone()).on_settled(move |_, settled| {
        let line = match settled {
            Settled::Entry { entry, replaced } => {
                let key = entry.key.as_deref().unwrap_or("-");
                let over = if replaced.is_some() { " over another" } else { "" };
                format!("{key} {}{over}", entry.status.as_str())
            }
            Settled::Namespace { namespace, replaced } => {
                format!("{} {:?} over {}", namespace.name, namespace.status, replaced.len())
            }
            _ => "something else".to_owned(),
        };
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(())
    });
    let rag = with(builder).start().await.expect("the knowledge base starts");
    rag.filled().await.expect("all is found");
    rag
}

pub(crate) fn texts(found: &Found) -> Vec<String> {
    found.results.iter().flat_map(|range| &range.content).map(|chunk| chunk.text.clone()).collect()
}

/// Chunks of these texts.
pub(crate) fn chunks<T: Into<NewChunk>>(texts: impl IntoIterator<Item = T>) -> Content {
    Content::chunks(texts)
}

/// As many chunks of different texts.
pub(crate) fn many(count: usize, of: &str) -> Vec<NewChunk> {
    (0..count).map(|at| format!("{of} number {at}").into()).collect()
}

/// Returns what went wrong.
pub(crate) fn fault<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (loomwork_core::Kind, String) {
    let error = outcome.expect_err("it fails");
    (error.kind(), error.to_string())
}

/// Where a stream stands still until it is let on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door {
    reached: Arc<tokio::sync::Notify>,
    open: Arc<tokio::sync::Notify>,
}

impl Door {
    pub(crate) async fn reached(&self) {
        soon(self.reached.notified()).await;
    }

    pub(crate) fn open(&self) {
        self.open.notify_one();
    }

    /// As [`many`] chunks, of which the one at a place comes when the door is opened.
    pub(crate) fn stream(&self, count: usize, of: &str, place: usize) -> Content {
        let door = self.clone();
        let chunks = futures_util::stream::iter(many(count, of)).enumerate();
        let stream = chunks.then(move |(at, chunk)| {
            let door = door.clone();
            async move {
                if at == place {
                    door.reached.notify_one();
                    door.open.notified().await;
                }
                Ok(chunk)
            }
        });
        Content::Stream(stream.boxed())
    }
}
