//! What of a provider a request is for.

/// A place that the fake answers at. Any prefix may stand before its path, such as `/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// OpenAI Chat Completions, `POST /chat/completions`.
    Chat,
    /// OpenAI Responses, `POST /responses`.
    Responses,
    /// Anthropic Messages, `POST /messages`.
    Messages,
    /// OpenAI Embeddings, `POST /embeddings`.
    Embeddings,
    /// OpenAI Images, `POST /images/generations`.
    Images,
    /// OpenAI Images with pictures to start from, `POST /images/edits`.
    ImageEdits,
    /// The list of models, `GET /models`, in OpenAI's or Anthropic's form.
    Models,
    /// The models that an Ollama has, `GET /api/tags`.
    OllamaTags,
}

/// Which method and which end of the path belong to which endpoint.
const PLACES: [(&str, &str, Endpoint); 8] = [
    ("POST", "/chat/completions", Endpoint::Chat),
    ("POST", "/responses", Endpoint::Responses),
    ("POST", "/messages", Endpoint::Messages),
    ("POST", "/embeddings", Endpoint::Embeddings),
    ("POST", "/images/generations", Endpoint::Images),
    ("POST", "/images/edits", Endpoint::ImageEdits),
    ("GET", "/models", Endpoint::Models),
    ("GET", "/api/tags", Endpoint::OllamaTags),
];

impl Endpoint {
    pub(super) fn of(method: &str, path: &str) -> Option<Self> {
        let place = PLACES.iter().find(|(its_method, end, _)| *its_method == method && path.ends_with(end));
        place.map(|(_, _, endpoint)| *endpoint)
    }

    /// Whether a call may stream its answer.
    pub(super) fn is_language(self) -> bool {
        matches!(self, Self::Chat | Self::Responses | Self::Messages)
    }
}

/// Whose forms an answer takes: its errors, its ids and its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    OpenAi,
    Anthropic,
}
