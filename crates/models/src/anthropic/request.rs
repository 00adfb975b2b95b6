//! From a request to the body that is sent.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::blocks::{Blocks, with_options};
use super::family::Family;
use super::thinking::Thinking;
use super::{AnthropicVersion, MessagesOptions, cache, schema, tools};
use crate::history::{self, DataForm, NameRule, Readable, ReasoningRule, SystemRule, Target};
use crate::{
    Error, ErrorKind, Format, Message, ModelName, OutputSchema, Request, Result, Role, ToolSpec, Warning,
};

/// The longest id of a call and name of a tool.
const LONGEST_ID: usize = 128;
const LONGEST_NAME: usize = 128;

const ANY_FORM: &[DataForm] = &[DataForm::Bytes, DataForm::Url, DataForm::Reference];
const BYTES: &[DataForm] = &[DataForm::Bytes];

const fn readable(media_type: &'static str, forms: &'static [DataForm]) -> Readable {
    Readable { media_type, forms }
}

/// What users may show; a document at an address is a PDF.
const FILES: &[Readable] = &[
    readable("image/png", ANY_FORM),
    readable("image/jpeg", ANY_FORM),
    readable("image/gif", ANY_FORM),
    readable("image/webp", ANY_FORM),
    readable("application/pdf", ANY_FORM),
    readable("text/*", BYTES),
    readable("application/json", BYTES),
    readable("application/xml", BYTES),
];

/// What an assistant may have shown, in the first version of the protocol.
const DOCUMENTS: &[Readable] = &[
    readable("application/pdf", ANY_FORM),
    readable("text/*", BYTES),
    readable("application/json", BYTES),
    readable("application/xml", BYTES),
];

/// What stands before a conversation that an assistant begins, since the protocol wants a user to.
const OPENING: &str = "(The conversation begins with your message.)";

/// Sampling settings that the second version doesn't know.
const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

/// Options of a request that are no fields of its body.
const SEQUENTIAL: &str = "disable_parallel_tool_use";
const BETAS: &str = "betas";

/// Fields with which the provider runs tools on its own, besides those of its tools.
const REMOTE_FIELDS: [&str; 2] = ["mcp_servers", "container"];

/// A document of the request, which citations name by number.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) media_type: String,
    pub(super) filename: Option<String>,
    pub(super) title: Option<String>,
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) body: Value,
    pub(super) warnings: Vec<Warning>,
    pub(super) documents: Vec<Document>,
    pub(super) betas: Vec<String>,
    /// Whether the provider may run tools on its own, and so may pause.
    pub(super) may_pause: bool,
}

/// Builds the body of a request. The messages are taken out of it.
pub(super) fn build(name: &ModelName, options: &MessagesOptions, request: &mut Request) -> Result<Built> {
    let messages = std::mem::take(&mut request.messages);
    let said = request.provider_options.get(&name.provider).and_then(Value::as_object);
    let prepared = history::prepare(messages, &target(name, options))?;
    let builder = Builder {
        name,
        options,
        request,
        said,
        family: Family::of(&name.model),
        body: Map::new(),
        warnings: prepared.warnings,
    };
    builder.build(prepared.messages)
}

fn target(name: &ModelName, options: &MessagesOptions) -> Target {
    let is_first = options.version == AnthropicVersion::V2023_06_01;
    Target {
        reasoning: ReasoningRule::Own,
        foreign_reasoning: options.foreign_reasoning,
        system: if is_first { SystemRule::Leading } else { SystemRule::Anywhere },
        user_files: FILES,
        assistant_files: if is_first { DOCUMENTS } else { &[] },
        tool_files: FILES,
        unreadable_files: options.unreadable_files,
        call_ids: NameRule::Plain { longest: LONGEST_ID },
        tool_names: NameRule::Plain { longest: LONGEST_NAME },
        ..Target::new(name.clone())
    }
}

struct Builder<'a> {
    name: &'a ModelName,
    options: &'a MessagesOptions,
    request: &'a Request,
    /// The fields that the caller gave for this provider.
    said: Option<&'a Map<String, Value>>,
    family: Family<'a>,
    body: Map<String, Value>,
    warnings: Vec<Warning>,
}

