//! Agents: models that answer in durable threads, with context, tools and typed results.

mod agent;
pub mod context;
mod error;
mod generate;
mod object;
mod options;
mod reply;
mod runtime;
mod spans;
mod stop;
mod stream;
mod thread;
mod tool;

pub use agent::Agent;
pub use error::AgentError;
pub use loomwork_macros::tool;
pub use options::Options;
pub use reply::{AgentReply, StepReply, Stored};
pub use runtime::{Runtime, tables};
pub use stop::{StopWhen, has_successful_tool_call, step_count};
pub use stream::{TextStream, UNREAD_CHUNKS};
pub use thread::AgentThread;
pub use tool::{
    Approval, BoxError, CANCEL_GRACE, CallEnd, Calls, DEFAULT_TIMEOUT, IntoTool, IntoToolOutput, Json,
    MAX_TOOL_NAME, Outcome, ParentRun, RequestedCall, Tool, ToolContext, ToolError, ToolEvent, ToolInfo,
    ToolLayer, ToolPolicy, ToolScope, ToolSource, Tools, ToolsError, UNREAD_EVENTS, run_calls,
};

/// What the expansion of [`#[tool]`](tool) stands on.
#[doc(hidden)]
pub mod __private {
    pub use loomwork_core::RetryPolicy;
    pub use schemars;
    pub use serde;
}
