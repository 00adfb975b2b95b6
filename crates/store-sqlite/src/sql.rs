//! The statements of one table, written once when the store opens.
//!
//! Rows of table `notes` are in `_notes`: its row number, the id's 16 bytes, the record version,
//! the record, and a column of key bytes for each index. A key ends with the id, so an index scan
//! takes the id from the key.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use loomwork_store::Codec;
use loomwork_store::engine::{Shape, TableNo};

/// The physical table of `name`.
pub(crate) fn table_name(name: &str) -> String {
    format!("_{name}")
}

/// The column of the index `name`.
pub(crate) fn column_name(name: &str) -> String {
    format!("key_{name}")
}

/// The SQL index over that column. No table or index of a program has a dot in its name, so the
/// names that have one are ours to give.
pub(crate) fn index_name(table: &str, index: &str) -> String {
    format!("_{table}.{index}")
}

/// The statements of one table.
#[derive(Debug)]
pub(crate) struct TableSql {
    table: String,
    is_text: bool,
    columns: Vec<String>,
    pub(crate) get: String,
    pub(crate) insert: String,
    pub(crate) delete: String,
    by_id: Scans,
    by_index: Vec<Scans>,
    /// Updates by which keys they change, made when first needed.
    updates: Mutex<HashMap<u64, Arc<str>>>,
}

/// The scans of one index: with bodies and without, up and down.
#[derive(Debug)]
struct Scans {
    rows: [String; 2],
    keys: [String; 2],
}

impl Scans {
    fn over(table: &str, column: &str) -> Self {
        let scan = |what: &str, order: &str| {
            format!(
                "SELECT {column}{what} FROM \"{table}\" \
                 WHERE {column} >= ?1 AND {column} < ?2 ORDER BY {column} {order}"
            )
        };
        let both = |what| [scan(what, "ASC"), scan(what, "DESC")];
        Self { rows: both(", version, record"), keys: both("") }
    }
}

impl TableSql {
    pub(crate) fn of(shape: &Shape) -> Self {
        let table = table_name(&shape.name);
        let columns: Vec<String> =
            shape.indexes.iter().map(|index| format!("\"{}\"", column_name(&index.name))).collect();
        let mut insert = format!("INSERT INTO \"{table}\" (id, version, record");
        columns.iter().for_each(|column| {
            let _ = write!(insert, ", {column}");
        });
        insert.push_str(") VALUES (?1, ?2, ?3");
        (0..columns.len()).for_each(|at| {
            let _ = write!(insert, ", ?{}", at + 4);
        });
        insert.push(')');
        Self {
            get: format!("SELECT version, record FROM \"{table}\" WHERE id = ?1"),
            insert,
            delete: format!("DELETE FROM \"{table}\" WHERE id = ?1"),
            by_id: Scans::over(&table, "id"),
            by_index: columns.iter().map(|column| Scans::over(&table, column)).collect(),
            updates: Mutex::default(),
            is_text: shape.codec == Codec::Json,
            table,
            columns,
        }
    }

    /// Returns the physical table's name.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Whether records are text.
    pub(crate) fn is_text(&self) -> bool {
        self.is_text
    }

    /// The scan of an index, or of the ids.
    pub(crate) fn scan(&self, index: Option<usize>, reverse: bool, bodies: bool) -> &str {
        let scans = index.map_or(&self.by_id, |index| &self.by_index[index]);
        let orders = if bodies { &scans.rows } else { &scans.keys };
        &orders[usize::from(reverse)]
    }

    /// The update that sets version, record and the keys that `changed` has a bit for. Columns
    /// that are not named keep their index entries, so an update pays only for what moves.
    pub(crate) fn update(&self, changed: u64) -> Arc<str> {
        let mut updates = self.updates.lock().expect("nothing panics while statements are written");
        let text = updates.entry(changed).or_insert_with(|| {
            let mut text = format!("UPDATE \"{}\" SET version = ?2, record = ?3", self.table);
            let named = self.columns.iter().enumerate().filter(|(at, _)| changed >> at & 1 == 1);
            for (number, (_, column)) in named.enumerate() {
                let _ = write!(text, ", {column} = ?{}", number + 4);
            }
            text.push_str(" WHERE id = ?1");
            text.into()
        });
        text.clone()
    }
}

/// The statements of all open tables.
pub(crate) type Statements = HashMap<TableNo, Arc<TableSql>>;

pub(crate) const LOG: &str = "SELECT seq, table_number, id, op FROM loomwork_log WHERE seq > ?1 ORDER BY seq";
pub(crate) const LOG_APPEND: &str =
    "INSERT INTO loomwork_log (seq, table_number, id, op) VALUES (?1, ?2, ?3, ?4)";
pub(crate) const LOG_TRIM: &str = "DELETE FROM loomwork_log WHERE seq <= ?1";
pub(crate) const LOG_TRIMMED: &str = "SELECT trimmed FROM loomwork_log_start";
/// Writes for the sake of the sync that follows. It has to change something: SQLite leaves a page
/// alone whose content stays.
pub(crate) const SYNC: &str = "UPDATE loomwork_log_start SET syncs = syncs + 1";
pub(crate) const LOG_SET_TRIMMED: &str = "UPDATE loomwork_log_start SET trimmed = ?1";
pub(crate) const LOG_LAST: &str = "SELECT max(seq) FROM loomwork_log";
