//! The events of a stream, as they are on the wire.
//!
//! One struct holds the fields of all events, so that each is read in one pass: a tagged enum would be
//! buffered before it is known which it is.

use serde::Deserialize;
use serde::de::value::Error as ValueError;
use serde::de::{IgnoredAny, IntoDeserializer};
use serde_json::{Map, Value};

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EventKind {
    MessageStart,
    ContentBlockStart,
    ContentBlockDelta,
    ContentBlockStop,
    MessageDelta,
    MessageStop,
    Error,
    /// A ping, or what later versions send.
    #[serde(other)]
    Other,
}

impl EventKind {
    /// Returns the type that the line of an event names.
    pub(super) fn of_line(name: &str) -> Option<Self> {
        Self::deserialize(IntoDeserializer::<ValueError>::into_deserializer(name)).ok()
    }
}

/// An event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: Option<EventKind>,
    pub(super) index: Option<u64>,
    pub(super) delta: Option<Delta>,
    pub(super) content_block: Option<Map<String, Value>>,
    pub(super) message: Option<Message>,
    pub(super) usage: Option<Value>,
    pub(super) error: Option<Value>,
    pub(super) request_id: Option<Value>,
}

/// What a block grows by, or how the answer ends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta {
    /// The block and the fields tell as much.
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    pub(super) text: Option<String>,
    pub(super) partial_json: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) citation: Option<Value>,
    pub(super) stop_reason: Option<String>,
    /// All else: what ends the answer, and what later versions send.
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// An event that adds to a block and says nothing else: nearly all events of a long answer. It is read
/// several times as fast as one that may say anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    #[serde(rename = "type")]
    _kind: BlockDelta,
    index: u64,
    delta: Added,
}

#[derive(Debug, Deserialize)]
enum BlockDelta {
    #[serde(rename = "content_block_delta")]
    ContentBlockDelta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Added {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
}

impl Delta {
    /// Returns what an event adds that has nothing else, and to which block; `None` if it may have more.
    pub(super) fn alone(json: &str) -> Option<(u64, Self)> {
        let Plain { index, delta: Added { text, partial_json, thinking, .. }, .. } =
            serde_json::from_str(json).ok()?;
        Some((index, Self { text, partial_json, thinking, ..Self::default() }))
    }
}

/// A whole answer, or the shell of one at the start of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) content: Option<Vec<Map<String, Value>>>,
    pub(super) stop_reason: Option<String>,
    pub(super) usage: Option<Value>,
    /// All else that is said of the answer.
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}
