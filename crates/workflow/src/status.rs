//! Looking at workflows. Under `watch`, all of it is live.

use loomwork_core::Time;
use loomwork_store::{Cursor, Page, Paged, Result, Row, Tx};
use loomwork_workpool::JobId;
use serde::Serialize;

use crate::outcome::OutcomeKind;
use crate::restart::journal;
use crate::tables::{Ended, MailRow, State, StepKind, StepRow, StoredOutcome, WorkflowId, WorkflowRow};

/// What a workflow is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its id.
    pub id: WorkflowId,
    /// Its name.
    pub name: String,
    /// The key that its starter gave it.
    pub key: Option<String>,
    /// Where it stands.
    pub state: State,
    /// The workflow that waits for it.
    pub parent: Option<WorkflowId>,
    /// How often it went on anew, or was restarted from its start.
    pub chapter: u32,
    /// How often it was restarted.
    pub restarts: u32,
    /// When it was started.
    pub created: Time,
    /// When it ended.
    pub finished: Option<Time>,
    /// How it ended.
    pub outcome: Option<OutcomeKind>,
    /// Why it failed.
    pub error: Option<String>,
    /// Why it cannot go on: where its code differs from its journal, and what to do.
    pub blocked: Option<String>,
    /// The steps that it waits for now. What runs within it is on record only when it is done.
    pub running: Vec<StepStatus>,
}

/// A step on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Its number.
    pub number: u32,
    /// What it is.
    pub kind: StepKind,
    /// Its name.
    pub name: String,
    /// The beginning of its arguments, as JSON.
    pub args: Option<String>,
    /// Where it stands.
    pub state: StepState,
    /// When it began.
    pub started: Time,
    /// When it was settled.
    pub finished: Option<Time>,
    /// When its sleep, or its wait, is over.
    pub due: Option<Time>,
    /// The job that it waits for.
    pub job: Option<JobId>,
    /// The workflow that it waits for.
    pub child: Option<WorkflowId>,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepState {
    /// It waits for something.
    Pending,
    /// Its job has ended, and no pool of a process that is there has told so: pools that run jobs of workflows are
    /// described with [`with_steps`](crate::with_steps).
    Untold,
    /// It returned this, as JSON.
    Success(String),
    /// It failed.
    Failed(String),
    /// What it waited for was cancelled.
    Cancelled,
    /// The event did not come in time.
    TimedOut,
    /// It may start only once, and its process or its run ended while it ran.
    Interrupted,
    /// Its workflow dropped it.
    Withdrawn,
    /// Its workflow ended while it waited.
    CutOff,
}

/// Returns what a workflow is doing; `None` when there is none of this id.
///
/// # Errors
/// When the store cannot be read.
pub fn status(tx: &Tx, workflow: WorkflowId) -> Result<Option<Status>> {
    let Some(row) = tx.get(workflow)? else { return Ok(None) };
    let mut running = Vec::new();
    for step in tx.scan(StepRow::pending.eq(workflow).eq(row.chapter))? {
        let mut step = step_status(step.record);
        if let Some(job) = step.job
            && loomwork_workpool::status(tx, job)?.is_some_and(|job| job.outcome.is_some())
        {
            step.state = StepState::Untold;
        }
        running.push(step);
    }
    Ok(Some(Status { running, ..listed(row) }))
}

/// Returns a workflow's steps that are on record, in the order of their numbers; none, when there is no workflow
/// of this id.
///
/// # Errors
/// When the store cannot be read.
pub fn steps(tx: &Tx, workflow: WorkflowId) -> Result<Vec<StepStatus>> {
    let Some(row) = tx.get(workflow)? else { return Ok(Vec::new()) };
    Ok(journal(tx, &row)?.into_iter().map(|step| step_status(step.record)).collect())
}

/// Which workflows to list, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed<'a> {
    /// All of them.
    All,
    /// Those of a name.
    Named(&'a str),
    /// Those of a name that have not ended.
    Open(&'a str),
    /// Those of a name that are blocked.
    Blocked(&'a str),
}

/// Returns a page of workflows, without the steps that they wait for.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is another list's.
pub fn list(tx: &Tx, listed_: Listed<'_>, page: Page) -> Result<(Vec<Status>, Option<Cursor>)> {
    let Paged { rows, next } = match listed_ {
        Listed::All => tx.page(<WorkflowRow as loomwork_store::Table>::all().readable(), page)?,
        Listed::Named(name) => tx.page(WorkflowRow::by_name.eq(name).readable(), page)?,
        Listed::Open(name) => tx.page(WorkflowRow::open.eq(name).readable(), page)?,
        Listed::Blocked(name) => tx.page(WorkflowRow::blocked.eq(name).readable(), page)?,
    };
    Ok((rows.into_iter().map(listed).collect(), next))
}

/// Returns the workflow of a name that was started under a key.
///
/// # Errors
/// When the store cannot be read.
pub fn find(tx: &Tx, name: &str, key: &str) -> Result<Option<WorkflowId>> {
    Ok(tx.first(WorkflowRow::by_key.eq(name).eq(key))?.map(|row| row.id))
}

/// Returns how many events a workflow has that it has not taken.
///
/// # Errors
/// When the store cannot be read.
pub fn unread(tx: &Tx, workflow: WorkflowId) -> Result<usize> {
    tx.count(MailRow::by_name.eq(workflow))
}

fn listed(row: Row<WorkflowRow>) -> Status {
    let Row { id, record: row } = row;
    let error = match &row.ended {
        Some(Ended::Failed(failure)) => Some(failure.message.clone()),
        _ => None,
    };
    Status {
        id,
        name: row.name,
        key: row.key,
        state: row.state,
        parent: row.parent,
        chapter: row.chapter,
        restarts: row.restarts,
        created: row.created,
        finished: row.finished,
        outcome: row.ended.as_ref().map(Ended::kind),
        error,
        blocked: row.blocked.map(|blocked| blocked.why),
        running: Vec::new(),
    }
}

fn step_status(row: StepRow) -> StepStatus {
    let state = match row.outcome {
        _ if row.cut => StepState::CutOff,
        None => StepState::Pending,
        Some(StoredOutcome::Success(json)) => StepState::Success(json.get().to_owned()),
        Some(StoredOutcome::Failed(failure)) => StepState::Failed(failure.message),
        Some(StoredOutcome::Cancelled) => StepState::Cancelled,
        Some(StoredOutcome::TimedOut) => StepState::TimedOut,
        Some(StoredOutcome::Interrupted) => StepState::Interrupted,
        Some(StoredOutcome::Withdrawn) => StepState::Withdrawn,
    };
    StepStatus {
        number: row.number,
        kind: row.kind,
        name: row.name,
        args: row.args,
        state,
        started: row.started,
        finished: row.finished,
        due: row.due,
        job: row.job,
        child: row.child,
    }
}
