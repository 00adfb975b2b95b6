//! JSON among other words.

use serde_json::{Deserializer, Value};

/// How many places of a text are tried; each may cost a reading of the rest.
const MAX_PLACES: usize = 64;

/// Finds the value in a text that has other words before, after or around it, such as a fence. The first
/// value that passes the check is returned, else what is wrong with the first one.
pub(super) fn find(text: &str, check: impl Fn(Value) -> Result<Value, String>) -> Result<Value, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("the answer is empty".to_owned());
    }
    let whole = match serde_json::from_str(text) {
        Ok(value) => return check(value),
        Err(error) => error,
    };
    let mut first = None;
    let mut from = 0;
    for _ in 0..MAX_PLACES {
        let Some(start) = text[from..].find(['{', '[']).map(|at| from + at) else { break };
        let mut values = Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                from = start + values.byte_offset();
                match check(value) {
                    Ok(value) => return Ok(value),
                    Err(wrong) => drop(first.get_or_insert(wrong)),
                }
            }
            _ => from = start + 1,
        }
    }
    // A model that shall choose a word often says the plain word.
    let word =
        text.trim_matches(|letter: char| matches!(letter, '"' | '\'' | '`' | '.') || letter.is_whitespace());
    check(Value::String(word.to_owned()))
        .map_err(|_| first.unwrap_or_else(|| format!("the answer is no JSON: {whole}")))
}
