//! From results of tools to input items.

use serde_json::{Value, json};

use super::media;
use crate::{OutputItem, ToolOutput, ToolResult};

/// Returns the item that gives a result to a call, whose item has this type; `Err` says what is wrong
/// with it.
pub(super) fn item(provider: &str, call_type: &str, result: &ToolResult) -> Result<Value, String> {
    let mut item = json!({ "type": format!("{call_type}_output") });
    match call_type {
        "function_call" | "custom_tool_call" => {
            item["call_id"] = result.call.as_str().into();
            item["output"] = output(provider, &result.output)?;
        }
        "local_shell_call" => {
            item["id"] = result.call.as_str().into();
            item["output"] = result.output.to_text().into();
        }
        _ => {
            item["call_id"] = result.call.as_str().into();
            native(provider, call_type, &result.output, &mut item)?;
        }
    }
    Ok(item)
}

/// Returns the value of an output that is one.
pub(super) fn value(output: &ToolOutput) -> Option<&Value> {
    match output {
        ToolOutput::Json(value) | ToolOutput::ErrorJson(value) => Some(value),
        _ => None,
    }
}

/// Returns an output as text, or as parts where it has files.
fn output(provider: &str, output: &ToolOutput) -> Result<Value, String> {
    let ToolOutput::Content(items) = output else { return Ok(output.to_text().into()) };
    let mut parts = Vec::new();
    for item in items {
        match item {
            OutputItem::Text { text, .. } => parts.push(json!({ "type": "input_text", "text": text })),
            OutputItem::File { data, media_type, filename, extras } => {
                parts.push(media::any_file(provider, data, media_type, filename.as_deref(), extras)?);
            }
            // What one provider has is kept for it in the fields that are not known.
            OutputItem::Custom { .. } => {}
        }
    }
    Ok(parts.into())
}

/// Fills in the output of a tool that the provider defines and the program runs. A value with the
/// item's own fields is taken as it is; else it is the `output` of the item.
fn native(provider: &str, call_type: &str, output: &ToolOutput, item: &mut Value) -> Result<(), String> {
    let has_own_fields = |value: &Value| value.get("output").is_some() || value.get("status").is_some();
    match (call_type, output) {
        (_, ToolOutput::Json(value)) if has_own_fields(value) => {
            for (name, value) in value.as_object().into_iter().flatten() {
                item[name.as_str()] = value.clone();
            }
        }
        ("computer_call", ToolOutput::Content(_)) => {
            let parts = self::output(provider, output)?;
            let pictures = parts.as_array().into_iter().flatten();
            let picture = pictures.into_iter().find(|part| part["type"] == "input_image");
            let mut screenshot = picture.cloned().ok_or("the result of `computer` must be a screenshot")?;
            screenshot["type"] = "computer_screenshot".into();
            item["output"] = screenshot;
        }
        (_, ToolOutput::Json(value)) => item["output"] = value.clone(),
        ("apply_patch_call", output) => {
            item["status"] = if output.is_error() { "failed" } else { "completed" }.into();
            item["output"] = output.to_text().into();
        }
        (_, output) => item["output"] = output.to_text().into(),
    }
    Ok(())
}
