//! What a language model answers: chunk by chunk, and as a whole.

use std::collections::BTreeMap;

use loomwork_core::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, Extras, Part, ProviderData, Reasoning, Text, ToolCall, Usage};

/// The number of a part within one answer: 0, 1, 2, … in the order of their starts.
pub type PartNumber = u32;

/// One step of a streamed answer.
///
/// An answer is [`Start`](Self::Start), then parts, and last [`Finish`](Self::Finish). A part that grows
/// is a `PartStart`, its `PartDelta`s and a `PartEnd`; parts may interleave. A stream that ends without
/// `Finish` ends in an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Chunk {
    /// The provider answers. It may come again, and then what it says is added.
    Start(ReplyInfo),
    /// A part begins.
    PartStart {
        /// Its number.
        part: PartNumber,
        /// What it is.
        kind: PartKind,
        /// What the provider says of it.
        #[serde(default, skip_serializing_if = "ProviderData::is_empty")]
        provider_metadata: ProviderData,
    },
    /// A part grows: by text, by thoughts, or by the JSON text of a tool call's arguments.
    PartDelta {
        /// Its number.
        part: PartNumber,
        /// What is added.
        delta: String,
    },
    /// A part is complete.
    PartEnd {
        /// Its number.
        part: PartNumber,
        /// What the provider says of it, added to what it said at the start.
        #[serde(default, skip_serializing_if = "ProviderData::is_empty")]
        provider_metadata: ProviderData,
    },
    /// A part that comes whole: a source, a file, the result of a tool that the provider ran.
    Part {
        /// The part.
        part: Part,
    },
    /// The answer is complete.
    Finish(Finish),
}

/// What a growing part is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum PartKind {
    /// Text.
    Text,
    /// The model's thoughts.
    Reasoning,
    /// A tool call, whose arguments follow as JSON text.
    ToolCall {
        /// The id that the result names.
        tool_call_id: String,
        /// The tool.
        tool_name: String,
        /// Whether the provider runs the tool itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        provider_executed: bool,
    },
}

/// What is known of an answer besides its parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplyInfo {
    /// The provider that answered: `openai`.
    pub provider: String,
    /// The model that answered, as the provider names it; it may be more exact than the one asked.
    pub model: String,
    /// The provider's id of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When the provider began the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// The headers of the answer that say more than transport: request ids, rate limits.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What was asked for and could not be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The body of the request as it was sent, for a log of raw exchanges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body: Option<Value>,
}

/// Something that was asked for and could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The setting, tool or part: `temperature`, `tool openai.web_search`.
    pub what: String,
    /// Why, and what was done instead.
    pub why: String,
}

/// How an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Finish {
    /// Why the model stopped.
    pub reason: FinishReason,
    /// The provider's own word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_reason: Option<String>,
    /// What the call used.
    pub usage: Usage,
    /// What the provider says of the whole answer.
    #[serde(skip_serializing_if = "ProviderData::is_empty")]
    pub provider_metadata: ProviderData,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// It had said all.
    Stop,
    /// It reached the limit of its output.
    Length,
    /// It calls tools.
    ToolCalls,
    /// A filter of the provider stopped it.
    ContentFilter,
    /// It refused.
    Refusal,
    /// The answer broke off: what came is kept.
    Interrupted,
    /// The answer was called off: what came is kept.
    Cancelled,
    /// The call failed: what came is kept.
    Error,
    /// It stopped for a reason that this version does not know; the raw reason says which.
    #[default]
    #[serde(other)]
    Other,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reply {
    /// Its parts.
    pub parts: Vec<Part>,
    /// How it ended.
    pub finish: Finish,
    /// What is known of it besides.
    pub info: ReplyInfo,
}

impl Reply {
    /// Returns the texts of the answer, joined.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// Returns the thoughts of the model, joined.
    pub fn reasoning(&self) -> String {
        let thoughts = self.parts.iter().filter_map(|part| match part {
            Part::Reasoning(reasoning) => Some(reasoning.text.as_str()),
            _ => None,
        });
        thoughts.collect()
    }

    /// Returns the tool calls of the answer, in their order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Returns what the call used.
    pub fn usage(&self) -> &Usage {
        &self.finish.usage
    }
}

/// Turns chunks into the answer that they make; the one place that does so.
///
/// Chunks that were stored and are read again make the same answer.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    parts: Vec<Part>,
    open: BTreeMap<PartNumber, Open>,
    info: ReplyInfo,
    finish: Option<Finish>,
}

/// A part that grows.
#[derive(Clone, Debug)]
struct Open {
    /// Where it stands among the parts.
    index: usize,
    /// The arguments of a tool call, which are read when they are complete.
    arguments: String,
}

