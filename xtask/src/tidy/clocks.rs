//! Time, timers and randomness come from core, so that tests and simulations own them.
//!
//! Clippy forbids the same by type where it can see the call; this finds what macros and imports hide.

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::{Report, Tree, source};

const CLOCK: &str = "take the time from `loomwork_core::Clock`, or measure with `loomwork_core::Stopwatch`";
const TIMER: &str = "sleep on `loomwork_core::Clock`";
const RANDOM: &str = "take randomness and ids from `loomwork_core::Random`";

const FORBIDDEN: [(&str, &str); 22] = [
    ("SystemTime::now", CLOCK),
    ("Instant::now", CLOCK),
    ("Utc::now", CLOCK),
    ("Local::now", CLOCK),
    ("tokio::time::sleep", TIMER),
    ("tokio::time::sleep_until", TIMER),
    ("tokio::time::interval", TIMER),
    ("tokio::time::interval_at", TIMER),
    ("tokio::time::timeout", TIMER),
    ("tokio::time::timeout_at", TIMER),
    ("rand::rng", RANDOM),
    ("rand::random", RANDOM),
    ("rand::random_range", RANDOM),
    ("rand::random_bool", RANDOM),
    ("thread_rng", RANDOM),
    ("from_os_rng", RANDOM),
    ("OsRng", RANDOM),
    ("SysRng", RANDOM),
    ("getrandom", RANDOM),
    ("fastrand", RANDOM),
    ("Uuid::new_v4", RANDOM),
    ("Uuid::now_v7", RANDOM),
];

/// `core` owns the clock, `bench` measures real time, and `testkit` guards tests against hanging.
const EXEMPT: [&str; 3] = ["crates/core", "crates/bench", "crates/testkit"];

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    for package in tree.metadata.members_in("crates") {
        let folder = tree.metadata.folder_of(package);
        if EXEMPT.contains(&folder.as_str()) {
            continue;
        }
        for path in tree.files_in(&format!("{folder}/src"), ".rs") {
            for (line, name, right) in forbidden(&tree.read(path)?) {
                report.find(path, line, format!("`{name}` is outside the store's clock"), right);
            }
        }
    }
    Ok(())
}

fn forbidden(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let code = source::code_only(text);
    let lines = code.lines().enumerate();
    lines
        .flat_map(|(index, line)| {
            let hits = FORBIDDEN.iter().filter(move |(name, _)| source::mentions(line, name));
            hits.map(move |(name, right)| (index + 1, *name, *right))
        })
        .collect()
}
