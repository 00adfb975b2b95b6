//! Filter values as texts that the index compares: one set of marks for each chunk.
//!
//! A mark is a name, what it says of the name, and a value whose text sorts as the value does. So there may
//! be any number of names, and a comparison is a range of marks.

use std::borrow::Cow;

use loomwork_search::Filter as Indexed;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{CHUNK_FIELD, Filter, MAX_FILTER_DEPTH};
use crate::{Error, Result};

/// The field of the index that holds the marks.
pub(crate) const MARKS: &str = "marks";

/// The longest name of a filter value.
const MAX_NAME_BYTES: usize = 200;

/// Values whose text is longer are compared by its digest, and texts in their order by its beginning.
const MAX_VALUE_BYTES: usize = 1_000;

/// Behind all texts that begin with something.
const END: char = char::MAX;

/// Whose values are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Entry,
    Chunk,
}

/// Checks the name of a filter value.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let right = format!(
        "it has 1 to {MAX_NAME_BYTES} bytes, no control characters, and does not begin with `{CHUNK_FIELD}`"
    );
    let is_good = (1..=MAX_NAME_BYTES).contains(&name.len())
        && !name.contains(char::is_control)
        && !name.starts_with(CHUNK_FIELD);
    if is_good { Ok(()) } else { Err(Error::bad("a filter name", format!("{name:?}"), right)) }
}

/// Returns the marks of some values.
pub(crate) fn marks_of<'a>(
    holder: Holder,
    values: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Vec<String> {
    let mut marks = Vec::new();
    for (name, value) in values {
        let name = match holder {
            Holder::Entry => name.clone(),
            Holder::Chunk => format!("{CHUNK_FIELD}{name}"),
        };
        let name = marked(&name);
        marks.push(exists(&name));
        marks.push(equal(&name, value));
        if let Some(place) = ordered(value) {
            marks.push(format!("{name}\0<{place}"));
        }
        if let Value::Array(items) = value {
            marks.extend(items.iter().map(|item| has_item(&name, item)));
        }
    }
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// Returns what stands for a name in its marks. Metadata may have any names: one that could be taken for a mark
/// of another, or is too long for the index, is known by its digest.
fn marked(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control) {
        return name.into();
    }
    format!("\u{1}{}", data_encoding::HEXLOWER.encode(&Sha256::digest(name))).into()
}

fn exists(name: &str) -> String {
    format!("{name}\0?")
}

fn equal(name: &str, value: &Value) -> String {
    format!("{name}\0={}", canonical(value))
}

fn has_item(name: &str, item: &Value) -> String {
    format!("{name}\0@{}", canonical(item))
}

/// Returns a text that equal values share and different ones don't.
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    if text.len() > MAX_VALUE_BYTES {
        return format!("#{}", data_encoding::HEXLOWER.encode(&Sha256::digest(&text)));
    }
    text
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => {
            out.push('n');
            out.push_str(&number_place(number));
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => write_object(fields, out),
        plain => out.push_str(&plain.to_string()),
    }
}

/// The order of its fields is no part of a map.
fn write_object(fields: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push('{');
    for (name, value) in sorted {
        out.push_str(&Value::String(name.clone()).to_string());
        out.push(':');
        write_canonical(value, out);
        out.push(',');
    }
    out.push('}');
}

/// Returns a text that sorts as the value does among those of its type; `None` for what has no order.
fn ordered(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(format!("n{}", number_place(number))),
        Value::String(text) => Some(format!("s{}", beginning(text))),
        _ => None,
    }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE_BYTES)]
}

/// The place of a number: the nearest float, and how far the number is behind it, so that no large integer
/// is rounded.
fn number_place(number: &serde_json::Number) -> String {
    let (float, rest) = match (number.as_i64(), number.as_u64()) {
        (Some(int), _) => split(i128::from(int)),
        (None, Some(int)) => split(i128::from(int)),
        _ => (number.as_f64().unwrap_or_default(), 0),
    };
    // Both zeros are one.
    let bits = (if float == 0.0 { 0.0 } else { float }).to_bits();
    let sortable = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    format!("{sortable:016x}{:04x}", rest + 0x8000)
}

fn split(int: i128) -> (f64, i128) {
    let float = int as f64;
    (float, int - float as i128)
}

