//! What one snapshot of the store gives.

use loomwork_messages::{
    Edit, MessageId, MessageRow, Position, Summary, Thread, ThreadId, summaries, threads,
};
use loomwork_store::{Result, Row, Tx};

use super::turns::Turns;
use super::{Asked, ContextError, Turn, edits};

/// What the store knows for a context, as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Material {
    /// The thread.
    pub thread: Option<Row<Thread>>,
    /// What stands in the place of the oldest turns.
    pub summary: Option<Row<Summary>>,
    /// Recent turns before the prompt's, the oldest first.
    pub turns: Vec<Turn>,
    /// What the prompt's turn has before it.
    pub before: Vec<Row<MessageRow>>,
    /// The stored prompt, whatever its status.
    pub prompt: Option<Row<MessageRow>>,
    /// What the prompt's turn already has behind it.
    pub responses: Vec<Row<MessageRow>>,
    /// Whether messages in the middle of the prompt's turn are missing, since there are too many.
    pub is_cut: bool,
    /// The edits, the oldest first.
    pub edits: Vec<Row<Edit>>,
}

impl Material {
    /// Returns the turn in front of which all of the thread is older than what was read; `None` if nothing
    /// was.
    pub(super) fn begins(&self) -> Option<u64> {
        let prompt = self.prompt.as_ref().map(|prompt| prompt.order);
        self.turns.first().map(|turn| turn.order).or(prompt)
    }
}

/// Reads what the store knows: a summary of the oldest turns, recent turns, the prompt with its turn, and edits. It is for queries and
/// mutations, and reads a bounded number of rows, however long the thread is.
///
/// The prompt is looked up by its id, so it is there whatever the options leave out.
///
/// # Errors
/// [`ContextError`] for a prompt that the thread does not have; when there is no such thread, or the store
/// cannot be read.
pub fn read(tx: &Tx, asked: &Asked) -> Result<Material> {
    let Some(thread) = asked.thread else {
        return match asked.prompt {
            Some(prompt) => Err(ContextError::PromptWithoutThread { prompt }.into()),
            None => Ok(Material::default()),
        };
    };
    let mut material = Material { thread: Some(threads::require(tx, thread)?), ..Material::default() };
    let turns = Turns::of(tx, thread, &asked.values);
    let mut wanted = asked.values.recent;
    if let Some(prompt) = asked.prompt {
        let prompt = prompt_of(tx, thread, prompt)?;
        read_turn(turns, &prompt, &mut material)?;
        wanted = wanted.saturating_sub(material.before.len() + 1 + material.responses.len());
        material.prompt = Some(prompt);
    }
    let before = material.prompt.as_ref().map(|prompt| prompt.order);
    if asked.values.summary && asked.values.recent > 0 {
        material.summary = summaries::newest(tx, thread, before)?;
    }
    let from = material.summary.as_ref().map_or(0, |summary| summary.to + 1);
    material.turns = turns.newest(from, before, wanted)?;
    material.edits = edits::recall(tx, thread, &asked.values.edits)?;
    Ok(material)
}

fn prompt_of(tx: &Tx, thread: ThreadId, prompt: MessageId) -> Result<Row<MessageRow>> {
    let row = tx.get(prompt)?.filter(|row| row.thread == thread);
    Ok(row.ok_or(ContextError::NoPrompt { prompt, thread })?)
}

/// Reads the turn of a prompt, with what tools did in it: that is the work at hand.
fn read_turn(turns: Turns<'_>, prompt: &Row<MessageRow>, material: &mut Material) -> Result<()> {
    let turns = Turns { without_tools: false, ..turns };
    let (order, step) = (prompt.order, prompt.step);
    if let Some(last) = step.checked_sub(1) {
        let (mut before, is_cut) = turns.between(Position::start_of(order), Position::new(order, last))?;
        if is_cut && let Some(first) = turns.first(order)? {
            match before.first_mut() {
                Some(furthest) => *furthest = first,
                None => before.push(first),
            }
        }
        (material.before, material.is_cut) = (before, is_cut);
    }
    let (responses, is_cut) = turns.between(Position::new(order, step + 1), Position::end_of(order))?;
    material.responses = responses;
    material.is_cut |= is_cut;
    Ok(())
}
