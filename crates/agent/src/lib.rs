//! Agents: models that answer in durable threads, with context, tools and typed results.

mod spans;
mod tool;

pub use loomwork_macros::tool;
pub use tool::{
    Approval, BoxError, CANCEL_GRACE, CallEnd, Calls, DEFAULT_TIMEOUT, IntoTool, IntoToolOutput, Json,
    MAX_TOOL_NAME, Outcome, ParentRun, RequestedCall, Tool, ToolContext, ToolError, ToolEvent, ToolInfo,
    ToolLayer, ToolPolicy, ToolScope, ToolSource, Tools, ToolsError, UNREAD_EVENTS, run_calls,
};

/// What the expansion of [`#[tool]`](macro@tool) stands on.
#[doc(hidden)]
pub mod __private {
    pub use loomwork_core::RetryPolicy;
    pub use schemars;
    pub use serde;
}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/agent.md")]
struct Guide;
