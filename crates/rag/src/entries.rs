//! Looking at entries, and changing and deleting those that are there.

use std::collections::HashMap;

use loomwork_store::{Cursor, Page, Paged, Result as StoreResult, Row, Tx};
use loomwork_workpool as workpool;

use crate::error::unwrapped;
use crate::rag::Rag;
use crate::settle::{LEASE, call_off, leave, require, wrong_status};
use crate::sweep::set_shelved;
use crate::tables::{ChunkRow, EntryId, EntryRow, EntryStatus, Metadata, NamespaceId, NamespaceStatus};
use crate::write::Maker;
use crate::{Result, namespaces, weight};

/// How many entries one step of deleting many touches.
pub const DELETE_STEP: usize = 100;

/// Returns an entry; one that is being deleted is there until that is done.
///
/// # Errors
/// When the store cannot be read, as for all that reads here.
pub fn get(tx: &Tx, id: EntryId) -> StoreResult<Option<Row<EntryRow>>> {
    tx.get(id)
}

/// Returns the live version of a key.
///
/// # Errors
/// When the store cannot be read.
pub fn by_key(tx: &Tx, namespace: NamespaceId, key: &str) -> StoreResult<Option<Row<EntryRow>>> {
    tx.first(EntryRow::live.eq(namespace).eq(key))
}

/// Returns all versions of a key, the newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn versions(tx: &Tx, namespace: NamespaceId, key: &str) -> StoreResult<Vec<Row<EntryRow>>> {
    tx.scan(EntryRow::by_key.eq(namespace).eq(key).desc())
}

/// Returns the live entry of a content hash; under a key where one is named.
///
/// # Errors
/// When the store cannot be read.
pub fn by_hash(
    tx: &Tx,
    namespace: NamespaceId,
    key: Option<&str>,
    hash: &str,
) -> StoreResult<Option<Row<EntryRow>>> {
    let found = tx.scan(EntryRow::by_hash.eq(namespace).eq(Some(hash.to_owned())))?;
    Ok(found.into_iter().find(|entry| key.is_none() || entry.key.as_deref() == key))
}

/// Which entries [`list`] lists, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Of one namespace; of all where it is `None`.
    pub namespace: Option<NamespaceId>,
    /// Where they stand. Default: ready.
    pub status: EntryStatus,
    /// The newest first. Default: the oldest first.
    pub newest_first: bool,
}

impl Default for Listed {
    fn default() -> Self {
        Self { namespace: None, status: EntryStatus::Ready, newest_first: false }
    }
}

/// Returns a page of entries.
///
/// # Errors
/// When the page belongs to another listing.
pub fn list(tx: &Tx, listed: Listed, page: Page) -> StoreResult<Paged<EntryRow>> {
    let Listed { namespace, status, newest_first } = listed;
    match (namespace, newest_first) {
        (Some(namespace), false) => tx.page(EntryRow::by_status.eq(namespace).eq(status), page),
        (Some(namespace), true) => tx.page(EntryRow::by_status.eq(namespace).eq(status).desc(), page),
        (None, false) => tx.page(EntryRow::of_status.eq(status), page),
        (None, true) => tx.page(EntryRow::of_status.eq(status).desc(), page),
    }
}

/// Returns a page of an entry's chunks in their order; from the last one on where `backwards`.
///
/// # Errors
/// When the page belongs to another listing.
pub fn chunks(tx: &Tx, entry: EntryId, backwards: bool, page: Page) -> StoreResult<Paged<ChunkRow>> {
    let span = ChunkRow::by_entry.eq(entry);
    tx.page(if backwards { span.desc() } else { span }, page)
}

/// Returns some chunks of an entry by their places: from `start` on and before `end`.
///
/// # Errors
/// When the store cannot be read.
pub fn range(tx: &Tx, entry: EntryId, start: u32, end: u32) -> StoreResult<Vec<Row<ChunkRow>>> {
    if start >= end {
        return Ok(Vec::new());
    }
    tx.scan(ChunkRow::by_entry.eq(entry).ge(start).lt(end))
}

/// What differs between two entries, such as two versions of a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// How many chunks have the same text in both, wherever they stand.
    pub kept: usize,
    /// The chunks that the later one has no more, in their order.
    pub removed: Vec<Row<ChunkRow>>,
    /// The chunks that it has instead, in their order.
    pub added: Vec<Row<ChunkRow>>,
}

