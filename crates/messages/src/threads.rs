//! Threads.

use loomwork_core::Time;
use loomwork_store::{Result, Row, Tx};

use crate::tables::{Member, Thread, ThreadId};

pub(crate) fn require_open(tx: &Tx, id: ThreadId) -> Result<Row<Thread>> {
    tx.require(id)
}

pub(crate) fn touch(tx: &mut Tx, thread: ThreadId, at: Time) -> Result<()> {
    for member in tx.scan(Member::by_thread.eq(thread))? {
        tx.update(member.id, |member| member.activity = at)?;
    }
    Ok(())
}
