//! The rows of an index's table, to those who don't know its type.

use std::any::Any;
use std::fmt;

use loomwork_core::RawId;
use loomwork_store::{Id, Result, Row, Table, Tx};

use crate::Index;
use crate::doc::Doc;
use crate::index::Schema;

/// The rows of an index's table, to those who don't know its type.
pub(crate) trait Source: Any + fmt::Debug + Send + Sync {
    fn schema(&self) -> &Schema;

    /// Returns a row as the search structures see it.
    fn doc(&self, tx: &Tx, id: RawId) -> Result<Option<Doc>>;

    /// Returns some rows behind another one, in the order of their ids.
    fn docs_after(&self, tx: &Tx, after: Option<RawId>, limit: usize) -> Result<Vec<Doc>>;

    /// Returns what of a row is embedded; `None` if there is no such row or nothing to embed in it.
    fn text(&self, tx: &Tx, id: RawId) -> Result<Option<String>>;

    /// As [`docs_after`](Self::docs_after), with what is embedded.
    fn texts_after(
        &self,
        tx: &Tx,
        after: Option<RawId>,
        limit: usize,
    ) -> Result<Vec<(RawId, Option<String>)>>;

    /// Returns how many rows there are.
    fn count(&self, tx: &Tx) -> Result<usize>;
}

impl<T: Table> Source for Index<T> {
    fn schema(&self) -> &Schema {
        self.schema()
    }

    fn doc(&self, tx: &Tx, id: RawId) -> Result<Option<Doc>> {
        Ok(tx.get(Id::<T>::from_raw(id))?.map(|row| self.doc(&row)))
    }

    fn docs_after(&self, tx: &Tx, after: Option<RawId>, limit: usize) -> Result<Vec<Doc>> {
        Ok(rows_after(tx, after, limit)?.iter().map(|row| self.doc(row)).collect())
    }

    fn text(&self, tx: &Tx, id: RawId) -> Result<Option<String>> {
        Ok(tx.get(Id::<T>::from_raw(id))?.and_then(|row| self.embedded_text(&row)))
    }

    fn texts_after(
        &self,
        tx: &Tx,
        after: Option<RawId>,
        limit: usize,
    ) -> Result<Vec<(RawId, Option<String>)>> {
        let rows: Vec<Row<T>> = rows_after(tx, after, limit)?;
        Ok(rows.iter().map(|row| (row.id.raw(), self.embedded_text(row))).collect())
    }

    fn count(&self, tx: &Tx) -> Result<usize> {
        tx.count(T::all())
    }
}

fn rows_after<T: Table>(tx: &Tx, after: Option<RawId>, limit: usize) -> Result<Vec<Row<T>>> {
    match after {
        None => tx.scan(T::all().take(limit)),
        Some(after) => tx.scan(T::all().gt(Id::<T>::from_raw(after)).take(limit)),
    }
}
