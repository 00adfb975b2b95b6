//! Why a process could not be killed at its moment.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a process was not killed at its moment. None of these says anything about what it had promised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The process could not be started or killed.
    #[error("the process could not be started, heard or killed")]
    System(#[from] io::Error),
    /// The process ended by itself, though it was to work until it is killed.
    #[error("the process ended by itself ({status}) before {sign}; its last words: {last_words}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it was to do first.
        sign: String,
        /// What it said at the end.
        last_words: String,
    },
    /// The sign did not come.
    #[error("the process hangs: {sign} did not come within {waited:?}; its last words: {last_words}")]
    Hung {
        /// What it was to do.
        sign: String,
        /// How long it was waited for.
        waited: Duration,
        /// What it said at the end.
        last_words: String,
    },
}
