//! Limits in HTTP: the values of header fields, as pure functions.

use std::time::Duration;

use loomwork_core::Time;

use crate::error::LimitError;
use crate::limit::{Limit, LimitKey};
use crate::take::Granted;

/// Returns the value of `Retry-After`: whole seconds, rounded up, so that who waits for it is not too early.
pub fn retry_after(wait: Duration) -> String {
    seconds(wait).to_string()
}

/// Returns the value of `RateLimit-Policy` for a limit: how many tokens come in how many seconds.
///
/// # Errors
/// [`LimitError`] for a limit or key that makes no sense.
pub fn policy(limit: &Limit, key: &(impl LimitKey + ?Sized)) -> Result<String, LimitError> {
    let rules = limit.rules(key)?;
    Ok(format!("{};q={};w={}", quoted(limit.name()), rules.rate(), seconds(rules.period())))
}

/// Returns the value of `RateLimit` after a request was granted: what is left, and in how many seconds it
/// will be full again.
pub fn rate_limit(limit: &Limit, granted: &Granted, now: Time) -> String {
    let left = format!("{};r={}", quoted(limit.name()), granted.remaining);
    match granted.full_at {
        Some(full) => format!("{left};t={}", seconds(full.since(now))),
        None => left,
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A name as a string of a structured field, which holds printable ASCII only.
fn quoted(name: &str) -> String {
    let mut text = String::from("\"");
    for character in name.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('?'),
        }
    }
    text.push('"');
    text
}
