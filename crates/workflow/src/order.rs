//! Orders: what a workflow's code wants done, and the transactions that do it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy, Time};
use loomwork_store::{Error, Problem, Result, Tx};
use loomwork_workpool::JobId;
use serde_json::value::RawValue;

use crate::error::failed;
use crate::journal::{Arrived, Hold, Label, Place, Writer, null};
use crate::limits::{MAX_AHEAD, MAX_STEPS, SPARE_STEPS};
use crate::tables::{StepId, StepKind, StepRow, StoredFailure, StoredOutcome, WorkflowId};

/// A part of a transaction that a step brings along: it may run more than once, each time from its
/// untouched captures.
pub(crate) trait TxPart<T>: Send {
    fn run(self: Box<Self>, tx: &mut Tx, step: StepId) -> Result<T>;
    fn again(&self) -> Box<dyn TxPart<T>>;
}

impl<T, F> TxPart<T> for F
where
    F: FnOnce(&mut Tx, StepId) -> Result<T> + Clone + Send + 'static,
{
    fn run(self: Box<Self>, tx: &mut Tx, step: StepId) -> Result<T> {
        self(tx, step)
    }

    fn again(&self) -> Box<dyn TxPart<T>> {
        Box::new(self.clone())
    }
}

impl<T> Clone for Box<dyn TxPart<T>> {
    fn clone(&self) -> Self {
        (**self).again()
    }
}

/// The work of an effect, made anew for each attempt.
pub(crate) type Effect = Box<dyn FnMut() -> EffectRun + Send>;

/// One attempt of an effect.
pub(crate) type EffectRun = Pin<Box<dyn Future<Output = Result<Box<RawValue>>> + Send>>;

/// How an effect is run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EffectOptions {
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) once: bool,
}

/// What is to be done for a step.
pub(crate) struct Order {
    pub(crate) number: u32,
    pub(crate) label: Label,
    pub(crate) work: Work,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("number", &self.number)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// The work of an order.
pub(crate) enum Work {
    /// Run a mutation and record it, in one transaction of its own.
    Mutation { part: Box<dyn TxPart<Box<RawValue>>>, retry: Option<RetryPolicy> },
    /// Run an action, then record how it ended.
    Effect { run: Effect, options: EffectOptions },
    /// Stop the mutation or action of this step: the code has dropped it.
    Stop,
    /// Write something down, together with what else there is to write down.
    Note(Note),
}

/// What is written down of a step, without running anything.
#[derive(Clone)]
pub(crate) enum Note {
    /// Enqueue a job and wait for it.
    Job(Box<dyn TxPart<JobId>>),
    Sleep(Until),
    Event {
        /// The event's name, where that is not the step's.
        awaits: Option<String>,
        timeout: Option<Duration>,
    },
    /// Start another workflow and wait for it.
    Child(Box<dyn TxPart<WorkflowId>>),
    /// Start another workflow and leave it alone.
    Start(Box<dyn TxPart<WorkflowId>>),
    Patch,
    /// The code has dropped the step.
    Withdraw,
    /// The step was to run only once, and began in a process that died.
    Interrupt,
    /// The journal has as many steps as it may have.
    Refuse,
}

/// How long a sleep lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    After(Duration),
    At(Time),
}

/// A note with the step that it is of.
pub(crate) type Noted = (u32, Label, Note);

/// The waits that notes withdraw.
pub(crate) fn withdrawn(notes: &[Noted]) -> Vec<u32> {
    let withdraws =
        |(_, label, note): &&Noted| label.kind == StepKind::Event && matches!(note, Note::Withdraw);
    notes.iter().filter(withdraws).map(|(number, _, _)| *number).collect()
}

/// Writes notes down, in their order, and returns what was settled; `None` when the hold is lost.
pub(crate) fn write_down(
    tx: &mut Tx,
    hold: Hold,
    known: Place,
    notes: Vec<Noted>,
) -> Result<Option<Vec<Arrived>>> {
    let Some(mut writer) = Writer::open(tx, hold, known)? else { return Ok(None) };
    for (number, label, note) in notes {
        write_note(&mut writer, number, &label, note)?;
    }
    Ok(Some(writer.finish()))
}

fn write_note(writer: &mut Writer<'_>, number: u32, label: &Label, note: Note) -> Result<()> {
    match note {
        Note::Job(part) => {
            let id: StepId = writer.tx.new_id();
            match writer.run(|tx| part.run(tx, id), |_| 0) {
                Ok(job) => {
                    let row = writer.entry(number, label);
                    writer.tx.insert_at(id, StepRow { job: Some(job), ..row }).map(drop)
                }
                Err(error) => writer.settled(number, label, fault_of_step(error)?),
            }
        }
        Note::Child(part) => {
            let id: StepId = writer.tx.new_id();
            match writer.run(|tx| part.run(tx, id), |_| 0) {
                Ok(child) => {
                    let row = writer.entry(number, label);
                    writer.tx.insert_at(id, StepRow { child: Some(child), ..row }).map(drop)
                }
                Err(error) => writer.settled(number, label, fault_of_step(error)?),
            }
        }
        Note::Start(part) => {
            let id: StepId = writer.tx.new_id();
            let outcome = match writer.run(|tx| part.run(tx, id), |_| 0) {
                Ok(started) => StoredOutcome::Success(
                    RawValue::from_string(format!("\"{started}\"")).unwrap_or_else(|_| null()),
                ),
                Err(error) => fault_of_step(error)?,
            };
            writer.settled(number, label, outcome)
        }
        Note::Sleep(until) => sleep(writer, number, label, until),
        Note::Event { awaits, timeout } => {
            let due = timeout.map(|timeout| writer.tx.now() + timeout);
            let row = writer.entry(number, label);
            let wait = writer.tx.insert(StepRow { due, awaits, ..row })?;
            writer.serve(wait.awaited())
        }
        Note::Patch => writer.settled(number, label, StoredOutcome::Success(null())),
        Note::Withdraw => writer.withdraw(number, label.behind),
        Note::Interrupt => match writer.pending(number)? {
            Some(row) => writer.settle(row.id, StoredOutcome::Interrupted),
            None => Ok(()),
        },
        Note::Refuse => {
            let message = format!(
                "the journal has as many steps as it may have; the limit `MAX_STEPS` is {MAX_STEPS}, and {SPARE_STEPS} \
                 more are left to put things in order. A workflow without an end goes on anew with \
                 `wf.continue_with(..)`"
            );
            writer.settled(number, label, refusal(Kind::Invalid, message))
        }
    }
}

