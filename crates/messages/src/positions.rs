//! Walking a thread's messages by their positions.

use std::ops::ControlFlow;

use loomwork_store::{Result, Row, Tx};

use crate::tables::{MessageRow, Position, ThreadId};

/// Shows the messages behind a position, in order, until `visit` fails or breaks off.
pub(crate) fn each_behind(
    tx: &Tx,
    thread: ThreadId,
    after: Option<Position>,
    mut visit: impl FnMut(Row<MessageRow>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let all = MessageRow::by_position.eq(thread);
    let Some(after) = after else { return tx.each(all, visit) };
    let mut last = ControlFlow::Continue(());
    tx.each(all.clone().eq(after.order).gt(after.step), |row| {
        last = visit(row)?;
        Ok(last)
    })?;
    match last {
        ControlFlow::Break(()) => Ok(()),
        ControlFlow::Continue(()) => tx.each(all.gt(after.order), visit),
    }
}

/// Shows the messages up to and including a position, from the last to the first, until `visit` fails or
/// breaks off.
pub(crate) fn each_back_from(
    tx: &Tx,
    thread: ThreadId,
    until: Position,
    mut visit: impl FnMut(Row<MessageRow>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let all = MessageRow::by_position.eq(thread);
    let mut last = ControlFlow::Continue(());
    tx.each(all.clone().eq(until.order).le(until.step).desc(), |row| {
        last = visit(row)?;
        Ok(last)
    })?;
    match last {
        ControlFlow::Break(()) => Ok(()),
        ControlFlow::Continue(()) => tx.each(all.lt(until.order).desc(), visit),
    }
}

/// Returns the last message of a thread.
pub(crate) fn last(tx: &Tx, thread: ThreadId) -> Result<Option<Row<MessageRow>>> {
    tx.first(MessageRow::by_position.eq(thread).desc())
}

/// Returns the message at a position.
pub(crate) fn at(tx: &Tx, thread: ThreadId, position: Position) -> Result<Option<Row<MessageRow>>> {
    tx.first(MessageRow::by_position.eq(thread).eq(position.order).eq(position.step))
}
