//! How the program ends: what scripts branch on.

use std::process::ExitCode;

use loomwork_core::Kind;

use crate::error::Error;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done.
    Done,
    /// It failed.
    Failed,
    /// It was called in a wrong way, or with what is no argument of that.
    Usage,
    /// What it is about is not there.
    NotFound,
    /// Whoever asks may not.
    Denied,
    /// Not now: a limit, a server that does not answer, a database that another process has.
    NotNow,
    /// `check` or `doctor` have found something wrong.
    FoundWrong,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

/// What `--help` says of exit codes.
pub(crate) const CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 called in a wrong way, 3 not found, 4 not allowed, 5 not now (a limit, no server, \
a database in use), 6 something wrong was found (check, doctor), 130 interrupted.";

impl Exit {
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            Kind::Invalid => Self::Usage,
            Kind::NotFound => Self::NotFound,
            Kind::Denied => Self::Denied,
            Kind::Limited { .. } | Kind::Unavailable => Self::NotNow,
            Kind::Conflict | Kind::Cancelled | Kind::Corrupt | Kind::Internal => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Denied => 4,
            Exit::NotNow => 5,
            Exit::FoundWrong => 6,
            Exit::Interrupted => 130,
        })
    }
}
