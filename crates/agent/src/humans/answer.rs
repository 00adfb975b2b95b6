//! Answering a question, and giving it back.

use loomwork_store::{Result, Row, Tx};
use serde_json::Value;

use super::inbox::open_for;
use super::{QuestionError, QuestionId, QuestionRow, QuestionState};
use crate::tool::Schema;
use crate::waiting;

/// A question that was answered or handed back.
#[derive(Clone, Debug)]
pub struct QuestionAnswered {
    /// The question, as it is now.
    pub question: Row<QuestionRow>,
    /// Whether its run waits for nobody any more.
    pub goes_on: bool,
}

/// Answers a question: a text, or JSON that fits the schema of the tool's [output](crate::Tool::with_output). If its
/// run waits for nobody else, it goes on.
///
/// # Errors
/// [`QuestionError`]; when the store cannot be written.
pub fn answer(
    tx: &mut Tx,
    id: QuestionId,
    by: impl Into<String>,
    answer: impl Into<Value>,
) -> Result<QuestionAnswered> {
    let (by, answer) = (by.into(), answer.into());
    let row = open_for(tx, id, &by)?;
    if let Some(faults) = row.schema.as_ref().and_then(|schema| Schema::default().faults(schema, &answer)) {
        let tool = row.site.tool.clone();
        return Err(QuestionError::BadAnswer { question: id, tool, faults }.into());
    }
    end(tx, id, QuestionState::Answered, Some(by), |row| row.answer = Some(answer))
}

/// Gives a question back to the agent without an answer; the model is told why. If its run waits for nobody else, it
/// goes on.
///
/// # Errors
/// As [`answer`].
pub fn hand_back(
    tx: &mut Tx,
    id: QuestionId,
    by: impl Into<String>,
    reason: impl Into<String>,
) -> Result<QuestionAnswered> {
    let (by, reason) = (by.into(), reason.into());
    open_for(tx, id, &by)?;
    end(tx, id, QuestionState::HandedBack, Some(by), |row| row.reason = Some(reason))
}

/// Ends the wait for an answer that did not come in time.
pub(crate) fn expire(tx: &mut Tx, row: &Row<QuestionRow>) -> Result<()> {
    if row.site.is_over(tx)? {
        return tx.update(row.id, |row| row.close(QuestionState::Cancelled)).map(drop);
    }
    end(tx, row.id, QuestionState::Expired, None, |_| {}).map(drop)
}

fn end(
    tx: &mut Tx,
    id: QuestionId,
    state: QuestionState,
    by: Option<String>,
    with: impl FnOnce(&mut QuestionRow),
) -> Result<QuestionAnswered> {
    let now = tx.now();
    let question = tx.update(id, |row| {
        with(row);
        (row.state, row.by, row.answered) = (state, by, Some(now));
    })?;
    let goes_on = waiting::go_on(tx, question.site.run)?;
    Ok(QuestionAnswered { question, goes_on })
}
