//! The body of a request.

use serde_json::{Map, Value, json};

use super::input::{Input, memory};
use super::tools;
use crate::history::{Target, prepare};
use crate::openai::schema::strict_schema;
use crate::{
    Error, ErrorKind, Format, Message, ModelName, OutputSchema, ReasoningEffort, Request, Result, Role,
    Settings, Warning,
};

/// What must come back with the next call, where the provider stores nothing.
const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";

/// A body, and what was asked for and is not in it.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) json: Value,
    pub(super) warnings: Vec<Warning>,
}

/// Writes the body of a request. The server's own fields and the request's options for it are fields of
/// the body: objects are merged into those that are there, lists are added to them, anything else replaces
/// what is there.
pub(super) fn body(
    target: &Target,
    request: Request,
    own_fields: &Map<String, Value>,
    is_streamed: bool,
) -> Result<Body> {
    let name = &target.model;
    let Request { messages, tools, tool_choice, format, settings, mut provider_options, .. } = request;
    let options = match provider_options.remove(&name.provider) {
        Some(Value::Object(options)) => options,
        _ => Map::new(),
    };
    let options = {
        let mut fields = own_fields.clone();
        merge(&mut fields, options);
        fields
    };
    let mut warnings = Vec::new();
    // What the provider keeps cannot be repaired here, and calls may stand there whose results are new.
    let messages = if goes_on(&options) {
        messages
    } else {
        let prepared = prepare(messages, target)?;
        warnings = prepared.warnings;
        prepared.messages
    };
    let mut body = Map::from_iter([("model".to_owned(), Value::from(name.model.as_str()))]);

    let (instructions, rest) = instructions(&messages, &options);
    if !instructions.is_empty() {
        body.insert("instructions".to_owned(), instructions.into());
    }
    let is_stored = is_stored(&options);
    let mut input = Input::new(name, &messages, is_stored);
    rest[known(name, rest, &options)..].iter().try_for_each(|message| input.add(message))?;
    body.insert("input".to_owned(), input.items.into());
    warnings.append(&mut input.warnings);
    body.insert("store".to_owned(), is_stored.into());

    sampling(name, &settings, &mut body, &mut warnings);
    if !is_stored && reasons(name, &settings) {
        body.insert("include".to_owned(), json!([ENCRYPTED_REASONING]));
    }
    if let Some(format) = self::format(name, &format)? {
        body.insert("text".to_owned(), json!({ "format": format }));
    }
    let tools = tools::tools(name, &tools, &mut warnings)?;
    if let Some(choice) = tools::choice(name, &tool_choice, &tools)? {
        body.insert("tool_choice".to_owned(), choice);
    }
    if !tools.is_empty() {
        body.insert("tools".to_owned(), tools.into());
    }
    if is_streamed {
        body.insert("stream".to_owned(), true.into());
    }
    merge(&mut body, options);
    Ok(Body { json: body.into(), warnings })
}

/// Whether the call goes on from an earlier response, or in a conversation that the provider keeps.
fn goes_on(options: &Map<String, Value>) -> bool {
    let is_given = |name: &str| options.get(name).is_some_and(|value| !value.is_null());
    is_given("previous_response_id") || is_given("conversation")
}

/// Whether the provider keeps the answer: if that is asked for, and for what it works on alone.
fn is_stored(options: &Map<String, Value>) -> bool {
    let is_on = |name: &str| options.get(name).and_then(Value::as_bool);
    is_on("store").unwrap_or_else(|| is_on("background").unwrap_or(false))
}

/// Splits off the system messages at the beginning as one text. Options that bring instructions of their
/// own leave them where they are.
fn instructions<'a>(messages: &'a [Message], options: &Map<String, Value>) -> (String, &'a [Message]) {
    if options.contains_key("instructions") {
        return (String::new(), messages);
    }
    let count = messages.iter().take_while(|message| message.role == Role::System).count();
    let (first, rest) = messages.split_at(count);
    (first.iter().map(Message::text).collect::<Vec<_>>().join("\n\n"), rest)
}

/// Returns how many messages the provider knows where the call goes on: all up to the last one that it
/// made.
fn known(name: &ModelName, messages: &[Message], options: &Map<String, Value>) -> usize {
    if !goes_on(options) {
        return 0;
    }
    let is_its_own = |message: &Message| {
        let remembers = |extras| memory(&name.provider, extras).is_some();
        message.role == Role::Assistant
            && message.parts.iter().filter_map(|part| part.extras()).any(remembers)
    };
    messages.iter().rposition(is_its_own).map_or(0, |last| last + 1)
}

