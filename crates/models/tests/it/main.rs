//! The crate's tests, one file for each concept.

mod anthropic;
mod chat;
mod content;
mod history;
mod tokens;
