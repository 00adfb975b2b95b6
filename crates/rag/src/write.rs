//! Writing entries and their chunks, step by step, each in the caller's transaction.

use std::collections::BTreeMap;

use loomwork_search::{Space, vectors};
use loomwork_store::{Result as StoreResult, Row, Tx};
use loomwork_workpool::JobId;

use crate::Error;
use crate::content::NewEntry;
use crate::embed::Batch;
use crate::filter::{Holder, marks_of};
use crate::namespaces;
use crate::settle::{LEASE, Settling, check_spaces, require};
use crate::sweep::delete_chunk;
use crate::tables::{ChunkId, ChunkRow, EntryId, EntryRow, EntryStatus, NamespaceId, NamespaceStatus};
use crate::weight::{WHOLE, folded};

/// Who makes an entry: whoever called, or an attempt of a job. Where another one has taken over, it writes no
/// more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Maker {
    pub(crate) job: Option<JobId>,
    pub(crate) attempt: u32,
}

/// Whether an entry has to be written at all.
pub(crate) enum Begun {
    /// It has.
    New(Row<EntryRow>),
    /// One is live that is the same, but for its title and metadata, which are what was given now.
    Same(Row<EntryRow>),
}

/// Whether an entry is the one that is to be added, but for its title and metadata.
pub(crate) fn is_same(entry: &EntryRow, new: &NewEntry, hash: &str) -> bool {
    entry.content_hash.as_deref() == Some(hash)
        && new.importance.is_none_or(|importance| entry.importance == importance)
        && entry.filters.len() == new.filters.len()
        && new.filters.iter().all(|(name, value)| entry.filters.get(name) == Some(value))
}

/// Returns the live entry that has the content that is to be added.
pub(crate) fn same(
    tx: &Tx,
    namespace: NamespaceId,
    new: &NewEntry,
    hash: Option<&str>,
) -> StoreResult<Option<Row<EntryRow>>> {
    let Some(hash) = hash else { return Ok(None) };
    if let Some(key) = &new.key {
        let mut versions = tx.scan(EntryRow::by_key.eq(namespace).eq(key.as_str()).desc())?.into_iter();
        // What is on its way comes behind the live one, so that is no longer the last word.
        let last = versions.find(|row| matches!(row.status, EntryStatus::Pending | EntryStatus::Ready));
        if let Some(last) = last.filter(|last| last.is_live() && is_same(last, new, hash)) {
            return Ok(Some(last));
        }
    }
    if !new.dedupe {
        return Ok(None);
    }
    let mut others = tx.scan(EntryRow::by_hash.eq(namespace).eq(Some(hash.to_owned())))?.into_iter();
    Ok(others.find(|entry| is_same(entry, new, hash)))
}

/// Returns the live entry of its key that is the same as one that has been made.
fn same_as(tx: &Tx, entry: &EntryRow, hash: &str) -> StoreResult<Option<Row<EntryRow>>> {
    let Some(key) = &entry.key else { return Ok(None) };
    let live = tx.first(EntryRow::live.eq(entry.namespace).eq(key.as_str()))?;
    Ok(live.filter(|live| {
        live.content_hash.as_deref() == Some(hash)
            && (entry.inherits || live.importance == entry.importance)
            && live.filters == entry.filters
            && live.version < entry.version
    }))
}

/// Drops an entry that has been made where the live one of its key turns out to be the same, and returns that.
pub(crate) fn drop_same(
    tx: &mut Tx,
    settling: &Settling,
    entry: &Row<EntryRow>,
    hash: &str,
) -> StoreResult<Option<Row<EntryRow>>> {
    let Some(live) = same_as(tx, entry, hash)? else { return Ok(None) };
    settling.settle(tx, entry.id, EntryStatus::Replaced, None)?;
    let EntryRow { title, metadata, origin, .. } = entry.record.clone();
    if (&live.title, &live.metadata, &live.origin) == (&title, &metadata, &origin) {
        return Ok(Some(live));
    }
    let described = tx.update(live.id, |row| {
        (row.title, row.metadata, row.origin) = (title, metadata, origin);
    })?;
    Ok(Some(described))
}

/// Whether an entry says of itself what is said of it now. That of another key is another's.
pub(crate) fn is_described(entry: &EntryRow, new: &NewEntry) -> bool {
    let is_so = entry.title == new.title && entry.metadata == new.metadata && entry.origin == new.origin;
    is_so || entry.key != new.key
}

/// Gives an entry the title and metadata of one that is the same otherwise.
pub(crate) fn describe(tx: &mut Tx, entry: Row<EntryRow>, new: &NewEntry) -> StoreResult<Row<EntryRow>> {
    if is_described(&entry, new) {
        return Ok(entry);
    }
    tx.update(entry.id, |row| {
        row.title.clone_from(&new.title);
        row.metadata.clone_from(&new.metadata);
        row.origin.clone_from(&new.origin);
    })
}

