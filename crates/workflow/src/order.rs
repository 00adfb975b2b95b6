//! Orders: what a workflow's code wants done, and the transactions that do it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use loomwork_core::{RetryPolicy, Time};
use loomwork_store::{Result, Tx};
use loomwork_workpool::JobId;
use serde_json::value::RawValue;

use crate::error::failed;
use crate::journal::{Arrived, Hold, Label, Writer, null, take_mail};
use crate::limits::MAX_AHEAD;
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
    /// An event came for a step that was dropped; it is for this one, which waits already or not.
    Return {
        value: StoredOutcome,
        from: u32,
        waits: bool,
    },
}

/// How long a sleep lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    After(Duration),
    At(Time),
}

/// A note with the step that it is of.
pub(crate) type Noted = (u32, Label, Note);

/// What came of writing notes down.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) arrived: Vec<Arrived>,
    /// Events that could not be handed on to a step, since that has had another one.
    pub(crate) unfit: Vec<(u32, String, StoredOutcome)>,
}

/// Writes notes down; `None` when the hold is lost.
pub(crate) fn write_down(tx: &mut Tx, hold: Hold, known: u64, notes: Vec<Noted>) -> Result<Option<Written>> {
    let Some(mut writer) = Writer::open(tx, hold, known)? else { return Ok(None) };
    let mut unfit = Vec::new();
    for (number, label, note) in notes {
        write_note(&mut writer, hold, number, &label, note, &mut unfit)?;
    }
    Ok(Some(Written { arrived: writer.finish(), unfit }))
}

fn write_note(
    writer: &mut Writer<'_>,
    hold: Hold,
    number: u32,
    label: &Label,
    note: Note,
    unfit: &mut Vec<(u32, String, StoredOutcome)>,
) -> Result<()> {
    match note {
        Note::Job(part) => {
            let id: StepId = writer.tx.new_id();
            match writer.tx.nested(|tx| part.run(tx, id)) {
                Ok(job) => {
                    let row = writer.entry(number, label);
                    writer.tx.insert_at(id, StepRow { job: Some(job), ..row }).map(drop)
                }
                Err(error) => writer.settled(number, label, failed(&error)),
            }
        }
        Note::Child(part) => {
            let id: StepId = writer.tx.new_id();
            match writer.tx.nested(|tx| part.run(tx, id)) {
                Ok(child) => {
                    let row = writer.entry(number, label);
                    writer.tx.insert_at(id, StepRow { child: Some(child), ..row }).map(drop)
                }
                Err(error) => writer.settled(number, label, failed(&error)),
            }
        }
        Note::Start(part) => {
            let id: StepId = writer.tx.new_id();
            let started = writer.tx.nested(|tx| part.run(tx, id));
            let outcome = match &started {
                Ok(child) => StoredOutcome::Success(
                    RawValue::from_string(format!("\"{child}\"")).unwrap_or_else(|_| null()),
                ),
                Err(error) => failed(error),
            };
            writer.settled(number, label, outcome)
        }
        Note::Sleep(until) => sleep(writer, number, label, until),
        Note::Event { timeout } => wait(writer, hold, number, label, timeout),
        Note::Patch => writer.settled(number, label, StoredOutcome::Success(null())),
        Note::Withdraw => writer.withdraw(number),
        Note::Interrupt => match writer.pending(number)? {
            Some(row) => writer.settle(row, |row| row.outcome = Some(StoredOutcome::Interrupted)),
            None => Ok(()),
        },
        Note::Return { value, from, waits } => {
            let taken = |row: &mut StepRow| row.returned_from = Some(from);
            match writer.pending(number)? {
                Some(row) => writer.settle(row, |row| {
                    taken(row);
                    row.outcome = Some(value);
                }),
                None if waits => {
                    unfit.push((from, label.name.clone(), value));
                    Ok(())
                }
                None => {
                    let mut row = writer.entry(number, label);
                    taken(&mut row);
                    let id = writer.tx.new_id();
                    writer.insert_settled(id, row, value)
                }
            }
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

fn wait(
    writer: &mut Writer<'_>,
    hold: Hold,
    number: u32,
    label: &Label,
    timeout: Option<Duration>,
) -> Result<()> {
    if let Some(value) = take_mail(writer.tx, hold.run, &label.name)? {
        return writer.settled(number, label, value);
    }
    let due = timeout.map(|timeout| writer.tx.now() + timeout);
    let row = writer.entry(number, label);
    writer.tx.insert(StepRow { due, ..row }).map(drop)
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
    known: u64,
    (number, label): (u32, &Label),
    part: Box<dyn TxPart<Box<RawValue>>>,
    retry: Option<(RetryPolicy, u32)>,
) -> Result<Mutated> {
    let Some(mut writer) = Writer::open(tx, hold, known)? else { return Ok(Mutated::Lost) };
    let id: StepId = writer.tx.new_id();
    let outcome = match writer.tx.nested(|tx| part.run(tx, id)) {
        Ok(value) => StoredOutcome::Success(value),
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

/// Records how an effect ended; `None` when the hold is lost.
pub(crate) fn record(
    tx: &mut Tx,
    hold: Hold,
    known: u64,
    (number, label): (u32, &Label),
    started: Time,
    outcome: StoredOutcome,
) -> Result<Option<Vec<Arrived>>> {
    let Some(mut writer) = Writer::open(tx, hold, known)? else { return Ok(None) };
    match writer.pending(number)? {
        Some(row) => writer.settle(row, |row| row.outcome = Some(outcome))?,
        None => {
            let row = StepRow { started, ..writer.entry(number, label) };
            let id = writer.tx.new_id();
            writer.insert_settled(id, row, outcome)?;
        }
    }
    Ok(Some(writer.finish()))
}

/// Writes down that an effect begins that may begin only once; `false` when the hold is lost.
pub(crate) fn begin_once(
    tx: &mut Tx,
    hold: Hold,
    known: u64,
    (number, label): (u32, &Label),
) -> Result<bool> {
    let Some(writer) = Writer::open(tx, hold, known)? else { return Ok(false) };
    let row = writer.entry(number, label);
    writer.tx.insert(row)?;
    Ok(true)
}

/// A failure that the crate itself finds.
pub(crate) fn refusal(kind: loomwork_core::Kind, message: impl Into<String>) -> StoredOutcome {
    StoredOutcome::Failed(StoredFailure::new(kind, message))
}

impl Note {
    /// Whether a step with this note waits for something from outside.
    pub(crate) fn waits(kind: StepKind) -> bool {
        matches!(kind, StepKind::Job | StepKind::Sleep | StepKind::Event | StepKind::Child)
    }
}
