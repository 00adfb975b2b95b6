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
        }
    }
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
