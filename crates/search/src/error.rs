//! What searching refuses, and what can go wrong with what is derived.

use loomwork_core::{Fault, Kind};

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A filter names a field that the index does not have.
    #[error("the index `{index}` has no filter field `{field}`; it has: {known}")]
    UnknownField {
        /// The index.
        index: String,
        /// The field that was named.
        field: String,
        /// The fields that there are.
        known: String,
    },
    /// A vector does not have the length of those in the index.
    #[error(
        "a vector of the index `{index}` has {expected} parts, as the model `{model}` gives them, not {found}"
    )]
    WrongDimension {
        /// The index.
        index: String,
        /// The model whose vectors it holds.
        model: String,
        /// The length that its vectors have.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// A part of a vector is no finite number.
    #[error("part {place} of a vector for the index `{index}` is no finite number")]
    NotANumber {
        /// The index.
        index: String,
        /// Which part.
        place: usize,
    },
    /// A query asks for nothing.
    #[error("a query of the index `{index}` has no words; give it at least one, or a vector")]
    EmptyQuery {
        /// The index.
        index: String,
    },
    /// A query is longer than anybody types.
    #[error("a query text has at most {limit} bytes, not {found}; ask for a few words of it")]
    QueryTooLong {
        /// The limit.
        limit: usize,
        /// The length that was given.
        found: usize,
    },
    /// A query with operators cannot be read.
    #[error("the query {query:?} cannot be read: at letter {place}, {what}")]
    Syntax {
        /// The query.
        query: String,
        /// After how many letters it goes wrong.
        place: usize,
        /// What is wrong there.
        what: String,
    },
    /// The text index failed.
    #[error("the text index cannot be used: {0}")]
    Text(#[from] tantivy::TantivyError),
    /// The files of an index cannot be read or written.
    #[error("the files of an index cannot be used: {0}")]
    Files(#[from] std::io::Error),
    /// A filter is nested too deep.
    #[error("a filter is nested more than {limit} deep; split it")]
    FilterTooDeep {
        /// The limit.
        limit: usize,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownField { .. } | Self::FilterTooDeep { .. } => Kind::Invalid,
            Self::WrongDimension { .. } | Self::NotANumber { .. } => Kind::Invalid,
            Self::EmptyQuery { .. } | Self::QueryTooLong { .. } | Self::Syntax { .. } => Kind::Invalid,
            Self::Files(_) | Self::Text(_) => Kind::Unavailable,
        }
    }
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
