//! An item of the output from its beginning to its end.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::item::{self, ANNOTATIONS, Arguments, ITEM, Item, Kind, REFUSAL, THOUGHT};
use super::output::Output;
use crate::content::from_base64;
use crate::{
    ApprovalRequest, Custom, Data, File, Part, PartKind, PartNumber, ToolOutput, ToolResult, guess_media_type,
};

/// An item that has begun and is not complete.
#[derive(Debug)]
pub(super) struct Growth {
    /// The item as it began.
    item: Item,
    form: Form,
}

/// What has come of an item. Its texts have been handed on and are not kept.
#[derive(Debug)]
enum Form {
    /// The texts of a message, by their content index.
    Message(BTreeMap<u64, Said>),
    /// The thoughts of a reasoning item.
    Reasoning(BTreeMap<(Thoughts, u64), Thought>),
    /// A call whose tool is known.
    Call { part: PartNumber, arguments: Arguments, is_begun: bool },
    /// An item of which nothing is said before it is complete.
    Silent,
}

#[derive(Debug)]
struct Said {
    part: PartNumber,
    is_begun: bool,
    /// How many of its annotations have been handed on as sources.
    sources: usize,
}

#[derive(Debug)]
struct Thought {
    part: PartNumber,
    is_begun: bool,
    is_ended: bool,
}

/// The two lists of texts in a reasoning item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thoughts {
    /// What the provider says of the thoughts.
    Summary,
    /// The thoughts themselves, which open models show.
    Content,
}

impl Thoughts {
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Content => "content",
        }
    }
}

impl Growth {
    /// Begins an item.
    pub(super) fn begin(item: Item, output: &mut Output) -> Self {
        let form = match item::kind(&item) {
            Kind::Message => Form::Message(BTreeMap::new()),
            Kind::Reasoning => Form::Reasoning(BTreeMap::new()),
            Kind::Call(arguments) => begin_call(&item, arguments, false, output),
            Kind::ServerTool(arguments) | Kind::ServerCall(arguments) => {
                begin_call(&item, arguments, true, output)
            }
            Kind::Approval | Kind::ServerResult | Kind::Other => Form::Silent,
        };
        Self { item, form }
    }

    /// Adds to a text or a refusal; `Err` if the item has none.
    pub(super) fn say(
        &mut self,
        index: u64,
        delta: String,
        is_refusal: bool,
        output: &mut Output,
    ) -> Result<(), String> {
        let Form::Message(texts) = &mut self.form else { return Err(self.has_no("text")) };
        let said = texts.entry(index).or_insert_with(|| Said::begin(&self.item, is_refusal, output));
        said.is_begun |= !delta.is_empty();
        output.delta(said.part, delta);
        Ok(())
    }

    /// Hands the source on that an annotation names.
    pub(super) fn annotate(&mut self, index: u64, annotation: &Value, output: &mut Output) {
        let Form::Message(texts) = &mut self.form else { return };
        texts.entry(index).or_insert_with(|| Said::begin(&self.item, false, output)).sources += 1;
        output.source(annotation);
    }

    /// Adds to a thought; `Err` if the item has none.
    pub(super) fn think(
        &mut self,
        list: Thoughts,
        index: u64,
        delta: String,
        output: &mut Output,
    ) -> Result<(), String> {
        let Form::Reasoning(thoughts) = &mut self.form else { return Err(self.has_no("thoughts")) };
        if !thoughts.contains_key(&(list, index)) {
            // The last one stays open: its end tells what only the complete item knows.
            end_thoughts(thoughts, &Map::new(), output);
            thoughts.insert((list, index), Thought::begin(&self.item, list, output));
        }
        if let Some(thought) = thoughts.get_mut(&(list, index)).filter(|thought| !thought.is_ended) {
            thought.is_begun |= !delta.is_empty();
            output.delta(thought.part, delta);
        }
        Ok(())
    }

    /// Adds to the arguments of a call; `Err` if the item is none.
    pub(super) fn argue(&mut self, delta: String, output: &mut Output) -> Result<(), String> {
        match &mut self.form {
            Form::Call { part, arguments, is_begun } => {
                if *arguments != Arguments::Fields && !delta.is_empty() {
                    let json = arguments.delta(delta, !*is_begun);
                    *is_begun = true;
                    output.delta(*part, json);
                }
                Ok(())
            }
            // The complete item has the arguments too.
            Form::Silent => Ok(()),
            Form::Message(_) | Form::Reasoning(_) => Err(self.has_no("arguments")),
        }
    }

