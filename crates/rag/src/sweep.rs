//! Upkeep: what is no longer live leaves the index, and what is no longer kept leaves the store.
//!
//! Any of the knowledge bases that share a store may take a step with any entry: how long it is kept is in its
//! row. Only those that died while they were made are left to the one whose namespace it is, since its hook
//! hears of them.

use std::ops::ControlFlow;
use std::time::Duration;

use loomwork_search::{VectorRow, vectors};
use loomwork_store::{Id, Next, Result as StoreResult, Row, Table as _, Tx, Upkeep};

use crate::namespaces::{self, Wanted};
use crate::settle::{Settling, call_off, drop_input, leave};
use crate::tables::{ChunkRow, EntryId, EntryRow, EntryStatus};
use crate::weight::folded;

/// How many chunks one step touches.
pub const SWEEP_STEP: usize = 200;

/// How long an entry waits whose step has failed, so that others have their turn.
const PUT_OFF: Duration = Duration::from_secs(60);

/// The upkeep of entries.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("rag entries", move |tx| {
        let Some(entry) = tx.first(EntryRow::sweeps.all().readable())? else { return Ok(Next::Idle) };
        match entry.due {
            Some(due) if due > tx.now() => Ok(Next::At(due)),
            _ => step(tx, entry.id, |tx| look_after(tx, entry)).map(|()| Next::More),
        }
    })
}

