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

/// The most steps that a workflow takes before it ends or [goes on anew](crate::Flow::continue_with). The step
/// behind them fails, so that the code can still put things in order, for which it has [`SPARE_STEPS`].
pub const MAX_STEPS: usize = 50_000;

/// How many steps a workflow has left when one was refused for [`MAX_STEPS`]: to undo what it did, or to say what
/// happened. One more fails the run.
pub const SPARE_STEPS: usize = 1_000;

/// The most bytes of results that a workflow's journal holds. A step whose result has no room any more fails.
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

/// Checks that a journal of so many bytes has room for so many more; what has none of its own always fits.
pub(crate) fn check_room(journal: u64, more: usize) -> Result<(), String> {
    if more == 0 || journal + more as u64 <= MAX_JOURNAL_BYTES as u64 {
        return Ok(());
    }
    Err(format!(
        "its result takes {more} bytes, and the journal has {journal} already; the limit `MAX_JOURNAL_BYTES` is \
         {MAX_JOURNAL_BYTES}. A workflow without an end goes on anew with `wf.continue_with(..)`"
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
