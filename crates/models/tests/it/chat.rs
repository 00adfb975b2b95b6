//! OpenAI Chat Completions, over real HTTP against a fake provider.

mod deviations;
mod failures;
mod requests;
mod servers;
mod streams;

use std::sync::Arc;

use loomwork_models::{
    Dialect, HttpOptions, LanguageModel, Message, OpenAi, OpenAiOptions, Part, Proxy, Reply, Request, Result,
    Settings,
};
use loomwork_testkit::provider::{self, FakeProvider};
use loomwork_testkit::soon;
use serde_json::{Value, json};

/// Options that lead to a fake, as a server of this name and dialect.
fn options(fake: &FakeProvider, provider: &str, dialect: Dialect) -> OpenAiOptions {
    OpenAiOptions {
        provider: provider.to_owned(),
        dialect,
        http: HttpOptions { proxy: Proxy::None, ..HttpOptions::default() },
        ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "sk-test")
    }
}

fn model(fake: &FakeProvider, provider: &str, dialect: Dialect, name: &str) -> Arc<dyn LanguageModel> {
    OpenAi::with(options(fake, provider, dialect)).chat(name)
}

fn openai(fake: &FakeProvider) -> Arc<dyn LanguageModel> {
    model(fake, "openai", Dialect::openai(), "gpt-4o-mini")
}

/// A request that is made once.
fn once() -> Request {
    let settings = Settings { max_retries: Some(0), ..Settings::default() };
    Request::new([Message::user("Hello")]).with_settings(settings)
}

/// Has a reply read by a model of OpenAI.
async fn read(reply: impl Into<provider::Reply>) -> Result<Reply> {
    let fake = FakeProvider::start().await;
    fake.reply(reply);
    soon(openai(&fake).generate(once())).await
}

/// Returns what a reply says, whoever made it: its parts, its end and its tokens.
fn gist(reply: &Reply) -> Value {
    let parts = reply.parts.iter().map(|part| match part {
        Part::Text(text) => json!({ "text": text.text }),
        Part::Reasoning(reasoning) => json!({ "reasoning": reasoning.text }),
        Part::ToolCall(call) => json!({ "call": call.name, "input": call.input, "id": call.id }),
        other => json!({ "other": other.type_name() }),
    });
    let usage = reply.usage();
    json!({
        "parts": parts.collect::<Vec<_>>(),
        "reason": reply.finish.reason,
        "input": usage.input(),
        "cached": usage.input_cache_read,
        "output": usage.output(),
        "reasoning": usage.output_reasoning,
    })
}
