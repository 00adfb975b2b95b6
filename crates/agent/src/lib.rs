//! Agents: models that answer in durable threads, with context, tools and typed results. For programs that put
//! a model before their users and must not lose what either of them said.
//!
//! The crate owns agents, the building of their context, their tools, and the loop over the model. It leaves
//! threads, messages, runs and streams to `loomwork-messages`, and models to `loomwork-models`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use loomwork_agent::{Agent, Runtime, step_count, tool};
//! use loomwork_messages::threads::NewThread;
//! use loomwork_models::OfflineModel;
//!
//! /// Looks up the orders of a customer.
//! #[tool]
//! async fn orders(
//!     /// The customer's name.
//!     customer: String,
//! ) -> String {
//!     format!("{customer} has ordered a carpet")
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::memory().await?; // `Runtime::over(Sqlite::open("app.db")?)` keeps it
//! let model = Arc::new(OfflineModel::default());
//! let support = Agent::new("support", model)
//!     .instructions("You are a helpful assistant.")
//!     .tool(orders)?
//!     .stop_when(step_count(5));
//!
//! let thread = support.create_thread(&runtime, NewThread::for_user("alice")).await?;
//! let reply = thread.generate_text("Hello! Who are you?").await?;
//! assert!(reply.text.contains("offline"));
//!
//! let mut stream = thread.stream_text("And what can you do?").await?;
//! while let Some(text) = stream.next_text().await {
//!     print!("{text}");
//! }
//! # runtime.shutdown(std::time::Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//! - An [`Agent`] is a plain value; an [`AgentThread`] is its handle of a thread, an [`AgentOutside`] one of none.
//!   [`Options`] are said at three levels: agent, handle, call; a [`DryRun`] shows what comes of them.
//! - Text whole or as a [`TextStream`], values whole or as an [`ObjectStream`] ([`ObjectSpec`] says of which kind),
//!   images ([`ImageOptions`]).
//! - A [`Tool`] is an async function, by [`#[tool]`](macro@tool) or by hand; [`run_calls`] runs the calls of a
//!   step. [`StopWhen`] says when the model is asked no more. A [`ToolSource`] lists tools at run time, an
//!   [`AgentTool`] is another agent, [`record_edit`] and [`recall_edits`] are ready.
//! - [`Routes`] say who answers: chosen by a model, by likeness or by name, or [handed](hand_off) a thread by another
//!   agent; [`ask_all`] asks several.
//! - [`context`] builds what the model is told, in pieces that say where they come from. A [`Compaction`] puts the oldest
//!   turns of long threads into summaries.
//! - [`OnUsage`] and [`OnExchange`] hear what models used and said, from the commit of the step or the [`outbox`].
//!   An [`Admission`] lets runs and calls begin. [`PrepareStep`] changes steps; an [`InputGuard`] stands before the
//!   model, an [`OutputGuard`] before the user. [`Values`] that an application attaches reach all of these.
//! - The [`journal`] says what each step and each call of a run did, and when.
//! - A [`Runtime`] is a store, this process's part in its runs and streams, and search and files where there
//!   are some.
//!
//! # Guarantees
//! - **A step is a commit.** Its messages, the next pending one and the end of its stream are one transaction. A
//!   step that cannot be stored is a failed answer, and is told.
//! - **What has ended is not repeated.** Results of tools are committed as they come, and so is the model's answer
//!   before its tools run; who takes a durable run up goes on from there.
//! - **Usage is told once for each attempt**, however it ended, and whatever handlers do.
//! - **What came is kept.** However an answer ends, its message holds what was streamed, and says why it ended.
//! - **An abort reaches tools**, from any process.
//! - **A tool's failure is the model's to read**, and ends nothing.
//!
//! # By default
//! One step is made unless a condition says otherwise; model calls are tried twice more; tools are not, unless they
//! say that they are idempotent; tools are part of the context.

mod admission;
mod agent;
mod agent_tool;
pub mod approvals;
mod call_off;
pub mod compaction;
pub mod context;
mod dry_run;
pub mod durable;
mod edit_tools;
mod error;
mod estimate;
mod exchange;
mod generate;
mod guard;
mod hand_off;
mod handled;
mod hooks;
pub mod humans;
mod image;
pub mod journal;
mod object;
mod options;
pub mod outbox;
mod patterns;
mod prepare;
mod reply;
mod rewind;
mod routes;
mod runtime;
mod spans;
mod stop;
mod stream;
mod tables;
mod thread;
mod tool;
mod usage;
mod values;
mod waiting;

pub use admission::{Admission, Hold, PlannedCall};
pub use agent::Agent;
pub use agent_tool::{AGENT_TIMEOUT, AgentTool, Delegated, Home, MAX_AGENT_DEPTH, PARENT, Task};
pub use compaction::{Compaction, CompactionLimits, CompactionState, Summarised, ToSummarise};
pub use dry_run::DryRun;
pub use edit_tools::{RECALLED, recall_edits, record_edit};
pub use error::AgentError;
pub use estimate::estimate;
pub use exchange::{Exchange, MAX_EXCHANGE_BYTES, OnExchange};
pub use generate::{MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES, PROGRESS_CHUNK, PROGRESS_EVERY};
pub use guard::{InputGuard, Occasion, OutputGuard, Passage, Verdict};
pub use hand_off::{HAND_OFF, HandOffError, MAX_HAND_OFFS, hand_off};
pub use image::{ImageOptions, ImageReply};
pub use loomwork_macros::tool;
pub use object::{ObjectReply, ObjectSpec, ObjectStream};
pub use options::{Field, Options, Storage};

pub use patterns::{ask_all, combined};
pub use prepare::{NextStep, PrepareStep};
pub use reply::{AgentReply, StepReply, Stored};
pub use rewind::{History, RewindError, Rewound, rewind, rewind_to_edit};
pub use routes::{Chosen, Corpus, Routes};
pub use runtime::{Runtime, tables};
pub use stop::{StopWhen, has_successful_tool_call, step_count};
pub use stream::{TextStream, UNREAD_CHUNKS};
pub use tables::{CallRow, Embedded, StepEnd, StepId, StepRow};
pub use thread::{AgentHandle, AgentOutside, AgentThread, Outside};
pub use tool::{
    Approval, Awaits, BoxError, CANCEL_GRACE, CallEnd, Calls, DEFAULT_TIMEOUT, IntoTool, IntoToolOutput,
    Json, LIST_TIMEOUT, MAX_TOOL_NAME, Outcome, ParentRun, RequestedCall, Tool, ToolChanges, ToolContext,
    ToolError, ToolEvent, ToolInfo, ToolLayer, ToolMount, ToolPolicy, ToolScope, ToolSource, Tools,
    ToolsError, UNREAD_EVENTS, run_calls,
};
pub use usage::{OnUsage, UsageEvent, UsageKind};
pub use values::Values;
pub use waiting::CallSite;

/// What the expansion of [`#[tool]`](macro@tool) stands on.
#[doc(hidden)]
pub mod __private {
    pub use loomwork_core::RetryPolicy;
    pub use schemars;
    pub use serde;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/agent.md")]
struct Guide;
