//! What is derived from an index's rows follows them.
//!
//! Each step reads a snapshot and puts what it shows into the structures. Steps take turns, and one begins
//! its snapshot in its turn, so what is put later was never read earlier. A fill from the rows and the
//! following of changes are such steps too, and may alternate: a write is seen while a fill still runs.

mod open;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loomwork_core::{RawId, crash_point};
use loomwork_store::engine::{Op, Seq};
use loomwork_store::{Store, Tx, feed};
use tokio::sync::{Mutex as Turns, Notify, OwnedMutexGuard};

use crate::doc::Doc;
use crate::source::Source;
use crate::tables::VectorRow;
use crate::text::TextIndex;
use crate::vector::{VectorIndex, VectorPut};
use crate::{Error, Result, Space, vectors};

pub(crate) use open::{Located, consumer};
pub use upkeep::{COMMIT_DOCS, COMMIT_EVERY};

/// How many changes one step reads.
const CHANGE_STEP: usize = 1_000;

/// How many rows one step of a fill reads.
const FILL_STEP: usize = 500;

/// The vectors that find an index's rows.
#[derive(Debug)]
pub(crate) struct Vectors {
    pub(crate) space: Space,
    pub(crate) index: VectorIndex,
}

/// Keeps what is derived from an index's rows as they are.
pub(crate) struct Follower {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) store: Store,
    pub(crate) text: TextIndex,
    pub(crate) vectors: Option<Vectors>,
    /// Those of a former model, for the rows that have none of this one yet.
    pub(crate) former: Option<Vectors>,
    /// The name under which the feed knows it; none where nothing outlives the process.
    consumer: Option<String>,
    state: Mutex<State>,
    /// Whose turn it is to take a step.
    turns: Arc<Turns<()>>,
    /// Whose turn it is to commit.
    commits: Turns<()>,
    full: Notify,
}

/// How far a follower is.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Up to where changes are in the structures.
    seen: Seq,
    /// Up to where they are committed.
    committed: Seq,
    /// How many rows were put since the last commit.
    pending: usize,
    filled: bool,
    /// Whether the segments that a fill leaves behind have become one.
    gathered: bool,
    /// The last row that the fill has read.
    after: Option<RawId>,
    /// How many it has read, and of how many.
    rows: (usize, usize),
}

/// How far the fill of an index from its rows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// How many rows are read.
    pub rows: usize,
    /// How many there were when it began.
    pub of: usize,
}

/// What happened to a row in a step.
#[derive(Clone, Copy, Debug, Default)]
struct Touched {
    row: bool,
    vector: bool,
}

/// What a step puts into the structures.
#[derive(Debug, Default)]
struct News {
    docs: Vec<Doc>,
    gone: Vec<RawId>,
    newer: Moves,
    former: Moves,
}

/// What a step puts into an index of vectors.
#[derive(Debug, Default)]
struct Moves {
    puts: Vec<VectorPut>,
    gone: Vec<RawId>,
}

