//! Starting, inside the caller's transaction.

use loomwork_core::{Fault, Kind, Time};
use loomwork_store::{Result, Row, Tx};
use loomwork_workpool::Due;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cutting::{Budget, cancel_run};
use crate::limits::{INPUT, MAX_AHEAD, MAX_DEPTH, MAX_TEXT_BYTES, check, encode};
use crate::options::{Options, Taken};
use crate::payload;
use crate::tables::{State, StepId, StoredCallback, Stumbles, WorkflowId, WorkflowRow};
use crate::workflow::Workflow;

/// Why a workflow is not started. Nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An input or context that is no JSON, or too large.
    #[error("workflow {workflow:?} is not started: {reason}")]
    BadInput {
        /// The workflow's name.
        workflow: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A name or key that is empty or too long.
    #[error("the {what} of workflow {workflow:?} has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}")]
    BadText {
        /// The workflow's name.
        workflow: &'static str,
        /// Which text.
        what: &'static str,
        /// What it takes.
        bytes: usize,
    },
    /// A start beyond [`MAX_AHEAD`].
    #[error("workflow {workflow:?} would start at {due}; the latest is {latest}, four years ahead")]
    TooFarAhead {
        /// The workflow's name.
        workflow: &'static str,
        /// When it would start.
        due: Time,
        /// The latest that is taken.
        latest: Time,
    },
    /// A key that another one has, where that was to be refused.
    #[error("workflow {workflow:?} has one under the key {key:?} already, {id}; use that, or another key")]
    Taken {
        /// The workflow's name.
        workflow: &'static str,
        /// The key.
        key: String,
        /// Who has it.
        id: WorkflowId,
    },
    /// Workflows within workflows beyond [`MAX_DEPTH`].
    #[error("workflow {workflow:?} would be nested {depth} deep; the limit `MAX_DEPTH` is {MAX_DEPTH}")]
    TooDeep {
        /// The workflow's name.
        workflow: &'static str,
        /// How deep.
        depth: u32,
    },
}

impl Fault for StartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Taken { .. } => Kind::Conflict,
            Self::BadInput { .. }
            | Self::BadText { .. }
            | Self::TooFarAhead { .. }
            | Self::TooDeep { .. } => Kind::Invalid,
        }
    }
}

/// Starts a workflow: it will run if and only if the caller's transaction commits.
///
/// With a [`key`](Options::key) that one of its name has already, [`Taken`] says what becomes of it.
///
/// # Errors
/// [`StartError`], and when the store cannot be read or written.
pub fn start<I: Serialize, R>(
    tx: &mut Tx,
    workflow: &Workflow<I, R>,
    input: I,
    options: impl Into<Options<R>>,
) -> Result<WorkflowId> {
    let name = workflow.name;
    let input = encode("its input", &input, INPUT)
        .map_err(|reason| StartError::BadInput { workflow: name, reason })?;
    insert(tx, name, input, options.into().into(), None)
}

/// [`Options`] without the type.
#[derive(Clone)]
pub(crate) struct StartOptions {
    due: Due,
    key: Option<String>,
    taken: Taken,
    on_done: Option<(&'static str, Result<Box<RawValue>, String>)>,
    keep_ms: Option<u64>,
}

impl<R> From<Options<R>> for StartOptions {
    fn from(options: Options<R>) -> Self {
        Self {
            due: options.due,
            key: options.key,
            taken: options.taken,
            on_done: options.on_done.map(|callback| (callback.name, callback.context)),
            keep_ms: options.keep.map(|keep| keep.as_millis().try_into().unwrap_or(u64::MAX)),
        }
    }
}

impl StartOptions {
    /// Nobody can wait for a workflow that is another one's: a key that is taken is refused.
    pub(crate) fn of_child(self) -> Self {
        Self { taken: Taken::Refuse, ..self }
    }
}

/// Whose child a workflow is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nested {
    pub(crate) parent: WorkflowId,
    /// The step that waits for it.
    pub(crate) step: StepId,
    pub(crate) depth: u32,
    /// The parent's chapter.
    pub(crate) chapter: u32,
}

