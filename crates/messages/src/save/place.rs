//! Where messages land: turns and steps.

use loomwork_models::Role;
use loomwork_store::{Result, Row, Tx};

use super::SaveError;
use crate::tables::{MessageId, MessageRow, Position, ThreadId};

/// The greatest number of a turn or step: every client can read it exactly.
pub const MAX_NUMBER: u64 = (1 << 53) - 2;

/// Where saved messages land.
///
/// A user's message begins a turn, all else joins the running one: a system message too. Each place says
/// which turn is the running one when the save begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The thread's last turn.
    #[default]
    End,
    /// The turn of this message, behind whatever is there. A user's message does not belong to it: that
    /// begins a turn behind all others.
    Reply(MessageId),
    /// This turn, behind whatever is there; the first message joins it whatever its role.
    Turn(u64),
    /// A new turn behind all others; the first message begins it whatever its role.
    Next,
    /// In place of a pending message, which keeps its id and position; what follows joins its turn.
    Fill(MessageId),
    /// Exactly here, if nothing is. It takes one message.
    Exactly(Position),
}

/// Hands out the positions of one save.
pub(super) struct Places {
    thread: ThreadId,
    /// The running turn; none in an empty thread.
    order: Option<u64>,
    /// The last step in it that is taken.
    step: Option<u64>,
    /// The turn that the place named: a user's message that follows it jumps over all later ones.
    anchor: Option<u64>,
    /// The next message joins the running turn whatever its role.
    joins: bool,
}

impl Places {
    /// Begins at a place; `filled` is the row that [`Place::Fill`] names.
    pub(super) fn begin(
        tx: &Tx,
        thread: ThreadId,
        place: Place,
        filled: Option<&Row<MessageRow>>,
    ) -> Result<Self> {
        let mut places = Self { thread, order: None, step: None, anchor: None, joins: false };
        match place {
            Place::End => {
                let last = last_of_thread(tx, thread)?;
                (places.order, places.step) = (last.map(|last| last.order), last.map(|last| last.step));
            }
            Place::Reply(prompt) => places.run_on(tx, prompt_of(tx, thread, prompt)?.order)?,
            Place::Turn(order) => {
                check("order", order)?;
                places.run_on(tx, order)?;
                places.joins = true;
            }
            Place::Next => {
                places.run_on(tx, behind(tx, thread, None)?)?;
                places.joins = true;
            }
            Place::Fill(_) => match filled {
                Some(row) => places.run_on(tx, row.order)?,
                None => return Self::begin(tx, thread, Place::End, None),
            },
            Place::Exactly(position) => {
                check("order", position.order)?;
                check("stepOrder", position.step)?;
                if let Some(taken) = tx.first(MessageRow::by_position.eq(thread).eq(position))? {
                    return Err(SaveError::Taken { thread, position, by: taken.id }.into());
                }
                places = Self {
                    order: Some(position.order),
                    step: position.step.checked_sub(1),
                    joins: true,
                    ..places
                };
            }
        }
        Ok(places)
    }

    fn run_on(&mut self, tx: &Tx, order: u64) -> Result<()> {
        let turn = MessageRow::by_position.eq(self.thread).ge(Position::start_of(order));
        let last = tx.first(turn.le(Position::end_of(order)).desc())?;
        (self.order, self.anchor) = (Some(order), Some(order));
        self.step = last.map(|last| last.step);
        Ok(())
    }

    /// Returns the position of the next message.
    pub(super) fn next(&mut self, tx: &Tx, role: Role) -> Result<Position> {
        let joins = std::mem::take(&mut self.joins) || role != Role::User;
        let position = if joins {
            let step = self.step.map_or(0, |step| step + 1);
            Position::new(self.order.unwrap_or(0), step)
        } else if self.anchor.is_some() && self.anchor == self.order {
            Position::new(behind(tx, self.thread, self.order)?, 0)
        } else {
            Position::new(self.order.map_or(0, |order| order + 1), 0)
        };
        check("order", position.order)?;
        check("stepOrder", position.step)?;
        (self.order, self.step) = (Some(position.order), Some(position.step));
        Ok(position)
    }
}

/// Returns the row of a prompt, which must be one of the thread.
pub(super) fn prompt_of(tx: &Tx, thread: ThreadId, id: MessageId) -> Result<Row<MessageRow>> {
    let prompt = tx.get(id)?.ok_or(SaveError::NoMessage { message: id })?;
    if prompt.thread != thread {
        return Err(SaveError::Elsewhere { message: id, thread, of: prompt.thread }.into());
    }
    Ok(prompt)
}

fn last_of_thread(tx: &Tx, thread: ThreadId) -> Result<Option<Position>> {
    let last = tx.first(MessageRow::by_position.eq(thread).desc())?;
    Ok(last.map(|last| last.position()))
}

/// Returns the number of a turn behind all others, and behind this one.
fn behind(tx: &Tx, thread: ThreadId, order: Option<u64>) -> Result<u64> {
    let last = last_of_thread(tx, thread)?.map(|last| last.order);
    Ok(last.max(order).map_or(0, |last| last + 1))
}

fn check(field: &'static str, number: u64) -> Result<(), SaveError> {
    if number > MAX_NUMBER {
        return Err(SaveError::NumberTooLarge { field, number });
    }
    Ok(())
}
