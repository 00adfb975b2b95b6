//! Starting a durable run, in the transaction of whoever asks.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use loomwork_core::RetryPolicy;
use loomwork_messages::runs::{self, Begun, NewRun, Prompt};
use loomwork_messages::{
    Failure, MessageId, Metadata, NewMessage, Place, Responder, Run, RunId, RunStatus, Save, ThreadId, save,
    threads,
};
use loomwork_models::{ProviderData, Settings, ToolChoice};
use loomwork_store::{Result, Row, Tx};
use loomwork_workpool::{Job, JobId, MAX_ATTEMPTS, OutcomeKind, Repeat, enqueue};
use serde::{Deserialize, Serialize};

use super::drive::ENDED;
use super::error::StartError;
use super::registry::AGENT_POOL;
use crate::agent::Agent;
use crate::context::ContextOptions;
use crate::values::Values;

/// The name under which a run's [values](loomwork_messages::Run::values) hold the options with which it was started.
pub(crate) const STARTED: &str = "loomwork.start";

/// A run whose start is put off by what may pass is tried until it has ended or was tried so often.
const PATIENT: RetryPolicy = RetryPolicy {
    attempts: MAX_ATTEMPTS,
    initial: Duration::from_millis(250),
    base: 2.0,
    jitter: true,
    ceiling: Duration::from_secs(60),
};

/// What is said of a durable run when it is started; what is not said is the agent's. All of it is stored with the
/// run.
///
/// New fields may come; `..StartOptions::default()` is ready for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StartOptions {
    /// What becomes of it if the thread has a run that has not ended.
    pub busy: Busy,
    /// The caller's name for it: starting it again in the thread finds the run that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who asks; by default whoever owns the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the agent is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The tools that are offered, by name: the agent's, or others that it is
    /// [registered with](super::Registry::agent_with). By default all of the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Whether a tool may, must or must not be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Behind how many steps it stops, though the model goes on calling tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// How the context is built.
    pub context: ContextOptions,
    /// Limits, sampling and transport of each call of the model.
    pub settings: Settings,
    /// What single providers shall do with each call, by provider.
    #[serde(skip_serializing_if = "ProviderData::is_empty")]
    pub provider_options: ProviderData,
    /// Who or what calls the agent, for its tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// What the application attaches, for tools, guards and whoever hears of usage.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub values: Values,
}

/// What becomes of a message for a thread in which an answer is being made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Busy {
    /// Its answer is made when those before it have ended.
    #[default]
    Queue,
    /// Nothing: [`StartError::Busy`].
    Reject,
    /// What is being made is called off, and keeps what came.
    Supersede,
    /// It joins the turn that a durable run is answering: the model is told of it at the next step, which it makes
    /// necessary. Without such a run, or for a message that is stored already, it is queued.
    Steer,
}

/// What has become of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Started {
    /// A run answers it; one of this key may have begun before.
    Run {
        /// The run.
        run: RunId,
        /// What it answers.
        prompt: Option<MessageId>,
    },
    /// It has joined what a run is answering.
    Joined {
        /// The run.
        run: RunId,
        /// The message.
        prompt: MessageId,
    },
    /// No agent answers in the thread, by its [responder](loomwork_messages::Thread::responder): the message is
    /// saved for whoever does.
    Saved {
        /// The message.
        prompt: Option<MessageId>,
    },
}

impl Started {
    /// Returns the run that answers, if an agent does.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Run { run, .. } | Self::Joined { run, .. } => Some(*run),
            Self::Saved { .. } => None,
        }
    }

    /// Returns the message that is answered.
    pub fn prompt(&self) -> Option<MessageId> {
        match self {
            Self::Run { prompt, .. } | Self::Saved { prompt } => *prompt,
            Self::Joined { prompt, .. } => Some(*prompt),
        }
    }
}

impl<S> Agent<S> {
    /// Starts a durable run of this agent, as [`start`] does.
    ///
    /// # Errors
    /// As [`start`].
    pub fn start(
        &self,
        tx: &mut Tx,
        thread: ThreadId,
        prompt: impl Into<Prompt>,
        options: impl Into<StartOptions>,
    ) -> Result<Started> {
        start(tx, &self.name, thread, prompt, options)
    }
}

/// Saves a prompt, begins the run that answers it, and has it made by a process whose [`Registry`](super::Registry)
/// has the agent of this name: all of it, or nothing, with the rest of the transaction.
///
/// # Errors
/// [`StartError`]; what [`runs::begin`] refuses; when the store cannot be read or written.
pub fn start(
    tx: &mut Tx,
    agent: &str,
    thread: ThreadId,
    prompt: impl Into<Prompt>,
    options: impl Into<StartOptions>,
) -> Result<Started> {
    let started = begin(tx, agent, thread, prompt.into(), options.into())?;
    if let (Started::Run { run, .. }, true) = started {
        enqueue_wake(tx, agent, thread, run)?;
    }
    Ok(started.0)
}

