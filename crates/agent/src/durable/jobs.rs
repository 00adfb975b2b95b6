//! Agents as the handlers of named jobs, which workflows, crons and pools can enqueue.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use loomwork_core::Kind;
use loomwork_messages::runs::Prompt;
use loomwork_messages::{
    Failure, MessageRow, MessageStatus, Position, Responder, Run, RunId, RunStatus, ThreadId, threads,
};
use loomwork_models::{Role, Usage};
use loomwork_store::{Error, Result, Row, Store, Tx};
use loomwork_workpool::{JobContext, JobError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::drive::{self, WhereElse};
use super::error::StartError;
use super::registry::{self, Registry};
use super::start::{StartOptions, begin};
use crate::agent::Agent;
use crate::error::AgentError;
use crate::generate::{Generation, Target};
use crate::journal;
use crate::object::{self, ObjectSpec};
use crate::runtime::Runtime;
use crate::tool::Tools;

/// What a job asks an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentJob {
    /// Where it is asked.
    pub thread: ThreadId,
    /// What it is asked.
    pub prompt: String,
    /// How. The key is the job's own.
    #[serde(default)]
    pub options: StartOptions,
}

impl AgentJob {
    /// Returns a job that asks as the agent itself says.
    pub fn new(thread: ThreadId, prompt: impl Into<String>) -> Self {
        Self { thread, prompt: prompt.into(), options: StartOptions::default() }
    }
}

/// A text that an agent gave to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TextAnswer {
    /// The run that made it.
    pub run: RunId,
    /// The text of its last step.
    pub text: String,
    /// What all its calls of models used, those that were cut too.
    pub usage: Usage,
}

/// A value that an agent gave to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ObjectAnswer<T> {
    /// The run that made it.
    pub run: RunId,
    /// The value.
    pub object: T,
    /// What its calls of models used.
    pub usage: Usage,
}

impl<S: Send + Sync + 'static> Agent<S> {
    /// Returns a handler of jobs that the agent answers with text. The answer is a durable run of the job: an attempt
    /// that goes on after a crash finds it, and goes on at the step where it stopped.
    ///
    /// ```
    /// use loomwork_agent::durable::{AgentJob, TextAnswer};
    /// use loomwork_agent::{Agent, Runtime};
    /// use loomwork_workpool::{Builder, Job};
    ///
    /// const SUMMARISE: Job<AgentJob, TextAnswer> = Job::new("summarise");
    ///
    /// fn jobs(builder: Builder, runtime: &Runtime, summariser: &Agent) -> Builder {
    ///     builder.on(SUMMARISE, summariser.as_text_job(runtime))
    /// }
    /// ```
    ///
    /// While the run waits for somebody, so does the job; its timeout ends that.
    pub fn as_text_job(
        &self,
        runtime: &Runtime,
    ) -> impl Fn(JobContext, AgentJob) -> BoxFuture<'static, Result<TextAnswer>> + Clone + Send + Sync + 'static
    {
        let (agent, runtime) = (self.clone(), runtime.clone());
        move |job, asked| text(agent.clone(), runtime.clone(), job, asked).boxed()
    }

    /// Returns a handler of jobs that the agent answers with a value. What an attempt before has completed is not
    /// asked again.
    pub fn as_object_job<T>(
        &self,
        runtime: &Runtime,
        spec: ObjectSpec<T>,
    ) -> impl Fn(JobContext, AgentJob) -> BoxFuture<'static, Result<ObjectAnswer<T>>> + Clone + Send + Sync + 'static
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (agent, runtime) = (self.clone(), runtime.clone());
        move |job, asked| object(agent.clone(), runtime.clone(), job, asked, spec.clone()).boxed()
    }
}

async fn text<S: Send + Sync + 'static>(
    agent: Agent<S>,
    runtime: Runtime,
    job: JobContext,
    asked: AgentJob,
) -> Result<TextAnswer> {
    let AgentJob { thread, prompt, options } = asked;
    let options = StartOptions { key: Some(key(&job, None)), ..options };
    let name = agent.name.clone();
    let begun = runtime.store.mutate(move |tx| begin(tx, &name, thread, prompt.as_str().into(), options));
    let (started, _) = begun.await?;
    let run = started.run().ok_or(StartError::NotTheAgents { thread })?;
    let registry = Registry::new().agent(agent)?;
    let making = async {
        loop {
            drive::make_runs(&registry, &runtime, run, WhereElse::Wait).await?;
            let row = runtime.store.query(move |tx| tx.require(run)).await?;
            if row.status.has_ended() {
                return runtime.store.query(move |tx| text_of(tx, run)).await;
            }
            drive::while_it_is(&runtime.store, run, RunStatus::Waiting).await?;
        }
    };
    tokio::select! {
        made = making => made,
        () = job.cancelled() => Err(drive::called_off(&runtime.store, run).await),
    }
}

