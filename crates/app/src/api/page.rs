//! Pages of lists.

use loomwork_store::{Cursor, Page};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use loomwork_core::Kind;

/// How many rows a page has, unless the request says so.
pub(crate) const DEFAULT_ROWS: usize = 20;

/// The most rows of a page.
pub(crate) const MAX_ROWS: usize = 200;

/// Reads which page a request asks for.
///
/// Lists take `limit` and `after` beside their other arguments; these are not a type of their own, since flattened
/// fields are read from texts alone.
pub(crate) fn page(limit: Option<usize>, after: Option<&str>) -> Result<Page> {
    let size = limit.unwrap_or(DEFAULT_ROWS);
    if size == 0 || size > MAX_ROWS {
        let message = format!("a page of {size} rows; ask for 1 to {MAX_ROWS}");
        return Err(Error::new(Kind::Invalid, message).about("limit"));
    }
    let after = after.map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|error| Error::from(error).about("after"))?;
    Ok(Page { size, after })
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListOf{T}")]
pub(crate) struct List<T> {
    /// What the page shows.
    pub(crate) items: Vec<T>,
    /// Where the next page begins: the `after` of its request. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl<T> List<T> {
    pub(crate) fn new(items: Vec<T>, next: Option<Cursor>) -> Self {
        Self { items, next: next.map(|cursor| cursor.to_string()) }
    }
}
