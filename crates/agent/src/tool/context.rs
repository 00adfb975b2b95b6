//! What a tool knows of its call.

use std::fmt;
use std::sync::Arc;

use loomwork_core::{Clock, Random, RawId};
use loomwork_files::Files;
use loomwork_messages::{MessageId, RunId, ThreadId};
use loomwork_models::{Message, ToolCall, ToolOutput};
use loomwork_search::Search;
use loomwork_store::Store;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::run::{Report, Reports};
use crate::admission::Admission;
use crate::agent_tool::Delegated;
use crate::runtime::Runtime;
use crate::usage::OnUsage;
use crate::values::Values;

/// What all calls of a step share: whose they are, and what they may use.
///
/// New fields may come; make one with [`ToolScope::new`] and set what there is.
#[derive(Clone, Debug)]
pub struct ToolScope {
    /// The agent.
    pub agent: String,
    /// Who or what called the agent, in words of its own.
    pub caller: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The thread; a run need not have one.
    pub thread: Option<ThreadId>,
    /// The assistant's message that holds the calls.
    pub message: Option<MessageId>,
    /// The message that the run answers.
    pub prompt: Option<MessageId>,
    /// The run.
    pub run: RunId,
    /// The number of the step within the run, from 0.
    pub step: u32,
    /// The number of the run's attempt, from 1.
    pub attempt: u32,
    /// What the application attaches.
    pub values: Values,
    /// The run that called this one's agent as a tool.
    pub parent: Option<ParentRun>,
    /// What the model was sent before it called.
    pub messages: Arc<[Message]>,
    /// The store.
    pub store: Store,
    /// What agents run on, so that tools can call them; none for calls outside of a generation.
    pub runtime: Option<Runtime>,
    /// What the agents use that are called as tools: it belongs to this run too.
    pub delegated: Delegated,
    /// Who is told what agents use that are called as tools, unless they tell somebody else.
    pub on_usage: Option<OnUsage>,
    /// Who lets the run begin and ask: agents that are called as tools ask them too.
    pub admissions: Arc<[Admission]>,
    /// The files, where there are some.
    pub files: Option<Files>,
    /// The search, where there is one.
    pub search: Option<Search>,
    /// Time, that of the store.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Calls the run off.
    pub cancel: CancellationToken,
}

/// The run that called an agent as a tool, and the one that began it all: what a run below it uses belongs to
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRun {
    /// The run that called.
    pub run: RunId,
    /// Its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The run that nobody called as a tool.
    pub root: RunId,
    /// The thread of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_thread: Option<ThreadId>,
    /// How many runs are above the one that was called.
    pub depth: u32,
}

impl ToolScope {
    /// Returns the scope of a run's first step, by nobody, without a thread.
    pub fn new(agent: impl Into<String>, run: RunId, store: &Store) -> Self {
        Self {
            agent: agent.into(),
            caller: None,
            user: None,
            thread: None,
            message: None,
            prompt: None,
            run,
            step: 0,
            attempt: 1,
            values: Values::default(),
            parent: None,
            messages: Arc::new([]),
            clock: store.clock().clone(),
            store: store.clone(),
            runtime: None,
            delegated: Delegated::default(),
            on_usage: None,
            admissions: Arc::new([]),
            files: None,
            search: None,
            random: Random::system(),
            cancel: CancellationToken::new(),
        }
    }
}

/// What a tool knows of its call, with the application's state `S`. A clone is cheap.
pub struct ToolContext<S = ()> {
    scope: Arc<ToolScope>,
    state: Arc<S>,
    call: Arc<ToolCall>,
    tried: u32,
    cancel: CancellationToken,
    reports: Option<Reports>,
}

impl<S> ToolContext<S> {
    /// Returns the context of a call. What it reports, nobody reads; [`run_calls`](super::run_calls) makes
    /// contexts of which the reports are read.
    pub fn new(scope: Arc<ToolScope>, state: Arc<S>, call: ToolCall) -> Self {
        let cancel = scope.cancel.child_token();
        Self { scope, state, call: Arc::new(call), tried: 1, cancel, reports: None }
    }

    /// Returns the context of a call in a test: of an agent `test`, over an empty store in memory, which has the
    /// tables of threads and messages.
    pub async fn for_test(state: S) -> Self {
        let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
        let store = Store::memory().tables(tables).open().await;
        let store = store.expect("a new store in memory takes our own tables");
        let run = RunId::from_raw(RawId::from_bytes([0; 16]));
        let scope = ToolScope::new("test", run, &store);
        let call = ToolCall { id: "call".into(), name: "tool".into(), ..ToolCall::default() };
        Self::new(Arc::new(scope), Arc::new(state), call)
    }

    pub(super) fn reporting(self, reports: Reports) -> Self {
        Self { reports: Some(reports), ..self }
    }

