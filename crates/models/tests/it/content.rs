//! The JSON of messages and parts: today's spelling, older ones, and what is kept of the unknown.

mod json;
mod legacy;
mod media;
mod random;

use loomwork_models::{Message, Part};
use serde_json::Value;

fn part(json: &Value) -> Part {
    serde_json::from_value(json.clone()).unwrap()
}

fn message(json: &Value) -> Message {
    serde_json::from_value(json.clone()).unwrap()
}

/// Checks that a part's JSON is read and written as it is.
#[track_caller]
fn check_part(json: Value) {
    let read = part(&json);
    assert!(!matches!(read, Part::Unknown(_)), "{read:?}");
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
}

/// Checks that an older spelling is read as today's.
#[track_caller]
fn check_older(older: Value, today: Value) {
    assert_eq!(part(&older), part(&today));
    assert_eq!(serde_json::to_value(part(&older)).unwrap(), today);
}

/// Returns why JSON is no message.
fn refusal(json: Value) -> String {
    serde_json::from_value::<Message>(json).unwrap_err().to_string()
}