/// The upkeep of what died while it was made, in the namespaces of one knowledge base.
pub(crate) fn leases(settling: Settling, wanted: Wanted) -> Upkeep {
    Upkeep::new("rag leases", move |tx| {
        let (now, mut next, mut dead) = (tx.now(), Next::Idle, None);
        tx.each(EntryRow::leases.all().readable(), |entry| {
            if let Some(due) = entry.due.filter(|due| *due > now) {
                next = Next::At(due);
                return Ok(ControlFlow::Break(()));
            }
            let namespace = namespaces::require(tx, entry.namespace)?;
            if wanted.is_of_space(&namespace) {
                dead = Some(entry.id);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let Some(dead) = dead else { return Ok(next) };
        let error = "whoever added it ended before it was complete".to_owned();
        let settled =
            step(tx, dead, |tx| settling.settle(tx, dead, EntryStatus::Failed, Some(error)).map(drop));
        settled.map(|()| Next::More)
    })
}

/// Takes a step with an entry. If it fails, the entry is put off, and nothing else waits for it.
fn step(tx: &mut Tx, id: EntryId, step: impl FnOnce(&mut Tx) -> StoreResult<()>) -> StoreResult<()> {
    let Err(error) = tx.nested(step) else { return Ok(()) };
    tracing::error!(entry = %id, %error, pause = ?PUT_OFF, "a step with an entry failed and will be tried again");
    let due = tx.now() + PUT_OFF;
    tx.update(id, |row| row.due = Some(due)).map(drop)
}

/// Takes one step with an entry that is due.
fn look_after(tx: &mut Tx, entry: Row<EntryRow>) -> StoreResult<()> {
    match entry.status {
        EntryStatus::Ready | EntryStatus::Replaced if entry.weighing.is_some() => weigh(tx, &entry),
        // It was to be live again.
        EntryStatus::Pending => call_off(tx, entry.id),
        EntryStatus::Ready => tx.update(entry.id, |row| row.due = None).map(drop),
        EntryStatus::Deleting => {
            note_shelved(tx, &entry)?;
            if !delete_chunks(tx, &entry)? {
                return go_on(tx, &entry, 0);
            }
            drop_input(tx, entry.id)?;
            if entry.file.is_some() {
                loomwork_files::detach_all(tx, entry.id)?;
            }
            tx.delete(entry.id).map(drop)
        }
        EntryStatus::Replaced | EntryStatus::Failed | EntryStatus::Cancelled if !entry.hidden => {
            leave(tx, entry.id, EntryStatus::Deleting).map(drop)
        }
        // It was overtaken: what came first is there in its place.
        EntryStatus::Replaced if entry.published.is_none() => {
            if !delete_chunks(tx, &entry)? {
                return go_on(tx, &entry, 0);
            }
            tx.update(entry.id, |row| row.chunks = 0)?;
            rest(tx, &entry)
        }
        // The vectors of what failed are taken over by what is made in its place.
        EntryStatus::Replaced | EntryStatus::Failed | EntryStatus::Cancelled => {
            note_shelved(tx, &entry)?;
            match set_shelved(tx, &entry, true)? {
                Some(swept) => go_on(tx, &entry, swept),
                None => rest(tx, &entry),
            }
        }
    }
}

/// Notes in the namespace which publication a search has to know of from now on.
fn note_shelved(tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<()> {
    let Some(over) = entry.over else { return Ok(()) };
    if namespaces::require(tx, entry.namespace)?.shelved < over {
        tx.update(entry.namespace, |row| row.shelved = over)?;
    }
    Ok(())
}

/// Keeps what no search knows any more for as long as it is kept.
fn rest(tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<()> {
    let due = entry.expires;
    tx.update(entry.id, |row| (row.hidden, row.swept, row.due) = (false, 0, due)).map(drop)
}

fn go_on(tx: &mut Tx, entry: &Row<EntryRow>, swept: u32) -> StoreResult<()> {
    let now = tx.now();
    tx.update(entry.id, |row| (row.swept, row.due) = (swept, Some(now))).map(drop)
}

/// Has some chunks count as much as their entry does.
fn weigh(tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<()> {
    let first = entry.weighing.unwrap_or_default();
    let chunks = tx.scan(ChunkRow::by_entry.eq(entry.id).ge(first).take(SWEEP_STEP))?;
    for chunk in &chunks {
        // In all spaces: a migration may have given some of its chunks a vector, and not yet all of them.
        for row in tx.scan(VectorRow::by_owner.eq(ChunkRow::NAME).eq(chunk.id.raw()))? {
            vectors::update(tx, row.id, folded(row.vector(), entry.importance))?;
        }
        tx.update(chunk.id, |row| row.importance = entry.importance)?;
    }
    let next = chunks.last().filter(|_| chunks.len() == SWEEP_STEP).map(|last| last.order + 1);
    let now = tx.now();
    tx.update(entry.id, |row| (row.weighing, row.due) = (next, Some(now))).map(drop)
}

/// Puts some chunks on the shelf, or takes them back into the index; returns where to go on.
pub(crate) fn set_shelved(tx: &mut Tx, entry: &Row<EntryRow>, shelved: bool) -> StoreResult<Option<u32>> {
    let span = ChunkRow::by_entry.eq(entry.id).ge(entry.swept).take(SWEEP_STEP);
    let mut chunks = Vec::new();
    tx.each(span, |chunk| {
        chunks.push((chunk.id, chunk.order));
        Ok(ControlFlow::Continue(()))
    })?;
    for (chunk, _) in &chunks {
        tx.update(*chunk, |row| row.shelved = shelved)?;
    }
    let last = chunks.last().filter(|_| chunks.len() == SWEEP_STEP);
    Ok(last.map(|(_, order)| order + 1))
}

/// Deletes some chunks of an entry, and says whether these were all.
pub(crate) fn delete_chunks(tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<bool> {
    delete_from(tx, entry.id, 0)
}

/// Deletes some chunks of an entry from a place on, and says whether these were all.
pub(crate) fn delete_from(tx: &mut Tx, entry: EntryId, first: u32) -> StoreResult<bool> {
    let chunks = tx.ids(ChunkRow::by_entry.eq(entry).ge(first).take(SWEEP_STEP))?;
    for chunk in &chunks {
        delete_chunk(tx, *chunk)?;
    }
    Ok(chunks.len() < SWEEP_STEP)
}

pub(crate) fn delete_chunk(tx: &mut Tx, chunk: Id<ChunkRow>) -> StoreResult<()> {
    vectors::delete_for(tx, chunk)?;
    tx.delete(chunk).map(drop)
}
