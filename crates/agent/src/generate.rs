//! The loop over a model: one owner, and a commit behind each step.

mod ask;
mod asking;
mod attempt;
mod calls;
mod cut;
mod deny;
mod ending;
mod files;
mod joined;
mod opening;
mod record;
mod report;
mod resume;
mod step;
mod told;
mod waited;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loomwork_core::{Random, RawId};
use loomwork_messages::runs::{Prompt, RunError, Then};
use loomwork_messages::{Failure, NewMessage, RunId, RunStatus, ThreadId};
use loomwork_models::{Estimator, LanguageModel, Message, ModelName, TokenCounter, Usage};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::agent::Agent;
use crate::agent_tool::Delegated;
use crate::call_off::CallOff;
use crate::context::Denial;
use crate::error::AgentError;
use crate::options::Options;
use crate::reply::{AgentReply, StepReply};
use crate::runtime::Runtime;
use crate::spans;
use crate::stream::Outlet;
use crate::tool::CANCEL_GRACE;
pub(crate) use attempt::{Attempt, Plan};
use calls::why_not_made;
pub use calls::{MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES, PROGRESS_CHUNK, PROGRESS_EVERY};
pub(crate) use cut::upkeep as cut_upkeep;
pub(crate) use ending::Ending;
pub(crate) use files::inline;
pub(crate) use opening::step_row;
pub(crate) use record::Record;
pub(crate) use report::Reporter;
use resume::Known;
use step::Made;
pub(crate) use step::{Prepared, say};

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The thread that stores it; without one, nothing is stored.
    pub(crate) thread: Option<ThreadId>,
    /// Who asks.
    pub(crate) user: Option<String>,
}

/// An answer that is to be made.
pub(crate) struct Generation<S> {
    pub(crate) agent: Agent<S>,
    pub(crate) runtime: Runtime,
    pub(crate) target: Target,
    pub(crate) prompt: Prompt,
    pub(crate) options: Options<S>,
    /// Calls the answer off.
    pub(crate) call_off: CallOff,
    /// The run that is gone on with; else what stands for the run of an answer that nothing stores: what its
    /// tools do is told apart by it.
    pub(crate) unstored: RunId,
    /// What agents use that this one calls as tools.
    pub(crate) delegated: Delegated,
    /// What the context denies, to be stored with the prompt.
    pub(crate) denials: Vec<Denial>,
    /// The caller's name for the run.
    pub(crate) key: Option<String>,
    /// Whoever drops it gives its run back, for others to go on with.
    pub(crate) gives_back: bool,
}

/// Where the chunks of an answer go besides its stream.
pub(crate) type Out = Option<Outlet>;

