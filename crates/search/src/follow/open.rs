//! Opening what an earlier process has derived, if it still is of this store.

use std::sync::{Arc, Mutex};

use loomwork_core::RawId;
use loomwork_store::engine::Seq;
use loomwork_store::{Result as StoreResult, Row, Store, Tx, feed};
use tokio::sync::{Mutex as Turns, Notify};

use super::{Follower, State, Vectors, blocking, is_trimmed};
use crate::place::Place;
use crate::source::Source;
use crate::space::digest;
use crate::tables::FollowerRow;
use crate::text::TextIndex;
use crate::vector::{Keeping, VectorIndex};
use crate::{Error, Result, Space};

/// Where a follower begins.
struct Start {
    seen: Seq,
    /// Whether what the structures hold is of this store's history.
    is_known: bool,
    filled: bool,
    after: Option<RawId>,
    rows: usize,
}

/// Where an index is kept, and how.
pub(crate) struct Located<'a> {
    pub(crate) place: Place,
    pub(crate) node: &'a str,
    pub(crate) keeping: Keeping,
}

impl Follower {
    pub(crate) async fn open(
        store: &Store,
        source: Arc<dyn Source>,
        space: Option<Space>,
        former: Option<Space>,
        located: Located<'_>,
    ) -> Result<Arc<Self>> {
        let Located { place, node, keeping } = located;
        let schema = source.schema().clone();
        let consumer = match &place {
            Place::Memory => None,
            Place::Folder(_) => Some(consumer(&schema.name, node)),
        };
        let id = store.id();
        let opened = blocking(move || {
            let place = place.join(&schema.name);
            let (text, text_applied) = TextIndex::open(&place.join("text"), &schema, id)?;
            let mut applied = vec![text_applied];
            sweep(&place, space.iter().chain(&former))?;
            let mut open = |space: Space| {
                let place = place.join(&folder_of(&space));
                let (index, of_vectors) = VectorIndex::open(&place, &schema, &space, id, keeping.clone())?;
                applied.push(of_vectors);
                Ok::<_, Error>(Vectors { space, index })
            };
            let (vectors, former) = (space.map(&mut open).transpose()?, former.map(&mut open).transpose()?);
            Ok((text, vectors, former, applied))
        });
        let (text, vectors, former, applied) = opened.await?;
        let start = match &consumer {
            Some(consumer) => Self::begin(store, &source, consumer.clone(), applied.clone()).await?,
            None => {
                let (counting, seen) = (source.clone(), store.committed());
                let rows = store.query(move |tx| counting.count(tx)).await?;
                Start { seen, is_known: true, filled: false, after: None, rows }
            }
        };
        if !start.is_known {
            tracing::warn!(
                index = source.schema().name,
                "what is on disk is of another store; it is made anew"
            );
            text.clear()?;
            for vectors in vectors.iter().chain(&former) {
                vectors.index.clear()?;
            }
        }
        let state = State {
            seen: start.seen,
            committed: start.seen,
            pending: 0,
            filled: start.filled,
            gathered: start.filled,
            after: start.after,
            rows: (0, start.rows),
        };
        Ok(Arc::new(Self {
            source,
            store: store.clone(),
            text,
            vectors,
            former,
            consumer,
            state: Mutex::new(state),
            turns: Arc::default(),
            commits: Turns::default(),
            full: Notify::new(),
        }))
    }

    /// Joins the feed, and finds out where structures go on that have applied it so far.
    async fn begin(
        store: &Store,
        source: &Arc<dyn Source>,
        consumer: String,
        applied: Vec<Option<Seq>>,
    ) -> Result<Start> {
        let (source, committed) = (source.clone(), store.committed());
        let start = store.mutate(move |tx| {
            let position = feed::subscribe(tx, &consumer)?;
            let row = row(tx, &consumer)?;
            let known = applied.iter().flatten().map(|seq| is_known(tx, position, *seq));
            let is_known = known.collect::<StoreResult<Vec<_>>>()?.into_iter().all(|known| known);
            let is_whole = is_known && applied.iter().all(Option::is_some);
            let oldest = applied.iter().flatten().min().copied().filter(|_| is_known);
            let seen = oldest.unwrap_or_else(|| committed.max(position));
            let (mut filled, mut after) = (row.filled, row.after);
            if !is_whole {
                (filled, after) = (false, None);
                tx.update(row.id, |row| (row.filled, row.after) = (filled, after))?;
            }
            let rows = if filled { 0 } else { source.count(tx)? };
            Ok(Start { seen, is_known, filled, after: after.map(RawId::from_bytes), rows })
        });
        Ok(start.await?)
    }
}

/// Returns the name under which the feed knows an index's follower.
pub(crate) fn consumer(index: &str, node: &str) -> String {
    if node.is_empty() { format!("search/{index}") } else { format!("search/{index}/{node}") }
}

/// Returns the row of a follower, which is made where there is none.
pub(super) fn row(tx: &mut Tx, name: &str) -> StoreResult<Row<FollowerRow>> {
    match tx.first(FollowerRow::by_name.eq(name))? {
        Some(row) => Ok(row),
        None => tx.insert(FollowerRow { name: name.to_owned(), filled: false, after: None }),
    }
}

/// Whether a position that lies outside of the store is one of its history.
///
/// Positions are never given twice. So it is if it is the one of which the store was told, or if the log,
/// which is kept from there on, has a change at it. Whatever is behind that, or not in the log, belongs
/// to a state that the store no longer has, or was put back from a copy.
fn is_known(tx: &Tx, position: Seq, applied: Seq) -> StoreResult<bool> {
    if applied <= position {
        return Ok(applied == position);
    }
    match feed::changes(tx, Seq(applied.0 - 1), 1) {
        Ok(changes) => Ok(changes.first().is_some_and(|change| change.seq == applied)),
        Err(error) if is_trimmed(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes the folders of spaces that are no longer in use.
fn sweep<'a>(place: &Place, used: impl Iterator<Item = &'a Space>) -> Result<()> {
    let Place::Folder(folder) = place else { return Ok(()) };
    let used: Vec<String> = used.map(folder_of).collect();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(VECTORS) && !used.iter().any(|used| *used == name) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// How the names of folders begin that hold the vectors of a space.
const VECTORS: &str = "vectors-";

/// The name of a space's folder; models have names that no folder has.
fn folder_of(space: &Space) -> String {
    let digest = digest(&[space.model(), &space.dimension().to_string()]);
    format!("{VECTORS}{}", RawId::from_bytes(digest))
}
