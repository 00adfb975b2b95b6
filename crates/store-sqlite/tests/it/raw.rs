//! The file as SQLite sees it, without a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// Opens a store's file for looking at it.
pub(crate) fn look(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("SQLite opens the file")
}

/// Returns the first column of a query's rows as text.
pub(crate) fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("the query fits the file");
    let rows = statement.query_map([], |row| row.get(0)).expect("the query runs");
    rows.collect::<Result<_, _>>().expect("the rows are text")
}

/// Returns the only number of a query.
pub(crate) fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).expect("the query gives a number")
}

/// Sees that SQLite finds nothing wrong in a file.
pub(crate) fn intact(path: &Path) {
    assert_eq!(texts(&look(path), "PRAGMA integrity_check"), ["ok"], "{}", path.display());
}

/// The file that SQLite keeps beside `path` under this ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The size of the write-ahead log, 0 where there is none.
pub(crate) fn log_bytes(path: &Path) -> u64 {
    std::fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len())
}

/// Every row of every table that SQLite lists, as SQL literals, by the table's name; the schema too.
pub(crate) fn contents(path: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = look(path);
    let mut tables = texts(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table'");
    tables.push("sqlite_schema".to_owned());
    let rows = |table: &String| {
        let columns = texts(&connection, &format!("SELECT name FROM pragma_table_xinfo('{table}')"));
        let quoted: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
        texts(&connection, &format!("SELECT {} FROM \"{table}\"", quoted.join(" || ', ' || ")))
    };
    tables.iter().map(|table| (table.clone(), rows(table))).collect()
}
