//! One step of a deletion.

use std::ops::ControlFlow;

use loomwork_search::vectors;
use loomwork_store::{Id, Result, Span, Table, Tx};

use crate::attachments::release;
use crate::size::json_bytes;
use crate::streams;
use crate::tables::{
    DeltaRow, Edit, EditLog, EditTarget, Fork, Member, MessageRow, Run, StreamRow, Summary, Thread, ThreadId,
};

/// How many rows one step deletes.
pub const STEP_ROWS: usize = 500;

/// About how many bytes of records one step deletes: no row is begun beyond it.
pub const STEP_BYTES: usize = 4 << 20;

/// What a step has done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swept {
    pub(crate) rows: usize,
    /// Whether nothing is left, the thread itself included.
    pub(crate) is_clean: bool,
}

/// Deletes some of a thread's rows. Each step begins with the first kind again, so whatever came in late is
/// found; the thread goes last, in a transaction that has seen that there is nothing else.
pub(crate) fn sweep(tx: &mut Tx, thread: ThreadId) -> Result<Swept> {
    let mut sweep = Sweep { tx, rows: 0, bytes: 0 };
    let is_clean = sweep.delete_messages(MessageRow::by_position.eq(thread))?
        && sweep.delete_streams(thread)?
        && sweep.delete(Run::by_thread.eq(thread))?
        && sweep.delete_with_vectors(Edit::by_thread.eq(thread))?
        && sweep.delete(EditTarget::by_target.eq(thread))?
        && sweep.delete(EditLog::by_thread.eq(thread))?
        && sweep.delete(Summary::by_end.eq(thread))?
        && sweep.delete(Fork::by_thread.eq(thread))?
        && sweep.delete(Member::by_thread.eq(thread))?
        && sweep.delete_thread(thread)?;
    Ok(Swept { rows: sweep.rows, is_clean })
}

struct Sweep<'a> {
    tx: &'a mut Tx,
    /// What has been deleted so far.
    rows: usize,
    bytes: usize,
}

impl Sweep<'_> {
    fn is_full(&self) -> bool {
        self.rows >= STEP_ROWS || self.bytes >= STEP_BYTES
    }

    /// Deletes rows of a span, and returns whether none is left.
    fn delete<T: Table, K>(&mut self, span: Span<T, K>) -> Result<bool> {
        let (ids, is_whole) = self.take(span)?;
        for id in ids {
            self.tx.delete(id)?;
        }
        Ok(is_whole)
    }

    fn delete_with_vectors<T: Table, K>(&mut self, span: Span<T, K>) -> Result<bool> {
        let (ids, is_whole) = self.take(span)?;
        for id in ids {
            vectors::delete_for(self.tx, id)?;
            self.tx.delete(id)?;
        }
        Ok(is_whole)
    }

    fn delete_messages<K>(&mut self, span: Span<MessageRow, K>) -> Result<bool> {
        let (ids, is_whole) = self.take(span)?;
        for id in ids {
            vectors::delete_for(self.tx, id)?;
            if let Some(row) = self.tx.delete(id)? {
                release(self.tx, id, &row.files)?;
            }
        }
        Ok(is_whole)
    }

    fn delete_streams(&mut self, thread: ThreadId) -> Result<bool> {
        while let Some(stream) = self.tx.first(StreamRow::by_thread.eq(thread).readable())? {
            if self.is_full() || !self.delete(DeltaRow::by_stream.eq(stream.id))? {
                return Ok(false);
            }
            streams::release(self.tx, stream.id, stream.owns_files)?;
            self.tx.delete(stream.id)?;
            self.rows += 1;
        }
        Ok(true)
    }

    fn delete_thread(&mut self, thread: ThreadId) -> Result<bool> {
        vectors::delete_for(self.tx, thread)?;
        self.rows += usize::from(self.tx.delete::<Thread>(thread)?.is_some());
        Ok(true)
    }

    /// Returns the ids of as many rows as this step has room for, and whether these are all. A row that
    /// cannot be read stays: it must not keep the others.
    fn take<T: Table, K>(&mut self, span: Span<T, K>) -> Result<(Vec<Id<T>>, bool)> {
        let (mut ids, mut bytes, mut is_whole) = (Vec::new(), self.bytes, true);
        let room = STEP_ROWS.saturating_sub(self.rows);
        self.tx.each(span.readable(), |row| {
            if ids.len() >= room || bytes >= STEP_BYTES {
                is_whole = false;
                return Ok(ControlFlow::Break(()));
            }
            bytes += json_bytes(&row.record);
            ids.push(row.id);
            Ok(ControlFlow::Continue(()))
        })?;
        (self.rows, self.bytes) = (self.rows + ids.len(), bytes);
        Ok((ids, is_whole))
    }
}
