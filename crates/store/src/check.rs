//! Verifying a store: every index entry against its record.

use std::fmt;
use std::ops::ControlFlow;

use loomwork_core::RawId;

use crate::error::Result;
use crate::key::Shown;
use crate::registry::OpenTable;
use crate::store::Store;
use crate::table::Keys;
use crate::tx::{Tx, key_parts};

/// What [`Store::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many rows were read.
    pub rows: usize,
    /// How many index entries were compared with them.
    pub entries: usize,
    /// What does not fit, [`MAX_MISMATCHES`] at most.
    pub mismatches: Vec<Mismatch>,
}

impl Report {
    /// Whether everything fits.
    pub fn is_clean(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// The most mismatches that a report lists.
pub const MAX_MISMATCHES: usize = 1000;

/// A row and an index that do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The table.
    pub table: &'static str,
    /// The index, or `None` where the row itself cannot be read.
    pub index: Option<&'static str>,
    /// The row.
    pub id: RawId,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index.map(|index| format!(".{index}")).unwrap_or_default();
        write!(f, "{}{index}, row {}: {}", self.table, self.id, self.what)
    }
}

impl Store {
    /// Verifies on one snapshot that every row can be read, that every index entry is what its
    /// record says, and that no unique key is held twice. It reads the whole store.
    ///
    /// # Errors
    /// When the engine fails; what does not fit is in the report.
    pub async fn check(&self) -> Result<Report> {
        self.query(|tx| {
            let mut report = Report::default();
            for table in tx.tables().tables() {
                check_table(tx, table, &mut report)?;
            }
            Ok(report)
        })
        .await
    }
}

impl Report {
    fn add(&mut self, table: &OpenTable, index: Option<usize>, id: RawId, what: String) {
        if self.mismatches.len() < MAX_MISMATCHES {
            let index = index.map(|at| table.def.indexes[at].name);
            self.mismatches.push(Mismatch { table: table.def.name, index, id, what });
        }
    }
}

fn check_table(tx: &Tx, table: &OpenTable, report: &mut Report) -> Result<()> {
    tx.each_raw(table.number, None, &mut |_, id, version, body| {
        report.rows += 1;
        match (table.def.keys)(id, version, body) {
            Err(error) => report.add(table, None, id, error.to_string()),
            Ok(keys) => check_row(tx, table, id, &keys, report)?,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    (0..table.def.indexes.len()).try_for_each(|at| check_index(tx, table, at, report))
}

/// Looks for each key of a row in its index.
fn check_row(tx: &Tx, table: &OpenTable, id: RawId, keys: &Keys, report: &mut Report) -> Result<()> {
    for (at, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        if !tx.has_entry(table.number, at, key)? {
            report.add(table, Some(at), id, format!("the index lacks its key {}", Shown(key_parts(key))));
        }
    }
    Ok(())
}

/// Reads an index through: entries that their record does not make, and unique keys held twice.
fn check_index(tx: &Tx, table: &OpenTable, at: usize, report: &mut Report) -> Result<()> {
    let unique = table.def.indexes[at].unique;
    let mut last: Option<(Vec<u8>, RawId)> = None;
    tx.each_raw(table.number, Some(at), &mut |key, id, version, body| {
        report.entries += 1;
        let parts = key_parts(key);
        let made = (table.def.keys)(id, version, body);
        if made.is_ok_and(|keys| keys[at].as_deref() != Some(key)) {
            let what = format!("the index holds {}, which the record does not make", Shown(parts));
            report.add(table, Some(at), id, what);
        }
        if let Some((_, other)) = last.as_ref().filter(|(before, _)| unique && before == parts) {
            let what = format!("the unique key {} is also that of row {other}", Shown(parts));
            report.add(table, Some(at), id, what);
        }
        last = Some((parts.to_vec(), id));
        Ok(ControlFlow::Continue(()))
    })
}
