//! The door through which benchmarks reach the readers of event streams; it is no part of the API.

use bytes::Bytes;

use crate::ReplyStream;
use crate::http::read_at_hand;

/// Reads an event stream of Chat Completions.
pub fn openai_chat(body: Vec<Bytes>) -> ReplyStream {
    read_at_hand(body, crate::openai::chat::lone_reader())
}

/// Reads an event stream of Anthropic Messages.
pub fn anthropic(body: Vec<Bytes>) -> ReplyStream {
    read_at_hand(body, crate::anthropic::lone_reader())
}
