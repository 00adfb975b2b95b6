//! Tools and the choice among them.

use serde_json::{Map, Value, json};

use crate::openai::schema::strict_schema;
use crate::{Error, ErrorKind, ModelName, Result, ToolChoice, ToolSpec, Warning};

/// Returns the tools of a request; those of other providers are left out with a warning.
pub(super) fn tools(name: &ModelName, specs: &[ToolSpec], warnings: &mut Vec<Warning>) -> Result<Vec<Value>> {
    let mut tools = Vec::new();
    for tool in specs {
        match tool {
            ToolSpec::Function { .. } => tools.push(function(name, tool)?),
            ToolSpec::Provider { id, args } => match id.split_once('.') {
                Some((provider, kind)) if provider == name.provider || provider == "openai" => {
                    tools.push(provided(kind, args));
                }
                _ => warnings.push(Warning {
                    what: format!("tool {id}"),
                    why: format!("{} does not have it, so it was left out", name.provider),
                }),
            },
        }
    }
    Ok(tools)
}

fn function(model: &ModelName, tool: &ToolSpec) -> Result<Value> {
    let ToolSpec::Function { name, description, input_schema, strict, provider_options } = tool else {
        return Ok(Value::Null);
    };
    let parameters = if *strict == Some(true) {
        strict_schema(input_schema).map_err(|error| {
            bad_request(model, format!("the arguments of tool `{name}` cannot be held to: {error}"))
        })?
    } else {
        input_schema.clone()
    };
    let mut function = json!({
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
    });
    if let Some(strict) = strict {
        function["strict"] = (*strict).into();
    }
    let own = provider_options.get(&model.provider).and_then(Value::as_object);
    for (field, value) in own.into_iter().flatten() {
        function[field.as_str()] = value.clone();
    }
    Ok(function)
}

/// A tool that the provider defines: its type, and its own fields as they are.
fn provided(kind: &str, args: &Value) -> Value {
    let mut tool = Map::from_iter([("type".to_owned(), Value::from(kind))]);
    tool.extend(args.as_object().cloned().unwrap_or_default());
    tool.into()
}

/// Returns the choice among these tools; `None` where it is the usual one.
pub(super) fn choice(name: &ModelName, choice: &ToolChoice, tools: &[Value]) -> Result<Option<Value>> {
    Ok(match choice {
        // Some servers refuse a choice where there is nothing to choose.
        ToolChoice::Auto | ToolChoice::None if tools.is_empty() => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required if tools.is_empty() => {
            return Err(bad_request(name, "a tool must be called, but the request has none"));
        }
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Tool { name: wanted } => {
            let chosen = tools.iter().find_map(|tool| choose(tool, wanted));
            let known: Vec<&str> = tools.iter().filter_map(called).collect();
            Some(chosen.ok_or_else(|| {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                bad_request(name, format!("the tool `{wanted}` must be called, but the tools are: {known}"))
            })?)
        }
    })
}

/// Returns how a tool is called here: by its name, its server's label or its type.
fn called(tool: &Value) -> Option<&str> {
    ["name", "server_label", "type"].iter().find_map(|field| tool.get(field)?.as_str())
}

fn choose(tool: &Value, wanted: &str) -> Option<Value> {
    let kind = tool.get("type")?.as_str()?;
    match kind {
        "function" | "custom" => (tool["name"] == wanted).then(|| json!({ "type": kind, "name": wanted })),
        "mcp" => {
            let label = &tool["server_label"];
            (label == wanted || kind == wanted).then(|| json!({ "type": "mcp", "server_label": label }))
        }
        _ => (kind == wanted).then(|| json!({ "type": kind })),
    }
}

fn bad_request(name: &ModelName, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadRequest, &name.provider, &name.model, message)
}
