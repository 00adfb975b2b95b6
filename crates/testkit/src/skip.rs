//! Visible skips.

use std::fs::OpenOptions;
use std::io::Write as _;

/// The variable that names the file in which `cargo xtask test` gathers skips.
const SKIPS: &str = "LOOMWORK_SKIPS";

/// Tells that `test` does not run and why, for example because a service is not installed.
///
/// `cargo xtask test` lists the skips at its end, and in CI counts them as failures.
///
/// # Panics
/// When the skip cannot be recorded: a silent skip would look like a pass.
pub fn skip(test: &str, reason: &str) {
    let Some(path) = std::env::var_os(SKIPS) else {
        #[expect(clippy::print_stderr, reason = "outside `cargo xtask test` this is the one place to say it")]
        {
            eprintln!("skipped {test}: {reason}");
        }
        return;
    };
    let mut file =
        OpenOptions::new().create(true).append(true).open(&path).expect("the file for skips opens");
    writeln!(file, "{test}: {reason}").expect("the skip is recorded");
}
