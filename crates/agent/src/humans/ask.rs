//! Asking people, and what became of what was asked.

use loomwork_messages::RunId;
use loomwork_models::{ToolCall, ToolOutput};
use loomwork_store::{Result, Row, Tx};
use serde_json::{Value, json};

use super::{Inquiry, QuestionId, QuestionRow, QuestionState};
use crate::tool::{Outcome, Tool};
use crate::waiting::CallSite;

/// Returns the tool `ask_human`: the model asks a question in words, and waits for the answer of a person.
///
/// ```
/// use loomwork_agent::Tools;
/// use loomwork_agent::humans::ask_human;
///
/// let tools: Tools = Tools::new().with(ask_human("billing"))?;
/// # Ok::<(), loomwork_agent::ToolsError>(())
/// ```
pub fn ask_human<S: Send + Sync + 'static>(inquiry: impl Into<Inquiry>) -> Tool<S> {
    let schema = json!({
        "type": "object",
        "properties": {
            "question": { "type": "string", "description": "The question, in words that are understood without this conversation." }
        },
        "required": ["question"],
        "additionalProperties": false
    });
    let description = "Asks a person. Use it for what you cannot know or must not decide yourself.";
    Tool::human("ask_human", description, schema, inquiry).with_title("Question")
}

/// A question that is to be asked.
#[derive(Clone, Debug)]
pub(crate) struct NewQuestion {
    pub(crate) site: CallSite,
    pub(crate) inquiry: Inquiry,
    pub(crate) title: Option<String>,
    pub(crate) input: Value,
    pub(crate) schema: Option<Value>,
}

/// Asks a question. One that was asked already stays as it is, answered or not.
pub(crate) fn ask(tx: &mut Tx, new: NewQuestion) -> Result<QuestionId> {
    let NewQuestion { site, inquiry, title, input, schema } = new;
    if let Some(known) = of_call(tx, site.run, site.step, &site.call)? {
        return Ok(known.id);
    }
    let created = tx.now();
    let row = tx.insert(QuestionRow {
        state: QuestionState::Open,
        assignee: inquiry.assignee,
        claimed: None,
        title,
        input: Some(input),
        schema,
        answer: None,
        created,
        expires: created + inquiry.within,
        answered: None,
        by: None,
        reason: None,
        site,
    })?;
    tracing::debug!(question = %row.id, tool = %row.site.tool, run = %row.site.run, "a call waits for a person");
    Ok(row.id)
}

fn of_call(tx: &Tx, run: RunId, step: u32, call: &str) -> Result<Option<Row<QuestionRow>>> {
    tx.first(QuestionRow::by_call.eq(run).eq(step).eq(call))
}

/// Closes a question in the commit that stores the result of its call.
pub(crate) fn consume(tx: &mut Tx, run: RunId, step: u32, call: &str) -> Result<()> {
    match of_call(tx, run, step, call)? {
        Some(row) if !row.is_closed() => tx.update(row.id, |row| row.close(QuestionState::Used)).map(drop),
        _ => Ok(()),
    }
}

/// Closes what a run has asked and does not need any more.
pub(crate) fn cancel(tx: &mut Tx, run: RunId) -> Result<()> {
    for row in tx.scan(QuestionRow::by_call.eq(run))? {
        if !row.is_closed() {
            tx.update(row.id, |row| row.close(QuestionState::Cancelled))?;
        }
    }
    Ok(())
}

/// What people have said to a call.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    pub(crate) output: ToolOutput,
    pub(crate) by: Option<String>,
}

/// Returns what people have said to the calls of a step.
pub(crate) fn replies<'a>(
    tx: &Tx,
    run: RunId,
    step: u32,
    calls: impl Iterator<Item = &'a ToolCall>,
) -> Result<Vec<(&'a ToolCall, Reply)>> {
    let rows = tx.scan(QuestionRow::by_call.eq(run).eq(step))?;
    let replies = calls.filter_map(|call| {
        let row = rows.iter().find(|row| row.site.call == call.id)?;
        let by = row.by.clone();
        let reply = match row.state {
            QuestionState::Open | QuestionState::Used => return None,
            QuestionState::Answered => {
                let output = match row.answer.clone() {
                    Some(Value::String(text)) => ToolOutput::Text(text),
                    answer => ToolOutput::Json(answer.unwrap_or(Value::Null)),
                };
                Reply { outcome: Outcome::Succeeded, output, by }
            }
            QuestionState::HandedBack => {
                let why = row.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                let output = ToolOutput::error(format!("handed back without an answer{why}"));
                Reply { outcome: Outcome::Failed, output, by }
            }
            QuestionState::Expired | QuestionState::Cancelled => {
                let output = ToolOutput::error("nobody answered in time");
                Reply { outcome: Outcome::Failed, output, by: None }
            }
        };
        Some((call, reply))
    });
    Ok(replies.collect())
}
