//! What is open, by who is to answer it, and who is at it.

use loomwork_messages::RunId;
use loomwork_store::{Result, Row, Tx};

use super::{QuestionError, QuestionId, QuestionRow, QuestionState};

/// Returns what is open for a person or a group, or for anybody, the oldest first; `count` at most.
///
/// # Errors
/// When the store cannot be read.
pub fn inbox(tx: &Tx, assignee: Option<&str>, count: usize) -> Result<Vec<Row<QuestionRow>>> {
    let assignee = assignee.map(str::to_owned);
    living(tx, tx.scan(QuestionRow::inbox.eq(assignee).readable().take(count))?)
}

/// Returns what is open for anybody, what expires first in front; `count` at most.
///
/// # Errors
/// When the store cannot be read.
pub fn open(tx: &Tx, count: usize) -> Result<Vec<Row<QuestionRow>>> {
    living(tx, tx.scan(QuestionRow::due.all().readable().take(count))?)
}

/// Returns all questions of a run, step by step.
///
/// # Errors
/// When the store cannot be read.
pub fn of_run(tx: &Tx, run: RunId) -> Result<Vec<Row<QuestionRow>>> {
    tx.scan(QuestionRow::by_call.eq(run))
}

/// Says that somebody is at a question: nobody else answers it then.
///
/// # Errors
/// [`QuestionError`]; when the store cannot be written.
pub fn claim(tx: &mut Tx, id: QuestionId, by: impl Into<String>) -> Result<Row<QuestionRow>> {
    let by = by.into();
    open_for(tx, id, &by)?;
    tx.update(id, |row| row.claimed = Some(by))
}

/// Gives a question back to the inbox that somebody has claimed.
///
/// # Errors
/// As [`claim`].
pub fn release(tx: &mut Tx, id: QuestionId, by: &str) -> Result<Row<QuestionRow>> {
    open_for(tx, id, by)?;
    tx.update(id, |row| row.claimed = None)
}

/// Passes a question on to another person or group, or to anybody. Whoever was at it is not any more.
///
/// # Errors
/// [`QuestionError`]; when the store cannot be written.
pub fn assign(tx: &mut Tx, id: QuestionId, assignee: Option<String>) -> Result<Row<QuestionRow>> {
    require_open(tx, id)?;
    tx.update(id, |row| (row.assignee, row.claimed) = (assignee, None))
}

/// Returns a question that a person may answer now.
pub(super) fn open_for(tx: &Tx, id: QuestionId, by: &str) -> Result<Row<QuestionRow>> {
    let row = require_open(tx, id)?;
    match &row.claimed {
        Some(other) if other != by => Err(QuestionError::Claimed { question: id, by: other.clone() }.into()),
        _ => Ok(row),
    }
}

fn require_open(tx: &Tx, id: QuestionId) -> Result<Row<QuestionRow>> {
    let row = tx.get(id)?.ok_or(QuestionError::Unknown { question: id })?;
    let is_open = row.state == QuestionState::Open;
    if row.state == QuestionState::Expired || (is_open && row.expires <= tx.now()) {
        return Err(QuestionError::Expired { question: id, expired: row.expires }.into());
    }
    if row.state == QuestionState::Cancelled || (is_open && row.site.is_over(tx)?) {
        return Err(QuestionError::Over { question: id }.into());
    }
    if !is_open {
        let QuestionRow { state, by, .. } = row.record;
        return Err(QuestionError::Answered { question: id, state, by }.into());
    }
    Ok(row)
}

/// Leaves out those whose run was called off: nobody needs to answer them.
fn living(tx: &Tx, rows: Vec<Row<QuestionRow>>) -> Result<Vec<Row<QuestionRow>>> {
    let mut living = Vec::with_capacity(rows.len());
    for row in rows {
        if !row.site.is_over(tx)? {
            living.push(row);
        }
    }
    Ok(living)
}