impl<'a> Builder<'a> {
    fn said(&self, name: &str) -> Option<&'a Value> {
        self.said?.get(name)
    }

    fn build(mut self, messages: Vec<Message>) -> Result<Built> {
        let settings = &self.request.settings;
        let default = || self.options.max_tokens.unwrap_or_else(|| self.family.max_tokens());
        let said_max = self.said("max_tokens").and_then(Value::as_u64);
        let max_tokens = said_max.or(settings.max_output_tokens).unwrap_or_else(default);
        self.set("model", self.name.model.as_str().into());
        self.set("max_tokens", max_tokens.into());

        let calls: BTreeSet<String> =
            messages.iter().flat_map(Message::tool_calls).map(|call| call.name.clone()).collect();
        let mut blocks = Blocks { provider: &self.name.provider, documents: Vec::new() };
        let (system, messages) = self.messages(messages, &mut blocks);
        if messages.is_empty() {
            let text = "there is no message that a model could answer, only instructions or nothing at all";
            return Err(self.refuse(text));
        }
        let form = self.options.thinking.unwrap_or_else(|| self.family.thinking());
        let said_thinking = self.said("thinking");
        let effort = settings.reasoning_effort;
        let thinking = Thinking::new(effort, said_thinking, form, max_tokens, &mut self.warnings);
        let thinking = thinking.fit_to(&messages, &mut self.warnings);
        let is_thinking = thinking.is_on();

        let mut output_config = Map::new();
        if let Some(effort) = thinking.effort {
            output_config.insert("effort".to_owned(), effort.into());
        }
        let system = self.format(system, &mut output_config)?;
        if !system.is_empty() {
            self.set("system", system.into());
        }
        self.set("messages", messages.into());
        self.tools(calls, is_thinking)?;
        if let Some(field) = thinking.field {
            self.set("thinking", field);
        }
        if !output_config.is_empty() {
            self.set("output_config", output_config.into());
        }
        self.sampling(is_thinking);
        if self.options.streams {
            self.set("stream", true.into());
        }
        self.finish(blocks.documents)
    }

    fn set(&mut self, name: &str, value: Value) {
        self.body.insert(name.to_owned(), value);
    }

    fn warn(&mut self, what: &str, why: impl Into<String>) {
        self.warnings.push(Warning { what: what.to_owned(), why: why.into() });
    }

    fn refuse(&self, text: impl Into<String>) -> Error {
        Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text)
    }

    /// Returns the blocks of the leading system messages, and the messages in the two roles of the
    /// protocol, which take turns.
    fn messages(&mut self, messages: Vec<Message>, blocks: &mut Blocks<'_>) -> (Vec<Value>, Vec<Value>) {
        let mut system = Vec::new();
        let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
        for message in messages {
            let role = match message.role {
                Role::User | Role::Tool => "user",
                Role::Assistant => "assistant",
                Role::System => "system",
            };
            let options = message.provider_options.get(&self.name.provider).cloned();
            let parts = message.parts.into_iter();
            let mut new: Vec<Value> = match message.role {
                Role::Assistant => parts.filter_map(|part| blocks.assistant(part)).collect(),
                _ => parts.filter_map(|part| blocks.user(part)).collect(),
            };
            if role != "assistant" {
                self.uncite(&mut new);
            }
            // What is said of a message goes for its end.
            if let (Some(last), Some(options)) = (new.last_mut(), options) {
                let block = last.as_object().cloned().unwrap_or_default();
                *last = with_options(block, Some(&options));
            }
            if new.is_empty() {
                continue;
            }
            match turns.last_mut() {
                None if role == "system" => system.append(&mut new),
                Some((last, blocks)) if *last == role => blocks.append(&mut new),
                _ => turns.push((role, new)),
            }
        }
        if turns.iter().find(|(role, _)| *role != "system").is_some_and(|(role, _)| *role == "assistant") {
            self.warn(
                "messages",
                "the protocol wants a user to begin; a note stands before the first message",
            );
            turns.insert(0, ("user", vec![json!({ "type": "text", "text": OPENING })]));
        }
        if let Some((_, blocks)) = turns.last_mut().filter(|(role, _)| *role == "assistant") {
            trim_end(blocks);
        }
        let message = |(role, blocks)| json!({ "role": role, "content": Value::Array(blocks) });
        (system, turns.into_iter().map(message).collect())
    }

    /// The second version takes no citations in what users say.
    fn uncite(&mut self, blocks: &mut [Value]) {
        if self.options.version < AnthropicVersion::V2026_10_21 {
            return;
        }
        for block in blocks.iter_mut().filter(|block| block["type"] == "text") {
            let removed = block.as_object_mut().and_then(|block| block.remove("citations"));
            if removed.is_some() {
                self.warn("citations", "the version takes none in a user's text; they are left out");
            }
        }
    }

    /// Adds the form of the answer: to the output's settings, or to the instructions.
    fn format(
        &mut self,
        mut system: Vec<Value>,
        output_config: &mut Map<String, Value>,
    ) -> Result<Vec<Value>> {
        let instruction = match &self.request.format {
            Format::Text => return Ok(system),
            Format::Json => "Answer with one JSON value and nothing else.".to_owned(),
            Format::Schema(OutputSchema { schema, .. }) => {
                if self.options.native_schemas.unwrap_or_else(|| self.family.takes_schemas()) {
                    let schema = schema::strict(schema).map_err(|error| {
                        self.refuse(format!("the schema of the answer cannot be held: {error}"))
                    })?;
                    output_config
                        .insert("format".to_owned(), json!({ "type": "json_schema", "schema": schema }));
                    return Ok(system);
                }
                format!("Answer with one JSON value that fits this JSON schema, and nothing else:\n{schema}")
            }
        };
        self.warn("format", "the model is not held to it; it is told in the instructions");
        system.push(json!({ "type": "text", "text": instruction }));
        Ok(system)
    }

    fn tools(&mut self, past_calls: BTreeSet<String>, is_thinking: bool) -> Result<()> {
        let mut tools = tools::tools(&self.request.tools, &self.name.provider, &mut self.warnings)
            .map_err(|text| self.refuse(text))?;
        let mut choice = None;
        if !tools.is_empty() {
            let is_sequential = self.said(SEQUENTIAL).and_then(Value::as_bool).unwrap_or(false);
            choice = tools::choice(&self.request.tool_choice, is_thinking, is_sequential, &mut self.warnings);
        } else if !past_calls.is_empty() {
            tools = past_calls.iter().map(|name| tools::past_tool(name)).collect();
            choice = Some(json!({ "type": "none" }));
        }
        if !tools.is_empty() {
            self.set("tools", tools.into());
        }
        if let Some(choice) = choice {
            self.set("tool_choice", choice);
        }
        Ok(())
    }

    /// Adds how tokens are chosen, as far as the version, the model and its thinking allow.
    fn sampling(&mut self, is_thinking: bool) {
        let settings = &self.request.settings;
        for (what, is_set) in [
            ("presence penalty", settings.presence_penalty.is_some()),
            ("frequency penalty", settings.frequency_penalty.is_some()),
            ("seed", settings.seed.is_some()),
        ] {
            if is_set {
                self.warn(what, "the protocol has none; it is left out");
            }
        }
        let (stops, blank): (Vec<_>, Vec<_>) =
            settings.stop_sequences.iter().cloned().partition(|stop| !stop.trim().is_empty());
        if !blank.is_empty() {
            self.warn("stop sequences", "the protocol takes none that are blank; they are left out");
        }
        if !stops.is_empty() {
            self.set("stop_sequences", stops.into());
        }
        let mut wanted = [
            ("temperature", settings.temperature.map(Value::from)),
            ("top_p", settings.top_p.map(Value::from)),
            ("top_k", settings.top_k.map(Value::from)),
        ];
        let has_both = wanted[0].1.is_some() && wanted[1].1.is_some();
        for (name, value) in &mut wanted {
            let Some(number) = value.as_ref().and_then(Value::as_f64) else { continue };
            let why = if self.options.version >= AnthropicVersion::V2026_10_21 {
                "the version of the protocol knows no sampling; it is left out"
            } else if is_thinking && *name != "top_p" && number != 1.0 {
                "a model that thinks takes none; it is left out"
            } else if is_thinking && *name == "top_p" && !(0.95..=1.0).contains(&number) {
                "a model that thinks takes 0.95 to 1; it is left out"
            } else if *name == "top_p" && has_both && self.family.takes_one_sampling() {
                "the model takes a temperature or a top-p, and not both; it is left out"
            } else if *name != "top_k" && !(0.0..=1.0).contains(&number) {
                *value = Some(number.clamp(0.0, 1.0).into());
                "it is 0 to 1 here; the nearest is taken"
            } else {
                continue;
            };
            if !why.ends_with("taken") {
                *value = None;
            }
            self.warn(name, why);
        }
        for (name, value) in wanted {
            if let Some(value) = value {
                self.set(name, value);
            }
        }
    }

    /// Adds the caller's own fields, which go before ours, and places the breakpoints of the cache.
    fn finish(mut self, documents: Vec<Document>) -> Result<Built> {
        let mut betas = self.options.betas.clone();
        for (name, value) in self.said.into_iter().flatten() {
            match name.as_str() {
                SEQUENTIAL => {}
                BETAS => {
                    let more = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                    betas.extend(more.map(str::to_owned));
                }
                // Whether it is on was decided with it in mind.
                "thinking" => {}
                "cacheControl" => self.set(cache::FIELD, value.clone()),
                name if SAMPLING.contains(&name) && self.options.version >= AnthropicVersion::V2026_10_21 => {
                    self.warn(name, "the version of the protocol knows no sampling; it is left out");
                }
                "output_config" => {
                    let known = self.body.remove("output_config");
                    let mut config = known.and_then(|known| known.as_object().cloned()).unwrap_or_default();
                    config.extend(value.as_object().cloned().unwrap_or_default());
                    self.set("output_config", config.into());
                }
                name => self.set(name, value.clone()),
            }
        }
        let is_remote = |tool: &ToolSpec| matches!(tool, ToolSpec::Provider { .. });
        let may_pause = self.request.tools.iter().any(is_remote)
            || REMOTE_FIELDS.iter().any(|name| self.body.contains_key(*name));
        let mut body = Value::Object(self.body);
        cache::settle(&mut body, self.options.cache, &mut self.warnings);
        Ok(Built { body, warnings: self.warnings, documents, betas, may_pause })
    }
}

/// The last text of an answer that the model shall go on with must not end in blanks.
fn trim_end(blocks: &mut [Value]) {
    if let Some(Value::String(text)) = blocks.last_mut().and_then(|block| block.get_mut("text")) {
        text.truncate(text.trim_end().len());
    }
}
