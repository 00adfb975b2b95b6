//! OpenAI Chat Completions, and the servers that speak it too.

mod calls;
mod details;
mod messages;
mod reader;
mod request;
#[cfg(test)]
pub(super) mod tests;
mod think;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Provider, errors};
use crate::http::{Ask, Body, Call};
use crate::term::Term;
use crate::tokens::Reckoning;
use crate::{
    Error, LanguageModel, ModelName, ReplyInfo, ReplyStream, Request, Result, SchemaSupport, Settings,
    Warning,
};
use reader::Reader;

/// The field of a tool call that Gemini's layer wants back.
const EXTRA_CONTENT: &str = "extra_content";
/// The list of thoughts that OpenRouter wants back.
const REASONING_DETAILS: &str = "reasoning_details";
/// The name in a text's bag that marks a refusal.
const REFUSAL: &str = "refusal";

/// Groq's code for a tool call that its own parser refused.
const TOOL_USE_FAILED: &str = "tool_use_failed";

/// A model that is asked by Chat Completions.
#[derive(Debug)]
pub(super) struct Chat {
    provider: Arc<Provider>,
    name: ModelName,
}

impl Chat {
    pub(super) fn new(provider: Arc<Provider>, model: String) -> Self {
        let name = provider.name(model);
        Self { provider, name }
    }

    async fn ask(
        &self,
        (term, settings): (&Term, &Settings),
        reckoning: Reckoning,
        body: &Value,
        warnings: &[Warning],
    ) -> Result<ReplyStream> {
        let Provider { http, options } = &*self.provider;
        let info = ReplyInfo {
            provider: self.name.provider.clone(),
            model: self.name.model.clone(),
            warnings: warnings.to_vec(),
            request_body: settings.keep_request_body.then(|| body.clone()),
            ..ReplyInfo::default()
        };
        let call = Call { term, settings, read_error: errors::read };
        let path = self.provider.path("chat/completions", &self.name.model);
        let headers = self.provider.headers();
        let ask = Ask { path: &path, headers: &headers, body: Body::Json(body) };
        let reader = || {
            let mint = format!("{:016x}", options.http.random.u64());
            Reader::new(self.name.clone(), info.clone(), reckoning, options.dialect.think_tags, mint)
        };
        http.stream(&call, &ask, reader).await
    }
}

/// Returns a reader of an answer that nobody asked for.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn lone_reader() -> impl crate::http::ReadEvents {
    let name = ModelName::new("openai", "gpt-4o-mini");
    Reader::new(name, ReplyInfo::default(), Reckoning::default(), super::ThinkTags::No, String::new())
}

#[async_trait]
impl LanguageModel for Chat {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn schema_support(&self) -> SchemaSupport {
        let dialect = &self.provider.options.dialect;
        match (dialect.json_schema, dialect.tool_choice) {
            (true, _) => SchemaSupport::Native,
            (false, true) => SchemaSupport::Tool,
            (false, false) => SchemaSupport::Prompt,
        }
    }

    async fn stream(&self, mut request: Request) -> Result<ReplyStream> {
        let reckoning = Reckoning::of(&request);
        let (mut body, warnings) = request::build(&mut request, &self.provider.options, &self.name)?;
        // A second ask has no more time than is left of the first.
        let term = self.provider.http.term(&self.name.model, &request.settings, &request.cancel);
        let terms = (&term, &request.settings);
        match self.ask(terms, reckoning, &body, &warnings).await {
            // The model wrote a call that its server could not read: it sees that once, and tries again.
            Err(error) if error.code() == Some(TOOL_USE_FAILED) && retries(&request) => {
                show(&mut body, &error);
                let second = self.ask(terms, reckoning, &body, &warnings).await;
                let spent = error.usage().cloned().unwrap_or_default();
                second.map_err(|error| error.with_more_usage(&spent))
            }
            outcome => outcome,
        }
    }
}

fn retries(request: &Request) -> bool {
    request.settings.max_retries != Some(0)
}

/// Shows the model what was wrong with its tool call.
fn show(body: &mut Value, error: &Error) {
    let text = format!("Your tool call could not be read: {}. Call the tool again.", error.message());
    if let Some(Value::Array(messages)) = body.get_mut("messages") {
        messages.push(json!({ "role": "user", "content": text }));
    }
}