/// Sets limits and sampling, and says what the protocol has no field for.
fn sampling(
    name: &ModelName,
    settings: &Settings,
    body: &mut Map<String, Value>,
    warnings: &mut Vec<Warning>,
) {
    let mut leave_out = |what: &str, why: &str| {
        warnings.push(Warning { what: what.to_owned(), why: format!("{why}, so it was left out") });
    };
    if let Some(limit) = settings.max_output_tokens {
        body.insert("max_output_tokens".to_owned(), limit.into());
    }
    let is_fixed =
        family(&name.model) == Family::Reasoning && settings.reasoning_effort != Some(ReasoningEffort::None);
    for (field, value) in [("temperature", settings.temperature), ("top_p", settings.top_p)] {
        match value {
            Some(_) if is_fixed => leave_out(field, "a model that reasons does not take it"),
            Some(value) => drop(body.insert(field.to_owned(), value.into())),
            None => {}
        }
    }
    match settings.reasoning_effort {
        Some(_) if family(&name.model) == Family::Plain => {
            leave_out("reasoning effort", "the model does not reason");
        }
        Some(effort) => drop(body.insert("reasoning".to_owned(), json!({ "effort": effort }))),
        None => {}
    }
    let without_field = [
        ("top k", settings.top_k.is_some()),
        ("presence penalty", settings.presence_penalty.is_some()),
        ("frequency penalty", settings.frequency_penalty.is_some()),
        ("stop sequences", !settings.stop_sequences.is_empty()),
        ("seed", settings.seed.is_some()),
    ];
    for (what, _) in without_field.iter().filter(|(_, is_set)| *is_set) {
        leave_out(what, "the Responses protocol has no field for it");
    }
}

/// What is known of a model by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// It reasons before it answers.
    Reasoning,
    /// It does not.
    Plain,
    /// Its name says nothing.
    Unknown,
}

/// OpenAI's own names say whether a model reasons; those of models on other servers say nothing.
fn family(model: &str) -> Family {
    let name = model.rsplit('/').next().unwrap_or(model);
    let version = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.chars().next()?.to_digit(10));
    match (version("gpt-"), version("o")) {
        (Some(3 | 4), _) => Family::Plain,
        (Some(_), _) if name.contains("-chat") => Family::Plain,
        (Some(_), _) | (_, Some(_)) => Family::Reasoning,
        _ if name.starts_with("chatgpt") => Family::Plain,
        _ if name.starts_with("codex") || name.starts_with("computer-use") => Family::Reasoning,
        _ => Family::Unknown,
    }
}

fn reasons(name: &ModelName, settings: &Settings) -> bool {
    match family(&name.model) {
        Family::Reasoning => true,
        Family::Plain => false,
        Family::Unknown => settings.reasoning_effort.is_some(),
    }
}

fn format(name: &ModelName, format: &Format) -> Result<Option<Value>> {
    Ok(match format {
        Format::Text => None,
        Format::Json => Some(json!({ "type": "json_object" })),
        Format::Schema(OutputSchema { name: schema_name, description, schema, strict }) => {
            let schema = if *strict {
                strict_schema(schema).map_err(|error| {
                    let text = format!("the answer cannot be held to the schema `{schema_name}`: {error}");
                    Error::new(ErrorKind::BadRequest, &name.provider, &name.model, text)
                })?
            } else {
                schema.clone()
            };
            let mut format =
                json!({ "type": "json_schema", "name": schema_name, "schema": schema, "strict": strict });
            if let Some(description) = description {
                format["description"] = description.as_str().into();
            }
            Some(format)
        }
    })
}

/// Merges fields into those that are there.
fn merge(body: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, more) in more {
        match (body.get_mut(&name), more) {
            (Some(Value::Object(fields)), Value::Object(more)) => merge(fields, more),
            (Some(Value::Array(list)), Value::Array(more)) => {
                for entry in more {
                    if !list.contains(&entry) {
                        list.push(entry);
                    }
                }
            }
            (_, more) => drop(body.insert(name, more)),
        }
    }
}
