//! A row as the search structures see it.

use loomwork_core::RawId;

use crate::Value;

/// A row that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    pub(crate) id: RawId,
    pub(crate) score: f32,
}

/// A row as the search structures see it: texts and values in the order of the index's declaration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doc {
    /// The row.
    pub(crate) id: RawId,
    /// One text for each text field; empty where the row has none.
    pub(crate) texts: Vec<String>,
    /// The values of each filter field; none where the row has none, several for a set.
    pub(crate) values: Vec<Vec<Value>>,
}
