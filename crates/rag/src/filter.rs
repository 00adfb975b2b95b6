//! Which entries and chunks a search may find.

mod marks;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use marks::{Holder, MARKS, check_name, marks_of};

/// How the names of fields begin that are of a chunk's own metadata.
pub const CHUNK_FIELD: &str = "chunk.";

/// How deep filters may be nested.
pub const MAX_FILTER_DEPTH: usize = 16;

/// Which chunks a search may find: conditions on the filter values of their entries, and, by names that
/// begin with [`CHUNK_FIELD`], on their own metadata.
///
/// Values are any JSON and are compared as a whole, lists and maps too; `2` equals `2.0`. Order is that
/// of numbers, or of texts; a value of another type meets no comparison. A field that is absent meets no
/// condition, and so meets its negation. Filters come before limits: as many hits are returned as are
/// wanted, or as there are.
///
/// ```
/// use loomwork_rag::Filter;
/// use serde_json::json;
///
/// let filter = Filter::eq("team", "weavers")
///     .and(Filter::ge("year", 1804).or(Filter::contains("tags", "patent")))
///     .and(!Filter::eq("place", json!({ "city": "Lyon", "country": "FR" })));
/// let json = serde_json::to_value(&filter)?;
/// assert_eq!(serde_json::from_value::<Filter>(json)?, filter);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Every chunk.
    #[default]
    Everything,
    /// Chunks that meet all of these.
    All(Vec<Filter>),
    /// Chunks that meet at least one of these.
    Any(Vec<Filter>),
    /// Chunks that don't meet this.
    Not(Box<Filter>),
    /// The field has this value.
    Eq(String, Value),
    /// The field has one of these values.
    In(String, Vec<Value>),
    /// The field is a list with this item.
    Contains(String, Value),
    /// The field has any value.
    Exists(String),
    /// The field is less than this.
    Lt(String, Value),
    /// The field is at most this.
    Le(String, Value),
    /// The field is greater than this.
    Gt(String, Value),
    /// The field is at least this.
    Ge(String, Value),
}

impl Filter {
    /// Returns the condition that a field has a value.
    pub fn eq(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Eq(field.into(), value.into())
    }

    /// Returns the condition that a field does not have a value.
    pub fn ne(field: impl Into<String>, value: impl Into<Value>) -> Self {
        !Self::eq(field, value)
    }

    /// Returns the condition that a field has one of these values.
    pub fn one_of<V: Into<Value>>(field: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        Self::In(field.into(), values.into_iter().map(Into::into).collect())
    }

    /// Returns the condition that a field is a list with this item.
    pub fn contains(field: impl Into<String>, item: impl Into<Value>) -> Self {
        Self::Contains(field.into(), item.into())
    }

    /// Returns the condition that a field has any value.
    pub fn exists(field: impl Into<String>) -> Self {
        Self::Exists(field.into())
    }

    /// Returns the condition that a field is less than this.
    pub fn lt(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Lt(field.into(), value.into())
    }

    /// Returns the condition that a field is at most this.
    pub fn le(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Le(field.into(), value.into())
    }

    /// Returns the condition that a field is greater than this.
    pub fn gt(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Gt(field.into(), value.into())
    }

    /// Returns the condition that a field is at least this.
    pub fn ge(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Ge(field.into(), value.into())
    }

    /// Returns the condition that this and the other are met.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, filter) | (filter, Self::Everything) => filter,
            (one, two) => Self::All(vec![one, two]),
        }
    }

    /// Returns the condition that this or the other is met.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (one, two) => Self::Any(vec![one, two]),
        }
    }

    /// Returns the names of the entries' filter values that it asks for.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.each_name(&mut |name| names.push(name));
        names.retain(|name| !name.starts_with(CHUNK_FIELD));
        names
    }

    /// Returns the name of the field that it is a condition on, if it is one on a field.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Everything | Self::All(_) | Self::Any(_) | Self::Not(_) => None,
            Self::Eq(name, _)
            | Self::In(name, _)
            | Self::Contains(name, _)
            | Self::Exists(name)
            | Self::Lt(name, _)
            | Self::Le(name, _)
            | Self::Gt(name, _)
            | Self::Ge(name, _) => Some(name),
        }
    }

    fn each_name<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        match self {
            Self::All(filters) | Self::Any(filters) => {
                filters.iter().for_each(|filter| filter.each_name(visit));
            }
            Self::Not(filter) => filter.each_name(visit),
            of_field => of_field.name().into_iter().for_each(visit),
        }
    }
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}