impl<S: Send + Sync + 'static> Generation<S> {
    pub(crate) fn new(
        agent: &Agent<S>,
        runtime: &Runtime,
        target: Target,
        prompt: Prompt,
        options: Options<S>,
    ) -> Self {
        let options = agent.options.clone().merged(options);
        let (agent, runtime) = (agent.clone(), runtime.clone());
        let random = Random::system();
        let unstored = (u128::from(random.u64()) << 64) | u128::from(random.u64());
        let unstored = RunId::from_raw(RawId::from_bytes(unstored.to_be_bytes()));
        Self {
            agent,
            runtime,
            target,
            prompt,
            options,
            call_off: CallOff::default(),
            unstored,
            delegated: Delegated::default(),
            denials: Vec::new(),
            key: None,
            gives_back: false,
        }
    }

    /// Returns the same for an answer of one step: there is nothing that another process could go on with, so
    /// whoever finds it cut asks again.
    pub(crate) fn of_one_step(mut self) -> Self {
        self.options.durable = None;
        self
    }

    /// Makes the answer.
    pub(crate) async fn run(mut self, out: Out) -> Result<AgentReply, AgentError> {
        let model = self.options.model.as_ref().map(|model| model.name());
        let span = spans::invoke_agent(&self, model);
        let answered = async {
            let call_off = self.call_off.clone();
            let (mut messages, embedded) = unless_called_off(&call_off, self.unstored, self.told()).await?;
            let begun = async {
                let first = self.prepare(&mut messages, 0, &[]).await?;
                let record = Record::begin(&self, &first.plan, embedded.clone()).await?;
                Ok((first, record))
            };
            let (first, record) = match unless_called_off(&call_off, self.unstored, begun).await {
                Ok(begun) => begun,
                Err(error) => {
                    self.tell_embedded(embedded, &error).await;
                    return Err(error);
                }
            };
            if let Some(out) = &out {
                out.begun(record.begun());
            }
            self.go_on(record, messages, Known::default(), first, &out).await
        };
        let answered = answered.instrument(span.clone()).await;
        spans::agent_ended(&span, answered.as_ref().map(|reply| &reply.usage));
        answered
    }

    /// Makes step by step, from the one that is prepared on.
    async fn go_on(
        &self,
        mut record: Record,
        mut messages: Vec<Message>,
        known: Known,
        first: Prepared<S>,
        out: &Out,
    ) -> Result<AgentReply, AgentError> {
        let Known { mut steps, mut begun, waited } = known;
        let mut usage = Usage::default();
        for step in &steps {
            usage += &step.usage;
        }
        let mut prepared = first;
        if let Some(waited) = waited {
            let (step, checked) = (waited.step, messages.len());
            let settled = self.settle_waited(waited, &mut steps, &prepared, &record, out).await;
            let said = match settled {
                Ok(said) => said,
                Err(error) => return Err(self.fail(&mut record, error).await),
            };
            messages.extend(said.iter().map(|new| new.message.clone()));
            let goes_on = self.goes_on(&steps);
            let joined = record.settle(step, said, goes_on).await?;
            if !goes_on && joined.is_empty() {
                return Ok(self.replied(record, steps, usage));
            }
            messages.extend(joined);
            let next = self.prepare(&mut messages, checked, &steps);
            prepared = match self.while_held(&record, &CancellationToken::new(), next).await {
                Ok(next) => next,
                Err(error) => return Err(self.fail(&mut record, error).await),
            };
        } else if !prepared.is_final {
            let checked = messages.len();
            let next = self.prepare(&mut messages, checked, &steps);
            prepared = match self.while_held(&record, &CancellationToken::new(), next).await {
                Ok(next) => next,
                Err(error) => return Err(self.fail(&mut record, error).await),
            };
        }
        loop {
            let checked = messages.len();
            let made = match self.step(prepared, &record, steps.len(), begun.take(), out).await {
                Ok(made) => made,
                Err(error) => return Err(self.fail(&mut record, error).await),
            };
            usage += &made.reply.usage;
            let Made { reply, assistant, tool, last } = made;
            steps.push(reply);
            let goes_on = self.goes_on(&steps);
            let said: Vec<NewMessage> = [Some(assistant), tool].into_iter().flatten().collect();
            messages.extend(said.iter().map(|new| new.message.clone()));
            let waits = steps.last().is_some_and(StepReply::waits);
            let then = if goes_on {
                Then::GoOn
            } else if waits {
                Then::Wait
            } else {
                Then::End
            };
            let joined = record.commit(said, then, last.clone()).await?;
            if let Some(out) = out {
                last.into_iter().for_each(|chunk| out.send(chunk));
            }
            if !goes_on && joined.is_empty() {
                return Ok(self.replied(record, steps, usage));
            }
            messages.extend(joined);
            let next = async {
                let next = self.prepare(&mut messages, checked, &steps).await?;
                record.admit(&next.plan).await?;
                Ok(next)
            };
            prepared = match self.while_held(&record, &CancellationToken::new(), next).await {
                Ok(next) => next,
                Err(error) => return Err(self.fail(&mut record, error).await),
            };
        }
    }

    fn replied(&self, record: Record, steps: Vec<StepReply>, usage: Usage) -> AgentReply {
        self.tell_unread(&steps);
        let text = steps.last().map(StepReply::text).unwrap_or_default();
        let (delegated, stored) = (self.delegated.usage(), record.stored());
        AgentReply { text, steps, usage, delegated, stored }
    }

    /// Does something for a run until that is lost or called off. What is done hears of it by the token, and has a
    /// moment to end then; what comes of it does not count.
    pub(crate) async fn while_held<T>(
        &self,
        record: &Record,
        cancel: &CancellationToken,
        doing: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        let mut doing = pin!(doing);
        let ended = tokio::select! {
            biased;
            why = self.call_off.requested() => called_off(record.reporter.run, why),
            done = &mut doing => return done,
            lost = record.lost() => AgentError::Ended(Box::new(lost)),
        };
        cancel.cancel();
        // Tools that ignore it are dropped by then, and what the others did is stored.
        tokio::select! {
            _ = &mut doing => {}
            () = self.runtime.store.clock().sleep(CANCEL_GRACE * 2) => {}
        }
        Err(ended)
    }

    /// Ends the run with an error, and returns what is told: whatever breaks off behind a call to stop was called
    /// off.
    pub(crate) async fn fail(&self, record: &mut Record, error: AgentError) -> AgentError {
        match self.call_off.reason() {
            Some(why) => record.abort(why).await,
            None => record.fail(error).await,
        }
    }

    /// Returns what counts tokens.
    pub(crate) fn counter(&self) -> Arc<dyn TokenCounter> {
        self.options.token_counter.clone().unwrap_or_else(|| Arc::new(Estimator))
    }

    pub(crate) fn model(&self) -> Result<Arc<dyn LanguageModel>, AgentError> {
        let none = || AgentError::NoModel { agent: self.agent.name().to_owned() };
        self.options.model.clone().ok_or_else(none)
    }

    /// Returns who is told of the answer's calls. The run of one in a thread is known when that has begun.
    pub(crate) fn reporter(&self) -> Reporter {
        let Options { on_usage, on_exchange, parent, .. } = &self.options;
        if let Some(on_usage) = on_usage {
            self.runtime.outbox.know(on_usage.clone());
        }
        if let Some(on_exchange) = on_exchange {
            self.runtime.outbox.know(on_exchange.clone());
        }
        Reporter {
            run: self.unstored,
            root: parent.map_or(self.unstored, |parent| parent.root),
            thread: self.target.thread,
            user: self.target.user.clone(),
            agent: self.agent.name.clone(),
            values: self.options.values.clone(),
            on_usage: on_usage.clone(),
            on_exchange: on_exchange.clone(),
            delegated: self.delegated.clone(),
        }
    }

    /// Tells what embedding used for an answer that has not begun. A refusal has told it already.
    pub(crate) async fn tell_embedded(&self, embedded: Vec<(ModelName, Usage)>, error: &AgentError) {
        if embedded.is_empty() || matches!(error, AgentError::Refused { .. }) {
            return;
        }
        let reporter = self.reporter();
        let told = self.runtime.store.mutate(move |tx| reporter.embedded(tx, (0, 1), &embedded));
        if let Err(error) = told.await {
            tracing::warn!(agent = %self.agent.name, %error, "what embedding used was not told");
        }
    }

    /// Whether the model is called again: it has called tools, all of them have answered, and no condition
    /// stops it.
    fn goes_on(&self, steps: &[StepReply]) -> bool {
        let Some(last) = steps.last() else { return false };
        let Some(stop_when) = &self.options.stop_when else { return false };
        let has_called = !last.calls.is_empty() && why_not_made(last.finish_reason).is_none();
        let have_answered = last.calls.iter().all(|call| call.result.is_some());
        has_called && have_answered && !stop_when.is_met(steps)
    }

    /// Says, once for an agent, that nobody reads what its tools returned: that is seldom meant.
    fn tell_unread(&self, steps: &[StepReply]) {
        let has_results =
            steps.last().is_some_and(|step| step.calls.iter().any(|call| call.result.is_some()));
        if self.options.stop_when.is_some()
            || !has_results
            || self.agent.is_told.swap(true, Ordering::Relaxed)
        {
            return;
        }
        tracing::warn!(
            agent = self.agent.name(),
            "an answer ends behind its first step, with results of tools that the model has not read; give the \
             agent a stop condition, such as `step_count(5)`, so that it goes on"
        );
    }
}

/// Does something that is no run yet, unless the answer is called off.
pub(crate) async fn unless_called_off<T>(
    call_off: &CallOff,
    run: RunId,
    doing: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, AgentError> {
    tokio::select! {
        biased;
        why = call_off.requested() => Err(called_off(run, why)),
        done = doing => done,
    }
}

/// Returns the error of an answer that was called off.
pub(crate) fn called_off(run: RunId, why: Failure) -> AgentError {
    AgentError::Ended(Box::new(RunError::Lost { run, status: RunStatus::Aborted, error: Some(why) }))
}

/// Returns the number of a step as it is stored.
fn step_number(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}
