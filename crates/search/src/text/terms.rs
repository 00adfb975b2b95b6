//! The filter values of committed rows, as terms and numbers of tantivy.

use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{AllQuery, InvertedIndexRangeQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

use super::sealed::{any, none};
use crate::Value;

/// What the term of a field's every value is, next to those of its texts and flags.
pub(super) const ANY: &str = "*";

/// The fields for one filter field: numbers by their type, so that no large integer is rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilterFields {
    pub(super) terms: Field,
    pub(super) ints: Field,
    pub(super) floats: Field,
}

/// The longest text that is a term as it is, below what tantivy takes; a longer one is cut and carries
/// its hash, and so keeps its place among others unless they begin with the same so many bytes.
const MAX_TERM: usize = 60_000;

pub(super) fn text_term(text: &str) -> String {
    if text.len() <= MAX_TERM {
        return format!("t{text}");
    }
    let cut = &text[..text.floor_char_boundary(MAX_TERM)];
    format!("t{cut}{:016x}{:08x}", text.len(), crc32fast::hash(text.as_bytes()))
}

pub(super) fn flag_term(flag: bool) -> &'static str {
    if flag { "b1" } else { "b0" }
}

impl FilterFields {
    pub(super) fn term(&self, text: &str) -> Box<dyn Query> {
        Box::new(TermQuery::new(Term::from_field_text(self.terms, text), IndexRecordOption::Basic))
    }

    pub(super) fn having(&self, value: &Value) -> Box<dyn Query> {
        match value {
            Value::Bool(flag) => self.term(flag_term(*flag)),
            Value::Text(text) => self.term(&text_term(text)),
            Value::Int(_) | Value::Float(_) => self.numbers(Some(value), Some(value)),
        }
    }

    pub(super) fn between(&self, from: Option<&Value>, to: Option<&Value>) -> Box<dyn Query> {
        let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Float(_));
        match (from, to) {
            (None, None) => self.term(ANY),
            (from, to) if from.into_iter().chain(to).all(is_number) => self.numbers(from, to),
            (from, to) => self.texts(from, to),
        }
    }

    fn numbers(&self, from: Option<&Value>, to: Option<&Value>) -> Box<dyn Query> {
        let (Some(ints), Some(floats)) = (Bounds::ints(from, to), Bounds::floats(from, to)) else {
            return none();
        };
        let ints = ints.map(|bounds| bounds.query(|int| Term::from_field_i64(self.ints, int)));
        let floats = floats.map(|bounds| bounds.query(|float| Term::from_field_f64(self.floats, float)));
        any(ints.into_iter().chain(floats).collect())
    }

    /// Texts and flags are few, so their terms are compared.
    fn texts(&self, from: Option<&Value>, to: Option<&Value>) -> Box<dyn Query> {
        let term = |value: &Value| match value {
            Value::Text(text) => Some(Term::from_field_text(self.terms, &text_term(text))),
            Value::Bool(flag) => Some(Term::from_field_text(self.terms, flag_term(*flag))),
            Value::Int(_) | Value::Float(_) => None,
        };
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        let of_texts = from.into_iter().chain(to).all(is_text);
        let of_flags = !from.into_iter().chain(to).any(is_text);
        if !(of_texts || of_flags) {
            return none();
        }
        let (least, most) = if of_texts { ("t", "u") } else { ("b0", "b2") };
        let edge = |text| Term::from_field_text(self.terms, text);
        let (low, high) = (from.map(term), to.map(term));
        let (Some(low), Some(high)) =
            (low.unwrap_or(Some(edge(least))), high.map_or(Some(None), |term| term.map(Some)))
        else {
            return none();
        };
        let high = high.map_or(Bound::Excluded(edge(most)), Bound::Included);
        Box::new(InvertedIndexRangeQuery::new(Bound::Included(low), high))
    }
}

/// The bounds of numbers of one type.
struct Bounds<T> {
    low: Bound<T>,
    high: Bound<T>,
}

impl Bounds<i64> {
    /// Returns the integers between two numbers: `None` if a bound is NaN, `Some(None)` if there are none.
    fn ints(from: Option<&Value>, to: Option<&Value>) -> Option<Option<Self>> {
        let low = match from {
            None => Bound::Unbounded,
            Some(Value::Int(int)) => Bound::Included(*int),
            Some(Value::Float(float)) if float.is_nan() => return None,
            // The float is 2^63, one more than the greatest integer.
            Some(Value::Float(float)) if *float >= i64::MAX as f64 => return Some(None),
            Some(Value::Float(float)) => Bound::Included(float.ceil() as i64),
            Some(_) => return None,
        };
        let high = match to {
            None => Bound::Unbounded,
            Some(Value::Int(int)) => Bound::Included(*int),
            Some(Value::Float(float)) if float.is_nan() => return None,
            Some(Value::Float(float)) if *float < i64::MIN as f64 => return Some(None),
            Some(Value::Float(float)) => Bound::Included(float.floor() as i64),
            Some(_) => return None,
        };
        Some(Some(Self { low, high }))
    }
}

impl Bounds<f64> {
    /// Returns the floats between two numbers: `None` if a bound is NaN.
    fn floats(from: Option<&Value>, to: Option<&Value>) -> Option<Option<Self>> {
        // The float nearest to a large integer may be on the wrong side of it, and is left out then.
        let bound = |value: Option<&Value>, wrong: std::cmp::Ordering| match value {
            None => Some(Bound::Unbounded),
            Some(Value::Float(float)) if float.is_nan() => None,
            Some(Value::Float(float)) => Some(Bound::Included(*float)),
            Some(Value::Int(int)) => {
                let near = *int as f64;
                let outside = Value::Float(near).compare(&Value::Int(*int)) == Some(wrong);
                Some(if outside { Bound::Excluded(near) } else { Bound::Included(near) })
            }
            Some(_) => None,
        };
        let low = bound(from, std::cmp::Ordering::Less)?;
        let high = bound(to, std::cmp::Ordering::Greater)?;
        Some(Some(Self { low, high }))
    }
}

impl<T> Bounds<T> {
    fn query(self, mut term: impl FnMut(T) -> Term) -> Box<dyn Query> {
        let low = self.low.map(&mut term);
        let high = self.high.map(&mut term);
        match (&low, &high) {
            (Bound::Unbounded, Bound::Unbounded) => Box::new(AllQuery),
            _ => Box::new(RangeQuery::new(low, high)),
        }
    }
}