    /// Returns the context of one try, whose token is cancelled when the try is over.
    pub(super) fn for_try(&self, tried: u32) -> Self {
        Self { tried, cancel: self.cancel.child_token(), ..self.clone() }
    }

    /// Returns the same context without the state.
    pub fn without_state(&self) -> ToolContext {
        let Self { scope, state: _, call, tried, cancel, reports } = self.clone();
        ToolContext { scope, state: Arc::new(()), call, tried, cancel, reports }
    }

    /// Returns the application's state.
    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    /// Returns what all calls of the step share.
    pub fn scope(&self) -> &ToolScope {
        &self.scope
    }

    /// Returns the agent's name.
    pub fn agent(&self) -> &str {
        &self.scope.agent
    }

    /// Returns who or what called the agent.
    pub fn caller(&self) -> Option<&str> {
        self.scope.caller.as_deref()
    }

    /// Returns the user.
    pub fn user(&self) -> Option<&str> {
        self.scope.user.as_deref()
    }

    /// Returns the thread.
    pub fn thread(&self) -> Option<ThreadId> {
        self.scope.thread
    }

    /// Returns the assistant's message that holds the call.
    pub fn message(&self) -> Option<MessageId> {
        self.scope.message
    }

    /// Returns the message that the run answers.
    pub fn prompt(&self) -> Option<MessageId> {
        self.scope.prompt
    }

    /// Returns the run.
    pub fn run(&self) -> RunId {
        self.scope.run
    }

    /// Returns the number of the step within the run, from 0.
    pub fn step(&self) -> u32 {
        self.scope.step
    }

    /// Returns the number of the run's attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.scope.attempt
    }

    /// Returns what the application attaches to the generation.
    pub fn values(&self) -> &Values {
        &self.scope.values
    }

    /// Returns the run that called this one's agent as a tool.
    pub fn parent(&self) -> Option<ParentRun> {
        self.scope.parent
    }

    /// Returns what agents run on, so that the tool can call some; none for calls outside of a generation.
    pub fn runtime(&self) -> Option<&Runtime> {
        self.scope.runtime.as_ref()
    }

    /// Returns what this run is to an agent that the tool calls.
    pub fn as_parent(&self) -> ParentRun {
        let (run, thread) = (self.run(), self.thread());
        let above =
            self.parent().unwrap_or(ParentRun { run, thread, root: run, root_thread: thread, depth: 0 });
        ParentRun { run, thread, depth: above.depth + 1, ..above }
    }

    /// Returns what the model was sent before it called.
    pub fn messages(&self) -> &[Message] {
        &self.scope.messages
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.scope.store
    }

    /// Returns the files, where there are some.
    pub fn files(&self) -> Option<&Files> {
        self.scope.files.as_ref()
    }

    /// Returns the search, where there is one.
    pub fn search(&self) -> Option<&Search> {
        self.scope.search.as_ref()
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Clock {
        &self.scope.clock
    }

    /// Returns the call as the model made it.
    pub fn call(&self) -> &ToolCall {
        &self.call
    }

    /// Returns the call's id.
    pub fn call_id(&self) -> &str {
        &self.call.id
    }

    /// Returns how often the call has been tried, this time included.
    pub fn tried(&self) -> u32 {
        self.tried
    }

    /// Returns a key that is the same whenever this call is tried, also after a crash, and that no other call
    /// has: run, step and call. Some servers give calls of different steps one id.
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}:{}", self.scope.run, self.scope.step, self.call.id)
    }

    /// Returns the token that says when nobody waits for the call any longer: the run was called off, or this
    /// try took too long.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Says how far the call has come: a part of one, where that is known, and words for people.
    ///
    /// Reports that come faster than they are read are dropped.
    pub fn progress(&self, fraction: impl Into<Option<f64>>, text: impl Into<String>) {
        if let Some(reports) = &self.reports {
            let fraction = fraction.into().filter(|part| !part.is_nan()).map(|part| part.clamp(0.0, 1.0));
            reports.send_or_drop(Report::Progress { fraction, text: text.into() });
        }
    }

    /// Shows an output that is not the last one. It waits where those before have yet to be read.
    ///
    /// Cancel safety: dropped before it ends, it has shown nothing.
    pub async fn preliminary(&self, output: impl Into<ToolOutput>) {
        if let Some(reports) = &self.reports {
            reports.send(Report::Preliminary(output.into())).await;
        }
    }
}

impl<S> Clone for ToolContext<S> {
    fn clone(&self) -> Self {
        Self {
            scope: self.scope.clone(),
            state: self.state.clone(),
            call: self.call.clone(),
            tried: self.tried,
            cancel: self.cancel.clone(),
            reports: self.reports.clone(),
        }
    }
}

impl<S> fmt::Debug for ToolContext<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ToolContext");
        shown.field("scope", &self.scope).field("call", &self.call).field("tried", &self.tried);
        shown.finish_non_exhaustive()
    }
}
