//! The crate's tests, one file for each concept.

mod chat;
mod history;
mod tokens;
