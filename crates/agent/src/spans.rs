//! The spans that OpenTelemetry's conventions for generative AI want, and their names.
//!
//! No content is in them: neither prompts nor answers, arguments nor results.

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_models::{Error, ErrorKind, FinishReason, ModelName, Reply, Settings, ToolCall, Usage};
use tracing::{Span, field};

use crate::error::AgentError;
use crate::generate::Generation;
use crate::reply::AgentReply;
use crate::tool::{Outcome, ToolInfo};

/// Returns the span of an answer.
pub(crate) fn invoke_agent<S>(generation: &Generation<S>) -> Span {
    let model = generation.options.model.as_ref().map(|model| model.name());
    tracing::info_span!(
        "invoke_agent",
        "otel.name" = format!("invoke_agent {}", generation.agent.name),
        "otel.kind" = "internal",
        "otel.status_code" = field::Empty,
        "gen_ai.operation.name" = "invoke_agent",
        "gen_ai.agent.name" = &*generation.agent.name,
        "gen_ai.conversation.id" = generation.target.thread.map(field::display),
        "gen_ai.provider.name" = model.map(|model| model.provider.as_str()),
        "gen_ai.request.model" = model.map(|model| model.model.as_str()),
        "gen_ai.usage.input_tokens" = field::Empty,
        "gen_ai.usage.output_tokens" = field::Empty,
        "error.type" = field::Empty,
    )
}

/// Notes how an answer ended: one that was called off is no error.
pub(crate) fn agent_ended(span: &Span, answered: &Result<AgentReply, AgentError>) {
    match answered {
        Ok(reply) => used(span, &reply.usage),
        Err(AgentError::Ended(_)) => {}
        Err(AgentError::Model { source, .. }) if source.kind() == &ErrorKind::Cancelled => {}
        Err(error) => failed(span, &error.failure().code),
    }
}

/// Returns the span of a call of a language model.
pub(crate) fn chat(model: &ModelName, settings: &Settings) -> Span {
    let is_here = matches!(model.provider.as_str(), "offline" | "mock");
    tracing::info_span!(
        "chat",
        "otel.name" = format!("chat {}", model.model),
        "otel.kind" = if is_here { "internal" } else { "client" },
        "otel.status_code" = field::Empty,
        "gen_ai.operation.name" = "chat",
        "gen_ai.provider.name" = model.provider,
        "gen_ai.request.model" = model.model,
        "gen_ai.request.stream" = true,
        "gen_ai.request.max_tokens" = settings.max_output_tokens,
        "gen_ai.request.temperature" = settings.temperature,
        "gen_ai.request.top_p" = settings.top_p,
        "gen_ai.request.top_k" = settings.top_k,
        "gen_ai.request.seed" = settings.seed,
        "gen_ai.request.frequency_penalty" = settings.frequency_penalty,
        "gen_ai.request.presence_penalty" = settings.presence_penalty,
        "gen_ai.request.stop_sequences" =
            (!settings.stop_sequences.is_empty()).then(|| field::debug(&settings.stop_sequences)),
        "gen_ai.response.id" = field::Empty,
        "gen_ai.response.model" = field::Empty,
        "gen_ai.response.finish_reasons" = field::Empty,
        "gen_ai.response.time_to_first_chunk" = field::Empty,
        "gen_ai.usage.input_tokens" = field::Empty,
        "gen_ai.usage.output_tokens" = field::Empty,
        "gen_ai.usage.cache_read.input_tokens" = field::Empty,
        "gen_ai.usage.cache_creation.input_tokens" = field::Empty,
        "gen_ai.usage.reasoning.output_tokens" = field::Empty,
        "error.type" = field::Empty,
    )
}

/// Notes when a model says its first word.
pub(crate) struct FirstChunk<'a> {
    clock: &'a Clock,
    asked: Option<Time>,
}

impl<'a> FirstChunk<'a> {
    pub(crate) fn awaited(clock: &'a Clock) -> Self {
        Self { clock, asked: Some(clock.now()) }
    }

    pub(crate) fn came(&mut self, span: &Span) {
        if let Some(asked) = self.asked.take() {
            let waited: Duration = self.clock.now().since(asked);
            span.record("gen_ai.response.time_to_first_chunk", waited.as_secs_f64());
        }
    }
}

/// Notes how a call of a model ended: one that was called off is no error.
pub(crate) fn chat_ended(span: &Span, answered: &Result<Reply, AgentError>) {
    match answered {
        Ok(reply) => {
            span.record("gen_ai.response.model", reply.info.model.as_str());
            if let Some(id) = &reply.info.id {
                span.record("gen_ai.response.id", id.as_str());
            }
            let reasons = [finish_reason(reply.finish.reason)];
            span.record("gen_ai.response.finish_reasons", field::debug(reasons));
            used(span, &reply.finish.usage);
        }
        Err(AgentError::Model { source, .. }) => model_failed(span, source),
        Err(AgentError::Ended(_)) => {}
        Err(error) => failed(span, &error.failure().code),
    }
}

fn model_failed(span: &Span, error: &Error) {
    if let Some(usage) = error.usage() {
        used(span, usage);
    }
    if error.kind() != &ErrorKind::Cancelled {
        failed(span, error.kind().as_str());
    }
}

/// Returns the conventions' word for why a model stopped.
fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        _ => "error",
    }
}

fn used(span: &Span, usage: &Usage) {
    span.record("gen_ai.usage.input_tokens", usage.input());
    span.record("gen_ai.usage.output_tokens", usage.output());
    let written = usage.input_cache_write + usage.input_cache_write_hour;
    let kinds = [
        ("gen_ai.usage.cache_read.input_tokens", usage.input_cache_read),
        ("gen_ai.usage.cache_creation.input_tokens", written),
        ("gen_ai.usage.reasoning.output_tokens", usage.output_reasoning),
    ];
    for (name, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
        span.record(name, tokens);
    }
}

fn failed(span: &Span, kind: &str) {
    span.record("otel.status_code", "ERROR").record("error.type", kind);
}

/// Returns the span of the embedding of what is searched for.
pub(crate) fn embeddings() -> Span {
    tracing::info_span!(
        "embeddings",
        "otel.name" = "embeddings",
        "otel.kind" = "client",
        "otel.status_code" = field::Empty,
        "gen_ai.operation.name" = "embeddings",
        "gen_ai.provider.name" = field::Empty,
        "gen_ai.request.model" = field::Empty,
        "gen_ai.embeddings.dimension.count" = field::Empty,
        "gen_ai.usage.input_tokens" = field::Empty,
        "error.type" = field::Empty,
    )
}

/// Notes what was embedded, by whom, and what that used.
pub(crate) fn embedded(span: &Span, dimensions: usize, used: &[(ModelName, Usage)]) {
    if let Some((model, usage)) = used.first() {
        span.record("otel.name", format!("embeddings {}", model.model));
        span.record("gen_ai.provider.name", model.provider.as_str());
        span.record("gen_ai.request.model", model.model.as_str());
        span.record("gen_ai.embeddings.dimension.count", dimensions);
        span.record("gen_ai.usage.input_tokens", usage.embedding);
    }
}

/// Notes why nothing was embedded.
pub(crate) fn not_embedded(span: &Span, error: &impl loomwork_core::Fault) {
    failed(span, error.kind().as_str());
}

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
