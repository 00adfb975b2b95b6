//! The spans that OpenTelemetry's conventions for generative AI want, and their names.
//!
//! No content is in them: neither prompts nor answers, arguments nor results.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;
use loomwork_core::{Clock, Time};
use loomwork_models::{
    Chunk, Error, ErrorKind, FinishReason, LanguageModel, ModelName, ReplyStream, Request, SchemaSupport,
    Settings, ToolCall, Usage,
};
use tracing::{Instrument as _, Span, field};

use crate::error::AgentError;
use crate::generate::Generation;
use crate::tool::{Outcome, ToolInfo};

/// Returns the span of an answer of a model.
pub(crate) fn invoke_agent<S>(generation: &Generation<S>, model: Option<&ModelName>) -> Span {
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
pub(crate) fn agent_ended(span: &Span, answered: Result<&Usage, &AgentError>) {
    match answered {
        Ok(usage) => used(span, usage),
        Err(AgentError::Ended(_)) => {}
        Err(AgentError::Model { source, .. }) if source.kind() == &ErrorKind::Cancelled => {}
        Err(error) => failed(span, &error.failure().code),
    }
}

/// Returns the kind of the span of a model's call: one in this process has no server.
fn kind(model: &ModelName) -> &'static str {
    if matches!(model.provider.as_str(), "offline" | "mock") { "internal" } else { "client" }
}

/// Returns the span of a call of an image model.
pub(crate) fn generate_content(model: &ModelName) -> Span {
    tracing::info_span!(
        "generate_content",
        "otel.name" = format!("generate_content {}", model.model),
        "otel.kind" = kind(model),
        "otel.status_code" = field::Empty,
        "gen_ai.operation.name" = "generate_content",
        "gen_ai.provider.name" = model.provider,
        "gen_ai.request.model" = model.model,
        "gen_ai.output.type" = "image",
        "gen_ai.usage.input_tokens" = field::Empty,
        "gen_ai.usage.output_tokens" = field::Empty,
        "error.type" = field::Empty,
    )
}

/// Notes how a call of an image model ended.
pub(crate) fn content_ended(span: &Span, made: Result<&Usage, &Error>) {
    match made {
        Ok(usage) => used(span, usage),
        Err(error) => model_failed(span, error),
    }
}

/// Returns the span of a call of a language model.
fn chat(model: &ModelName, settings: &Settings) -> Span {
    tracing::info_span!(
        "chat",
        "otel.name" = format!("chat {}", model.model),
        "otel.kind" = kind(model),
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

/// A language model whose calls have spans: one for each call, from its beginning to the last chunk.
#[derive(Debug)]
pub(crate) struct Traced<'a> {
    model: &'a dyn LanguageModel,
    clock: &'a Clock,
}

impl<'a> Traced<'a> {
    pub(crate) fn new(model: &'a dyn LanguageModel, clock: &'a Clock) -> Self {
        Self { model, clock }
    }
}

#[async_trait]
impl LanguageModel for Traced<'_> {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    fn schema_support(&self) -> SchemaSupport {
        self.model.schema_support()
    }

    async fn stream(&self, request: Request) -> loomwork_models::Result<ReplyStream> {
        let span = chat(self.model.name(), &request.settings);
        let asked = Some(self.clock.now());
        let opened = self.model.stream(request).instrument(span.clone()).await;
        let chunks = opened.inspect_err(|error| model_failed(&span, error))?;
        Ok(Box::pin(TracedReply { chunks, span, clock: self.clock.clone(), asked }))
    }
}

/// An answer whose span hears what is not content.
struct TracedReply {
    chunks: ReplyStream,
    span: Span,
    clock: Clock,
    /// When the model was asked, until it says its first word.
    asked: Option<Time>,
}

impl TracedReply {
    fn heard(&mut self, chunk: &loomwork_models::Result<Chunk>) {
        if let (Ok(_), Some(asked)) = (chunk, self.asked.take()) {
            let waited: Duration = self.clock.now().since(asked);
            self.span.record("gen_ai.response.time_to_first_chunk", waited.as_secs_f64());
        }
        match chunk {
            Ok(Chunk::Start(info)) => {
                if !info.model.is_empty() {
                    self.span.record("gen_ai.response.model", info.model.as_str());
                }
                if let Some(id) = &info.id {
                    self.span.record("gen_ai.response.id", id.as_str());
                }
            }
            Ok(Chunk::Finish(finish)) => {
                let reasons = [finish_reason(finish.reason)];
                self.span.record("gen_ai.response.finish_reasons", field::debug(reasons));
                used(&self.span, &finish.usage);
            }
            Ok(_) => {}
            Err(error) => model_failed(&self.span, error),
        }
    }
}

impl Stream for TracedReply {
    type Item = loomwork_models::Result<Chunk>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = this.span.in_scope(|| this.chunks.as_mut().poll_next(context));
        if let Poll::Ready(Some(chunk)) = &polled {
            this.heard(chunk);
        }
        polled
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