/// Begins a run as [`start`] does, but leaves it to the caller to have it made. Says whether it has begun now.
pub(super) fn begin(
    tx: &mut Tx,
    agent: &str,
    thread: ThreadId,
    prompt: Prompt,
    mut options: StartOptions,
) -> Result<(Started, bool)> {
    let known = match &options.key {
        Some(key) => tx.first(Run::by_key.eq(thread).eq(Some(key.clone())))?,
        None => None,
    };
    if known.is_none() {
        if threads::require(tx, thread)?.responder != Responder::Agent {
            let prompt = save_prompt(tx, thread, prompt, options.user.as_ref())?;
            return Ok((Started::Saved { prompt }, false));
        }
        let made = made_now(tx, thread)?;
        match (options.busy, made.last()) {
            (_, None) | (Busy::Queue, _) => {}
            (Busy::Reject, Some(run)) => return Err(StartError::Busy { thread, run: run.id }.into()),
            (Busy::Supersede, Some(_)) => {
                let failure = Failure::new("superseded", "another message took its place");
                for run in &made {
                    runs::abort(tx, run.id, failure.clone())?;
                }
            }
            (Busy::Steer, Some(run)) => {
                if run.durable
                    && let Prompt::New(messages) = &prompt
                    && let Some(prompt) = join(tx, run, messages, options.user.as_ref())?
                {
                    return Ok((Started::Joined { run: run.id, prompt }, false));
                }
            }
        }
    }
    // They stand beside it, where all runs have theirs.
    let values = std::mem::take(&mut options.values);
    let stored = serde_json::to_value(&options)
        .map_err(|error| StartError::Unencodable { agent: agent.to_owned(), reason: error.to_string() })?;
    let StartOptions { key, user, .. } = options;
    let values = values.kept_with(Metadata::from_iter([(STARTED.to_owned(), stored)]));
    let new = NewRun {
        agent: Some(agent.to_owned()),
        user,
        durable: true,
        key,
        values,
        ..NewRun::answering(prompt)
    };
    let Begun { run, is_new, .. } = runs::begin(tx, thread, new)?;
    Ok((Started::Run { run: run.id, prompt: run.prompt }, is_new))
}

/// Has a run that was [started](start) taken up, such as behind what it waited for. Says whether it waited, or was
/// still to be taken up.
///
/// # Errors
/// When the store cannot be read or written.
pub fn wake(tx: &mut Tx, run: RunId) -> Result<bool> {
    let row = tx.require(run)?;
    let Some(agent) = row.agent.clone() else { return Ok(false) };
    let waits = row.status == RunStatus::Queued || runs::requeue(tx, run)?;
    if waits {
        enqueue_wake(tx, &agent, row.thread, run)?;
    }
    Ok(waits)
}

fn enqueue_wake(tx: &mut Tx, agent: &str, thread: ThreadId, run: RunId) -> Result<JobId> {
    let options = loomwork_workpool::Options {
        // Threads take turns.
        key: Some(thread.to_string()),
        unique: Some(run.to_string()),
        // One that runs may be about to end, and not see why it is woken.
        repeat: Repeat::Replace { within: None },
        on_done: Some(ENDED.with(run).except([OutcomeKind::Success])),
        ..loomwork_workpool::Options::default()
    };
    enqueue(tx, &job_of(agent), run, options)
}

/// Returns the job that has runs of an agent made: one for each agent, so that only processes that have it take it.
pub(super) fn job_of(agent: &str) -> Job<RunId, ()> {
    Job::new(interned(&format!("agent {agent}"))).in_pool(AGENT_POOL).retry(PATIENT)
}

/// Jobs are constants, while agents are named at run time: the few names that there are stay for the life of the
/// process.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}

/// Returns the runs of a thread that are being made or are about to be, in the order of their turns.
fn made_now(tx: &Tx, thread: ThreadId) -> Result<Vec<Row<Run>>> {
    let live = runs::live(tx, thread)?.into_iter();
    Ok(live.filter(|run| matches!(run.status, RunStatus::Queued | RunStatus::Running)).collect())
}

/// Lets messages join the turn of a run, and returns the last one.
fn join(
    tx: &mut Tx,
    run: &Row<Run>,
    messages: &[NewMessage],
    user: Option<&String>,
) -> Result<Option<MessageId>> {
    let mut last = None;
    // One by one: only the first message of a save joins a turn whatever its role.
    for new in messages {
        let new = named(new.clone(), user);
        let saved = save(tx, run.thread, Save::all([new]).at(Place::Turn(run.order)))?;
        last = saved.last().map(|row| row.id);
    }
    Ok(last)
}

fn save_prompt(
    tx: &mut Tx,
    thread: ThreadId,
    prompt: Prompt,
    user: Option<&String>,
) -> Result<Option<MessageId>> {
    match prompt {
        Prompt::Message(prompt) => Ok(Some(prompt)),
        Prompt::New(messages) => {
            let saved = save(tx, thread, Save::all(messages.into_iter().map(|new| named(new, user))))?;
            Ok(saved.last().map(|row| row.id))
        }
    }
}

fn named(new: NewMessage, user: Option<&String>) -> NewMessage {
    NewMessage { user: new.user.or_else(|| user.cloned()), ..new }
}