impl Moves {
    fn add(&mut self, id: RawId, put: Option<VectorPut>) {
        match put {
            Some(put) => self.puts.push(put),
            None => self.gone.push(id),
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Follower")
            .field("source", &self.source)
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

impl Follower {
    /// Returns how far the fill is, while there is one.
    pub(crate) fn filling(&self) -> Option<Filling> {
        let state = self.state();
        (!state.filled).then_some(Filling { rows: state.rows.0, of: state.rows.1 })
    }

    /// Returns up to where changes are in the structures.
    pub(crate) fn seen(&self) -> Seq {
        self.state().seen
    }

    /// Whether rows may be found by the vectors of a former model.
    pub(crate) fn is_found_by_former(&self) -> bool {
        self.former.as_ref().is_some_and(|former| former.index.len() > 0 || self.filling().is_some())
    }

    /// Brings the structures to the end of the feed as it is now.
    ///
    /// Cancel safety: a step that has begun is completed.
    pub(crate) async fn catch_up(self: &Arc<Self>) -> Result<()> {
        self.catch_up_within(usize::MAX).await
    }

    /// As [`catch_up`](Self::catch_up), but stops once so many rows wait for a commit.
    async fn catch_up_within(self: &Arc<Self>, pending: usize) -> Result<()> {
        let target = self.store.committed();
        while self.seen() < target && self.state().pending < pending {
            let turn = self.turns.clone().lock_owned().await;
            if self.seen() < target {
                self.step(turn, move |follower, tx| follower.follow(tx, target)).await?;
            }
        }
        Ok(())
    }

    /// Reads some more rows into the structures, and returns whether all are.
    pub(crate) async fn fill(self: &Arc<Self>) -> Result<bool> {
        let turn = self.turns.clone().lock_owned().await;
        if !self.state().filled {
            self.step(turn, Self::fill_from).await?;
        }
        Ok(self.state().filled)
    }

    /// Takes a step on a snapshot that begins now. The turn goes along, so that the step keeps it to its end
    /// even where nobody waits for it any more.
    async fn step(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        step: impl Fn(&Self, &Tx) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let follower = self.clone();
        let query = self.store.try_query(move |tx| {
            let _turn = &turn;
            step(&follower, tx)
        });
        query.await?;
        if self.state().pending >= COMMIT_DOCS {
            self.full.notify_one();
        }
        Ok(())
    }

    fn follow(&self, tx: &Tx, target: Seq) -> Result<()> {
        let seen = self.seen();
        let changes = match feed::changes(tx, seen, CHANGE_STEP) {
            Ok(changes) => changes,
            Err(error) if is_trimmed(&error) => return self.start_over(tx, target),
            Err(error) => return Err(error.into()),
        };
        let last = changes.last().map_or(seen, |change| change.seq);
        let end = if changes.len() < CHANGE_STEP { last.max(target) } else { last };
        let mut touched = BTreeMap::<RawId, Touched>::new();
        let table = self.source.schema().table;
        for change in changes {
            if *change.table == *table {
                let touched = touched.entry(change.id).or_default();
                touched.row = true;
                // A row may come after its vector.
                touched.vector |= change.op == Op::Insert;
            } else if change.of::<VectorRow>().is_some() {
                for vectors in self.spaces() {
                    touched.entry(vectors.space.counterpart(table, change.id)).or_default().vector = true;
                }
            }
        }
        self.put_changes(tx, end, &touched)
    }

    fn put_changes(&self, tx: &Tx, end: Seq, touched: &BTreeMap<RawId, Touched>) -> Result<()> {
        let mut news = News::default();
        for (id, touched) in touched {
            let doc = self.source.doc(tx, *id)?;
            match &doc {
                Some(doc) if touched.vector => self.look_up_vectors(tx, doc, &mut news)?,
                Some(doc) => {
                    for vectors in self.spaces() {
                        vectors.index.set_values(*id, &doc.values)?;
                    }
                }
                None => {
                    news.newer.gone.push(*id);
                    news.former.gone.push(*id);
                }
            }
            // Where a vector went that belongs to another table, no row of this one did.
            match doc {
                Some(doc) if touched.row => news.docs.push(doc),
                None if touched.row => news.gone.push(*id),
                _ => {}
            }
        }
        self.put(end, news)
    }

    /// Puts everything into the structures, and then says that it is there.
    fn put(&self, end: Seq, news: News) -> Result<()> {
        let count = news.docs.len() + news.gone.len() + news.newer.puts.len() + news.newer.gone.len();
        self.text.put(end, news.docs, &news.gone);
        // A search asks the former one first: whoever moves is seen in one of them at least.
        for (vectors, moves) in [(&self.vectors, news.newer), (&self.former, news.former)] {
            if let Some(vectors) = vectors {
                vectors.index.put(end, moves.puts, &moves.gone)?;
            }
        }
        let mut state = self.state();
        state.seen = state.seen.max(end);
        state.pending += count;
        Ok(())
    }

    /// Finds out by which vector a row is found: by that of a former model while it has no newer one.
    fn look_up_vectors(&self, tx: &Tx, doc: &Doc, news: &mut News) -> Result<()> {
        let newer = self.vector_put(tx, self.vectors.as_ref(), doc)?;
        let former = match newer {
            Some(_) => None,
            None => self.vector_put(tx, self.former.as_ref(), doc)?,
        };
        news.newer.add(doc.id, newer);
        news.former.add(doc.id, former);
        Ok(())
    }

    fn vector_put(&self, tx: &Tx, of: Option<&Vectors>, doc: &Doc) -> Result<Option<VectorPut>> {
        let Some(of) = of else { return Ok(None) };
        let row = vectors::get(tx, &of.space, self.source.schema().table, doc.id)?;
        Ok(row.map(|row| VectorPut { id: doc.id, vector: row.record.vector, values: doc.values.clone() }))
    }

    fn fill_from(&self, tx: &Tx) -> Result<()> {
        let (seen, after, of) = {
            let state = self.state();
            (state.seen, state.after, state.rows.1)
        };
        let of = if of == 0 { self.source.count(tx)? } else { of };
        let docs = self.source.docs_after(tx, after, FILL_STEP)?;
        let (read, last) = (docs.len(), docs.last().map(|doc| doc.id));
        let mut news = News::default();
        docs.iter().try_for_each(|doc| self.look_up_vectors(tx, doc, &mut news))?;
        news.docs = docs;
        self.put(seen, news)?;
        crash_point("search.filling");
        let mut state = self.state();
        state.after = last.or(after);
        state.rows = (state.rows.0 + read, of.max(state.rows.0 + read));
        state.filled = read < FILL_STEP;
        Ok(())
    }

    /// Forgets everything and fills anew: the feed no longer says what became of the rows.
    fn start_over(&self, tx: &Tx, target: Seq) -> Result<()> {
        tracing::warn!(index = self.source.schema().name, "an index is made anew from the rows");
        self.text.clear()?;
        for vectors in self.spaces() {
            vectors.index.clear()?;
        }
        let rows = (0, self.source.count(tx)?);
        let mut state = self.state();
        *state = State { seen: target, filled: false, gathered: false, after: None, rows, ..*state };
        Ok(())
    }

    /// The vectors of each model by which rows are found.
    fn spaces(&self) -> impl Iterator<Item = &Vectors> {
        self.vectors.iter().chain(&self.former)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the feed was forgotten too far.
pub(crate) fn is_trimmed(error: &loomwork_store::Error) -> bool {
    matches!(error.downcast_ref(), Some(feed::Error::Trimmed { .. }))
}

/// Runs what blocks on a thread where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Panicked))
}

/// Returns the names that are there twice.
pub(crate) fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
