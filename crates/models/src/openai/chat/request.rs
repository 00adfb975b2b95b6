//! From a request to its JSON.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::messages::{ASSISTANT_FILES, Writer};
use crate::history::{ReasoningRule, Target, prepare};
use crate::openai::dialect::thinks;
use crate::openai::schema::strict_schema;
use crate::openai::{Dialect, EffortForm, MaxTokens, OpenAiOptions};
use crate::{
    Error, ErrorKind, Format, Message, ModelName, OutputSchema, ReasoningEffort, Request, Result, Settings,
    ToolChoice, ToolSpec, Warning,
};

/// The end of the id of a tool that takes a text instead of JSON.
const CUSTOM: &str = "custom";

/// The ends of the ids of tools that OpenAI's own models search the web with.
const WEB_SEARCH: [&str; 2] = ["web_search", "web_search_preview"];

/// Builds the body of a request, and says what was asked for and could not be done.
pub(super) fn build(
    request: &mut Request,
    options: &OpenAiOptions,
    name: &ModelName,
) -> Result<(Value, Vec<Warning>)> {
    let dialect = &options.dialect;
    let messages = std::mem::take(&mut request.messages);
    let prepared = prepare(messages, &target(dialect, name))?;
    let mut builder = Builder { name, dialect, body: Map::new(), warnings: prepared.warnings };
    builder.put("model", name.model.as_str());
    builder.messages(&prepared.messages, &request.tools);
    builder.settings(&request.settings);
    builder.tools(&request.tools, &request.tool_choice)?;
    builder.format(&request.format)?;
    builder.put("stream", true);
    if dialect.stream_usage {
        builder.put("stream_options", json!({ "include_usage": true }));
    }
    builder.body.extend(options.body.clone());
    if let Some(Value::Object(own)) = request.provider_options.get(&name.provider) {
        builder.body.extend(own.clone());
    }
    if builder.body.get("n").and_then(Value::as_u64).is_some_and(|count| count > 1) {
        builder.warn("n", "a reply is one answer, so only the first is read");
    }
    Ok((builder.body.into(), builder.warnings))
}

/// Returns what a server takes in a conversation.
fn target(dialect: &Dialect, name: &ModelName) -> Target {
    let reasoning = if dialect.reasoning_field.is_some() { ReasoningRule::Own } else { ReasoningRule::None };
    Target {
        reasoning,
        user_files: dialect.files,
        assistant_files: ASSISTANT_FILES,
        tool_files: dialect.files,
        ..Target::new(name.clone())
    }
}

struct Builder<'a> {
    name: &'a ModelName,
    dialect: &'a Dialect,
    body: Map<String, Value>,
    warnings: Vec<Warning>,
}

