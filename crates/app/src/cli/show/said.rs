//! What was said: a message of a thread, with its calls of tools.

use serde_json::Value;

use super::super::output::{Output, Style};

/// The most letters of what a tool was given or returned.
const MOST_OF_A_CALL: usize = 200;

/// Shows a message.
pub(crate) fn said(out: &Output, message: &Value) {
    let text_of = |name: &str| message.get(name).and_then(Value::as_str);
    let when = message.get("creationTime").and_then(Value::as_i64).map(|millis| out.zone.show(millis));
    let role = text_of("role").unwrap_or_default();
    let who = match role {
        "user" => text_of("userId").unwrap_or("user"),
        _ => text_of("agentName").unwrap_or(role),
    };
    let status = text_of("status").filter(|status| *status != "success");
    let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
    let when = out.paint(Style::Dim, &when.unwrap_or_default());
    out.line(&format!("{} {when}{}", out.paint(Style::Bold, who), out.paint(Style::Warning, &status)));
    for part in message.get("parts").and_then(Value::as_array).into_iter().flatten() {
        match part.get("type").and_then(Value::as_str).unwrap_or_default() {
            "text" => out.line(part.get("text").and_then(Value::as_str).unwrap_or_default()),
            "reasoning" => {
                let text = part.get("text").and_then(Value::as_str).unwrap_or_default();
                out.line(&out.paint(Style::Dim, text));
            }
            "file" => {
                let name =
                    part.get("filename").or(part.get("url")).and_then(Value::as_str).unwrap_or_default();
                out.line(&out.paint(Style::Tool, &format!("[file {name}]")));
            }
            kind if kind.starts_with("tool-") || kind == "dynamic-tool" => {
                out.line(&line_of_tool(out, part, false));
            }
            _ => {}
        }
    }
    if let Some(error) = message.get("error") {
        let error = error.get("message").and_then(Value::as_str).unwrap_or_default();
        out.line(&out.paint(Style::Wrong, error));
    }
    out.line("");
}

/// Returns a call of a tool as one line: its name, what it was given unless that was told, and what became of it.
pub(crate) fn line_of_tool(out: &Output, part: &Value, was_told: bool) -> String {
    let name = part.get("toolName").and_then(Value::as_str);
    let of_type = part.get("type").and_then(Value::as_str).and_then(|kind| kind.strip_prefix("tool-"));
    let name = name.or(of_type).unwrap_or("tool");
    let given = part.get("input").or(part.get("rawInput")).filter(|_| !was_told);
    let given = given.map(|given| format!(" {}", short(given))).unwrap_or_default();
    let became = match part.get("state").and_then(Value::as_str).unwrap_or_default() {
        "output-available" => format!(" → {}", part.get("output").map(short).unwrap_or_default()),
        "output-error" => {
            let why = part.get("errorText").and_then(Value::as_str).unwrap_or_default();
            out.paint(Style::Wrong, &format!(" failed: {why}"))
        }
        "output-denied" => out.paint(Style::Warning, " was not allowed"),
        "approval-requested" => out.paint(Style::Warning, " waits for an approval"),
        _ => String::new(),
    };
    format!("{}{became}", out.paint(Style::Tool, &format!("[{name}{given}]")))
}

/// Returns a value on one line, cut where it is long.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= MOST_OF_A_CALL {
        return text;
    }
    text.chars().take(MOST_OF_A_CALL - 1).chain(['…']).collect()
}
