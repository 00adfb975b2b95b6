//! Messages that join a turn while it is answered.

use std::collections::HashSet;

use loomwork_messages::{MessageId, MessageRow, MessageStatus, Position, Run};
use loomwork_models::Role;
use loomwork_store::{Result, Row, Tx};

/// Returns what has joined the turn of a durable run behind its prompt, in its order. No other run is joined: it may
/// be a value or an image, which has one step.
pub(super) fn joined(tx: &Tx, run: &Run) -> Result<Vec<Row<MessageRow>>> {
    if !run.durable {
        return Ok(Vec::new());
    }
    let turn = MessageRow::by_position.eq(run.thread).ge(Position::start_of(run.order));
    let prompt = match run.prompt {
        Some(prompt) => tx.get(prompt)?.map(|row| row.position()),
        None => None,
    };
    let is_joined = |row: &Row<MessageRow>| {
        row.run.is_none()
            && row.role() == Role::User
            && row.status == MessageStatus::Success
            && Some(row.position()) > prompt
    };
    let rows = tx.scan(turn.le(Position::end_of(run.order)))?;
    Ok(rows.into_iter().filter(is_joined).collect())
}

/// Returns the ids of what has joined it.
pub(super) fn joined_ids(tx: &Tx, run: &Run) -> Result<HashSet<MessageId>> {
    Ok(joined(tx, run)?.iter().map(|row| row.id).collect())
}
