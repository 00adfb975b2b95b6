//! The crate's tests, one file for each concept.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic, as the tests may")]

mod anthropic;
mod cassette;
mod chat;
mod content;
mod detect;
mod embeddings;
mod fallback;
mod history;
mod images;
mod mock;
mod object;
mod offline;
mod pacing;
mod partial_json;
mod providers;
mod responses;
mod retry;
mod schema;
mod tokens;
mod transport;
mod usage;
mod wire;