/// Returns what differs between two entries.
///
/// # Errors
/// When there is no such entry, or the chunks of one were never kept; when the store cannot be read.
pub fn difference(tx: &Tx, before: EntryId, after: EntryId) -> StoreResult<Difference> {
    let chunks = |id| {
        let entry = require(tx, id)?;
        match entry.published {
            Some(_) if entry.status != EntryStatus::Deleting => range(tx, id, 0, u32::MAX),
            _ => Err(wrong_status(&entry, "compared").into()),
        }
    };
    let (before, after) = (chunks(before)?, chunks(after)?);
    let mut left: HashMap<String, usize> = HashMap::new();
    for chunk in &before {
        *left.entry(chunk.text.clone()).or_default() += 1;
    }
    let mut take = |chunk: &Row<ChunkRow>| match left.get_mut(&chunk.text) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let added: Vec<_> = after.iter().filter(|chunk| !take(chunk)).cloned().collect();
    // What nobody took is what is no longer there; of equal ones, those behind.
    let mut removed: Vec<_> = before.iter().rev().filter(|chunk| take(chunk)).cloned().collect();
    removed.reverse();
    Ok(Difference { kept: before.len() - removed.len(), removed, added })
}

/// Where the making of an entry stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The entry.
    pub entry: Row<EntryRow>,
    /// How far its job says it is, from 0 to 1, where that is known.
    pub fraction: Option<f64>,
    /// What it says.
    pub text: Option<String>,
}

/// Returns where the making of an entry stands; under `watch` it is live.
///
/// # Errors
/// When there is no such entry; when the store cannot be read.
pub fn progress(tx: &Tx, id: EntryId) -> StoreResult<Progress> {
    let entry = require(tx, id)?;
    let job = entry.job.map(|job| workpool::status(tx, job)).transpose()?.flatten();
    let said = job.and_then(|job| job.progress);
    Ok(Progress {
        fraction: said.as_ref().map(|said| said.fraction),
        text: said.map(|said| said.text),
        entry,
    })
}

/// Changes the title and metadata of an entry. No text is embedded for it.
///
/// # Errors
/// When there is no such entry; when the store cannot be written.
pub fn describe(
    tx: &mut Tx,
    id: EntryId,
    title: Option<String>,
    metadata: Metadata,
) -> StoreResult<Row<EntryRow>> {
    require(tx, id)?;
    tx.update(id, |row| (row.title, row.metadata) = (title, metadata))
}

impl Rag {
    /// Deletes an entry: no search that begins after that finds it, and its chunks and vectors go in the
    /// background. Deleting the live version revives no older one.
    ///
    /// # Errors
    /// When there is no such entry; when the store cannot be read or written.
    pub fn delete(&self, tx: &mut Tx, id: EntryId) -> StoreResult<()> {
        let entry = require(tx, id)?;
        if entry.status == EntryStatus::Pending && entry.published.is_none() {
            self.cancel(tx, id)?;
        }
        leave(tx, id, EntryStatus::Deleting).map(drop)
    }

    /// Deletes all versions of a key, or those before a version, and returns how many there were.
    ///
    /// # Errors
    /// When the store cannot be read or written; what was deleted before stays so.
    pub async fn delete_by_key(
        &self,
        namespace: NamespaceId,
        key: &str,
        before: Option<u32>,
    ) -> Result<usize> {
        let (mut deleted, mut page) = (0, Page::first(DELETE_STEP));
        loop {
            let (rag, key, step) = (self.clone(), key.to_owned(), page);
            let step = self.inner.store.mutate(move |tx| {
                let of_key = EntryRow::by_key.eq(namespace).eq(key.as_str()).lt(before.unwrap_or(u32::MAX));
                rag.delete_page(tx, tx.page(of_key.desc(), step)?)
            });
            let (count, next) = step.await.map_err(unwrapped)?;
            deleted += count;
            match next {
                Some(next) => page = Page::after(next, DELETE_STEP),
                None => return Ok(deleted),
            }
        }
    }

    /// Deletes the entries of a page, and returns how many were not being deleted yet, and where to go on.
    fn delete_page(&self, tx: &mut Tx, page: Paged<EntryRow>) -> StoreResult<(usize, Option<Cursor>)> {
        let left = page.rows.iter().filter(|entry| entry.status != EntryStatus::Deleting);
        let left: Vec<EntryId> = left.map(|entry| entry.id).collect();
        left.iter().try_for_each(|id| self.delete(tx, *id))?;
        Ok((left.len(), page.next))
    }