/// Begins an entry, unless one is live that is the same.
pub(crate) fn begin(
    tx: &mut Tx,
    namespace: NamespaceId,
    by_name: bool,
    new: &NewEntry,
    hash: Option<String>,
) -> StoreResult<Begun> {
    if namespaces::require(tx, namespace)?.status == NamespaceStatus::Deleting {
        return Err(Error::UnknownNamespace { id: namespace.to_string() }.into());
    }
    if let Some(entry) = same(tx, namespace, new, hash.as_deref())? {
        return describe(tx, entry, new).map(Begun::Same);
    }
    let newest = match &new.key {
        Some(key) => tx.first(EntryRow::by_key.eq(namespace).eq(key.as_str()).desc())?,
        None => None,
    };
    let importance = match (new.importance, &new.key) {
        (Some(importance), _) => importance,
        (None, Some(key)) => {
            tx.first(EntryRow::live.eq(namespace).eq(key.as_str()))?.map_or(WHOLE, |live| live.importance)
        }
        (None, None) => WHOLE,
    };
    let now = tx.now();
    let entry = tx.insert(EntryRow {
        namespace,
        key: new.key.clone(),
        version: newest.map_or(0, |newest| newest.version + 1),
        status: EntryStatus::Pending,
        title: new.title.clone(),
        metadata: new.metadata.clone(),
        filters: new.filters.clone().into_iter().collect::<BTreeMap<_, _>>(),
        importance,
        content_hash: hash,
        origin: new.origin.clone(),
        file: None,
        chunks: 0,
        tokens: 0,
        created: now,
        settled: now,
        published: None,
        error: None,
        attempts: 0,
        job: None,
        context: new.context.clone(),
        spaces: Vec::new(),
        by_name,
        inherits: new.importance.is_none(),
        over: None,
        expires: None,
        weighing: None,
        hidden: false,
        swept: 0,
        due: Some(now + LEASE),
    })?;
    Ok(Begun::New(entry))
}

/// Returns a pending entry; an error where it is no longer wanted, or made by another one.
pub(crate) fn pending(tx: &Tx, id: EntryId, maker: Maker) -> StoreResult<Row<EntryRow>> {
    let entry = require(tx, id)?;
    let status = match entry.status {
        EntryStatus::Pending if entry.job == maker.job && entry.attempts == maker.attempt => {
            return Ok(entry);
        }
        EntryStatus::Pending => "made by a later attempt",
        other => other.as_str(),
    };
    Err(Error::Overtaken { entry: id.to_string(), status }.into())
}

/// Says that a pending entry is being made, where its maker is silent for long.
pub(crate) fn renew(tx: &mut Tx, id: EntryId, maker: Maker) -> StoreResult<()> {
    pending(tx, id, maker)?;
    let due = tx.now() + LEASE;
    tx.update(id, |row| row.due = Some(due)).map(drop)
}

/// Writes some chunks of a pending entry, in place of those that are there.
pub(crate) fn write(
    tx: &mut Tx,
    id: EntryId,
    maker: Maker,
    first: u32,
    chunks: &Batch,
    tokens: u64,
) -> StoreResult<()> {
    let Batch { chunks, spaces } = chunks;
    let entry = pending(tx, id, maker)?;
    // What would not be published any more is not even begun.
    check_spaces(&namespaces::require(tx, entry.namespace)?, spaces, id)?;
    let of_entry = marks_of(Holder::Entry, &entry.filters);
    for (order, prepared) in (first..).zip(chunks) {
        let mut marks = of_entry.clone();
        marks.extend(marks_of(Holder::Chunk, &prepared.chunk.metadata));
        let row = ChunkRow {
            namespace: entry.namespace,
            entry: id,
            order,
            text: prepared.chunk.text.clone(),
            keywords: prepared.chunk.keywords.clone(),
            metadata: prepared.chunk.metadata.clone(),
            place: prepared.chunk.place.clone(),
            hash: prepared.hash.clone(),
            marks,
            importance: entry.importance,
            shelved: false,
        };
        let chunk: ChunkId = match tx.ids(ChunkRow::by_entry.eq(id).eq(order))?.pop() {
            Some(chunk) => {
                // Of an earlier attempt, perhaps of another text and in other spaces.
                vectors::delete_for(tx, chunk)?;
                tx.replace(chunk, row)?.id
            }
            None => tx.insert(row)?.id,
        };
        for (space, vector) in &prepared.vectors {
            vectors::insert(tx, space, chunk, folded(vector, entry.importance))?;
        }
    }
    let end = first.saturating_add(u32::try_from(chunks.len()).unwrap_or(u32::MAX));
    let due = entry.due.map(|_| tx.now() + LEASE);
    tx.update(id, |row| {
        row.chunks = row.chunks.max(end);
        row.tokens += tokens;
        row.due = due;
        // What is waiting is known to no index, and is in no search's way.
        row.hidden = true;
    })
    .map(drop)
}

/// Says that a pending entry has this many chunks, and no more, in these spaces.
pub(crate) fn complete(
    tx: &mut Tx,
    id: EntryId,
    maker: Maker,
    chunks: u32,
    spaces: &[Space],
    hash: Option<String>,
) -> StoreResult<()> {
    pending(tx, id, maker)?;
    for surplus in tx.ids(ChunkRow::by_entry.eq(id).ge(chunks))? {
        delete_chunk(tx, surplus)?;
    }
    tx.update(id, |row| {
        row.chunks = chunks;
        row.spaces = spaces.to_vec();
        row.content_hash = row.content_hash.take().or(hash);
    })
    .map(drop)
}
