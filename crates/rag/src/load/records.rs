//! Tables and JSON as text: a paragraph for each record, a line for each field.

use serde_json::Value;

use super::Document;
use crate::{Error, Result};

/// Reads a JSON document. The items of a list at the top are records.
pub(super) fn json(name: &str, text: &str) -> Result<Document> {
    let value: Value = serde_json::from_str(text).map_err(|error| unreadable(name, "JSON", error))?;
    let records = match value {
        Value::Array(items) => items.iter().map(record).collect(),
        value => vec![record(&value)],
    };
    Ok(document(records))
}

/// Reads JSON documents, a line each.
pub(super) fn json_lines(name: &str, text: &str) -> Result<Document> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let each = lines.map(|(at, line)| {
        let value: Value = serde_json::from_str(line)
            .map_err(|error| unreadable(name, "JSON lines", format!("line {}: {error}", at + 1)))?;
        Ok(record(&value))
    });
    Ok(document(each.collect::<Result<_>>()?))
}

/// Reads a table whose first line names its columns.
pub(super) fn csv(name: &str, text: &str, delimiter: u8) -> Result<Document> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|error| unreadable(name, "a table", error))?.clone();
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| unreadable(name, "a table", error))?;
        let fields = row.iter().enumerate().filter(|(_, field)| !field.trim().is_empty());
        let lines = fields.map(|(at, field)| match columns.get(at).filter(|column| !column.is_empty()) {
            Some(column) => format!("{column}: {field}"),
            None => field.to_owned(),
        });
        records.push(lines.collect::<Vec<_>>().join("\n"));
    }
    Ok(document(records))
}

fn unreadable(name: &str, format: &'static str, reason: impl ToString) -> Error {
    Error::Unreadable { name: name.to_owned(), format, reason: reason.to_string() }
}

fn document(records: Vec<String>) -> Document {
    let records: Vec<String> = records.into_iter().filter(|record| !record.trim().is_empty()).collect();
    Document { text: records.join("\n\n"), ..Document::default() }
}

fn record(value: &Value) -> String {
    let mut lines = Vec::new();
    write_fields("", value, &mut lines);
    lines.join("\n")
}

/// Fields of fields are named by their paths.
fn write_fields(path: &str, value: &Value, lines: &mut Vec<String>) {
    let line = |text: String| if path.is_empty() { text } else { format!("{path}: {text}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                write_fields(&path, value, lines);
            }
        }
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            lines.push(line(items.join(", ")));
        }
        Value::Array(items) => items.iter().for_each(|item| write_fields(path, item, lines)),
        value => lines.push(line(plain(value))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
