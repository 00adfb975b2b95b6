//! Runs: each generation is a row that owns its pending message and its stream, and that one process at a
//! time drives.
//!
//! ```text
//! begin -> queued -- take --> running -- step (ends) --> success
//!            ^                  |  ^
//!            |                  |  +---- step (goes on)
//!            |                  +------- step (waits) --> waiting -- take --> running
//!            +-- requeue -------------------------------/
//!            +-- its process is gone, durable; given back
//!                               +------- fail, abort, its process is gone --> failed, aborted
//! ```
//!
//! A process takes a run under a [`Hold`], whose fence grows with each taking. All that it writes names the
//! hold, and is refused once the run was taken from it: so a process that was thought dead writes nothing
//! any more. What ends a run, ends its message, its stream and itself in one transaction.

mod begin;
mod end;
mod host;
mod step;

use loomwork_core::{Fault, Kind};
use loomwork_store::{Id, Result, Row, Store, Tx};
use serde::{Deserialize, Serialize};

pub use begin::{Begun, NewRun, Prompt, begin};
pub use end::{ORPHAN_STEP, abort, abort_all, fail};
pub(crate) use end::{amend, end, restarted};
pub use host::{HEARTBEAT, Host, LEASE};
pub use step::{Step, StepDone, Then, begin_behind, rest_of_step, restart_step, step};

use crate::tables::{Failure, HostRow, MessageId, Run, RunId, RunStatus, ThreadId};

/// The right to write a run, until it ends or is taken from its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// The run.
    pub run: RunId,
    /// Which taking of the run this is.
    pub fence: u64,
}

/// Takes a run that waits, and makes its pending message if it has none; `None` if another process drives
/// it, or it has ended.
///
/// # Errors
/// [`RunError::NoRun`], and [`RunError::HostGone`] when the process's own lease is over.
pub fn take(tx: &mut Tx, host: Id<HostRow>, run: RunId) -> Result<Option<Hold>> {
    if !host::is_entitled(tx, host)? {
        return Err(RunError::HostGone { host }.into());
    }
    let row = tx.get(run)?.ok_or(RunError::NoRun { run })?;
    if !matches!(row.status, RunStatus::Queued | RunStatus::Waiting) {
        return Ok(None);
    }
    let pending = match row.pending {
        Some(pending) => pending,
        None => step::next_pending(tx, &row)?,
    };
    let row = tx.update(run, |run| {
        run.status = RunStatus::Running;
        run.host = Some(host);
        run.pending = Some(pending);
        run.fence += 1;
    })?;
    Ok(Some(Hold { run, fence: row.fence }))
}

/// Gives a run back that is held: it waits to be taken, and its cut step is made again, with its text anew.
///
/// # Errors
/// [`RunError::Lost`] when the run is no longer held.
pub fn give_back(tx: &mut Tx, hold: Hold) -> Result<Row<Run>> {
    held(tx, hold)?;
    to_be_taken(tx, hold.run)
}

/// Has a run of a process that is gone, or that gives it back, wait to be taken.
fn to_be_taken(tx: &mut Tx, run: RunId) -> Result<Row<Run>> {
    tx.update(run, |run| {
        run.status = RunStatus::Queued;
        run.host = None;
        run.attempt += 1;
    })
}

/// Queues a run that waits for somebody, so that a process takes it; says whether it waited.
///
/// # Errors
/// [`RunError::NoRun`].
pub fn requeue(tx: &mut Tx, run: RunId) -> Result<bool> {
    let row = tx.get(run)?.ok_or(RunError::NoRun { run })?;
    if row.status != RunStatus::Waiting {
        return Ok(false);
    }
    tx.update(run, |run| run.status = RunStatus::Queued)?;
    Ok(true)
}

/// Returns the run that is held.
///
/// # Errors
/// [`RunError::Lost`] when it has ended, or somebody else has it.
pub fn held(tx: &Tx, hold: Hold) -> Result<Row<Run>> {
    let row = tx.get(hold.run)?.ok_or(RunError::NoRun { run: hold.run })?;
    if row.status != RunStatus::Running || row.fence != hold.fence {
        let (status, error) = (row.status, row.record.error);
        return Err(RunError::Lost { run: hold.run, status, error }.into());
    }
    Ok(row)
}

