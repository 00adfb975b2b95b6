//! The crate's tests, one file for each concept.

mod anthropic;
mod cassette;
mod chat;
mod content;
mod embeddings;
mod history;
mod images;
mod mock;
mod object;
mod offline;
mod partial_json;
mod responses;
mod schema;
mod tokens;
