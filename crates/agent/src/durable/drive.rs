//! Making a durable run: what its wake-up does in a process that has its agent.

use std::time::Duration;

use loomwork_core::{Fault as _, Kind};
use loomwork_messages::runs;
use loomwork_messages::{Failure, Run, RunId, RunStatus};
use loomwork_store::{Error, Result, Row, Store, Tx};
use loomwork_workpool::{Completion, Done, JobContext, JobError, Outcome};

use super::registry::Registry;
use super::start::STARTED;
use crate::error::AgentError;
use crate::runtime::Runtime;

/// Told of a wake-up that has ended without its run having been made.
pub(super) const ENDED: Completion<RunId, ()> = Completion::new("agent run given up");

/// How long a run waits before it looks again whether a run before it, whose agent is another process's, has ended.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is to be done for a run.
#[derive(Debug)]
enum Next {
    /// Nothing more: it has ended, or waits for somebody.
    Over,
    /// Somebody makes this one, which comes first.
    Wait(RunId),
    /// This one waits to be taken up, and comes first.
    Take(Box<Row<Run>>),
    /// One comes first whose agent is not known here.
    Elsewhere(RunId),
}

/// Makes a run, and whatever of its thread comes before it: only the hold of a run decides who makes it, so any
/// wake-up serves any run.
pub(super) async fn make(registry: Registry, runtime: Runtime, job: JobContext, run: RunId) -> Result<()> {
    let making = make_runs(&registry, &runtime, run, WhereElse::ComeBack);
    tokio::select! {
        made = making => made,
        () = job.cancelled() => Err(called_off(runtime.store(), run).await),
    }
}

/// What a job does while a run comes first whose agent is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhereElse {
    /// It comes back later, so that others have its place meanwhile.
    ComeBack,
    /// It waits.
    Wait,
}

/// Aborts a run whose job was cancelled, and returns what the job says then.
pub(super) async fn called_off(store: &Store, run: RunId) -> Error {
    let failure = Failure::new("cancelled", "its job was cancelled");
    match store.mutate(move |tx| abort_if_there(tx, run, failure)).await {
        Ok(()) => Error::message(Kind::Cancelled, "the run was called off with its job"),
        Err(error) => error,
    }
}

/// Makes a run and what comes before it, until it has ended or waits for somebody.
pub(super) async fn make_runs(
    registry: &Registry,
    runtime: &Runtime,
    run: RunId,
    elsewhere: WhereElse,
) -> Result<()> {
    loop {
        match next(runtime.store(), registry, run).await? {
            Next::Over => return Ok(()),
            Next::Wait(before) => while_it_is(runtime.store(), before, RunStatus::Running).await?,
            Next::Elsewhere(before) if elsewhere == WhereElse::Wait => {
                while_it_is(runtime.store(), before, RunStatus::Queued).await?;
            }
            Next::Elsewhere(before) => {
                let text = format!("{before} comes first, and its agent is not known here");
                return Err(JobError::retry_after(LOOK_AGAIN, text).into());
            }
            Next::Take(row) => {
                let Some(agent) = registry.get(row.agent.as_deref()) else {
                    let text = format!("agent {:?} of {} is not known here", row.agent, row.id);
                    return Err(JobError::retry_after(LOOK_AGAIN, text).into());
                };
                let made = agent.take_up(runtime, &row).await.map(drop);
                settle(runtime.store(), row.id, made).await?;
            }
        }
    }
}

/// Passes on why a run still waits to be taken up; whatever else went wrong is stored with it.
pub(super) async fn settle(
    store: &Store,
    run: RunId,
    made: std::result::Result<(), AgentError>,
) -> Result<()> {
    let error = match made {
        // It was taken from us: whoever has it makes it.
        Ok(()) | Err(AgentError::Ended(_)) => return Ok(()),
        Err(error) => error,
    };
    let waits = store.query(move |tx| Ok(tx.get(run)?.is_some_and(|run| run.status == RunStatus::Queued)));
    match (waits.await?, error.kind()) {
        (false, _) => Ok(()),
        (true, Kind::Limited { wait }) => Err(JobError::retry_after(wait, error.to_string()).into()),
        (true, _) => Err(JobError::retry(error.to_string()).into()),
    }
}

async fn next(store: &Store, registry: &Registry, run: RunId) -> Result<Next> {
    let registry = registry.clone();
    store.query(move |tx| next_for(tx, &registry, run)).await
}

fn next_for(tx: &Tx, registry: &Registry, run: RunId) -> Result<Next> {
    let Some(row) = tx.get(run)? else { return Ok(Next::Over) };
    match row.status {
        RunStatus::Queued => {}
        RunStatus::Running => return Ok(Next::Wait(run)),
        RunStatus::Waiting | RunStatus::Success | RunStatus::Failed | RunStatus::Aborted => {
            return Ok(Next::Over);
        }
    }
    let is_before = |other: &Row<Run>| (other.order, other.id) < (row.order, row.id);
    for before in runs::live(tx, row.thread)?.into_iter().filter(is_before) {
        match before.status {
            RunStatus::Running => return Ok(Next::Wait(before.id)),
            RunStatus::Queued if registry.get(before.agent.as_deref()).is_some() => {
                return Ok(Next::Take(Box::new(before)));
            }
            RunStatus::Queued if before.values.contains_key(STARTED) => {
                return Ok(Next::Elsewhere(before.id));
            }
            // Nobody can say how long it waits.
            _ => {}
        }
    }
    Ok(Next::Take(Box::new(row)))
}

/// Waits while a run stands so.
pub(super) async fn while_it_is(store: &Store, run: RunId, status: RunStatus) -> Result<()> {
    let mut standing = store.watch(move |tx| Ok(tx.get(run)?.is_some_and(|run| run.status == status)));
    while let Some(stands) = standing.next().await {
        if !stands? {
            return Ok(());
        }
    }
    Err(Error::message(Kind::Unavailable, "the store is closed"))
}

/// Ends a run whose wake-up has failed for good: nobody would take it up any more.
pub(super) fn give_up(tx: &mut Tx, done: Done<RunId, ()>) -> Result<()> {
    let why = match done.outcome {
        Outcome::Success(()) => return Ok(()),
        Outcome::Failed(error) => error,
        other => format!("its job has ended as {other:?}"),
    };
    abort_if_there(tx, done.context, Failure::new("given up", why))
}

fn abort_if_there(tx: &mut Tx, run: RunId, failure: Failure) -> Result<()> {
    match tx.get(run)? {
        Some(_) => runs::abort(tx, run, failure).map(drop),
        None => Ok(()),
    }
}
