//! What a person sees in `sqlite3`: a view per table with readable ids and times.

use loomwork_store::engine::Shape;
use rusqlite::{OptionalExtension as _, Result, Transaction};

use crate::sql::table_name;

/// The digits of an id's text.
const DIGITS: &str = "0123456789abcdefghijklmnopqrstuv";

/// An id has 128 bits: 26 digits of 5 bits, the last of which has 2 bits of padding.
const ID_DIGITS: usize = 26;

/// Makes the view `notes` over the rows of `_notes`: `id` as the program shows it, `created`,
/// `version` and `record` (its JSON, or its size where it is compact).
pub(crate) fn define(tx: &Transaction<'_>, shape: &Shape) -> Result<()> {
    let (view, table) = (&shape.name, table_name(&shape.name));
    let record = match shape.codec {
        loomwork_store::Codec::Json => "record".to_owned(),
        loomwork_store::Codec::Compact => "length(record) || ' bytes' AS record".to_owned(),
    };
    let text = format!(
        "CREATE VIEW \"{view}\" AS SELECT '{prefix}_' || {id} AS id, \
         strftime('%Y-%m-%dT%H:%M:%fZ', {millis} / 1000.0, 'unixepoch') AS created, \
         version, {record} FROM (SELECT hex(id) || '0' AS hex, * FROM \"{table}\" ORDER BY id)",
        prefix = shape.prefix,
        id = id_text(),
        millis = millis(),
    );
    let held =
        tx.query_row("SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?1", [view], |row| {
            row.get::<_, String>(0)
        });
    if held.optional()?.as_ref() == Some(&text) {
        return Ok(());
    }
    tx.execute_batch(&format!("DROP VIEW IF EXISTS \"{view}\"; {text}"))
}

/// The value of the `at`-th hex digit of the id, `at` being SQL.
fn digit(at: &str) -> String {
    format!("(instr('0123456789ABCDEF', substr(hex, {at} + 1, 1)) - 1)")
}

/// An aggregate over the places 0, 1, …, which the program's connections parse faster than each
/// place written out: every connection parses every view.
fn over_places(count: usize, aggregate: &str) -> String {
    let last = count - 1;
    format!(
        "(WITH RECURSIVE place(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM place WHERE at < {last}) \
         SELECT {aggregate} FROM place)"
    )
}

/// The first 48 bits: milliseconds since 1970.
fn millis() -> String {
    over_places(12, &format!("sum({} << (4 * (11 - at)))", digit("at")))
}

/// Five bits of the id lie in two hex digits.
fn id_text() -> String {
    let eight_bits = format!("({} * 16 + {})", digit("at * 5 / 4"), digit("at * 5 / 4 + 1"));
    let five_bits = format!("(({eight_bits} >> (3 - at * 5 % 4)) & 31)");
    over_places(ID_DIGITS, &format!("group_concat(substr('{DIGITS}', {five_bits} + 1, 1), '')"))
}