impl Builder<'_> {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.body.insert(name.to_owned(), value.into());
    }

    fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn warn(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.warnings.push(Warning { what: what.into(), why: why.into() });
    }

    fn messages(&mut self, messages: &[Message], tools: &[ToolSpec]) {
        let custom_tools: BTreeSet<&str> = tools.iter().filter_map(custom_name).collect();
        let writer = Writer { name: self.name, dialect: self.dialect, custom_tools: &custom_tools };
        let messages = writer.write(messages);
        self.put("messages", messages);
    }

    fn settings(&mut self, settings: &Settings) {
        let limit = match self.dialect.max_tokens {
            MaxTokens::MaxCompletionTokens => "max_completion_tokens",
            MaxTokens::MaxTokens => "max_tokens",
        };
        self.put_some(limit, settings.max_output_tokens);
        let rejects_sampling = self.dialect.thinkers_reject_sampling && thinks(&self.name.model);
        for (name, value) in [
            ("temperature", settings.temperature),
            ("top_p", settings.top_p),
            ("presence_penalty", settings.presence_penalty),
            ("frequency_penalty", settings.frequency_penalty),
        ] {
            if rejects_sampling && value.is_some() {
                self.warn(name, "models that think do not take it, so it was left out");
            } else {
                self.put_some(name, value);
            }
        }
        if self.dialect.top_k {
            self.put_some("top_k", settings.top_k);
        } else if settings.top_k.is_some() {
            self.warn("topK", "the server does not have it, so it was left out");
        }
        if !settings.stop_sequences.is_empty() {
            self.put("stop", settings.stop_sequences.clone());
        }
        self.put_some("seed", settings.seed);
        if let Some(effort) = settings.reasoning_effort {
            self.effort(effort);
        }
    }

    fn effort(&mut self, wanted: ReasoningEffort) {
        match self.dialect.effort {
            EffortForm::Field(known) => {
                let effort = nearest(wanted, known);
                if effort != wanted {
                    let why = format!(
                        "the server does not know {}, so {} was asked for",
                        word(wanted),
                        word(effort)
                    );
                    self.warn("reasoningEffort", why);
                }
                self.put("reasoning_effort", word(effort));
            }
            EffortForm::Object => self.put("reasoning", json!({ "effort": word(wanted) })),
            EffortForm::Switch => {
                let switch = if wanted == ReasoningEffort::None { "disabled" } else { "enabled" };
                self.put("thinking", json!({ "type": switch }));
            }
            EffortForm::None => {
                self.warn("reasoningEffort", "the server does not have it, so it was left out")
            }
        }
    }

    fn tools(&mut self, tools: &[ToolSpec], choice: &ToolChoice) -> Result<()> {
        // Where a choice is not heeded, the tools at hand are the choice.
        let only = match choice {
            ToolChoice::Tool { name } => {
                if !tools.iter().any(|tool| tool_name(tool) == name) {
                    let text =
                        format!("the tool choice names `{name}`, which is none of the request's tools");
                    return Err(self.bad_request(text));
                }
                (!self.dialect.named_tool_choice || !self.dialect.tool_choice).then_some(name)
            }
            ToolChoice::None if !self.dialect.tool_choice => return Ok(()),
            _ => None,
        };
        let mut written = Vec::new();
        for tool in tools.iter().filter(|tool| only.is_none_or(|only| tool_name(tool) == only)) {
            written.extend(self.tool(tool)?);
        }
        if written.is_empty() {
            return Ok(());
        }
        self.put("tools", written);
        if !self.dialect.tool_choice {
            if matches!(choice, ToolChoice::Required | ToolChoice::Tool { .. }) {
                self.warn(
                    "toolChoice",
                    "the server does not heed it, so the model may answer without a tool",
                );
            }
            return Ok(());
        }
        let choice = match choice {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Tool { .. } if only.is_some() => json!("required"),
            ToolChoice::Tool { name } if tools.iter().any(|tool| custom_name(tool) == Some(name)) => {
                json!({ "type": "custom", "custom": { "name": name } })
            }
            ToolChoice::Tool { name } => json!({ "type": "function", "function": { "name": name } }),
        };
        self.put("tool_choice", choice);
        Ok(())
    }

    /// Writes a tool; `None` if the server cannot have it here.
    fn tool(&mut self, tool: &ToolSpec) -> Result<Option<Value>> {
        match tool {
            ToolSpec::Function { name, description, input_schema, strict, provider_options } => {
                let mut function = json!({ "name": name, "description": description });
                function["parameters"] = match strict {
                    Some(true) if self.dialect.strict => {
                        self.strict(&format!("tool `{name}`"), input_schema)?
                    }
                    _ => input_schema.clone(),
                };
                match strict {
                    Some(strict) if self.dialect.strict => function["strict"] = json!(strict),
                    Some(true) => {
                        self.warn(
                            format!("tool {name}"),
                            "the server does not have `strict`, so it was left out",
                        );
                    }
                    _ => {}
                }
                let mut tool = json!({ "type": "function", "function": function });
                if let (Value::Object(tool), Some(Value::Object(own))) =
                    (&mut tool, provider_options.get(&self.name.provider))
                {
                    tool.extend(own.clone());
                }
                Ok(Some(tool))
            }
            ToolSpec::Provider { id, args } => Ok(self.provider_tool(id, args)),
        }
    }

    fn provider_tool(&mut self, id: &str, args: &Value) -> Option<Value> {
        let (provider, kind) = id.split_once('.').unwrap_or((self.name.provider.as_str(), id));
        if provider != self.name.provider && provider != "openai" {
            let why = format!("it is a tool of {provider}, so it was left out for {}", self.name.provider);
            self.warn(format!("tool {id}"), why);
            return None;
        }
        if kind == CUSTOM {
            return Some(json!({ "type": "custom", "custom": args }));
        }
        if provider == "openai" && WEB_SEARCH.contains(&kind) {
            self.put("web_search_options", args.clone());
            return None;
        }
        let mut tool = Map::from_iter([("type".to_owned(), json!(kind))]);
        tool.extend(args.as_object().cloned().unwrap_or_default());
        Some(tool.into())
    }

    fn format(&mut self, format: &Format) -> Result<()> {
        match format {
            Format::Text => {}
            Format::Json => self.put("response_format", json!({ "type": "json_object" })),
            Format::Schema(_) if !self.dialect.json_schema => {
                self.warn(
                    "format",
                    "the server does not hold answers to a schema, so only JSON was asked for",
                );
                self.put("response_format", json!({ "type": "json_object" }));
            }
            Format::Schema(OutputSchema { name, description, schema, strict }) => {
                let is_strict = *strict && self.dialect.strict;
                let schema = if is_strict {
                    self.strict(&format!("format `{name}`"), schema)?
                } else {
                    schema.clone()
                };
                let mut json_schema = json!({ "name": name, "schema": schema });
                if let Some(description) = description {
                    json_schema["description"] = json!(description);
                }
                if self.dialect.strict {
                    json_schema["strict"] = json!(strict);
                }
                self.put("response_format", json!({ "type": "json_schema", "json_schema": json_schema }));
            }
        }
        Ok(())
    }

    fn strict(&self, what: &str, schema: &Value) -> Result<Value> {
        strict_schema(schema).map_err(|error| self.bad_request(format!("{what}: {error}")))
    }

    fn bad_request(&self, text: String) -> Error {
        Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text)
    }
}

/// Returns the name of a tool that takes a text instead of JSON.
fn custom_name(tool: &ToolSpec) -> Option<&str> {
    match tool {
        ToolSpec::Provider { id, args } if id.rsplit('.').next() == Some(CUSTOM) => args["name"].as_str(),
        _ => None,
    }
}

fn tool_name(tool: &ToolSpec) -> &str {
    match tool {
        ToolSpec::Function { name, .. } => name,
        ToolSpec::Provider { id, .. } => custom_name(tool).unwrap_or(id),
    }
}

/// Returns the effort that is asked for, or the nearest that is known. Not to think at all is always known.
fn nearest(wanted: ReasoningEffort, known: &[ReasoningEffort]) -> ReasoningEffort {
    if wanted == ReasoningEffort::None || known.contains(&wanted) {
        return wanted;
    }
    let above = known.iter().copied().filter(|effort| *effort > wanted).min();
    above.or_else(|| known.iter().copied().max()).unwrap_or(wanted)
}

const fn word(effort: ReasoningEffort) -> &'static str {
    match effort {
        ReasoningEffort::None => "none",
        ReasoningEffort::Minimal => "minimal",
        ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
        ReasoningEffort::XHigh => "xhigh",
        ReasoningEffort::Max => "max",
    }
}
