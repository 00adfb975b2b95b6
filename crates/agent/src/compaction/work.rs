//! What of a thread is put into the next summary.

use loomwork_messages::summaries::{self, NewSummary};
use loomwork_messages::{MessageRow, Position, Summary, ThreadId, threads};
use loomwork_models::{Estimator, Message, Part, TokenCounter};
use loomwork_store::{Result, Row, Tx};

use super::{CompactionLimits, ToSummarise};
use crate::context::{Turn, Turns};

/// From how many messages on a turn is cut in its middle.
const MAX_TURN: usize = 1_000;

/// How many letters of one message, call or result are read.
const MAX_LETTERS: usize = 8_000;

/// About how many letters a token has.
const LETTERS_PER_TOKEN: u64 = 4;

/// Turns that are put into a summary, over the one before.
#[derive(Clone, Debug)]
pub(super) struct Work {
    thread: ThreadId,
    pub(super) user: Option<String>,
    base: Option<Row<Summary>>,
    turns: Vec<Turn>,
    text: String,
    /// The last turn that is covered.
    to: u64,
    max_output: u64,
}

/// Some turns in a row.
#[derive(Debug, PartialEq)]
struct Stretch {
    turns: Vec<Turn>,
    text: String,
    to: u64,
}

impl Work {
    /// Reads what there is to do; nothing if all but the newest turns is covered, or the thread is gone.
    pub(super) fn read(tx: &Tx, thread: ThreadId, limits: &CompactionLimits) -> Result<Option<Self>> {
        let Some(home) = threads::get(tx, thread)? else { return Ok(None) };
        let base = summaries::newest(tx, thread, None)?;
        let from = base.as_ref().map_or(0, |base| base.to + 1);
        let Some(before) = first_kept(tx, thread, limits.keep_turns.max(1))? else { return Ok(None) };
        let Some(stretch) = stretch(tx, thread, from, before, limits.max_input)? else { return Ok(None) };
        let Stretch { turns, text, to } = stretch;
        let max_output = limits.max_output;
        Ok(Some(Self { thread, user: home.user.clone(), base, turns, text, to, max_output }))
    }

    pub(super) fn to_summarise(&self) -> ToSummarise {
        ToSummarise {
            thread: self.thread,
            user: self.user.clone(),
            earlier: self.base.as_ref().map(|base| base.text.clone()),
            turns: self.turns.clone(),
            text: self.text.clone(),
            max_output: self.max_output,
        }
    }

    /// Keeps the summary, if its base is still the newest one and the turns are what they were; says whether it
    /// did.
    pub(super) fn put(self, tx: &mut Tx, text: String, author: String) -> Result<bool> {
        if threads::get(tx, self.thread)?.is_none() {
            return Ok(false);
        }
        let from = self.base.as_ref().map_or(0, |base| base.to + 1);
        let now = stretch(tx, self.thread, from, self.to + 1, u64::MAX)?;
        if now.is_none_or(|now| now.turns != self.turns || now.to != self.to) {
            return Ok(false);
        }
        let base = self.base.map(|base| base.id);
        let new = NewSummary { thread: self.thread, base, to: self.to, text, author };
        Ok(summaries::put(tx, new)?.is_some())
    }
}

/// Returns the oldest of so many newest turns; nothing if there are no more than these.
fn first_kept(tx: &Tx, thread: ThreadId, keep: usize) -> Result<Option<u64>> {
    let mut oldest = None;
    for _ in 0..keep {
        let span = MessageRow::by_position.eq(thread).ge(Position::FIRST);
        let last = match oldest {
            Some(order) => tx.first(span.lt(Position::start_of(order)).desc())?,
            None => tx.first(span.desc())?,
        };
        let Some(last) = last else { return Ok(None) };
        oldest = Some(last.order);
    }
    Ok(oldest)
}

/// Reads whole turns from one on, in front of another: as many as have so many tokens together, and one at least.
/// None of them has a message that is still pending.
fn stretch(tx: &Tx, thread: ThreadId, from: u64, before: u64, max_tokens: u64) -> Result<Option<Stretch>> {
    let pending = tx.first(MessageRow::pending.eq(thread).ge(Position::start_of(from)))?;
    let before = pending.map_or(before, |pending| before.min(pending.order));
    let turns = Turns { tx, thread, max_turn: MAX_TURN, without_tools: false };
    let mut stretch: Option<Stretch> = None;
    let (mut next, mut tokens) = (from, 0_u64);
    while tokens < max_tokens {
        let span = MessageRow::by_position.eq(thread).ge(Position::start_of(next));
        let Some(row) = tx.first(span.lt(Position::start_of(before)))? else { break };
        let order = row.order;
        let turn = turns.one(order)?;
        let text = turn.as_ref().map(|turn| text_of(turn, max_tokens)).unwrap_or_default();
        tokens = tokens.saturating_add(Estimator.count(&text));
        if tokens > max_tokens && stretch.is_some() {
            break;
        }
        let read =
            stretch.get_or_insert_with(|| Stretch { turns: Vec::new(), text: String::new(), to: order });
        read.turns.extend(turn);
        read.text.push_str(&text);
        read.to = order;
        next = order + 1;
    }
    Ok(stretch)
}

/// Returns a turn as a text, a line for each message, shortened in its middle to about so many tokens.
fn text_of(turn: &Turn, max_tokens: u64) -> String {
    let mut text = String::new();
    for row in &turn.messages {
        let said = said(&row.message);
        if said.is_empty() {
            continue;
        }
        let author = row.agent.as_deref().unwrap_or(row.message.role.as_str());
        text.push_str(&format!("{author}: {said}\n"));
    }
    let most = usize::try_from(max_tokens.saturating_mul(LETTERS_PER_TOKEN)).unwrap_or(usize::MAX);
    shortened(text, most)
}

/// Returns what a message says to somebody who reads it later.
fn said(message: &Message) -> String {
    let parts = message.parts.iter().filter_map(|part| {
        let text = match part {
            Part::Text(text) => text.text.trim().to_owned(),
            Part::Image(_) => "[an image]".to_owned(),
            Part::File(file) => match &file.filename {
                Some(name) => format!("[the file {name:?}, {}]", file.media_type),
                None => format!("[a file, {}]", file.media_type),
            },
            Part::ToolCall(call) => format!("[calls {} with {}]", call.name, call.input),
            Part::ToolResult(result) => format!("[{} returns: {}]", result.name, result.output.to_text()),
            _ => return None,
        };
        Some(shortened(text, MAX_LETTERS)).filter(|text| !text.is_empty())
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// Returns a text of so many letters at most; of a longer one its middle is left out.
fn shortened(text: String, most: usize) -> String {
    const GAP: &str = " […] ";
    let letters = text.chars().count();
    if letters <= most {
        return text;
    }
    let half = most.saturating_sub(GAP.len()) / 2;
    let (head, tail) = (text.chars().take(half), text.chars().skip(letters - half));
    head.chain(GAP.chars()).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn the_middle_of_a_long_text_is_left_out() {
        assert_eq!(shortened("kurz".to_owned(), 10), "kurz");
        let short = shortened("ä".repeat(500) + &"ö".repeat(500), 107);
        assert_eq!(short, format!("{} […] {}", "ä".repeat(50), "ö".repeat(50)));
        assert_eq!(shortened("long".repeat(10), 0), " […] ");
    }
}
