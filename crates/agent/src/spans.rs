//! The spans that OpenTelemetry's conventions for generative AI want, and their names.

use loomwork_models::ToolCall;
use tracing::{Span, field};

use crate::tool::{Outcome, ToolInfo};

/// Returns the span of a tool's call.
pub(crate) fn execute_tool(call: &ToolCall, tool: Option<&ToolInfo>) -> Span {
    tracing::info_span!(
        "execute_tool",
        "otel.name" = format!("execute_tool {}", call.name),
        "otel.kind" = "internal",
        "otel.status_code" = field::Empty,
        "gen_ai.operation.name" = "execute_tool",
        "gen_ai.tool.name" = call.name,
        "gen_ai.tool.call.id" = call.id,
        "gen_ai.tool.type" = "function",
        "gen_ai.tool.description" = tool.map(|tool| tool.description.as_str()),
        "error.type" = field::Empty,
    )
}

/// Notes how a call ended: what was refused or called off is no error.
pub(crate) fn tool_ended(span: &Span, outcome: Outcome) {
    if outcome == Outcome::Failed {
        span.record("otel.status_code", "ERROR").record("error.type", "tool_failed");
    }
}
