//! The crate's tests, one file for each concept.

mod anthropic;
mod chat;
mod content;
mod embeddings;
mod history;
mod images;
mod responses;
mod schema;
mod tokens;
