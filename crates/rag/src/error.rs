//! What this crate refuses, and what can go wrong around it.

use loomwork_core::{Fault, Kind};
use loomwork_models::{ModelName, Usage};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that was given makes no sense.
    #[error("{what} {found}; {right}")]
    Bad {
        /// What it is, such as `an importance`.
        what: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        right: String,
    },
    /// Filter values that do not fit the declared names.
    #[error("the filter values of an entry do not fit: {reason}; the declared names are: {declared}")]
    BadFilterValues {
        /// What does not fit.
        reason: String,
        /// The names that the knowledge base declares.
        declared: String,
    },
    /// There is no such namespace.
    #[error("there is no namespace {id}; `namespaces::versions` lists those of a name")]
    UnknownNamespace {
        /// Its id.
        id: String,
    },
    /// A namespace changed while something was added to it, which is of no use to it any more.
    #[error("the namespace {namespace} {change} while the entry {entry} was made; add it again")]
    NamespaceChanged {
        /// The namespace.
        namespace: String,
        /// What happened to it.
        change: String,
        /// The entry.
        entry: String,
    },
    /// There is no such entry.
    #[error("there is no entry {id}")]
    UnknownEntry {
        /// Its id.
        id: String,
    },
    /// A namespace is of another configuration than whoever uses it.
    #[error(
        "the namespace {namespace} is for {has}, and this knowledge base is for {wants}; use one of its own"
    )]
    OtherSpace {
        /// The namespace.
        namespace: String,
        /// What it is for.
        has: String,
        /// What is asked of it.
        wants: String,
    },
    /// A namespace that still has entries cannot be deleted.
    #[error(
        "the namespace {namespace} still has the entry {entry}; delete its entries first, or delete it with them"
    )]
    NotEmpty {
        /// The namespace.
        namespace: String,
        /// One of its entries.
        entry: String,
    },
    /// An entry cannot go from where it stands to where it was sent.
    #[error("the entry {entry} is {status}, so it cannot be {action}")]
    WrongStatus {
        /// The entry.
        entry: String,
        /// Where it stands.
        status: &'static str,
        /// What was asked for.
        action: &'static str,
    },
    /// The content of an entry is no longer wanted: a newer version is there, or it was called off.
    #[error("the entry {entry} is {status} now, so no more is written to it")]
    Overtaken {
        /// The entry.
        entry: String,
        /// Where it stands.
        status: &'static str,
    },
    /// An entry was made from something for which this program has no source.
    #[error("there is no source {name:?} here; bind it with `Builder::source`; there are: {known}")]
    UnknownSource {
        /// The source that was named.
        name: String,
        /// Those that are bound.
        known: String,
    },
    /// A part that is not built in or not given.
    #[error("{what} needs {needs}")]
    Missing {
        /// What was asked for.
        what: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A document of a kind that is not read here.
    #[error("{name} is {kind}, which needs {needs}")]
    NoReader {
        /// The document.
        name: String,
        /// What it is.
        kind: String,
        /// What would read it.
        needs: &'static str,
    },
    /// A document that cannot be read.
    #[error("{name} cannot be read as {format}: {reason}")]
    Unreadable {
        /// The document.
        name: String,
        /// What it should be.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something is larger than it may be.
    #[error("{what} has {bytes} bytes; the most is {limit}: {right}")]
    TooLarge {
        /// What it is: a document by its name, or a text.
        what: String,
        /// What it takes.
        bytes: u64,
        /// What it may take.
        limit: usize,
        /// What would be right.
        right: &'static str,
    },
    /// A model gave other vectors than it was asked for.
    #[error("the model {model} gave {found} vectors where {expected} were asked for")]
    WrongEmbeddings {
        /// The model.
        model: String,
        /// How many it gave.
        found: usize,
        /// How many were asked for.
        expected: usize,
    },
    /// A language model answered, and its answer is of no use. It is paid all the same.
    #[error("the model {model} {reason}")]
    NoAnswer {
        /// The model.
        model: ModelName,
        /// What is wrong with its answer.
        reason: String,
        /// What it used.
        usage: Box<Usage>,
    },
    /// A migration cannot go on as asked.
    #[error("the namespace {namespace} cannot be migrated so: {reason}")]
    BadMigration {
        /// The namespace.
        namespace: String,
        /// What is in the way.
        reason: String,
    },
    /// Somebody may not search a namespace.
    #[error("the namespace {name:?} may not be searched here")]
    Denied {
        /// The namespace.
        name: String,
    },
    /// Searching failed.
    #[error(transparent)]
    Search(#[from] loomwork_search::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] loomwork_store::Error),
    /// A model failed.
    #[error(transparent)]
    Model(#[from] loomwork_models::Error),
    /// Files on disk cannot be read.
    #[error("{path} cannot be read")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread came to a bad end.
    #[error("a thread that {0} panicked")]
    Panicked(&'static str),
}

impl Error {
    pub(crate) fn bad(what: &'static str, found: impl ToString, right: impl Into<String>) -> Self {
        Self::Bad { what, found: found.to_string(), right: right.into() }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Bad { .. } | Self::BadFilterValues { .. } | Self::OtherSpace { .. } => Kind::Invalid,
            Self::NotEmpty { .. } | Self::WrongStatus { .. } | Self::UnknownSource { .. } => Kind::Invalid,
            Self::Missing { .. } | Self::NoReader { .. } | Self::Unreadable { .. } => Kind::Invalid,
            Self::TooLarge { .. } => Kind::Invalid,
            Self::NamespaceChanged { .. } => Kind::Conflict,
            Self::WrongEmbeddings { .. } | Self::NoAnswer { .. } | Self::BadMigration { .. } => Kind::Invalid,
            Self::UnknownNamespace { .. } | Self::UnknownEntry { .. } => Kind::NotFound,
            Self::Overtaken { .. } => Kind::Cancelled,
            Self::Denied { .. } => Kind::Denied,
            Self::Search(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Model(error) => Fault::kind(error),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Kind::NotFound,
            Self::Io { .. } => Kind::Unavailable,
            Self::Panicked(_) => Kind::Internal,
        }
    }
}

/// Whoever runs in a transaction gets this crate's errors back from the store's.
pub(crate) fn unwrapped(error: loomwork_store::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(Error::Store)
}
