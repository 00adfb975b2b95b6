//! Tools and the choice among them.

use serde_json::{Map, Value, json};

use super::blocks::with_options;
use super::schema;
use crate::{ToolChoice, ToolSpec, Warning};

/// Tools that are called by another name than that of their type.
const NAMES: [(&str, &str); 5] = [
    ("text_editor_20241022", "str_replace_editor"),
    ("text_editor_20250124", "str_replace_editor"),
    ("text_editor_20250429", "str_replace_based_edit_tool"),
    ("text_editor_20250728", "str_replace_based_edit_tool"),
    ("mcp_toolset", ""),
];

/// Returns the tools; those of other providers are left out.
pub(super) fn tools(
    tools: &[ToolSpec],
    provider: &str,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Value>, String> {
    let mut known = Vec::with_capacity(tools.len());
    for tool in tools {
        match tool {
            ToolSpec::Function { name, description, input_schema, strict, provider_options } => {
                let mut fields = Map::new();
                fields.insert("name".to_owned(), name.as_str().into());
                if !description.is_empty() {
                    fields.insert("description".to_owned(), description.as_str().into());
                }
                let is_strict = *strict == Some(true);
                let schema = if is_strict {
                    schema::strict(input_schema)
                        .map_err(|error| format!("the tool `{name}` is strict, but {error}"))?
                } else {
                    open_schema(input_schema, name)?
                };
                fields.insert("input_schema".to_owned(), schema);
                if is_strict {
                    fields.insert("strict".to_owned(), true.into());
                }
                known.push(with_options(fields, provider_options.get(provider)));
            }
            ToolSpec::Provider { id, args } => match id.split_once('.') {
                Some((owner, kind)) if owner == provider => known.push(provider_tool(kind, args)),
                _ => {
                    let why = format!("{provider} does not run it; it is left out");
                    warnings.push(Warning { what: format!("tool {id}"), why });
                }
            },
        }
    }
    Ok(known)
}

/// The protocol wants the schema of an object.
fn open_schema(schema: &Value, tool: &str) -> Result<Value, String> {
    match schema.get("type") {
        Some(kind) if kind == "object" => Ok(schema.clone()),
        None if schema.is_null() || schema.is_object() => {
            let mut fields = Map::from_iter([("type".to_owned(), Value::from("object"))]);
            fields.extend(schema.as_object().cloned().unwrap_or_default());
            Ok(Value::Object(fields))
        }
        _ => Err(format!(
            "the input schema of the tool `{tool}` is {schema}, but it has to describe an object"
        )),
    }
}

/// Returns a tool that the provider defines: `web_search_20250305` is named `web_search`.
fn provider_tool(kind: &str, args: &Value) -> Value {
    let mut fields = Map::from_iter([("type".to_owned(), Value::from(kind))]);
    let special = NAMES.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name);
    let is_date = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let undated = kind.rsplit_once('_').filter(|(_, date)| is_date(date)).map_or(kind, |(name, _)| name);
    let name = special.unwrap_or(undated);
    if !name.is_empty() {
        fields.insert("name".to_owned(), name.into());
    }
    fields.extend(args.as_object().cloned().unwrap_or_default());
    Value::Object(fields)
}

/// Returns the tool that stands for one that the conversation has called and the request lacks: calls are
/// refused where there are no tools at all.
pub(super) fn past_tool(name: &str) -> Value {
    json!({
        "name": name,
        "description": "Was called earlier in this conversation and cannot be called any more.",
        "input_schema": { "type": "object" },
    })
}

/// Returns the choice; `None` leaves it to the provider. A model that thinks cannot be forced.
pub(super) fn choice(
    choice: &ToolChoice,
    is_thinking: bool,
    is_sequential: bool,
    warnings: &mut Vec<Warning>,
) -> Option<Value> {
    let mut value = match choice {
        ToolChoice::Required | ToolChoice::Tool { .. } if is_thinking => {
            let why = "a model that thinks cannot be made to call a tool; it may call one".to_owned();
            warnings.push(Warning { what: "tool choice".to_owned(), why });
            json!({ "type": "auto" })
        }
        ToolChoice::None => return Some(json!({ "type": "none" })),
        ToolChoice::Auto if !is_sequential => return None,
        ToolChoice::Auto => json!({ "type": "auto" }),
        ToolChoice::Required => json!({ "type": "any" }),
        ToolChoice::Tool { name } => json!({ "type": "tool", "name": name }),
    };
    if is_sequential {
        value["disable_parallel_tool_use"] = true.into();
    }
    Some(value)
}
