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
    /// A vector does not have the length of its space.
    #[error("a vector of the model `{model}` has {expected} parts here, not {found}")]
    WrongDimension {
        /// The model.
        model: String,
        /// The length that the vectors of the space have.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// A part of a vector is no finite number.
    #[error("part {place} of a vector of the model `{model}` is no finite number")]
    NotANumber {
        /// The model.
        model: String,
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
    /// A space of vectors that are too short or too long.
    #[error("vectors of the model `{model}` cannot have {dimension} parts; 1 to {limit} are possible")]
    BadDimension {
        /// The model.
        model: String,
        /// The length that was asked for.
        dimension: usize,
        /// The limit.
        limit: usize,
    },
    /// A search names an index that there is not.
    #[error("there is no index `{index}`; there are: {known}")]
    UnknownIndex {
        /// The index that was named.
        index: String,
        /// The indexes that there are.
        known: String,
    },
    /// A search takes the rows of an index for those of another table.
    #[error("the index `{index}` is over the table `{table}`, not `{asked}`")]
    OtherTable {
        /// The index.
        index: String,
        /// Its table.
        table: &'static str,
        /// The table that was asked for.
        asked: &'static str,
    },
    /// A search asks an index for what it does not have.
    #[error("the index `{index}` has no {what}; declare them with `{how}`")]
    Lacks {
        /// The index.
        index: String,
        /// Texts, vectors or a model.
        what: &'static str,
        /// How an index comes to have it.
        how: &'static str,
    },
    /// A number of a query that makes no sense.
    #[error("the {what} of a query is {found}; it has to be {right}")]
    BadNumber {
        /// Which number.
        what: &'static str,
        /// What was given.
        found: String,
        /// What is possible.
        right: String,
    },
    /// Indexes that cannot be started as they were declared.
    #[error("the index `{index}` cannot be started: {reason}")]
    BadIndex {
        /// The index.
        index: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Texts could not be embedded, and are not tried again by themselves.
    #[error("{batches} batches of the index `{index}` could not be embedded; the first says: {reason}")]
    NotEmbedded {
        /// The index.
        index: String,
        /// How many batches.
        batches: usize,
        /// Why the first of them failed.
        reason: String,
    },
    /// A model gave other vectors than it was asked for.
    #[error("the model `{model}` gave {found} where {expected} were asked for")]
    WrongEmbeddings {
        /// The model.
        model: String,
        /// What it gave.
        found: String,
        /// What it was asked for.
        expected: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] loomwork_store::Error),
    /// A model failed.
    #[error(transparent)]
    Model(#[from] loomwork_models::Error),
    /// A thread that searched or wrote came to a bad end.
    #[error("a thread of the index panicked; what it did is not known")]
    Panicked,
    /// The text index failed.
    #[error("the text index cannot be used: {0}")]
    Text(#[from] tantivy::TantivyError),
    /// The files of an index cannot be read or written.
    #[error("the files of an index cannot be used: {0}")]
    Files(#[from] std::io::Error),
    /// The folder of an index belongs to a search that is still open, in this process or another one.
    #[error(
        "the index `{index}` cannot be started: another search uses its folder {folder}; shut that one down, or give each its own"
    )]
    FolderInUse {
        /// The index.
        index: String,
        /// The folder.
        folder: String,
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
            Self::WrongDimension { .. } | Self::NotANumber { .. } => Kind::Invalid,
            Self::BadDimension { .. } | Self::BadNumber { .. } | Self::BadIndex { .. } => Kind::Invalid,
            Self::OtherTable { .. } | Self::Lacks { .. } | Self::WrongEmbeddings { .. } => Kind::Invalid,
            Self::UnknownIndex { .. } => Kind::NotFound,
            Self::NotEmbedded { .. } => Kind::Unavailable,
            Self::Store(error) => error.kind(),
            Self::Model(error) => Fault::kind(error),
            Self::Panicked => Kind::Internal,
            Self::EmptyQuery { .. } | Self::QueryTooLong { .. } | Self::Syntax { .. } => Kind::Invalid,
            Self::Files(_) | Self::Text(_) | Self::FolderInUse { .. } => Kind::Unavailable,
        }
    }
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
