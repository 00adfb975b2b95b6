//! Answers for people: lists as tables, things as names and values, threads as what was said.

mod said;
mod table;

use serde_json::{Map, Value};

pub(crate) use said::{line_of_tool, said};
use table::Table;

use super::output::{Output, Style};
use super::words::kebab;

/// Which columns of a list are shown, and in which order. What is not listed here shows all that is no list.
const COLUMNS: &[(&str, &[&str])] = &[
    ("threads.list", &["id", "title", "user", "status", "updated"]),
    ("members.list", &["user", "role", "status", "title"]),
    ("runs.live", &["id", "agent", "status", "steps", "created"]),
    ("search.messages", &["score", "thread", "text"]),
    ("search.threads", &["score", "id", "title"]),
    ("keys.list", &["id", "name", "start", "scope", "user", "expires", "lastUsed", "revoked"]),
    ("keys.events", &["at", "did", "key", "by"]),
    ("jobs.list", &["id", "name", "state", "attempts", "due", "outcome", "progress", "lastError"]),
    ("jobs.crons", &["name", "job", "schedule", "next", "last", "paused"]),
    ("workflows.list", &["id", "name", "key", "state", "created", "finished"]),
    ("workflows.steps", &["number", "kind", "name", "state", "started", "finished"]),
    ("knowledge.entries", &["id", "key", "title", "status", "chunks", "created"]),
    ("knowledge.namespaces", &["name", "version", "status", "id"]),
    ("usage.invoices", &["id", "number", "payer", "label", "state", "total", "currency"]),
];

/// What is a moment, where it is a number of this size.
const MOMENTS: [&str; 23] = [
    "answered",
    "asked",
    "at",
    "created",
    "creationTime",
    "due",
    "end",
    "ended",
    "enqueued",
    "expires",
    "finished",
    "from",
    "last",
    "lastUsed",
    "next",
    "now",
    "recorded",
    "retryAt",
    "revoked",
    "start",
    "started",
    "until",
    "updated",
];

/// A number below it is no moment: it is of 1973.
const FIRST_MOMENT: i64 = 100_000_000_000;

/// Shows an answer of an operation.
pub(crate) fn answer(out: &Output, id: &str, value: &Value) {
    if out.is_json {
        return out.json(value);
    }
    match value {
        Value::Object(fields) if fields.contains_key("messages") && id.starts_with("messages.") => {
            page_of_messages(out, fields);
        }
        // What was found is there as a text, made to be read.
        Value::Object(fields) if id == "knowledge.search" => {
            let text = fields.get("text").and_then(Value::as_str).unwrap_or_default();
            out.line(if text.is_empty() { "Nothing was found." } else { text });
        }
        Value::Object(fields) if fields.get("items").is_some_and(Value::is_array) => {
            list(out, id, fields["items"].as_array().map(Vec::as_slice).unwrap_or_default());
            more(out, fields);
        }
        Value::Array(items) => list(out, id, items),
        Value::Object(fields) => thing(out, fields, 0),
        other => out.line(&shown(out, "", other)),
    }
}

fn more(out: &Output, fields: &Map<String, Value>) {
    if let Some(next) = fields.get("next").and_then(Value::as_str) {
        out.remark(&format!("There is more: `--after '{next}'`, or `--all`."));
    }
}

fn page_of_messages(out: &Output, fields: &Map<String, Value>) {
    let messages = fields.get("messages").and_then(Value::as_array);
    let messages = messages.map(Vec::as_slice).unwrap_or_default();
    if messages.is_empty() {
        out.line("Nothing was said yet.");
    }
    messages.iter().for_each(|message| said(out, message));
    more(out, fields);
}

/// Shows a list of things as a table, and of other values one a line.
fn list(out: &Output, id: &str, items: &[Value]) {
    if items.is_empty() {
        return out.remark("There are none.");
    }
    if !items.iter().all(Value::is_object) {
        return items.iter().for_each(|item| out.line(&shown(out, "", item)));
    }
    let listed = COLUMNS.iter().find(|(of, _)| *of == id).map(|(_, columns)| *columns);
    let is_told = |name: &str| items.iter().any(|item| item.get(name).is_some_and(|value| !value.is_null()));
    let columns: Vec<&str> = match listed {
        Some(columns) => columns.iter().copied().filter(|name| is_told(name)).collect(),
        None => {
            let mut names: Vec<&str> = Vec::new();
            for (name, value) in items.iter().filter_map(Value::as_object).flatten() {
                if !value.is_array() && !value.is_null() && !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
            names
        }
    };
    let mut table = Table::new(columns.iter().map(|name| kebab(name).replace('-', " ")));
    for item in items {
        table.row(columns.iter().map(|name| {
            let value = item.get(name).unwrap_or(&Value::Null);
            (shown(out, name, value), style_of(name, value))
        }));
    }
    table.show(out);
}

/// Shows a thing: its names and values, and things in it further in.
fn thing(out: &Output, fields: &Map<String, Value>, depth: usize) {
    let indent = "  ".repeat(depth);
    let is_plain =
        |value: &Value| !matches!(value, Value::Object(fields) if !fields.is_empty()) && !is_list(value);
    let width =
        fields.iter().filter(|(_, value)| is_plain(value)).map(|(name, _)| kebab(name).chars().count());
    let width = width.max().unwrap_or_default();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let title = kebab(name).replace('-', " ");
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.line(&format!("{indent}{}", out.paint(Style::Dim, &title)));
                thing(out, inner, depth + 1);
            }
            Value::Array(items) if is_list(value) => {
                out.line(&format!("{indent}{}", out.paint(Style::Dim, &title)));
                list(out, "", items);
            }
            plain => {
                let title = format!("{title:width$}");
                let text = shown(out, name, plain);
                let text = style_of(name, plain).map_or(text.clone(), |style| out.paint(style, &text));
                out.line(&format!("{indent}{}  {text}", out.paint(Style::Dim, &title)));
            }
        }
    }
}

/// Whether a value is a list of things.
fn is_list(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

/// Returns a value as a person reads it.
fn shown(out: &Output, name: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_i64() {
            Some(millis) if MOMENTS.contains(&name) && millis >= FIRST_MOMENT => out.zone.show(millis),
            Some(whole) => whole.to_string(),
            None => number.as_f64().map_or_else(|| number.to_string(), |number| format!("{number:.3}")),
        },
        Value::Object(fields) if name == "progress" => {
            let part = fields.get("fraction").and_then(Value::as_f64).unwrap_or_default();
            let text = fields.get("text").and_then(Value::as_str).unwrap_or_default();
            format!("{:.0} % {text}", part * 100.0).trim_end().to_owned()
        }
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(|item| shown(out, name, item)).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// What stands out.
fn style_of(name: &str, value: &Value) -> Option<Style> {
    let text = value.as_str()?;
    match (name, text) {
        ("status" | "state" | "outcome", "success" | "ready" | "active" | "paid" | "running") => {
            Some(Style::Good)
        }
        ("status" | "state" | "outcome", "failed" | "dead" | "blocked" | "interrupted") => Some(Style::Wrong),
        ("status" | "state" | "outcome", "waiting" | "cancelled" | "aborted" | "pending") => {
            Some(Style::Warning)
        }
        ("id", _) => Some(Style::Dim),
        ("error" | "lastError", _) => Some(Style::Wrong),
        _ => None,
    }
}