    /// Deletes a namespace with all its entries, and waits until nothing of them is left. From the first moment
    /// on nothing is found in it or added to it.
    ///
    /// # Errors
    /// When there is no such namespace; when the store cannot be read or written. What is left is deleted when
    /// it is called again.
    pub async fn delete_namespace(&self, id: NamespaceId) -> Result<()> {
        let mut page = Some(Page::first(DELETE_STEP));
        while let Some(step) = page {
            let rag = self.clone();
            let step = self.inner.store.mutate(move |tx| {
                if namespaces::require(tx, id)?.status != NamespaceStatus::Deleting {
                    tx.update(id, |row| row.status = NamespaceStatus::Deleting)?;
                }
                let entries = tx.page(EntryRow::by_namespace.eq(id), step)?;
                rag.delete_page(tx, entries)
            });
            let (_, next) = step.await.map_err(unwrapped)?;
            page = next.map(|next| Page::after(next, DELETE_STEP));
        }
        let mut left = self.inner.store.watch(move |tx| tx.count(EntryRow::by_namespace.eq(id).take(1)));
        while let Some(count) = left.next().await {
            if count? == 0 {
                let gone = self.inner.store.mutate(move |tx| namespaces::delete(tx, id));
                return gone.await.map_err(unwrapped);
            }
        }
        Err(loomwork_store::Error::from(loomwork_store::Problem::Closed).into())
    }

    /// Waits until nothing is left of an entry that was deleted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn gone(&self, id: EntryId) -> Result<()> {
        let mut left = self.inner.store.watch(move |tx| Ok(tx.get(id)?.is_some()));
        while let Some(is_there) = left.next().await {
            if !is_there? {
                return Ok(());
            }
        }
        Err(loomwork_store::Error::from(loomwork_store::Problem::Closed).into())
    }

    /// Makes a former version of a key the live one again, under a new number. Its chunks were kept, so no
    /// text is embedded for it.
    ///
    /// # Errors
    /// When there is no such entry, or it was never live, or is no longer kept; [`Error::NamespaceChanged`](crate::Error::NamespaceChanged) when
    /// its namespace has gone over to another model, of which it has no vectors; when the store cannot be read or
    /// written. It stays a former version then.
    pub async fn restore(&self, id: EntryId) -> Result<Row<EntryRow>> {
        let begun = self.inner.store.mutate(move |tx| {
            let entry = require(tx, id)?;
            if entry.status != EntryStatus::Replaced || entry.published.is_none() {
                return Err(wrong_status(&entry, "restored").into());
            }
            let newest = match &entry.key {
                Some(key) => tx.first(EntryRow::by_key.eq(entry.namespace).eq(key.as_str()).desc())?,
                None => None,
            };
            let version = newest.map_or(entry.version, |newest| newest.version + 1);
            let due = tx.now() + LEASE;
            tx.update(id, |row| {
                (row.status, row.version) = (EntryStatus::Pending, version);
                (row.hidden, row.swept, row.due) = (true, 0, Some(due));
                // Whoever restores it means this version of the namespace.
                row.by_name = false;
                (row.job, row.attempts) = (None, 0);
            })
        });
        begun.await.map_err(unwrapped)?;
        loop {
            let step = self.inner.store.mutate(move |tx| {
                let entry = crate::write::pending(tx, id, Maker::default())?;
                let swept = set_shelved(tx, &entry, false)?;
                let due = tx.now() + LEASE;
                tx.update(id, |row| (row.swept, row.due) = (swept.unwrap_or_default(), Some(due)))?;
                Ok(swept.is_some())
            });
            if !step.await.map_err(unwrapped)? {
                break;
            }
        }
        let settling = self.inner.settling.clone();
        let published = self.inner.store.mutate(move |tx| settling.publish(tx, id)).await.map_err(unwrapped);
        if published.is_err() {
            let back = self.inner.store.mutate(move |tx| match tx.get(id)? {
                Some(entry) if entry.status == EntryStatus::Pending => call_off(tx, id),
                _ => Ok(()),
            });
            back.await.map_err(unwrapped)?;
        }
        Ok(published?.entry)
    }

    /// Changes how much an entry counts, without embedding anything, and waits until all of its chunks count so.
    /// Searches find them with one or the other importance meanwhile. Once it has begun it comes to its end,
    /// whether anybody waits or not. Later versions of its key count as much, unless they are added with an
    /// importance of their own.
    ///
    /// # Errors
    /// When there is no such entry, or it is not live; when the store cannot be read or written.
    pub async fn weigh(&self, id: EntryId, importance: f32) -> Result<()> {
        weight::check(importance)?;
        let begun = self.inner.store.mutate(move |tx| {
            let entry = require(tx, id)?;
            if !entry.is_live() {
                return Err(wrong_status(&entry, "weighed").into());
            }
            let now = tx.now();
            tx.update(id, |row| {
                (row.importance, row.weighing, row.due) = (importance, Some(0), Some(now));
            })
        });
        begun.await.map_err(unwrapped)?;
        let mut left =
            self.inner.store.watch(move |tx| Ok(tx.get(id)?.is_some_and(|row| row.weighing.is_some())));
        while let Some(is_left) = left.next().await {
            if !is_left? {
                return Ok(());
            }
        }
        Err(loomwork_store::Error::from(loomwork_store::Problem::Closed).into())
    }
}
