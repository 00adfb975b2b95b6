//! OpenAI Responses.

mod answer;
mod growth;
mod input;
mod item;
mod media;
mod output;
mod reader;
mod request;
mod result;
mod resume;
mod source;
#[cfg(test)]
mod tests;
mod tools;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{OpenAi, Provider, errors};
use crate::history::{DataForm, Readable, Target};
use crate::http::{Ask, Body, Call};
use crate::tokens::Reckoning;
use crate::{LanguageModel, ModelName, ReplyInfo, ReplyStream, Request, Result, SchemaSupport, collect};
use reader::Reader;
use resume::Resuming;

use DataForm::{Bytes, Reference, Url};

/// The files that the protocol takes in users' messages.
const USER_FILES: &[Readable] = &[
    Readable { media_type: "image/png", forms: &[Bytes] },
    Readable { media_type: "image/jpeg", forms: &[Bytes] },
    Readable { media_type: "image/gif", forms: &[Bytes] },
    Readable { media_type: "image/webp", forms: &[Bytes] },
    Readable { media_type: "image/*", forms: &[Url] },
    Readable { media_type: "application/*", forms: &[Bytes, Url] },
    Readable { media_type: "text/*", forms: &[Bytes, Url] },
    Readable { media_type: "audio/wav", forms: &[Bytes] },
    Readable { media_type: "audio/x-wav", forms: &[Bytes] },
    Readable { media_type: "audio/mpeg", forms: &[Bytes] },
    Readable { media_type: "audio/mp3", forms: &[Bytes] },
    Readable { media_type: "*/*", forms: &[Reference] },
];

/// What a model has made goes back if the protocol has a place for it, and is left out else.
const ASSISTANT_FILES: &[Readable] = &[Readable { media_type: "*/*", forms: &[Bytes, Url, Reference] }];

impl OpenAi {
    /// Returns a model that is asked by Responses, the protocol in which OpenAI's models show and keep
    /// their reasoning and run the provider's own tools.
    ///
    /// By default nothing is stored at the provider: reasoning comes back sealed, in the bags of the
    /// answer's parts, and goes back with the next call. The options of a request for this provider are
    /// fields of its body, such as `reasoning`, `text`, `include`, `truncation`, `previous_response_id`,
    /// `conversation`, `store` or `background`; objects are merged and lists are joined with what is
    /// there. With `previous_response_id` or `conversation` only what follows the model's last message is
    /// sent. A `background` response that breaks off is taken up again where it was.
    pub fn responses(&self, model: impl Into<String>) -> Arc<dyn LanguageModel> {
        let name = self.0.name(model.into());
        Arc::new(Responses { provider: self.0.clone(), name })
    }
}

/// Returns a reader of an answer that nobody asked for.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn lone_reader() -> impl crate::http::ReadEvents {
    Reader::new(ModelName::new("openai", "gpt-5"), ReplyInfo::default(), Reckoning::default())
}

/// A language model behind `POST /responses`.
#[derive(Clone, Debug)]
struct Responses {
    provider: Arc<Provider>,
    name: ModelName,
}

impl Responses {
    fn target(&self) -> Target {
        Target {
            user_files: USER_FILES,
            tool_files: USER_FILES,
            assistant_files: ASSISTANT_FILES,
            ..Target::new(self.name.clone())
        }
    }

    /// Asks for an answer, as events or whole.
    async fn ask(&self, request: Request, is_streamed: bool) -> Result<ReplyStream> {
        let Request { settings, cancel, .. } = &request;
        let (settings, cancel) = (settings.clone(), cancel.clone());
        let reckoning = Reckoning::of(&request);
        let own_fields = &self.provider.options.body;
        let request::Body { json, warnings } =
            request::body(&self.target(), request, own_fields, is_streamed)?;
        let info = ReplyInfo {
            provider: self.name.provider.clone(),
            model: self.name.model.clone(),
            warnings,
            request_body: settings.keep_request_body.then(|| json.clone()),
            ..ReplyInfo::default()
        };
        let new_reader = || Reader::new(self.name.clone(), info.clone(), reckoning);
        let term = self.provider.http.term(&self.name.model, &settings, &cancel);
        let call = Call { term: &term, settings: &settings, read_error: errors::read };
        let headers = self.provider.headers();
        let path = self.provider.path("responses", &self.name.model);
        let ask = Ask { path: &path, headers: &headers, body: Body::Json(&json) };
        if json["background"] == Value::Bool(true) && is_streamed {
            let asked = resume::Asked {
                provider: self.provider.clone(),
                path: path.clone(),
                term: term.clone(),
                settings: settings.clone(),
            };
            return Resuming::stream(asked, &call, &ask, new_reader).await;
        }
        self.provider.http.stream(&call, &ask, new_reader).await
    }
}

#[async_trait]
impl LanguageModel for Responses {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn schema_support(&self) -> SchemaSupport {
        SchemaSupport::Native
    }

    async fn stream(&self, request: Request) -> Result<ReplyStream> {
        self.ask(request, true).await
    }

    async fn generate(&self, request: Request) -> Result<crate::Reply> {
        // A background response that is asked for whole is answered before it has begun.
        let is_background = request
            .provider_options
            .get(&self.name.provider)
            .is_some_and(|options| options["background"] == true);
        collect(self.ask(request, is_background).await?).await
    }
}
