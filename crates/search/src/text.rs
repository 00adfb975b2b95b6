//! Texts by their words.
//!
//! What comes in is searchable at once in a tail in memory; what is committed is in tantivy. Both count
//! the words of both, so that their scores are of one kind.

mod excluded;
mod index;
mod query;
mod sealed;
mod snippet;
mod tail;
mod terms;
mod tokenizer;

pub(crate) use index::TextIndex;
pub(crate) use query::TextQuery;
pub use query::{MAX_QUERY_BYTES, MAX_QUERY_DEPTH, Syntax};
pub use sealed::WRITER_MEMORY;
pub(crate) use snippet::snippet;
pub use snippet::{Snippet, SnippetOptions};
#[cfg(test)]
use tokenizer::Tokenizer;

#[cfg(test)]
mod tests;
