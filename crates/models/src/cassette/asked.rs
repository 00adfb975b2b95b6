//! A request as a cassette knows it: what reaches the model, without secrets.

use std::collections::BTreeMap;
use std::ops::Range;

use loomwork_core::Secret;
use serde_json::{Value, json};

use super::Matching;
use crate::offline::hash;
use crate::{Chunk, Message, PartNumber, Request, Settings};

/// What stands for a secret.
const MASK: &str = "[secret]";

/// Fields whose texts are secrets, without `-` and `_`.
const SECRET_FIELDS: &[&str] =
    &["apikey", "xapikey", "authorization", "accesstoken", "authtoken", "password", "secret", "clientsecret"];

/// How keys of well-known services begin, and how long a key is at least.
const KEY_BEGINNINGS: &[&str] = &[
    "sk-",
    "sk_",
    "pk_",
    "gsk_",
    "xai-",
    "hf_",
    "r8_",
    "pplx-",
    "nvapi-",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "ya29.",
    "Bearer ",
];
const KEY_LENGTH: usize = 20;

/// How many differences are shown, and how much of each text.
const MAX_DIFFERENCES: usize = 5;
const MAX_SHOWN: usize = 80;

/// What reaches the model of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked(pub(super) Value);

/// A place where two requests differ.
pub(super) struct Difference {
    path: String,
    recorded: Value,
    asked: Value,
}

impl Asked {
    pub(super) fn of(request: &Request, secrets: &[Secret]) -> Self {
        let settings = Settings {
            headers: Default::default(),
            timeout: None,
            max_retries: None,
            ..request.settings.clone()
        };
        let mut value = json!({
            "messages": request.messages,
            "tools": request.tools,
            "toolChoice": request.tool_choice,
            "format": request.format,
            "settings": settings,
            "providerOptions": request.provider_options,
        });
        mask(&mut value, secrets);
        Self(value)
    }

    /// Returns a short name of the request; equal requests have equal ones.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:016x}", hash(&[self.0.to_string().as_bytes()]))
    }

    pub(super) fn is(&self, other: &Self, matching: Matching) -> bool {
        match matching {
            Matching::Strict => self == other,
            Matching::Lenient => self.words() == other.words(),
        }
    }

    /// Returns roles, words and tools of the messages.
    fn words(&self) -> Vec<(String, String)> {
        let messages = self.0.get("messages").and_then(Value::as_array).into_iter().flatten();
        let words = messages.map(|message| match serde_json::from_value::<Message>(message.clone()) {
            Ok(message) => {
                let calls = message.tool_calls().map(|call| format!("{} {}", call.name, call.input));
                let results = message.tool_results().map(|result| result.output.to_text());
                let text: Vec<String> = [message.text()].into_iter().chain(calls).chain(results).collect();
                let text = text.join(" ");
                (message.role.as_str().to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            Err(_) => (String::new(), message.to_string()),
        });
        words.collect()
    }

    /// Returns where a request that is asked differs from this one that was recorded.
    pub(super) fn differences(&self, asked: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        compare(&self.0, &asked.0, String::new(), &mut differences);
        differences
    }
}

fn compare(recorded: &Value, asked: &Value, path: String, differences: &mut Vec<Difference>) {
    match (recorded, asked) {
        (Value::Object(one), Value::Object(other)) => {
            let more = other.keys().filter(|key| !one.contains_key(*key));
            for key in one.keys().chain(more) {
                let (one, other) = (one.get(key), other.get(key));
                compare(
                    one.unwrap_or(&Value::Null),
                    other.unwrap_or(&Value::Null),
                    format!("{path}/{key}"),
                    differences,
                );
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for index in 0..one.len().max(other.len()) {
                let (one, other) = (one.get(index), other.get(index));
                compare(
                    one.unwrap_or(&Value::Null),
                    other.unwrap_or(&Value::Null),
                    format!("{path}/{index}"),
                    differences,
                );
            }
        }
        (recorded, asked) if recorded == asked => {}
        (recorded, asked) => {
            differences.push(Difference { path, recorded: recorded.clone(), asked: asked.clone() });
        }
    }
}

/// Writes differences for a person.
pub(super) fn show(differences: &[Difference]) -> String {
    let short = |value: &Value| {
        let text = value.to_string();
        if text.chars().count() <= MAX_SHOWN {
            text
        } else {
            text.chars().take(MAX_SHOWN).chain(['…']).collect()
        }
    };
    let shown = differences.iter().take(MAX_DIFFERENCES).map(|difference| {
        let Difference { path, recorded, asked } = difference;
        format!("`{path}` was {} and is {}", short(recorded), short(asked))
    });
    let more = differences.len().saturating_sub(MAX_DIFFERENCES);
    let more = (more > 0).then(|| format!("and {more} more differences"));
    shown.chain(more).collect::<Vec<_>>().join("; ")
}

/// Returns a chunk without what has no business in a file: headers, the request's body, secrets. Deltas stay
/// as they are until all are there: several may spell out one secret.
pub(super) fn masked_chunk(mut chunk: Chunk, secrets: &[Secret]) -> Chunk {
    match &mut chunk {
        Chunk::PartDelta { .. } => return chunk,
        Chunk::Start(info) => {
            info.headers.clear();
            info.request_body = None;
        }
        _ => {}
    }
    let Ok(mut value) = serde_json::to_value(&chunk) else { return chunk };
    mask(&mut value, secrets);
    serde_json::from_value(value).unwrap_or(chunk)
}

/// Masks secrets in the deltas of an answer, each part's as one text.
pub(super) fn mask_deltas<'a>(chunks: impl Iterator<Item = &'a mut Chunk>, secrets: &[Secret]) {
    let mut parts: BTreeMap<PartNumber, Vec<&mut String>> = BTreeMap::new();
    for chunk in chunks {
        if let Chunk::PartDelta { part, delta } = chunk {
            parts.entry(*part).or_default().push(delta);
        }
    }
    parts.into_values().for_each(|deltas| mask_pieces(deltas, secrets));
}

/// Masks secrets in all texts of a value.
pub(super) fn mask(value: &mut Value, secrets: &[Secret]) {
    match value {
        Value::String(text) => mask_text(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, secrets)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let plain = name.to_lowercase().replace(['-', '_'], "");
                match value {
                    Value::String(text) if SECRET_FIELDS.contains(&plain.as_str()) => MASK.clone_into(text),
                    value => mask(value, secrets),
                }
            }
        }
        _ => {}
    }
}