/// Starts a workflow, which may be another one's child.
pub(crate) fn insert(
    tx: &mut Tx,
    name: &'static str,
    input: Box<RawValue>,
    options: StartOptions,
    nested: Option<Nested>,
) -> Result<WorkflowId> {
    let StartOptions { due, key, taken, on_done, keep_ms } = options;
    let texts = [
        ("name", Some(name)),
        ("key", key.as_deref()),
        ("completion", on_done.as_ref().map(|(name, _)| *name)),
    ];
    for (what, text) in texts {
        let bytes = text.map_or(1, str::len);
        if bytes == 0 || bytes > MAX_TEXT_BYTES {
            return Err(StartError::BadText { workflow: name, what, bytes }.into());
        }
    }
    let depth = nested.map_or(0, |nested| nested.depth);
    if depth > MAX_DEPTH {
        return Err(StartError::TooDeep { workflow: name, depth }.into());
    }
    if let Some(key) = &key
        && let Some(there) = tx.first(WorkflowRow::by_key.eq(name).eq(key.as_str()))?
        && !gives_way(tx, &there, nested)?
    {
        return match taken {
            Taken::Join => Ok(there.id),
            Taken::Refuse => Err(StartError::Taken { workflow: name, key: key.clone(), id: there.id }.into()),
        };
    }
    let now = tx.now();
    let due = due_time(name, due, now)?;
    let on_done = on_done.map(|(completion, context)| {
        let context = context.and_then(|context| check("its context", &context, INPUT).map(|()| context));
        let context = context.map_err(|reason| StartError::BadInput { workflow: name, reason })?;
        Ok::<_, StartError>(StoredCallback { name: completion.to_owned(), context })
    });
    let id = tx.new_id();
    let input = payload::hold(tx, id, input, |payload| &mut payload.input)?;
    let row = WorkflowRow {
        name: name.to_owned(),
        key,
        state: if due <= now { State::Ready } else { State::Scheduled },
        fence: 0,
        host: None,
        chapter: 0,
        restarts: 0,
        woken: due,
        input,
        parent: nested.map(|nested| nested.parent),
        parent_step: nested.map(|nested| nested.step),
        depth,
        on_done: on_done.transpose()?,
        telling: None,
        blocked: None,
        stumbles: Stumbles::default(),
        forgets: None,
        ended: None,
        keep_ms,
        created: now,
        begun: due,
        finished: None,
        retained: None,
    };
    tx.insert_at(id, row)?;
    tracing::debug!(workflow = %id, name, %due, "a workflow is started");
    Ok(id)
}

/// Whether who has a key gives it to another one: a child of the same run does, if the life of that in which it was
/// started is over. It is cancelled if it has not ended yet.
fn gives_way(tx: &mut Tx, there: &Row<WorkflowRow>, nested: Option<Nested>) -> Result<bool> {
    let (Some(nested), Some(step)) = (nested, there.parent_step) else { return Ok(false) };
    if there.parent != Some(nested.parent)
        || tx.get(step)?.is_some_and(|step| step.chapter == nested.chapter && !step.cut)
    {
        return Ok(false);
    }
    if !there.has_ended() {
        cancel_run(tx, there.clone(), &mut Budget::default())?;
    }
    tx.update(there.id, |row| row.key = None)?;
    Ok(true)
}

/// A time that is over counts as now.
fn due_time(workflow: &'static str, due: Due, now: Time) -> Result<Time, StartError> {
    let due = match due {
        Due::Now => now,
        Due::After(wait) => now + wait,
        Due::At(time) => time.max(now),
    };
    let latest = now + MAX_AHEAD;
    if due > latest { Err(StartError::TooFarAhead { workflow, due, latest }) } else { Ok(due) }
}
