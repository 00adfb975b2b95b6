//! Upkeep: what is no longer live leaves the index, and what is no longer kept leaves the store.

use std::ops::ControlFlow;

use loomwork_search::vectors;
use loomwork_store::{Id, Next, Result as StoreResult, Row, Tx, Upkeep};

use crate::settle::{Settling, drop_input};
use crate::tables::{ChunkRow, EntryRow, EntryStatus};

/// How many chunks one step touches.
pub const SWEEP_STEP: usize = 200;

/// The upkeep of entries.
pub(crate) fn upkeep(settling: Settling) -> Upkeep {
    Upkeep::new("rag entries", move |tx| {
        let Some(entry) = tx.first(EntryRow::sweeps.all().readable())? else { return Ok(Next::Idle) };
        match entry.due {
            Some(due) if due > tx.now() => Ok(Next::At(due)),
            _ => settling.look_after(tx, entry).map(|()| Next::More),
        }
    })
}

impl Settling {
    /// Takes one step with an entry that is due.
    fn look_after(&self, tx: &mut Tx, entry: Row<EntryRow>) -> StoreResult<()> {
        match entry.status {
            // It was to be live again.
            EntryStatus::Pending if entry.published.is_some() => {
                self.leave(tx, entry.id, EntryStatus::Replaced).map(drop)
            }
            EntryStatus::Pending => {
                let error = "whoever added it ended before it was complete".to_owned();
                self.settle(tx, entry.id, EntryStatus::Failed, Some(error)).map(drop)
            }
            EntryStatus::Ready => tx.update(entry.id, |row| row.due = None).map(drop),
            EntryStatus::Deleting => {
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
                self.leave(tx, entry.id, EntryStatus::Deleting).map(drop)
            }
            EntryStatus::Replaced if entry.published.is_some() => match set_shelved(tx, &entry, true)? {
                Some(swept) => go_on(tx, &entry, swept),
                None => self.rest(tx, &entry),
            },
            // Nothing of these was ever found, so nothing is kept but that they were there.
            EntryStatus::Replaced | EntryStatus::Failed | EntryStatus::Cancelled => {
                if !delete_chunks(tx, &entry)? {
                    return go_on(tx, &entry, 0);
                }
                tx.update(entry.id, |row| row.chunks = 0)?;
                self.rest(tx, &entry)
            }
        }
    }

    /// Keeps what no search knows any more for as long as it is kept.
    fn rest(&self, tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<()> {
        let due = self.retention.age.map(|age| entry.settled + age);
        tx.update(entry.id, |row| (row.hidden, row.swept, row.due) = (false, 0, due)).map(drop)
    }
}

fn go_on(tx: &mut Tx, entry: &Row<EntryRow>, swept: u32) -> StoreResult<()> {
    let now = tx.now();
    tx.update(entry.id, |row| (row.swept, row.due) = (swept, Some(now))).map(drop)
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
fn delete_chunks(tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<bool> {
    let chunks = tx.ids(ChunkRow::by_entry.eq(entry.id).take(SWEEP_STEP))?;
    for chunk in &chunks {
        delete_chunk(tx, *chunk)?;
    }
    Ok(chunks.len() < SWEEP_STEP)
}

pub(crate) fn delete_chunk(tx: &mut Tx, chunk: Id<ChunkRow>) -> StoreResult<()> {
    vectors::delete_for(tx, chunk)?;
    tx.delete(chunk).map(drop)
}
