//! The crate's limits, and how what is held to them is written.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

/// The most bytes that a workflow's input, or its completion's context, may take as JSON.
pub const MAX_INPUT_BYTES: usize = 1_000_000;

/// The most bytes that the result of a step, or of a workflow, may take as JSON.
pub const MAX_RESULT_BYTES: usize = 800_000;

/// The most bytes that an event's value may take as JSON.
pub const MAX_EVENT_BYTES: usize = 800_000;

/// The most steps that a workflow takes before it ends or [goes on anew](crate::Flow::continue_with).
pub const MAX_STEPS: usize = 50_000;

/// The most bytes of results that a workflow's journal holds.
pub const MAX_JOURNAL_BYTES: usize = 64_000_000;

/// How many events may wait for one workflow to take them.
pub const MAX_MAIL: usize = 1_000;

/// The most bytes of a name or a key.
pub const MAX_TEXT_BYTES: usize = 200;

/// How deep workflows may be nested.
pub const MAX_DEPTH: u32 = 32;

/// How far ahead a workflow or a step may be due: four years.
pub const MAX_AHEAD: Duration = loomwork_workpool::MAX_AHEAD;

/// How long a workflow that has ended is kept unless its options say otherwise: thirty days.
pub const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Arguments are shown up to so many characters.
const SHOWN_ARGS: usize = 200;

/// Writes a value as JSON of at most `limit` bytes, or says why it cannot be.
pub(crate) fn encode<T: Serialize + ?Sized>(
    what: &str,
    value: &T,
    limit: (usize, &'static str),
) -> Result<Box<RawValue>, String> {
    let json = serde_json::value::to_raw_value(value)
        .map_err(|error| format!("{what} cannot be written as JSON: {error}"))?;
    check(what, &json, limit)?;
    Ok(json)
}

/// Checks that JSON keeps a limit, and names the limit if it does not.
pub(crate) fn check(what: &str, json: &RawValue, limit: (usize, &'static str)) -> Result<(), String> {
    let (bytes, (limit, name)) = (json.get().len(), limit);
    if bytes <= limit {
        return Ok(());
    }
    Err(format!(
        "{what} takes {bytes} bytes; the limit `{name}` is {limit}, larger data belongs in files or tables"
    ))
}

/// The limit of results, with its name.
pub(crate) const RESULT: (usize, &str) = (MAX_RESULT_BYTES, "MAX_RESULT_BYTES");

/// The limit of inputs, with its name.
pub(crate) const INPUT: (usize, &str) = (MAX_INPUT_BYTES, "MAX_INPUT_BYTES");

/// The limit of events, with its name.
pub(crate) const EVENT: (usize, &str) = (MAX_EVENT_BYTES, "MAX_EVENT_BYTES");

/// The beginning of arguments, for people.
pub(crate) fn shown(json: &str) -> String {
    let mut shown: String = json.chars().take(SHOWN_ARGS).collect();
    if shown.len() < json.len() {
        shown.push('…');
    }
    shown
}

/// A number that tells two arguments apart: FNV-1a, which is stable for ever.
pub(crate) fn fingerprint(json: &str) -> u64 {
    json.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