/// Waits until a run is no longer held: it was aborted, or taken over. What works for it should stop then,
/// a tool that runs too.
///
/// It never returns while the run is held.
///
/// # Cancel safety
/// It only looks.
pub async fn lost(store: &Store, hold: Hold) -> RunError {
    let mut holds = store.watch(move |tx| match held(tx, hold) {
        Ok(_) => Ok(None),
        Err(error) => match error.downcast::<RunError>() {
            Ok(lost) => Ok(Some(lost)),
            Err(error) => Err(error),
        },
    });
    while let Some(seen) = holds.next().await {
        match seen {
            Ok(Some(lost)) => return lost,
            Ok(None) => {}
            Err(error) => tracing::warn!(run = %hold.run, %error, "a run could not be looked at"),
        }
    }
    // The store is closed: nothing can be written any more.
    RunError::Lost { run: hold.run, status: RunStatus::Running, error: None }
}

/// Returns the runs of a thread that have not ended, in the order of their turns.
///
/// # Errors
/// When the store cannot be read.
pub fn live(tx: &Tx, thread: ThreadId) -> Result<Vec<Row<Run>>> {
    tx.scan(Run::live.eq(thread))
}

/// Returns the runs that wait for a process to take them, of all threads.
///
/// # Errors
/// When the store cannot be read.
pub fn queued(tx: &Tx, limit: usize) -> Result<Vec<Row<Run>>> {
    tx.scan(Run::queued.all().take(limit))
}

/// Why a run cannot go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A run that is not there.
    #[error("there is no {run}; it was deleted with its thread, or never begun")]
    NoRun {
        /// The run.
        run: RunId,
    },
    /// A run that has ended, or that somebody else drives.
    #[error("{run} is no longer held: {}", told(*status, error.as_ref()))]
    Lost {
        /// The run.
        run: RunId,
        /// Where it stands.
        status: RunStatus,
        /// Why it ended.
        error: Option<Failure>,
    },
    /// A process whose lease is over.
    #[error("{host} is taken for dead, since its lease was not renewed; it takes no runs under this id")]
    HostGone {
        /// The process.
        host: Id<HostRow>,
    },
    /// A prompt that has failed cannot be answered.
    #[error("{message} has failed ({failure}), so it is not answered; save it again, or edit it first")]
    PromptFailed {
        /// The prompt.
        message: MessageId,
        /// Why it failed.
        failure: String,
    },
    /// A run that answers nothing.
    #[error("a run of {thread} without a prompt; give it messages, or the id of one")]
    NoPrompt {
        /// The thread.
        thread: ThreadId,
    },
    /// A key that another request has used.
    #[error(
        "the key {key:?} was used for {run}, which answers another prompt; give each request its own key"
    )]
    KeyTaken {
        /// The key.
        key: String,
        /// The run that has it.
        run: RunId,
    },
}

fn told(status: RunStatus, error: Option<&Failure>) -> String {
    match (status, error) {
        (_, Some(error)) => format!("{} ({})", error.message, error.code),
        (RunStatus::Running, None) => "another process drives it".to_owned(),
        (RunStatus::Queued, None) => "it waits to be taken up again".to_owned(),
        (RunStatus::Waiting, None) => "it waits for somebody".to_owned(),
        (RunStatus::Success, None) => "it is complete".to_owned(),
        (RunStatus::Failed | RunStatus::Aborted, None) => "it has ended".to_owned(),
    }
}

impl Fault for RunError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoRun { .. } => Kind::NotFound,
            Self::Lost { .. } | Self::HostGone { .. } => Kind::Cancelled,
            Self::KeyTaken { .. } => Kind::Conflict,
            Self::PromptFailed { .. } | Self::NoPrompt { .. } => Kind::Invalid,
        }
    }
}
