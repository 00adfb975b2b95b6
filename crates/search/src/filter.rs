//! Which rows a search may find.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::index::Schema;
use crate::{Error, Result, Value};

/// How deep filters may be nested.
pub const MAX_FILTER_DEPTH: usize = 32;

/// Which rows a search may find: conditions on the filter fields of an index, in any combination.
///
/// A field that holds several values meets a condition if one of them does; a field that holds none
/// meets no condition, and so meets its negation.
///
/// ```
/// use loomwork_search::Filter;
///
/// let filter = Filter::eq("author", "ada").and(Filter::at_least("stars", 4)).and(!Filter::eq("draft", true));
/// let json = serde_json::to_value(&filter)?;
/// assert_eq!(serde_json::from_value::<Filter>(json)?, filter);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Every row.
    #[default]
    Everything,
    /// Rows that meet all of these.
    All(Vec<Filter>),
    /// Rows that meet at least one of these.
    Any(Vec<Filter>),
    /// Rows that don't meet this.
    Not(Box<Filter>),
    /// Rows whose field has this value.
    Eq(String, Value),
    /// Rows whose field has one of these values.
    In(String, Vec<Value>),
    /// Rows whose field has a value from `from` to `to`, both included, where they are given.
    Range {
        /// The field.
        field: String,
        /// The least value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Value>,
        /// The greatest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Value>,
    },
    /// Rows whose field has any value.
    Has(String),
}

impl Filter {
    /// Returns the condition that a field has a value.
    pub fn eq(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Eq(field.into(), value.into())
    }

    /// Returns the condition that a field has one of these values.
    pub fn one_of<V: Into<Value>>(field: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        Self::In(field.into(), values.into_iter().map(Into::into).collect())
    }

    /// Returns the condition that a field has a value of at least this.
    pub fn at_least(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Range { field: field.into(), from: Some(value.into()), to: None }
    }

    /// Returns the condition that a field has a value of at most this.
    pub fn at_most(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Range { field: field.into(), from: None, to: Some(value.into()) }
    }

    /// Returns the condition that a field has a value between these, both included.
    pub fn between(field: impl Into<String>, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        Self::Range { field: field.into(), from: Some(from.into()), to: Some(to.into()) }
    }

    /// Returns the condition that a field has any value.
    pub fn has(field: impl Into<String>) -> Self {
        Self::Has(field.into())
    }

    /// Returns the condition that this and the other are met.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, filter) | (filter, Self::Everything) => filter,
            (Self::All(mut filters), filter) => {
                filters.push(filter);
                Self::All(filters)
            }
            (one, two) => Self::All(vec![one, two]),
        }
    }

    /// Returns the condition that this or the other is met.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Any(mut filters), filter) => {
                filters.push(filter);
                Self::Any(filters)
            }
            (one, two) => Self::Any(vec![one, two]),
        }
    }

    /// Checks that the index has the fields, and that their kinds allow what is asked of them.
    pub(crate) fn check(&self, schema: &Schema) -> Result<()> {
        self.check_at(schema, 0)
    }

    fn check_at(&self, schema: &Schema, depth: usize) -> Result<()> {
        if depth > MAX_FILTER_DEPTH {
            return Err(Error::FilterTooDeep { limit: MAX_FILTER_DEPTH });
        }
        match self {
            Self::Everything => Ok(()),
            Self::All(filters) | Self::Any(filters) => {
                filters.iter().try_for_each(|filter| filter.check_at(schema, depth + 1))
            }
            Self::Not(filter) => filter.check_at(schema, depth + 1),
            Self::Eq(field, _) | Self::In(field, _) | Self::Has(field) | Self::Range { field, .. } => {
                schema.field(field).map(drop)
            }
        }
    }

    /// Returns whether a row with these values meets the condition; the plain meaning of a filter, to
    /// which every faster way of answering is held.
    pub(crate) fn matches(&self, schema: &Schema, values: &[Vec<Value>]) -> bool {
        let of = |field: &str| {
            schema.field(field).ok().and_then(|index| values.get(index)).map_or(&[][..], Vec::as_slice)
        };
        match self {
            Self::Everything => true,
            Self::All(filters) => filters.iter().all(|filter| filter.matches(schema, values)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(schema, values)),
            Self::Not(filter) => !filter.matches(schema, values),
            Self::Eq(field, wanted) => of(field).contains(wanted),
            Self::In(field, wanted) => of(field).iter().any(|value| wanted.contains(value)),
            Self::Has(field) => !of(field).is_empty(),
            Self::Range { field, from, to } => of(field).iter().any(|value| {
                let above =
                    |from: &Value| matches!(value.compare(from), Some(Ordering::Greater | Ordering::Equal));
                let below = |to: &Value| matches!(value.compare(to), Some(Ordering::Less | Ordering::Equal));
                from.as_ref().is_none_or(above) && to.as_ref().is_none_or(below)
            }),
        }
    }
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}