impl Filter {
    /// Returns the same condition over the marks of the index.
    pub(crate) fn indexed(&self) -> Result<Indexed> {
        self.indexed_at(0)
    }

    fn indexed_at(&self, depth: usize) -> Result<Indexed> {
        if depth > MAX_FILTER_DEPTH {
            let right = format!("the most is {MAX_FILTER_DEPTH}, so split it");
            return Err(Error::bad("a filter is nested deeper than", MAX_FILTER_DEPTH, right));
        }
        let all = |filters: &[Self]| {
            filters.iter().map(|filter| filter.indexed_at(depth + 1)).collect::<Result<Vec<_>>>()
        };
        let eq = |mark: String| Indexed::eq(MARKS, mark);
        let name = self.name().map(marked).unwrap_or_default();
        let name = &*name;
        Ok(match self {
            Self::Everything => Indexed::Everything,
            Self::All(filters) => Indexed::All(all(filters)?),
            Self::Any(filters) => Indexed::Any(all(filters)?),
            Self::Not(filter) => !filter.indexed_at(depth + 1)?,
            Self::Eq(_, value) => eq(equal(name, value)),
            Self::In(_, values) => Indexed::one_of(MARKS, values.iter().map(|value| equal(name, value))),
            Self::Contains(_, item) => eq(has_item(name, item)),
            Self::Exists(_) => eq(exists(name)),
            Self::Lt(_, value) => up_to(name, value)?.and(!is_at(name, value)?),
            Self::Le(_, value) => up_to(name, value)?,
            Self::Gt(_, value) => from_on(name, value)?.and(!is_at(name, value)?),
            Self::Ge(_, value) => from_on(name, value)?,
        })
    }
}

/// A value has one place in the order of its type, so a range without an end is one and not the other.
fn up_to(name: &str, value: &Value) -> Result<Indexed> {
    let place = place(name, value)?;
    let kind = place[..1].to_owned();
    Ok(Indexed::between(MARKS, format!("{name}\0<{kind}"), format!("{name}\0<{place}")))
}

fn from_on(name: &str, value: &Value) -> Result<Indexed> {
    let place = place(name, value)?;
    let kind = place[..1].to_owned();
    Ok(Indexed::between(MARKS, format!("{name}\0<{place}"), format!("{name}\0<{kind}{END}")))
}

fn is_at(name: &str, value: &Value) -> Result<Indexed> {
    Ok(Indexed::eq(MARKS, format!("{name}\0<{}", place(name, value)?)))
}

fn place(name: &str, value: &Value) -> Result<String> {
    let right = "compare it with a number or a text, which have an order";
    ordered(value)
        .ok_or_else(|| Error::bad("a comparison of a filter", format!("{name:?} with {value}"), right))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_sort_as_numbers_do() {
        let sorted = [
            json!(f64::MIN),
            json!(i64::MIN),
            json!(i64::MIN + 1),
            json!(-2.5),
            json!(-2),
            json!(-0.0),
            json!(0.1),
            json!(2),
            json!(2.5),
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_994_i64),
            json!(i64::MAX - 1),
            json!(i64::MAX),
            json!(u64::MAX - 1),
            json!(u64::MAX),
            json!(f64::MAX),
        ];
        let places: Vec<_> = sorted.iter().map(|number| ordered(number).unwrap()).collect();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
        assert_eq!(ordered(&json!(0)), ordered(&json!(-0.0)));
        assert_eq!(canonical(&json!(2)), canonical(&json!(2.0)));
    }

    #[test]
    fn equal_values_share_a_text_and_others_do_not() {
        let one = json!({ "a": [1, "x"], "b": null });
        assert_eq!(canonical(&one), canonical(&json!({ "b": null, "a": [1.0, "x"] })));
        let different =
            [json!(1), json!("1"), json!(true), json!("true"), json!([1]), json!(["1"]), json!(null)];
        let texts: std::collections::BTreeSet<_> = different.iter().map(canonical).collect();
        assert_eq!(texts.len(), different.len());
        let long = |end: &str| canonical(&json!(format!("{}{end}", "x".repeat(5_000))));
        assert!(long("a") != long("b") && long("a").len() < 100);
    }
}
