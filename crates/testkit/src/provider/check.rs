//! The rules that a request has to keep.

mod chat;
mod embeddings;
mod field;
mod images;
mod memory;
mod messages;
mod responses;
mod sampling;
mod schema;
mod tools;

pub(super) use embeddings::tokens;
pub(super) use memory::Memory;

use field::Field;

use super::Failure;
use super::endpoint::{Endpoint, Family};
use super::recorded::Recorded;

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    /// The field that is wrong.
    pub(super) param: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    /// A bad request as a whole.
    fn of_request(message: impl Into<String>) -> Self {
        Self { status: 400, code: None, param: None, message: message.into() }
    }

    fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }
}

impl From<Refusal> for Failure {
    fn from(Refusal { status, code, param, message }: Refusal) -> Self {
        let failure = Self::status(status).message(message);
        let failure = param.into_iter().fold(failure, Self::param);
        code.into_iter().fold(failure, Self::code)
    }
}

type Check<T = ()> = Result<T, Refusal>;

/// Says what is wrong with a request, as its provider would.
pub(super) fn check(request: &Recorded, memory: &Memory) -> Check {
    let Some(endpoint) = request.endpoint else { return Ok(()) };
    match endpoint {
        Endpoint::Models | Endpoint::OllamaTags => return Ok(()),
        // A form, not JSON.
        Endpoint::ImageEdits => return images::check_edit(request),
        _ => {}
    }
    let is_json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if !is_json || !request.body.is_object() {
        return Err(Refusal::of_request("We could not parse the JSON body of your request."));
    }
    let body = Field::body(&request.body, request.family());
    body.get("stream").boolean()?;
    match endpoint {
        Endpoint::Chat => chat::check(request, &body),
        Endpoint::Responses => responses::check(&body, memory),
        Endpoint::Messages => messages::check(request, &body, memory).map_err(in_path_form),
        Endpoint::Embeddings => embeddings::check(&body),
        Endpoint::Images => images::check_generation(&body),
        Endpoint::ImageEdits | Endpoint::Models | Endpoint::OllamaTags => Ok(()),
    }
}

/// Anthropic's errors have no field of their own for what is wrong; the message begins with it.
fn in_path_form(refusal: Refusal) -> Refusal {
    let message = match &refusal.param {
        Some(param) => format!("{param}: {}", refusal.message),
        None => refusal.message,
    };
    Refusal { message, ..refusal }
}

/// The deployment's name stands in the path on Azure's old surface, and the body needs no model there.
fn check_model(request: &Recorded, body: &Field<'_>) -> Check {
    if request.path.contains("/deployments/") {
        return Ok(());
    }
    body.get("model").required_text().map(drop)
}
