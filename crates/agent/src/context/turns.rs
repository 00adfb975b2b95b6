//! Turns of a thread, read whole.

use std::ops::ControlFlow;

use loomwork_messages::{MessageRow, MessageStatus, Position, ThreadId};
use loomwork_store::{Result, Row, Tx};

use super::ContextValues;

/// How many rows are looked at for each one that may be kept: those that failed or are pending, and those of
/// tools where they are left out, cost a look too.
const LOOKS: usize = 4;

/// A turn of a thread, from its first message to its last.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Its number.
    pub order: u64,
    /// Its complete messages.
    pub messages: Vec<Row<MessageRow>>,
    /// Whether messages in its middle are missing, since there are too many.
    pub is_cut: bool,
}

/// How the turns of a thread are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns<'a> {
    pub(crate) tx: &'a Tx,
    pub(crate) thread: ThreadId,
    pub(crate) max_turn: usize,
    pub(crate) without_tools: bool,
}

impl<'a> Turns<'a> {
    pub(super) fn of(tx: &'a Tx, thread: ThreadId, values: &ContextValues) -> Self {
        Self { tx, thread, max_turn: values.max_turn, without_tools: values.exclude_tools }
    }

    fn keeps(&self, row: &MessageRow) -> bool {
        row.status == MessageStatus::Success && !(self.without_tools && row.tool)
    }

    /// Returns the newest turns from one on in front of another (of all, for `None`) that have `wanted` messages
    /// together, the oldest first.
    pub(super) fn newest(&self, from: u64, before: Option<u64>, wanted: usize) -> Result<Vec<Turn>> {
        let mut turns: Vec<Turn> = Vec::new();
        let (mut count, mut looks) = (0, LOOKS * (wanted + self.max_turn));
        let mut before = before.map(Position::start_of);
        while count < wanted {
            let span = MessageRow::by_position.eq(self.thread).ge(Position::start_of(from));
            let span = match before {
                Some(before) => span.lt(before),
                None => span,
            };
            let mut too_long = None;
            self.tx.each(span.desc(), |row| {
                let order = row.order;
                let is_new = turns.last().is_none_or(|turn| turn.order != order);
                if is_new && count >= wanted {
                    return Ok(ControlFlow::Break(()));
                }
                if looks == 0 {
                    too_long = Some(order);
                    return Ok(ControlFlow::Break(()));
                }
                looks -= 1;
                if !self.keeps(&row) {
                    return Ok(ControlFlow::Continue(()));
                }
                match turns.last_mut().filter(|_| !is_new) {
                    None => turns.push(Turn { order, messages: vec![row], is_cut: false }),
                    Some(turn) if turn.messages.len() < self.max_turn => turn.messages.push(row),
                    Some(_) => {
                        too_long = Some(order);
                        return Ok(ControlFlow::Break(()));
                    }
                }
                count += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            let Some(order) = too_long else { break };
            if let Some(turn) = turns.last_mut().filter(|turn| turn.order == order) {
                self.cut(turn)?;
            }
            if looks == 0 {
                break;
            }
            before = Some(Position::start_of(order));
        }
        for turn in &mut turns {
            turn.messages.reverse();
        }
        turns.reverse();
        Ok(turns)
    }

    /// Returns a turn, if any of it is complete.
    pub(crate) fn one(&self, order: u64) -> Result<Option<Turn>> {
        let (mut messages, is_cut) = self.between(Position::start_of(order), Position::end_of(order))?;
        messages.reverse();
        if messages.is_empty() {
            return Ok(None);
        }
        let mut turn = Turn { order, messages, is_cut: false };
        if is_cut {
            self.cut(&mut turn)?;
        }
        turn.messages.reverse();
        Ok(Some(turn))
    }

    /// Returns the newest messages from one position up to another one, the oldest first, and whether there
    /// are more.
    pub(super) fn between(&self, from: Position, to: Position) -> Result<(Vec<Row<MessageRow>>, bool)> {
        let (mut rows, mut is_cut, mut looks) = (Vec::new(), false, LOOKS * self.max_turn);
        let span = MessageRow::by_position.eq(self.thread).ge(from).le(to).desc();
        self.tx.each(span, |row| {
            if rows.len() == self.max_turn || looks == 0 {
                is_cut = true;
                return Ok(ControlFlow::Break(()));
            }
            looks -= 1;
            if self.keeps(&row) {
                rows.push(row);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        rows.reverse();
        Ok((rows, is_cut))
    }

    /// Returns the first complete message of a turn.
    pub(super) fn first(&self, order: u64) -> Result<Option<Row<MessageRow>>> {
        let span = MessageRow::by_position.eq(self.thread).ge(Position::start_of(order));
        let (mut first, mut looks) = (None, LOOKS);
        self.tx.each(span.le(Position::end_of(order)), |row| {
            looks -= 1;
            if self.keeps(&row) {
                first = Some(row);
            }
            Ok(if first.is_some() || looks == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(first)
    }

    /// Cuts a turn whose messages are there from the last one on: the first one takes the place of the one
    /// that is furthest back.
    fn cut(&self, turn: &mut Turn) -> Result<()> {
        turn.is_cut = true;
        let Some(first) = self.first(turn.order)? else { return Ok(()) };
        if turn.messages.iter().all(|row| row.id != first.id) {
            if turn.messages.len() >= self.max_turn {
                turn.messages.pop();
            }
            turn.messages.push(first);
        }
        Ok(())
    }
}
