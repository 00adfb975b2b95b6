//! The plans that SQLite makes for our statements: an index for each, and no sorting.

use loomwork_store::Codec;
use loomwork_store::engine::{EngineIndex, Shape, TableNo};
use rusqlite::Connection;

use super::{LOG, LOG_APPEND, LOG_LAST, LOG_TRIM, TableSql};
use crate::schema;

fn shape(clustered_by: Option<usize>) -> Shape {
    let index = |name: &str| EngineIndex { name: name.into(), unique: false, refill: false };
    Shape {
        table: TableNo(20),
        name: "notes".into(),
        prefix: "note",
        codec: Codec::Json,
        clustered_by,
        indexes: vec![index("by_author"), index("by_slug")],
    }
}

fn database(shape: &Shape) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::define(&mut connection, std::slice::from_ref(shape)).unwrap();
    connection
}

/// The steps of a statement's plan, one a line.
fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = vec![rusqlite::types::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(unbound), |row| row.get("detail")).unwrap();
    steps.collect::<Result<Vec<String>, _>>().unwrap().join("\n")
}

/// Sees that all scans of a place make the plans for rows and for keys alone, up and down.
fn check_scans(table: &TableSql, place: Option<usize>, connection: &Connection, rows: &str, keys: &str) {
    for (bodies, expected) in [(true, rows), (false, keys)] {
        for reverse in [false, true] {
            assert_eq!(plan(connection, table.scan(place, reverse, bodies)), expected);
        }
    }
}

#[test]
fn statements_of_a_plain_table_use_its_indexes() {
    let shape = shape(None);
    let (table, connection) = (TableSql::of(&shape), database(&shape));
    let by_id = "SEARCH _notes USING INDEX sqlite_autoindex__notes_1 (id=?)";
    assert_eq!(plan(&connection, &table.get), by_id);
    assert_eq!(plan(&connection, &table.update(0b01)), by_id);
    assert_eq!(plan(&connection, &table.delete), by_id);
    check_scans(
        &table,
        None,
        &connection,
        "SEARCH _notes USING INDEX sqlite_autoindex__notes_1 (id>? AND id<?)",
        "SEARCH _notes USING COVERING INDEX sqlite_autoindex__notes_1 (id>? AND id<?)",
    );
    check_scans(
        &table,
        Some(0),
        &connection,
        "SEARCH _notes USING INDEX _notes.by_author (key_by_author>? AND key_by_author<?)",
        "SEARCH _notes USING COVERING INDEX _notes.by_author (key_by_author>? AND key_by_author<?)",
    );
    check_scans(
        &table,
        Some(1),
        &connection,
        "SEARCH _notes USING INDEX _notes.by_slug (key_by_slug>? AND key_by_slug<?)",
        "SEARCH _notes USING COVERING INDEX _notes.by_slug (key_by_slug>? AND key_by_slug<?)",
    );
}

#[test]
fn statements_of_a_clustered_table_use_its_key() {
    let shape = shape(Some(0));
    let (table, connection) = (TableSql::of(&shape), database(&shape));
    let by_id = "SEARCH _notes USING INDEX sqlite_autoindex__notes_2 (id=?)";
    assert_eq!(plan(&connection, &table.get), by_id);
    // The index of the ids holds the key by which a row to be written is found.
    let place = "SEARCH _notes USING COVERING INDEX sqlite_autoindex__notes_2 (id=?)";
    assert_eq!(plan(&connection, &table.update(0b11)), place);
    assert_eq!(plan(&connection, &table.delete), place);
    let in_place = "SEARCH _notes USING PRIMARY KEY (key_by_author>? AND key_by_author<?)";
    check_scans(&table, Some(0), &connection, in_place, in_place);
    check_scans(
        &table,
        Some(1),
        &connection,
        "SEARCH _notes USING INDEX _notes.by_slug (key_by_slug>? AND key_by_slug<?)",
        "SEARCH _notes USING COVERING INDEX _notes.by_slug (key_by_slug>? AND key_by_slug<?)",
    );
}

#[test]
fn the_change_log_is_read_by_position() {
    let connection = database(&shape(None));
    let behind = "SEARCH loomwork_log USING INTEGER PRIMARY KEY (rowid>?)";
    assert_eq!(plan(&connection, LOG), behind);
    assert_eq!(plan(&connection, LOG_TRIM), "SEARCH loomwork_log USING INTEGER PRIMARY KEY (rowid<?)");
    assert_eq!(plan(&connection, LOG_LAST), "SEARCH loomwork_log");
    assert_eq!(plan(&connection, LOG_APPEND), "");
}

#[test]
fn an_update_names_only_the_keys_that_move() {
    let table = TableSql::of(&shape(None));
    let set = |mask| table.update(mask).to_string();
    assert_eq!(set(0), "UPDATE \"_notes\" SET version = ?2, record = ?3 WHERE id = ?1");
    assert_eq!(
        set(0b10),
        "UPDATE \"_notes\" SET version = ?2, record = ?3, \"key_by_slug\" = ?4 WHERE id = ?1"
    );
}
