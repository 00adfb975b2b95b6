//! Making and changing the file's tables.

use std::collections::HashSet;

use loomwork_store::Codec;
use loomwork_store::engine::{EngineIndex, Shape};
use rusqlite::{Connection, OptionalExtension as _, Result, Transaction};

use crate::owner;
use crate::sql::{column_name, index_name, table_name};
use crate::view;

/// The change log, and up to where it was forgotten.
const LOG: &str = "
    CREATE TABLE IF NOT EXISTS loomwork_log (
        seq INTEGER PRIMARY KEY,
        table_number INTEGER NOT NULL,
        id BLOB NOT NULL,
        op INTEGER NOT NULL -- 0 insert, 1 update, 2 delete
    ) STRICT;
    CREATE TABLE IF NOT EXISTS loomwork_log_start (
        trimmed INTEGER NOT NULL,
        syncs INTEGER NOT NULL -- how often a commit wrote this only to be synced
    ) STRICT;
    INSERT INTO loomwork_log_start SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM loomwork_log_start);
";

/// Brings the file's tables to these shapes, in one transaction.
pub(crate) fn define(connection: &mut Connection, shapes: &[Shape]) -> Result<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    owner::sign(&tx)?;
    tx.execute_batch(LOG)?;
    for shape in shapes {
        define_table(&tx, shape)?;
        view::define(&tx, shape)?;
    }
    tx.commit()
}

fn define_table(tx: &Transaction<'_>, shape: &Shape) -> Result<()> {
    let table = table_name(&shape.name);
    if !exists(tx, &table)? {
        tx.execute_batch(&create(shape))?;
    }
    let wanted: HashSet<String> = shape.indexes.iter().map(|index| column_name(&index.name)).collect();
    let held = key_columns(tx, &table)?;
    let clustering = shape.clustered_by.map(|at| column_name(&shape.indexes[at].name));
    if held.iter().any(|column| column.clusters && clustering.as_ref() != Some(&column.name)) {
        unclustered(tx, shape, &held)?;
    }
    let held = key_columns(tx, &table)?;
    for column in held.iter().filter(|column| !column.clusters && !wanted.contains(&column.name)) {
        drop_column(tx, &table, &column.name)?;
    }
    for index in shape.indexes.iter().filter(|index| index.refill) {
        let column = column_name(&index.name);
        match held.iter().find(|held| held.name == column) {
            // Rows cannot be without the key that they lie by. No key begins with a zero byte, so
            // this one is found under none.
            Some(held) if held.clusters => {
                tx.execute(&format!("UPDATE \"{table}\" SET \"{column}\" = CAST(x'00' || id AS BLOB)"), [])?;
            }
            Some(_) => drop_column(tx, &table, &column)?,
            None => {}
        }
    }
    let held = key_columns(tx, &table)?;
    for index in &shape.indexes {
        let column = column_name(&index.name);
        match held.iter().find(|held| held.name == column) {
            Some(_) => {}
            None => tx.execute_batch(&format!("ALTER TABLE \"{table}\" ADD COLUMN \"{column}\" BLOB"))?,
        }
        if !held.iter().any(|held| held.clusters && held.name == column) {
            tx.execute_batch(&create_index(shape, index))?;
        }
    }
    Ok(())
}

/// A plain table lies in the order of its row numbers, which is that of creation; a clustered one
/// in the order of an index, which suits short records that are read in runs.
fn create(shape: &Shape) -> String {
    let table = table_name(&shape.name);
    let record = match shape.codec {
        Codec::Json => "TEXT",
        Codec::Compact => "BLOB",
    };
    let common = format!("id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, record {record} NOT NULL");
    match shape.clustered_by {
        None => format!("CREATE TABLE \"{table}\" (number INTEGER PRIMARY KEY, {common}) STRICT"),
        Some(index) => {
            let key = column_name(&shape.indexes[index].name);
            format!("CREATE TABLE \"{table}\" (\"{key}\" BLOB PRIMARY KEY, {common}) STRICT, WITHOUT ROWID")
        }
    }
}

/// Every entry is unique already, since it ends with the id. Rows without the key are left out.
fn create_index(shape: &Shape, index: &EngineIndex) -> String {
    let (table, column) = (table_name(&shape.name), column_name(&index.name));
    let name = index_name(&shape.name, &index.name);
    format!(
        "CREATE UNIQUE INDEX IF NOT EXISTS \"{name}\" ON \"{table}\" (\"{column}\") WHERE \"{column}\" IS NOT NULL"
    )
}

#[derive(Debug)]
struct KeyColumn {
    name: String,
    /// Whether the table lies in its order.
    clusters: bool,
}

fn key_columns(tx: &Transaction<'_>, table: &str) -> Result<Vec<KeyColumn>> {
    let mut statement = tx.prepare("SELECT name, pk FROM pragma_table_info(?1) WHERE name GLOB 'key_*'")?;
    let columns = statement
        .query_map([table], |row| Ok(KeyColumn { name: row.get(0)?, clusters: row.get::<_, i64>(1)? > 0 }))?;
    columns.collect()
}

fn exists(tx: &Transaction<'_>, table: &str) -> Result<bool> {
    let found =
        tx.query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

fn drop_column(tx: &Transaction<'_>, table: &str, column: &str) -> Result<()> {
    let indexes: Vec<String> = {
        let mut statement = tx.prepare(
            "SELECT list.name FROM pragma_index_list(?1) AS list, pragma_index_info(list.name) AS info \
             WHERE info.name = ?2",
        )?;
        statement.query_map([table, column], |row| row.get(0))?.collect::<Result<_>>()?
    };
    for index in indexes {
        tx.execute_batch(&format!("DROP INDEX \"{index}\""))?;
    }
    tx.execute_batch(&format!("ALTER TABLE \"{table}\" DROP COLUMN \"{column}\""))
}

/// Copies a table that no longer asks to be clustered, or by another index, into a plain one.
fn unclustered(tx: &Transaction<'_>, shape: &Shape, held: &[KeyColumn]) -> Result<()> {
    let table = table_name(&shape.name);
    let plain = Shape { clustered_by: None, ..shape.clone() };
    // The view would follow the old table, and SQLite alters no table while a view dangles.
    tx.execute_batch(&format!("DROP VIEW IF EXISTS \"{}\"", shape.name))?;
    tx.execute_batch(&format!("ALTER TABLE \"{table}\" RENAME TO \"{table}.old\""))?;
    tx.execute_batch(&create(&plain))?;
    let mut columns = "id, version, record".to_owned();
    for column in held {
        tx.execute_batch(&format!("ALTER TABLE \"{table}\" ADD COLUMN \"{}\" BLOB", column.name))?;
        columns.push_str(&format!(", \"{}\"", column.name));
    }
    tx.execute_batch(&format!(
        "INSERT INTO \"{table}\" ({columns}) SELECT {columns} FROM \"{table}.old\" ORDER BY id; \
         DROP TABLE \"{table}.old\";"
    ))
}