    /// Completes the item; without the complete one, as far as it came.
    pub(super) fn complete(self, complete: Option<Item>, output: &mut Output) {
        let is_complete = complete.is_some();
        let item = complete.unwrap_or(self.item);
        let memory = if is_complete { item::memory(&item) } else { item::first_memory(&item) };
        match self.form {
            Form::Message(texts) => complete_message(texts, &item, &memory, output),
            Form::Reasoning(thoughts) => complete_reasoning(thoughts, &item, memory, output),
            Form::Call { part, arguments, is_begun } => {
                output.delta(part, arguments.rest(&item, is_begun));
                output.end(part, bag(&memory));
                match item::kind(&item) {
                    Kind::ServerTool(_) => give_result(item, output),
                    Kind::ServerCall(_) => output.count_server_tool(item::tool_name(&item)),
                    _ => output.has_calls = true,
                }
            }
            Form::Silent => complete_silent(item, memory, output),
        }
    }

    fn has_no(&self, what: &str) -> String {
        let kind = item::text(&self.item, "type");
        format!("an item of type `{kind}` has no {what}, but some came for it")
    }
}

impl Said {
    fn begin(item: &Item, is_refusal: bool, output: &mut Output) -> Self {
        let mut bag = bag(&item::first_memory(item));
        if is_refusal {
            bag.insert(REFUSAL.to_owned(), true.into());
            output.has_refused = true;
        }
        Self { part: output.start(PartKind::Text, bag), is_begun: false, sources: 0 }
    }
}

impl Thought {
    fn begin(item: &Item, list: Thoughts, output: &mut Output) -> Self {
        let mut bag = bag(&item::first_memory(item));
        bag.insert(THOUGHT.to_owned(), list.field().into());
        Self { part: output.start(PartKind::Reasoning, bag), is_begun: false, is_ended: false }
    }
}

fn begin_call(item: &Item, arguments: Arguments, provider_executed: bool, output: &mut Output) -> Form {
    let (id, name) = (item::call_id(item), item::tool_name(item));
    if id.is_empty() || name.is_empty() || name == "function" {
        return Form::Silent;
    }
    let (tool_call_id, tool_name) = (id.to_owned(), name.to_owned());
    let kind = PartKind::ToolCall { tool_call_id, tool_name, provider_executed };
    let part = output.start(kind, bag(&item::first_memory(item)));
    Form::Call { part, arguments, is_begun: false }
}

/// Returns the bag of a part that remembers its item.
fn bag(memory: &Item) -> Map<String, Value> {
    Map::from_iter([(ITEM.to_owned(), Value::Object(memory.clone()))])
}

fn list<'a>(item: &'a Item, name: &str) -> &'a [Value] {
    item.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn complete_message(mut texts: BTreeMap<u64, Said>, item: &Item, memory: &Item, output: &mut Output) {
    for (index, content) in (0..).zip(list(item, "content")) {
        let refusal = content.get("refusal").and_then(Value::as_str);
        let text = refusal.or_else(|| content.get("text").and_then(Value::as_str)).unwrap_or_default();
        let said = texts.remove(&index).unwrap_or_else(|| Said::begin(item, refusal.is_some(), output));
        if !said.is_begun {
            output.delta(said.part, text.to_owned());
        }
        let mut bag = bag(memory);
        let annotations = content.get(ANNOTATIONS).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for name in [ANNOTATIONS, "logprobs"] {
            let list = content.get(name).filter(|list| list.as_array().is_some_and(|list| !list.is_empty()));
            bag.extend(list.map(|list| (name.to_owned(), list.clone())));
        }
        output.end(said.part, bag);
        annotations.iter().skip(said.sources).for_each(|annotation| output.source(annotation));
    }
    for said in texts.into_values() {
        output.end(said.part, bag(memory));
    }
}