impl Assembly {
    /// Adds a chunk. A chunk that names a part which is not growing is an error of kind `protocol`.
    pub fn push(&mut self, chunk: Chunk) -> Result<(), Error> {
        match chunk {
            Chunk::Start(info) => self.info.add(info),
            Chunk::PartStart { part, kind, provider_metadata } => {
                let open = Open { index: self.parts.len(), arguments: String::new() };
                if self.open.insert(part, open).is_some() {
                    return Err(self.broken(format!("part {part} starts twice")));
                }
                self.parts.push(empty(kind, provider_metadata));
            }
            Chunk::PartDelta { part, delta } => {
                let Some(open) = self.open.get_mut(&part) else { return Err(self.not_growing(part)) };
                let text = match &mut self.parts[open.index] {
                    Part::Text(part) => &mut part.text,
                    Part::Reasoning(part) => &mut part.text,
                    _ => &mut open.arguments,
                };
                // The first delta is taken as it is: a text that came whole is not copied.
                if text.is_empty() { *text = delta } else { text.push_str(&delta) }
            }
            Chunk::PartEnd { part, provider_metadata } => {
                let Some(open) = self.open.remove(&part) else { return Err(self.not_growing(part)) };
                if let Some(extras) = self.parts[open.index].extras_mut() {
                    merge(&mut extras.provider_metadata, provider_metadata);
                }
                self.settle(open);
            }
            Chunk::Part { part } => self.parts.push(part),
            Chunk::Finish(finish) => self.finish = Some(finish),
        }
        Ok(())
    }

    /// Returns whether nothing that a reader sees has come yet.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns whether the answer is complete.
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Returns the whole answer; one that never finished is an error that holds [what came](Error::partial).
    pub fn finish(self) -> Result<Reply, Error> {
        if self.is_finished() {
            return Ok(self.into_reply());
        }
        let partial = self.into_reply();
        let text = "the answer ended without saying that it is complete";
        let (provider, model) = (partial.info.provider.clone(), partial.info.model.clone());
        Err(Error::new(ErrorKind::Interrupted, provider, model, text).with_partial(partial))
    }

    /// Adds to the error that an answer broke off with what came of it.
    pub(crate) fn fail(self, error: Error) -> Error {
        if self.is_empty() {
            return error;
        }
        let mut partial = self.into_reply();
        partial.finish.usage = error.usage().cloned().unwrap_or_default();
        error.with_partial(partial)
    }

    /// Returns the answer so far; one that never finished is `interrupted`.
    pub fn into_reply(mut self) -> Reply {
        for open in std::mem::take(&mut self.open).into_values() {
            self.settle(open);
        }
        let cut = Finish { reason: FinishReason::Interrupted, ..Finish::default() };
        Reply { parts: self.parts, finish: self.finish.unwrap_or(cut), info: self.info }
    }

    fn settle(&mut self, open: Open) {
        if let Part::ToolCall(call) = &mut self.parts[open.index] {
            (call.input, call.invalid) = read_arguments(open.arguments);
        }
    }

    fn not_growing(&self, part: PartNumber) -> Error {
        self.broken(format!("part {part} is not growing"))
    }

    fn broken(&self, text: String) -> Error {
        Error::protocol(&self.info.provider, &self.info.model, text)
    }
}

/// Returns a part that has yet to grow.
fn empty(kind: PartKind, provider_metadata: ProviderData) -> Part {
    let text = String::new();
    let extras = Extras { provider_metadata, ..Extras::default() };
    match kind {
        PartKind::Text => Part::Text(Text { text, extras }),
        PartKind::Reasoning => Part::Reasoning(Reasoning { text, extras }),
        PartKind::ToolCall { tool_call_id: id, tool_name: name, provider_executed } => {
            Part::ToolCall(ToolCall { id, name, provider_executed, extras, ..ToolCall::default() })
        }
    }
}

/// Reads the arguments of a tool call: none are an empty object, and what is no JSON is kept as text.
fn read_arguments(text: String) -> (Value, Option<String>) {
    if text.trim().is_empty() {
        return (Value::Object(Map::new()), None);
    }
    match serde_json::from_str(&text) {
        Ok(input) => (input, None),
        Err(error) => (Value::String(text), Some(format!("the arguments are no JSON: {error}"))),
    }
}

fn merge(bag: &mut ProviderData, more: ProviderData) {
    for (provider, value) in more {
        match (bag.get_mut(&provider), value) {
            (Some(Value::Object(known)), Value::Object(new)) => known.extend(new),
            (_, value) => drop(bag.insert(provider, value)),
        }
    }
}

impl ReplyInfo {
    /// Adds what a later report says; what it leaves out stays.
    pub(crate) fn add(&mut self, later: Self) {
        let Self { provider, model, id, created, headers, warnings, request_body } = later;
        if !provider.is_empty() {
            self.provider = provider;
        }
        if !model.is_empty() {
            self.model = model;
        }
        self.id = id.or(self.id.take());
        self.created = created.or(self.created);
        self.headers.extend(headers);
        self.warnings.extend(warnings);
        self.request_body = request_body.or(self.request_body.take());
    }
}