async fn object<S: Send + Sync + 'static, T: DeserializeOwned + Send + 'static>(
    agent: Agent<S>,
    runtime: Runtime,
    job: JobContext,
    asked: AgentJob,
    spec: ObjectSpec<T>,
) -> Result<ObjectAnswer<T>> {
    let AgentJob { thread, prompt, options } = asked;
    let mut prompt = Prompt::from(prompt.as_str());
    let open = runtime.store.query(move |tx| Ok(threads::require(tx, thread)?.responder == Responder::Agent));
    if !open.await? {
        return Err(StartError::NotTheAgents { thread }.into());
    }
    for attempt in 1..job.attempt() {
        let Some(before) = run_of(&runtime.store, thread, key(&job, Some(attempt))).await? else { continue };
        drive::while_it_is(&runtime.store, before.id, RunStatus::Running).await?;
        let run = before.id;
        let row = runtime.store.query(move |tx| tx.require(run)).await?;
        if row.status == RunStatus::Success {
            return runtime.store.query(move |tx| object_of(tx, run)).await;
        }
        prompt = row.prompt.map_or(prompt, Prompt::Message);
    }
    let user = options.user.clone();
    let options = registry::options(options, &agent, &Tools::new())?;
    let target = Target { thread: Some(thread), user };
    let key = Some(key(&job, Some(job.attempt())));
    let generation = Generation { key, ..Generation::new(&agent, &runtime, target, prompt, options) };
    let made = tokio::select! {
        made = object::make(generation, spec, None) => made,
        () = job.cancelled() => {
            return Err(Error::message(Kind::Cancelled, "the value was called off with its job"));
        }
    };
    let reply = made.map_err(failed)?;
    let run =
        reply.stored.map(|stored| stored.run).ok_or_else(|| JobError::last("the value was not stored"))?;
    Ok(ObjectAnswer { run, object: reply.object, usage: reply.usage })
}

/// The key of a job's run: of one that all attempts share, or of each.
fn key(job: &JobContext, attempt: Option<u32>) -> String {
    let job = job.idempotency_key();
    attempt.map_or_else(|| format!("job {job}"), |attempt| format!("job {job} {attempt}"))
}

async fn run_of(store: &Store, thread: ThreadId, key: String) -> Result<Option<Row<Run>>> {
    store.query(move |tx| tx.first(Run::by_key.eq(thread).eq(Some(key.clone())))).await
}

fn failed(error: AgentError) -> Error {
    match error {
        AgentError::Store(error) => error,
        error => match loomwork_core::Fault::kind(&error) {
            Kind::Limited { wait } => JobError::retry_after(wait, error.to_string()).into(),
            kind if kind.is_retryable() => JobError::retry(error.to_string()).into(),
            _ => JobError::last(error.to_string()).into(),
        },
    }
}

fn text_of(tx: &Tx, run: RunId) -> Result<TextAnswer> {
    let (text, usage) = answer_of(tx, run)?;
    Ok(TextAnswer { run, text, usage })
}

fn object_of<T: DeserializeOwned>(tx: &Tx, run: RunId) -> Result<ObjectAnswer<T>> {
    let (text, usage) = answer_of(tx, run)?;
    let wrong =
        |error: serde_json::Error| JobError::last(format!("the value of {run} is of another type: {error}"));
    Ok(ObjectAnswer { run, object: serde_json::from_str(&text).map_err(wrong)?, usage })
}

/// Returns the last text of a run that is complete, and what all of it used.
fn answer_of(tx: &Tx, run: RunId) -> Result<(String, Usage)> {
    let row = tx.require(run)?;
    if row.status != RunStatus::Success {
        let Failure { code, message, .. } = row.record.error.unwrap_or_default();
        return Err(JobError::last(format!("{run} has no answer: {message} ({code})")).into());
    }
    let turn = MessageRow::by_position.eq(row.thread).ge(Position::start_of(row.order));
    let said = tx.scan(turn.le(Position::end_of(row.order)))?.into_iter().rev();
    let mut said = said.filter(|row| row.run == Some(run) && row.status == MessageStatus::Success);
    let last = said.find(|row| row.role() == Role::Assistant);
    let mut usage = Usage::default();
    for step in journal::steps(tx, run)? {
        if let Some(used) = &step.usage {
            usage += used;
        }
    }
    Ok((last.map(|row| row.message.text()).unwrap_or_default(), usage))
}
