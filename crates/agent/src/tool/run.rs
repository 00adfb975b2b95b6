//! Running the calls of a step.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use loomwork_core::Time;
use loomwork_models::{ToolCall, ToolOutput, ToolResult};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{ToolContext, ToolScope, Tools, call};
use crate::approvals::ApprovalId;
use crate::humans::QuestionId;

/// How long a call that was called off may take to end by itself; then it is dropped.
pub const CANCEL_GRACE: Duration = Duration::from_millis(100);

/// How many reports of a step's calls may wait to be read.
pub const UNREAD_EVENTS: usize = 64;

/// A call that a model made, to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedCall {
    /// The call.
    pub call: ToolCall,
    /// Whether somebody approved it, so that the tool's policy is not asked any more.
    pub approved: bool,
}

impl From<ToolCall> for RequestedCall {
    fn from(call: ToolCall) -> Self {
        Self { call, approved: false }
    }
}

/// What happens while the calls of a step run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolEvent {
    /// A tool says how far its call has come.
    Progress {
        /// The id of the call.
        call: String,
        /// The part that is done, from 0 to 1.
        fraction: Option<f64>,
        /// What it is doing, for people.
        text: String,
    },
    /// A tool shows an output that is not its last one.
    Preliminary {
        /// The id of the call.
        call: String,
        /// The tool.
        tool: String,
        /// The output.
        output: ToolOutput,
    },
    /// A call is over. Nothing more comes of it.
    Ended(Box<CallEnd>),
}

/// Whom a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaits {
    /// Somebody who approves it.
    Approval(ApprovalId),
    /// The answer of a person.
    Answer(QuestionId),
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEnd {
    /// The call.
    pub call: ToolCall,
    /// How it ended.
    pub outcome: Outcome,
    /// What the model is given; `None` where somebody else has to answer or to approve first.
    pub result: Option<ToolResult>,
    /// How often the tool was tried; 0 if it never ran.
    pub tries: u32,
    /// When the call was taken up; waiting for its turn among others counts.
    pub started: Time,
    /// When it was over.
    pub ended: Time,
    /// Whom it waits for; `None` where it has a result, where the client is to answer, and outside of threads.
    pub awaits: Option<Awaits>,
}

impl CallEnd {
    /// Returns how long the call took.
    pub fn duration(&self) -> Duration {
        self.ended.since(self.started)
    }

    /// Returns whether the tool did what it was called for.
    pub fn succeeded(&self) -> bool {
        self.outcome == Outcome::Succeeded
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The tool did what it was called for.
    Succeeded,
    /// The tool failed, there is none of that name, or its arguments were wrong. The model is told.
    Failed,
    /// The call was refused. The model is told.
    Denied,
    /// The run was called off.
    Cancelled,
    /// Somebody else has to answer: a person, or the client.
    Unanswered,
    /// Somebody has to approve first. Nothing has run.
    NeedsApproval,
}

/// Runs the calls of a step, all at the same time, and returns what happens, as it happens.
///
/// Whatever goes wrong with a call is its result, which the model is given: a tool that does not exist,
/// arguments that are wrong, an error, a panic, too long a wait. Nothing is stored here. Calls that the
/// provider ran itself are passed over.
///
/// The calls run inside the task that polls the stream, and only while it does. A tool that computes for
/// long hands its work to `tokio::task::spawn_blocking`, so that the others go on.
///
/// Cancel safety: dropping the stream drops all calls that run. To end them in order, cancel the scope's
/// token and read on: those that ignore it are dropped after [`CANCEL_GRACE`], and every call has its end.
///
/// ```
/// # use std::sync::Arc;
/// use futures_util::StreamExt;
/// use loomwork_agent::{Tool, ToolContext, ToolEvent, Tools, run_calls};
/// use loomwork_models::ToolCall;
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scope = Arc::new(ToolContext::for_test(()).await.scope().clone());
/// let now = Tool::new("now", "Tells the time.", |_: ToolContext, (): ()| async { "noon" });
/// let tools = Tools::new().with(now)?;
/// let call = ToolCall { id: "1".into(), name: "now".into(), input: json!({}), ..ToolCall::default() };
///
/// let mut calls = run_calls(&tools, [call], scope, Arc::new(()));
/// while let Some(event) = calls.next().await {
///     if let ToolEvent::Ended(end) = event {
///         assert!(end.succeeded());
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn run_calls<S: Send + Sync + 'static>(
    tools: &Tools<S>,
    calls: impl IntoIterator<Item = impl Into<RequestedCall>>,
    scope: Arc<ToolScope>,
    state: Arc<S>,
) -> Calls {
    let (sender, reports) = mpsc::channel(UNREAD_EVENTS);
    let running = FuturesUnordered::new();
    let mut known = Vec::new();
    let requested = calls.into_iter().map(Into::into);
    for requested in requested.filter(|requested: &RequestedCall| !requested.call.provider_executed) {
        let number = known.len();
        let RequestedCall { call, approved } = requested;
        known.push(Known { call: call.id.clone(), tool: call.name.clone(), is_over: false });
        let context = ToolContext::new(scope.clone(), state.clone(), call);
        let context = context.reporting(Reports { number, sender: sender.clone() });
        let tools = tools.clone();
        let running_call: Running =
            Box::pin(async move { (number, call::run(&tools, context, approved).await) });
        running.push(running_call);
    }
    Calls { known, running, reports, over: None }
}