fn mask_text(text: &mut String, secrets: &[Secret]) {
    for secret in places(text, secrets).into_iter().rev() {
        text.replace_range(secret, MASK);
    }
}

/// Masks the secrets that the pieces of a text spell out together.
fn mask_pieces(pieces: Vec<&mut String>, secrets: &[Secret]) {
    let whole: String = pieces.iter().map(|piece| piece.as_str()).collect();
    let places = places(&whole, secrets);
    if places.is_empty() {
        return;
    }
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.len();
        let mut masked = String::new();
        let mut from = start;
        for place in places.iter().filter(|place| place.start < end && start < place.end) {
            // The mask stands where the secret begins; what other pieces have of it is left out.
            if place.start >= start {
                masked.push_str(&whole[from..place.start]);
                masked.push_str(MASK);
            }
            from = place.end.min(end);
        }
        masked.push_str(&whole[from..end]);
        (start, *piece) = (end, masked);
    }
}

/// Returns where secrets stand in a text, in order and apart from each other.
fn places(text: &str, secrets: &[Secret]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for secret in secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
        // Within JSON text it may be spelled otherwise.
        let quoted = Value::from(secret).to_string();
        for spelling in [secret, &quoted[1..quoted.len() - 1]] {
            places.extend(text.match_indices(spelling).map(|(at, found)| at..at + found.len()));
        }
    }
    for beginning in KEY_BEGINNINGS {
        for (at, _) in text.match_indices(beginning) {
            let key = &text[at + beginning.len()..];
            let is_key = |letter: char| letter.is_ascii_alphanumeric() || "-_.~+/=".contains(letter);
            let end = at + beginning.len() + key.find(|letter| !is_key(letter)).unwrap_or(key.len());
            let stands_alone = !text[..at].ends_with(|letter: char| letter.is_ascii_alphanumeric());
            if stands_alone && end - at >= KEY_LENGTH {
                places.push(at..end);
            }
        }
    }
    places.sort_by_key(|place| (place.start, place.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for place in places {
        match apart.last_mut().filter(|last| place.start < last.end) {
            Some(last) => last.end = last.end.max(place.end),
            None => apart.push(place),
        }
    }
    apart
}
