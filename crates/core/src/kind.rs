//! What a caller can do about an error.

use std::{fmt, time::Duration};

/// What went wrong, seen from the caller: each kind says what to do next.
///
/// The set is closed. Match it without a catch-all arm, so that nothing is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The input is wrong. Fix it; the same call will fail again.
    Invalid,
    /// The caller may not do this. Ask for the right, or for something else.
    Denied,
    /// The thing does not exist, or no longer. Go on without it, or create it.
    NotFound,
    /// Somebody else was faster. Read again and retry at once or soon.
    Conflict,
    /// Too much at once. Retry, but not before the wait is over.
    Limited {
        /// How long to wait at least.
        wait: Duration,
    },
    /// A part that is needed does not answer now. Retry after a while.
    Unavailable,
    /// The work was called off. Stop quietly: somebody wanted this.
    Cancelled,
    /// Stored data is not what was once written. Stop, and look at it before writing more.
    Corrupt,
    /// A bug in this program. Report it; nothing that the caller can do will help.
    Internal,
}

impl Kind {
    /// Returns the name of the kind, as it is written in logs and on the wire: `not_found`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Limited { .. } => "limited",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }

    /// Returns whether the same call may succeed later: a conflict, a limit, an absent service.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Conflict | Self::Limited { .. } | Self::Unavailable => true,
            Self::Invalid | Self::Denied | Self::NotFound => false,
            Self::Cancelled | Self::Corrupt | Self::Internal => false,
        }
    }
}

/// Writes the name of the kind.
impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// An error that says its [`Kind`].
///
/// Every error type of Loomwork implements it, and so do those of its users: the store lets `?`
/// carry any `Fault` across a transaction, and [`retry`](crate::retry()) takes `Fault::kind` as it is.
///
/// ```
/// use loomwork_core::{Fault, Kind};
///
/// #[derive(Debug, thiserror::Error)]
/// enum Error {
///     #[error("order {0} is not known")]
///     Unknown(u64),
///     #[error("the payment service does not answer")]
///     Payment,
/// }
///
/// impl Fault for Error {
///     fn kind(&self) -> Kind {
///         match self {
///             Self::Unknown(_) => Kind::NotFound,
///             Self::Payment => Kind::Unavailable,
///         }
///     }
/// }
///
/// assert!(Error::Payment.kind().is_retryable());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say its kind, so it is no `Fault`",
    label = "this error has to implement `loomwork_core::Fault`, which says its kind",
    note = "write `impl Fault for {Self}`, or `map_err` it into an error that has a kind"
)]
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// Returns what the caller can do about this error.
    fn kind(&self) -> Kind;
}