fn complete_reasoning(
    mut thoughts: BTreeMap<(Thoughts, u64), Thought>,
    item: &Item,
    memory: Item,
    output: &mut Output,
) {
    for kind in [Thoughts::Summary, Thoughts::Content] {
        for (index, text) in (0..).zip(list(item, kind.field())) {
            let text = text.get("text").and_then(Value::as_str).unwrap_or_default();
            if !thoughts.contains_key(&(kind, index)) {
                end_thoughts(&mut thoughts, &Map::new(), output);
                thoughts.insert((kind, index), Thought::begin(item, kind, output));
            }
            if let Some(thought) = thoughts.get(&(kind, index)).filter(|thought| !thought.is_begun) {
                output.delta(thought.part, text.to_owned());
            }
        }
    }
    if thoughts.is_empty() {
        // Thoughts that the provider hides are a part too: it must come back to the provider.
        let part = output.start(PartKind::Reasoning, Map::new());
        output.end(part, bag(&memory));
    }
    end_thoughts(&mut thoughts, &bag(&memory), output);
}

fn end_thoughts(
    thoughts: &mut BTreeMap<(Thoughts, u64), Thought>,
    bag: &Map<String, Value>,
    output: &mut Output,
) {
    for thought in thoughts.values_mut().filter(|thought| !thought.is_ended) {
        thought.is_ended = true;
        output.end(thought.part, bag.clone());
    }
}

/// Gives the result of a tool that the provider ran: its item as it came, a picture as a file beside it.
fn give_result(mut item: Item, output: &mut Output) {
    let name = item::tool_name(&item).to_owned();
    let identity = bag(&item::first_memory(&item));
    output.count_server_tool(&name);
    if item::text(&item, "type") == "image_generation_call"
        && let Some(Value::String(picture)) = item.shift_remove("result")
    {
        let file = picture_file(&item, &picture, output);
        output.part(file);
    }
    let call = item::call_id(&item).to_owned();
    result(call, name, item, identity, output);
}

fn result(call: String, name: String, item: Item, identity: Map<String, Value>, output: &mut Output) {
    let has_failed =
        item::text(&item, "status") == "failed" || item.get("error").is_some_and(|error| !error.is_null());
    let item = Value::Object(item);
    let extras = output.extras(identity);
    let output_of_tool = if has_failed { ToolOutput::ErrorJson(item) } else { ToolOutput::Json(item) };
    let result = ToolResult { call, name, output: output_of_tool, provider_executed: true, extras };
    output.part(Part::ToolResult(result));
}

fn picture_file(item: &Item, picture: &str, output: &Output) -> Part {
    let bytes = from_base64(picture).map(Bytes::from).unwrap_or_default();
    let media_type = match item::text(item, "output_format") {
        "" => guess_media_type(&bytes).to_owned(),
        format => format!("image/{format}"),
    };
    let extras = output.extras(bag(&item::first_memory(item)));
    Part::File(File { data: Data::Bytes(bytes), media_type, filename: None, extras })
}

fn complete_silent(item: Item, memory: Item, output: &mut Output) {
    match item::kind(&item) {
        // A call that did not say at its beginning which tool it is for.
        Kind::Call(_) | Kind::ServerTool(_) | Kind::ServerCall(_) => {
            if let growth @ Growth { form: Form::Call { .. }, .. } = Growth::begin(item.clone(), output) {
                growth.complete(Some(item), output);
            }
        }
        Kind::Approval => {
            let id = item::text(&item, "id").to_owned();
            let kind = PartKind::ToolCall {
                tool_call_id: id.clone(),
                tool_name: item::tool_name(&item).to_owned(),
                provider_executed: true,
            };
            let part = output.start(kind, bag(&item::first_memory(&item)));
            output.delta(part, Arguments::Json.rest(&item, false));
            output.end(part, Map::new());
            let extras = output.extras(bag(&memory));
            let request = ApprovalRequest { call: id.clone(), id, extras, ..ApprovalRequest::default() };
            output.part(Part::ApprovalRequest(request));
        }
        Kind::ServerResult => {
            let call = item::call_id(&item).to_owned();
            let name = item::text(&item, "type").trim_end_matches("_call_output").to_owned();
            result(call, name, item, bag(&memory), output);
        }
        Kind::Message | Kind::Reasoning | Kind::Other => {
            let kind = format!("{}.{}", output.provider(), item::text(&item, "type"));
            output.part(Part::Custom(Custom { kind, extras: output.extras(bag(&memory)) }));
        }
    }
}
