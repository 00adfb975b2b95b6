//! Steps: each one is a point that a crash does not go behind.

use loomwork_store::{Result, Row, Tx};

use super::{Hold, RunError, held};
use crate::save::{NewMessage, Place, Save, save, save_in};
use crate::tables::{MessageId, MessageRow, Run, RunStatus};
use crate::{streams, threads};

/// A step that is complete.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it made: the first message takes the place of the pending one. None at all make an empty
    /// answer, so that nothing stays pending.
    pub messages: Vec<NewMessage>,
    /// What comes then.
    pub then: Then,
}

/// What comes behind a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// A further step: its message is pending.
    GoOn,
    /// Nothing, until somebody takes the run again.
    Wait,
    /// The run is complete.
    End,
}

/// What a step has written.
#[derive(Clone, Debug)]
pub struct StepDone {
    /// The run as it is now.
    pub run: Row<Run>,
    /// The step's messages.
    pub messages: Vec<Row<MessageRow>>,
}

/// Commits a step: its messages, the end of its stream if it is the last one, and what comes then.
///
/// Let the stream's writer flush before, or store its [rest](crate::streams::Rest) in the same transaction, in front of
/// this: what it has not stored is no part of a stream that ends.
///
/// # Errors
/// [`RunError::Lost`] when the run is no longer held: then nothing is written.
pub fn step(tx: &mut Tx, hold: Hold, step: Step) -> Result<StepDone> {
    write(tx, hold, step, 1)
}

/// Commits the rest of a step that is complete already: results of calls that waited for somebody. As [`step()`], but
/// it counts as no further step.
///
/// # Errors
/// As [`step()`].
pub fn rest_of_step(tx: &mut Tx, hold: Hold, rest: Step) -> Result<StepDone> {
    write(tx, hold, rest, 0)
}

fn write(tx: &mut Tx, hold: Hold, step: Step, counts: u32) -> Result<StepDone> {
    let run = held(tx, hold)?;
    let messages = if step.messages.is_empty() { vec![empty_answer()] } else { step.messages };
    let messages = messages.into_iter().map(|new| NewMessage {
        agent: new.agent.or_else(|| run.agent.clone()),
        user: new.user.or_else(|| run.user.clone()),
        ..new
    });
    let place = match run.pending {
        Some(pending) => Place::Fill(pending),
        None => Place::Turn(run.order),
    };
    let save_step = Save { run: Some(run.id), ..Save::all(messages).at(place) };
    let messages = save(tx, run.thread, save_step)?;
    let (mut pending, mut stream, mut step_from) = (None, run.stream, 0);
    match (step.then, run.stream) {
        (Then::GoOn, open) => {
            pending = Some(next_pending(tx, &run)?);
            step_from = open.map(|open| streams::stored(tx, open)).transpose()?.unwrap_or(0);
        }
        (Then::Wait | Then::End, Some(open)) => {
            streams::finish(tx, open)?;
            stream = None;
        }
        (Then::Wait | Then::End, None) => {}
    }
    let now = tx.now();
    let run = tx.update(run.id, |run| {
        run.steps += counts;
        run.attempt = 1;
        run.pending = pending;
        run.stream = stream;
        run.step_from = step_from;
        match step.then {
            Then::GoOn => {}
            Then::Wait => (run.status, run.host) = (RunStatus::Waiting, None),
            Then::End => (run.status, run.host, run.ended) = (RunStatus::Success, None, Some(now)),
        }
    })?;
    Ok(StepDone { run, messages })
}

/// Says that what the run's stream has so far belongs to steps that are complete: what is pending begins behind it.
///
/// # Errors
/// [`RunError::Lost`] when the run is no longer held.
pub fn begin_behind(tx: &mut Tx, hold: Hold) -> Result<()> {
    let run = held(tx, hold)?;
    let Some(stream) = run.stream else { return Ok(()) };
    let stored = streams::stored(tx, stream)?;
    tx.update(run.id, |run| run.step_from = stored).map(drop)
}

/// Says that the step's model call is made again, and returns which attempt that is. The stream's writer
/// tells it to the readers.
///
/// # Errors
/// [`RunError::Lost`] when the run is no longer held.
pub fn restart_step(tx: &mut Tx, hold: Hold) -> Result<u32> {
    let run = held(tx, hold)?;
    Ok(tx.update(run.id, |run| run.attempt += 1)?.attempt)
}

/// Saves the pending message of a run's next step.
pub(super) fn next_pending(tx: &mut Tx, run: &Row<Run>) -> Result<MessageId> {
    let (agent, user) = (run.agent.clone(), run.user.clone());
    let pending = NewMessage { agent, user, ..NewMessage::pending() };
    // The turn is the place, not the prompt, which may have been deleted meanwhile.
    let save_pending = Save { run: Some(run.id), ..Save::all([pending]).at(Place::Turn(run.order)) };
    let home = threads::require_open(tx, run.thread)?;
    let rows = save_in(tx, &home, save_pending, run.prompt)?;
    let row = rows.first().ok_or(RunError::NoRun { run: run.id })?;
    Ok(row.id)
}

fn empty_answer() -> NewMessage {
    NewMessage { status: crate::MessageStatus::Success, ..NewMessage::pending() }
}
