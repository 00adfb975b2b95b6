//! Replies in the forms of the endpoints.

mod chat;
mod embeddings;
mod images;
mod messages;
mod models;
mod responses;

use serde_json::{Value, json};

pub(super) use super::frame::Frame;
pub(super) use embeddings::inputs;
pub(super) use images::PICTURES;
pub(super) use models::models;

use super::Failure;
use super::content::Content;
use super::endpoint::{Endpoint, Family};
use super::recorded::Recorded;
use super::reply::{Answer, Reply};
use super::shared::Shared;

/// The moment at which everything the fake makes was made: the start of 2026.
const CREATED: u64 = 1_767_225_600;

/// The model that is named where a request names none.
const MODEL: &str = "fake-model";

/// An answer before its bytes.
pub(super) struct Rendered {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) frames: Vec<Frame>,
}

impl Rendered {
    fn json(body: Value) -> Self {
        let content_type = "application/json".to_owned();
        Self { status: 200, content_type, headers: Vec::new(), frames: vec![Frame::Json(body)] }
    }

    fn stream(frames: Vec<Frame>) -> Self {
        let content_type = "text/event-stream; charset=utf-8".to_owned();
        Self { status: 200, content_type, headers: Vec::new(), frames }
    }
}

/// Renders a reply in the form that the request asks for.
pub(super) fn render(shared: &Shared, request: &Recorded, reply: &Reply) -> Rendered {
    let mut rendered = match &reply.answer {
        Answer::Raw { status, content_type, frames } => {
            let frames = frames.iter().cloned().map(Frame::Raw).collect();
            return Rendered {
                status: *status,
                content_type: content_type.clone(),
                headers: Vec::new(),
                frames,
            };
        }
        Answer::Failure(failure) => failed(request, failure),
        Answer::Content(content) => match &content.failure {
            Some(failure) if !request.wants_stream() => failed(request, failure),
            _ => said(shared, request, content),
        },
    };
    let usual = usual_headers(request);
    rendered.headers.splice(0..0, usual);
    rendered
}

fn said(shared: &Shared, request: &Recorded, content: &Content) -> Rendered {
    let call = Call { request, content, number: request.number };
    match request.endpoint {
        Some(Endpoint::Chat) => chat::render(&call),
        Some(Endpoint::Responses) => responses::render(&call, &mut shared.state().memory),
        Some(Endpoint::Messages) => messages::render(&call, &mut shared.state().memory),
        Some(Endpoint::Embeddings) => embeddings::render(&call),
        Some(Endpoint::Images | Endpoint::ImageEdits) => images::render(&call, shared),
        Some(Endpoint::Models | Endpoint::OllamaTags) | None => {
            let text = "a reply with content answers a call, not a list of models; use `Reply::json`";
            failed(request, &Failure::status(400).kind("fake_provider_error").message(text))
        }
    }
}

/// Renders an error as the whole answer.
fn failed(request: &Recorded, failure: &Failure) -> Rendered {
    let body = match request.family() {
        Family::OpenAi => json!({"error": failure.openai()}),
        Family::Anthropic => {
            json!({"type": "error", "error": failure.anthropic(), "request_id": request_id(request)})
        }
    };
    Rendered { status: failure.status, headers: failure.headers.clone(), ..Rendered::json(body) }
}

fn request_id(request: &Recorded) -> String {
    format!("req_{:06}", request.number)
}

fn usual_headers(request: &Recorded) -> Vec<(String, String)> {
    let id = request_id(request);
    let openai = [
        ("x-request-id", id.as_str()),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "1999981"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "1m2.5s"),
    ];
    let anthropic = [
        ("request-id", id.as_str()),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
        ("anthropic-ratelimit-tokens-limit", "480000"),
        ("anthropic-ratelimit-tokens-remaining", "479000"),
        ("anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:01Z"),
    ];
    let pairs = if request.family() == Family::OpenAi { openai } else { anthropic };
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a form needs to render a reply.
struct Call<'a> {
    request: &'a Recorded,
    content: &'a Content,
    /// Makes ids that are the only ones of their kind in this fake.
    number: usize,
}

impl Call<'_> {
    fn model(&self) -> &str {
        self.request.body["model"].as_str().unwrap_or(MODEL)
    }

    /// An id such as `call_000003_1`, the same each time the reply is rendered.
    fn id(&self, prefix: &str, part: usize) -> String {
        format!("{prefix}_{:06}_{part}", self.number)
    }

    /// Whether the request offers this tool as one that takes any text.
    fn is_custom_tool(&self, name: &str) -> bool {
        let tools = self.request.body["tools"].as_array();
        tools.into_iter().flatten().any(|tool| {
            let own = tool["custom"]["name"].as_str().or_else(|| tool["name"].as_str());
            tool["type"] == "custom" && own == Some(name)
        })
    }
}
