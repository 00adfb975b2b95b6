//! Lists of models.

use serde_json::{Value, json};

use super::{CREATED, MODEL, Recorded};
use crate::provider::endpoint::{Endpoint, Family};
use crate::provider::reply::Reply;

/// Lists the models in the form that the request asks for.
pub(in crate::provider) fn models(request: &Recorded, names: Option<&[String]>) -> Reply {
    let only = [MODEL.to_owned()];
    let names = names.unwrap_or(&only);
    Reply::json(&match (request.endpoint, request.family()) {
        (Some(Endpoint::OllamaTags), _) => ollama(names),
        (_, Family::OpenAi) => openai(names),
        (_, Family::Anthropic) => anthropic(names),
    })
}

fn openai(names: &[String]) -> Value {
    let model = |name| json!({"id": name, "object": "model", "created": CREATED, "owned_by": "loomwork"});
    json!({"object": "list", "data": names.iter().map(model).collect::<Vec<_>>()})
}

fn anthropic(names: &[String]) -> Value {
    let model = |name: &String| json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"});
    json!({
        "data": names.iter().map(model).collect::<Vec<_>>(),
        "has_more": false,
        "first_id": names.first(),
        "last_id": names.last(),
    })
}

fn ollama(names: &[String]) -> Value {
    let details = json!({
        "parent_model": "",
        "format": "gguf",
        "family": "fake",
        "families": ["fake"],
        "parameter_size": "1B",
        "quantization_level": "Q4_K_M",
    });
    let model = |name: &String| {
        json!({
            "name": name,
            "model": name,
            "modified_at": "2026-01-01T00:00:00Z",
            "size": 815_319_791,
            "digest": "8648f39daa8fbf5b18c7b4e6a8fb4990c692751d49917417b8842ca5758e7ffc",
            "details": details,
        })
    };
    json!({"models": names.iter().map(model).collect::<Vec<_>>()})
}