fn sleep(writer: &mut Writer<'_>, number: u32, label: &Label, until: Until) -> Result<()> {
    let now = writer.tx.now();
    let due = match until {
        Until::After(wait) => now + wait,
        Until::At(time) => time,
    };
    if due <= now {
        return writer.settled(number, label, StoredOutcome::Success(null()));
    }
    // A sleep tells no errors, so one that is too long is as long as it may be.
    let due = due.min(now + MAX_AHEAD);
    let row = writer.entry(number, label);
    writer.tx.insert(StepRow { due: Some(due), ..row }).map(drop)
}

/// What came of a mutation.
#[derive(Debug)]
pub(crate) enum Mutated {
    Lost,
    Recorded(Vec<Arrived>),
    /// It failed, and a further attempt may not.
    Again {
        wait: Duration,
    },
}

/// Runs a step's mutation and records it, all in one transaction. While `attempts` are left, a failure that
/// says "later" is not recorded.
pub(crate) fn mutate(
    tx: &mut Tx,
    hold: Hold,
    known: Place,
    (number, label): (u32, &Label),
    part: Box<dyn TxPart<Box<RawValue>>>,
    retry: Option<(RetryPolicy, u32)>,
) -> Result<Mutated> {
    let Some(mut writer) = Writer::open(tx, hold, known)? else { return Ok(Mutated::Lost) };
    let id: StepId = writer.tx.new_id();
    let outcome = match writer.run(|tx| part.run(tx, id), |value| value.get().len()) {
        Ok(value) => StoredOutcome::Success(value),
        Err(error) if is_the_stores(&error) => return Err(error),
        Err(error) => {
            if let Some((policy, attempt)) = retry
                && attempt < policy.attempts
                && error.kind().is_retryable()
            {
                return Ok(Mutated::Again { wait: policy.delay(attempt, writer.tx.random()) });
            }
            failed(&error)
        }
    };
    let row = writer.entry(number, label);
    writer.insert_settled(id, row, outcome)?;
    Ok(Mutated::Recorded(writer.finish()))
}

/// Records how an effect ended; `None` when the hold is lost. One that began only `once` has an entry already.
pub(crate) fn record(
    tx: &mut Tx,
    hold: Hold,
    known: Place,
    (number, label, once): (u32, &Label, bool),
    started: Time,
    outcome: StoredOutcome,
) -> Result<Option<Vec<Arrived>>> {
    let Some(mut writer) = Writer::open(tx, hold, known)? else { return Ok(None) };
    if !once {
        let row = StepRow { started, ..writer.entry(number, label) };
        let id = writer.tx.new_id();
        writer.insert_settled(id, row, outcome)?;
    } else if let Some(row) = writer.pending(number)? {
        writer.settle(row.id, outcome)?;
    }
    Ok(Some(writer.finish()))
}

/// Writes down that an effect begins that may begin only once; `false` when the hold is lost.
pub(crate) fn begin_once(
    tx: &mut Tx,
    hold: Hold,
    known: Place,
    (number, label): (u32, &Label),
) -> Result<bool> {
    let Some(writer) = Writer::open(tx, hold, known)? else { return Ok(false) };
    let row = writer.entry(number, label);
    writer.tx.insert(row)?;
    Ok(true)
}

/// How a step failed whose part of the transaction did; an error where that is no fault of the step.
fn fault_of_step(error: Error) -> Result<StoredOutcome> {
    if is_the_stores(&error) { Err(error) } else { Ok(failed(&error)) }
}

/// Whether an error says that the store itself cannot do its work, now or with a row that is damaged: then nothing is
/// recorded, and the run is taken up again.
fn is_the_stores(error: &Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            Problem::Engine { .. }
                | Problem::Conflict
                | Problem::GaveUp { .. }
                | Problem::Closed
                | Problem::Unreadable { .. }
        )
    )
}

/// A failure that the crate itself finds.
pub(crate) fn refusal(kind: Kind, message: impl Into<String>) -> StoredOutcome {
    StoredOutcome::Failed(StoredFailure::new(kind, message))
}

impl Note {
    /// Whether a step with this note waits for something from outside.
    pub(crate) fn waits(kind: StepKind) -> bool {
        matches!(kind, StepKind::Job | StepKind::Sleep | StepKind::Event | StepKind::Child)
    }
}
