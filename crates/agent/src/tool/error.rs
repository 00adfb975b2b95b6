//! What went wrong in a tool.

use std::error::Error;
use std::iter::successors;

use loomwork_core::{Fault, Kind};

/// Any error. A handler that returns it may use `?` on everything.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What went wrong in a tool, in words that the model is given, and whether trying again may help.
///
/// Handlers may return any error; this one is for saying of which kind it is.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ToolError {
    kind: Kind,
    text: String,
}

impl ToolError {
    /// Returns an error of a kind; only [retryable](Kind::is_retryable) ones are tried again.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Returns the error of a call that is wrong as it is.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, text)
    }

    pub(super) fn internal(text: impl Into<String>) -> Self {
        Self::new(Kind::Internal, text)
    }

    /// Returns an error with all that it says of its causes.
    ///
    /// Errors of Loomwork's crates keep their kind, also as a cause. Of all others nobody knows whether trying
    /// again may help, so they count as [unavailable](Kind::Unavailable): only a tool that asks for retries
    /// and is idempotent is tried again at all.
    pub fn from_error(error: impl Into<BoxError>) -> Self {
        let error = match error.into().downcast::<Self>() {
            Ok(own) => return *own,
            Err(other) => other,
        };
        let first: &(dyn Error + 'static) = error.as_ref();
        let causes = || successors(Some(first), |&error| error.source());
        let kind = causes().find_map(known_kind).unwrap_or(Kind::Unavailable);
        let mut text = String::new();
        for cause in causes().map(ToString::to_string) {
            // Some errors repeat their cause in their own words.
            if text.is_empty() {
                text = cause;
            } else if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        Self { kind, text }
    }
}

impl Fault for ToolError {
    fn kind(&self) -> Kind {
        self.kind
    }
}

fn known_kind(error: &(dyn Error + 'static)) -> Option<Kind> {
    fn kind<T: Fault>(error: &(dyn Error + 'static)) -> Option<Kind> {
        error.downcast_ref::<T>().map(Fault::kind)
    }
    if let Some(error) = error.downcast_ref::<loomwork_store::Error>() {
        return Some(error.kind());
    }
    let known = [
        kind::<ToolError>,
        kind::<loomwork_models::Error>,
        kind::<loomwork_search::Error>,
        kind::<loomwork_files::FileError>,
    ];
    known.into_iter().find_map(|kind| kind(error))
}
