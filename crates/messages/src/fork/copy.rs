//! One batch of a copy.

use std::ops::ControlFlow;

use loomwork_search::vectors;
use loomwork_store::{Cursor, Page, Result, Row, Tx};

use super::{BATCH_BYTES, copies};
use crate::attachments::own;
use crate::size::json_bytes;
use crate::tables::{Edit, Fork, MessageId, MessageRow, Position, Stage, ThreadStatus};
use crate::{edits, threads};

/// The most edits of a batch: with them it stays about as large as one of messages may be.
const EDIT_BATCH: usize = 32;

/// Copies a batch; after the last one the copy is whole, and takes messages.
pub(crate) fn step(tx: &mut Tx, fork: &Row<Fork>) -> Result<()> {
    let (copied, stage) = match &fork.stage {
        Stage::Messages(after) => messages(tx, fork, *after)?,
        Stage::Edits(after) => edits(tx, fork, after.clone())?,
    };
    match stage {
        Some(stage) => {
            tx.update(fork.id, |fork| (fork.stage, fork.rows) = (stage, fork.rows + copied)).map(drop)
        }
        None => {
            tx.delete(fork.id)?;
            threads::set_status(tx, fork.thread, ThreadStatus::Active)
        }
    }
}

/// Copies messages behind a position, and returns how many, and what comes next.
fn messages(tx: &mut Tx, fork: &Fork, after: Option<Position>) -> Result<(u64, Option<Stage>)> {
    let (mut batch, mut looked_at, mut bytes, mut is_last) = (Vec::new(), 0, 0, true);
    let mut last = after;
    let messages = MessageRow::by_position.eq(fork.source).le(fork.until);
    let rest = match after {
        Some(after) => messages.gt(after),
        None => messages,
    };
    tx.each(rest, |row| {
        if looked_at == fork.batch || bytes >= BATCH_BYTES {
            is_last = false;
            return Ok(ControlFlow::Break(()));
        }
        looked_at += 1;
        last = Some(row.position());
        if copies(&fork.statuses, fork.exclude_tools, &row) {
            bytes += json_bytes(&row.record);
            batch.push(row);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let copied = batch.len() as u64;
    for message in batch {
        copy(tx, fork, message)?;
    }
    let next = if is_last { fork.edits.then_some(Stage::Edits(None)) } else { Some(Stage::Messages(last)) };
    match next {
        // What little is left of a small thread goes into the same transaction.
        Some(Stage::Edits(after)) if looked_at < fork.batch => {
            let (edits, next) = edits(tx, fork, after)?;
            Ok((copied + edits, next))
        }
        next => Ok((copied, next)),
    }
}

fn copy(tx: &mut Tx, fork: &Fork, message: Row<MessageRow>) -> Result<()> {
    let Row { id, record } = message;
    let prompt = counterpart(tx, fork, record.prompt)?;
    let copy = tx.new_id();
    let files = own(tx, copy, &record.message, &record.files, &[])?;
    let copy = tx.insert_at(
        copy,
        MessageRow {
            files,
            thread: fork.thread,
            order: record.order + fork.insert_at_order,
            hidden: record.hidden || fork.hidden,
            run: None,
            prompt,
            updated: None,
            ..record
        },
    )?;
    vectors::copy(tx, id, copy.id).map(drop)
}

/// The copy of a message, if there is one.
fn counterpart(tx: &Tx, fork: &Fork, message: Option<MessageId>) -> Result<Option<MessageId>> {
    let Some(message) = message else { return Ok(None) };
    let Some(row) = tx.get(message)?.filter(|row| is_copied(fork, row)) else { return Ok(None) };
    let position = Position::new(row.order + fork.insert_at_order, row.step);
    Ok(tx.first(MessageRow::by_position.eq(fork.thread).eq(position))?.map(|copy| copy.id))
}

/// Whether a message is in the part of the thread that is copied.
fn is_copied(fork: &Fork, message: &MessageRow) -> bool {
    message.thread == fork.source && message.position() <= fork.until
}

/// Copies edits behind a cursor, and returns how many, and what comes next.
fn edits(tx: &mut Tx, fork: &Fork, after: Option<Cursor>) -> Result<(u64, Option<Stage>)> {
    let page = Page { size: fork.batch.min(EDIT_BATCH), after };
    let page = tx.page(Edit::by_thread.eq(fork.source), page)?;
    let mut copied = 0;
    for edit in page.rows {
        if !goes_along(tx, fork, &edit)? {
            continue;
        }
        let message = counterpart(tx, fork, edit.message)?;
        let copy = edits::insert(tx, Edit { thread: fork.thread, message, ..edit.record })?;
        vectors::copy(tx, edit.id, copy.id)?;
        copied += 1;
    }
    Ok((copied, page.next.map(|next| Stage::Edits(Some(next)))))
}

fn goes_along(tx: &Tx, fork: &Fork, edit: &Edit) -> Result<bool> {
    let message = edit.message.map(|message| tx.get(message)).transpose()?.flatten();
    Ok(message.map_or(edit.created < fork.edits_before, |message| is_copied(fork, &message)))
}
