//! What filters compare.

use std::cmp::Ordering;

use loomwork_core::Time;
use loomwork_store::{Id, Table};
use serde::{Deserialize, Serialize};

/// A value that a filter compares: of a row, or asked for.
///
/// Values of different types are never equal, but for numbers: `Int(2)` equals `Float(2.0)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// An integer; times are their milliseconds.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text; ids are their text.
    Text(String),
}

impl Value {
    /// Returns the order of two values that have one: two numbers, two texts or two booleans.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(one), Self::Bool(two)) => Some(one.cmp(two)),
            (Self::Text(one), Self::Text(two)) => Some(one.cmp(two)),
            (Self::Int(one), Self::Int(two)) => Some(one.cmp(two)),
            (Self::Float(one), Self::Float(two)) => one.partial_cmp(two),
            (Self::Int(one), Self::Float(two)) => compare_mixed(*one, *two),
            (Self::Float(one), Self::Int(two)) => compare_mixed(*two, *one).map(Ordering::reverse),
            _ => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }
}

/// Compares without rounding the integer: beyond 2^53 a float holds only some of them.
fn compare_mixed(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Both bounds are exact as floats; outside of them the float decides alone.
    if float >= 9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    let order = int.cmp(&(whole as i64));
    whole.partial_cmp(&float).map(|fraction| order.then(fraction))
}

/// What a row may have in a filter field: one value, none or one (`Option`), or several (`Vec`).
pub trait IntoValues {
    /// Returns the values.
    fn into_values(self) -> Vec<Value>;
}

impl<V: IntoValues> IntoValues for Option<V> {
    fn into_values(self) -> Vec<Value> {
        self.map(IntoValues::into_values).unwrap_or_default()
    }
}

impl<V: IntoValues> IntoValues for Vec<V> {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().flat_map(IntoValues::into_values).collect()
    }
}

impl IntoValues for Value {
    fn into_values(self) -> Vec<Value> {
        vec![self]
    }
}

impl<T: Table> IntoValues for Id<T> {
    fn into_values(self) -> Vec<Value> {
        vec![self.into()]
    }
}

macro_rules! from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }

        impl IntoValues for $from {
            fn into_values(self) -> Vec<Value> {
                vec![self.into()]
            }
        }
    )*};
}

from! {
    bool => |value| Self::Bool(value);
    i64 => |value| Self::Int(value);
    i32 => |value| Self::Int(value.into());
    u32 => |value| Self::Int(value.into());
    f64 => |value| Self::Float(value);
    f32 => |value| Self::Float(value.into());
    String => |value| Self::Text(value);
    &str => |value| Self::Text(value.to_owned());
    &String => |value| Self::Text(value.clone());
    Time => |value| Self::Int(value.millis());
}

impl<T: Table> From<Id<T>> for Value {
    fn from(id: Id<T>) -> Self {
        Self::Text(id.to_string())
    }
}