type Running = BoxFuture<'static, (usize, CallEnd)>;

/// The calls of a step while they run: a stream of [`ToolEvent`]s that ends with the last call.
#[must_use = "the calls run only while this is polled"]
pub struct Calls {
    known: Vec<Known>,
    running: FuturesUnordered<Running>,
    reports: mpsc::Receiver<(usize, Report)>,
    /// A call that is over and whose reports are handed on first.
    over: Option<(usize, CallEnd)>,
}

struct Known {
    call: String,
    tool: String,
    is_over: bool,
}

impl Calls {
    /// Returns the event of a report; none if the call is over and a task that it left behind goes on.
    fn event(&self, number: usize, report: Report) -> Option<ToolEvent> {
        let Known { call, tool, is_over } = &self.known[number];
        let (call, tool) = (call.clone(), tool.clone());
        (!is_over).then(|| match report {
            Report::Progress { fraction, text } => ToolEvent::Progress { call, fraction, text },
            Report::Preliminary(output) => ToolEvent::Preliminary { call, tool, output },
        })
    }

    /// Returns what was reported before the call that is over was.
    fn last_words(&mut self) -> Option<ToolEvent> {
        while let Ok((number, report)) = self.reports.try_recv() {
            if let Some(event) = self.event(number, report) {
                return Some(event);
            }
        }
        None
    }
}

impl Stream for Calls {
    type Item = ToolEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ToolEvent>> {
        loop {
            if self.over.is_some()
                && let Some(event) = self.last_words()
            {
                return Poll::Ready(Some(event));
            }
            if let Some((number, end)) = self.over.take() {
                self.known[number].is_over = true;
                return Poll::Ready(Some(ToolEvent::Ended(Box::new(end))));
            }
            while let Poll::Ready(Some((number, report))) = self.reports.poll_recv(context) {
                if let Some(event) = self.event(number, report) {
                    return Poll::Ready(Some(event));
                }
            }
            match ready!(self.running.poll_next_unpin(context)) {
                Some(over) => self.over = Some(over),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Calls").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

/// What a tool says before it ends.
pub(super) enum Report {
    Progress { fraction: Option<f64>, text: String },
    Preliminary(ToolOutput),
}

/// Where a call's reports go.
#[derive(Clone)]
pub(super) struct Reports {
    number: usize,
    sender: mpsc::Sender<(usize, Report)>,
}

impl Reports {
    /// A reader that is gone has nothing to be told.
    pub(super) async fn send(&self, report: Report) {
        let _ = self.sender.send((self.number, report)).await;
    }

    pub(super) fn send_or_drop(&self, report: Report) {
        let _ = self.sender.try_send((self.number, report));
    }
}
