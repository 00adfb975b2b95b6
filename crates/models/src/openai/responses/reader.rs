//! From the events of a response, or a whole one, to chunks.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::growth::{Growth, Thoughts};
use super::item::Item;
use super::output::Output;
use crate::http::{ReadEvents, SseEvent};
use crate::openai::errors;
use crate::tokens::Reckoning;
use crate::{Chunk, Error, ErrorKind, ModelName, ReplyInfo, Result, Usage};

/// What is read of an event. What varies with its type is read when the type is known.
#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    sequence_number: Option<u64>,
    output_index: Option<u64>,
    content_index: Option<u64>,
    summary_index: Option<u64>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    annotation: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Reads one response. Its items are told apart by their place in the output: some gateways change their
/// ids on the way.
#[derive(Debug)]
pub(super) struct Reader {
    name: ModelName,
    /// What is known before the answer begins.
    info: Option<ReplyInfo>,
    output: Output,
    growing: BTreeMap<u64, Growth>,
    /// The item that began last.
    newest: Option<u64>,
    is_finished: bool,
    /// Where a background response can be taken up again.
    place: Place,
}

/// How far a response has been read.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The response.
    pub(super) id: Option<String>,
    /// The number of the last event.
    pub(super) sequence_number: Option<u64>,
    /// Whether the provider works on without a listener.
    pub(super) is_background: bool,
}

impl Reader {
    /// Returns a reader; `info` is handed on with the first chunk.
    pub(super) fn new(name: ModelName, info: ReplyInfo, reckoning: Reckoning) -> Self {
        let output = Output::new(name.clone(), reckoning);
        let (growing, place) = (BTreeMap::new(), Place::default());
        Self { name, info: Some(info), output, growing, newest: None, is_finished: false, place }
    }

    /// Returns how far the response has been read.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn read_event(&mut self, event: &SseEvent) -> Result<()> {
        if self.is_finished || event.data == "[DONE]" {
            return Ok(());
        }
        let told: Event<'_> = self.parse("an event", &event.data)?;
        let named = event.event.as_deref().unwrap_or_default();
        let kind = if told.kind.is_empty() { named } else { &told.kind };
        if let (Some(last), Some(number)) = (self.place.sequence_number, told.sequence_number)
            && number <= last
        {
            return Ok(());
        }
        self.place.sequence_number = told.sequence_number.or(self.place.sequence_number);
        match kind {
            "response.created" | "response.queued" | "response.in_progress" => self.begin(told.response)?,
            "response.output_item.added" => {
                let item = self.item(&told)?;
                self.add(told.output_index, item);
            }
            "response.output_item.done" => {
                let item = self.item(&told)?;
                self.complete(told.output_index, item);
            }
            "response.output_text.delta" => self.say(&told, false)?,
            "response.refusal.delta" => self.say(&told, true)?,
            "response.output_text.annotation.added" => self.annotate(&told)?,
            "response.reasoning_summary_part.added" | "response.reasoning_summary_text.delta" => {
                self.think(&told, Thoughts::Summary, told.summary_index)?;
            }
            "response.reasoning_text.delta" => self.think(&told, Thoughts::Content, told.content_index)?,
            "response.function_call_arguments.delta"
            | "response.custom_tool_call_input.delta"
            | "response.mcp_call_arguments.delta"
            | "response.code_interpreter_call_code.delta" => self.argue(&told)?,
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                let answer = told.response.map_or("{}", RawValue::get);
                self.finish(answer, kind.strip_prefix("response."))?;
            }
            "error" => return Err(self.failed(&event.data)),
            _ if told.error.is_some_and(|error| error.get() != "null") => {
                return Err(self.failed(&event.data));
            }
            // The ends of single texts say nothing that the ends of their items don't; previews of
            // pictures are no part of the answer; and types that are not known yet are not in the way.
            _ => {}
        }
        Ok(())
    }

    fn parse<'a, T: Deserialize<'a>>(&self, what: &str, json: &'a str) -> Result<T> {
        serde_json::from_str(json).map_err(|error| {
            self.error(ErrorKind::Protocol, format!("{what} of the response is not as it must be: {error}"))
        })
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, &self.name.provider, &self.name.model, message)
    }

    /// Returns the error that an event or a failed response tells of, nested or flat.
    fn failed(&self, json: &str) -> Error {
        match self.parse::<Value>("the error", json) {
            Ok(body) => errors::in_stream(&self.name, &body),
            Err(error) => error,
        }
    }

    fn begin(&mut self, response: Option<&RawValue>) -> Result<()> {
        if let Some(response) = response {
            let answer: Answer<'_> = self.parse("the start", response.get())?;
            self.learn(&answer);
        }
        Ok(())
    }

    /// Hands on what the response says of itself, once; and keeps what resuming takes.
    fn learn(&mut self, answer: &Answer<'_>) {
        self.place.id = answer.id.clone().or(self.place.id.take());
        self.place.is_background |= answer.background == Some(true);
        if let Some(mut info) = self.info.take() {
            answer.describe(&mut info);
            self.output.chunks.push_front(Chunk::Start(info));
        }
    }

    fn item(&self, event: &Event<'_>) -> Result<Item> {
        let item =
            event.item.ok_or_else(|| self.error(ErrorKind::Protocol, "an item event has no `item`"))?;
        self.parse("an item", item.get())
    }

    fn add(&mut self, index: Option<u64>, item: Item) {
        let index = index.unwrap_or_else(|| self.newest.map_or(0, |newest| newest + 1));
        self.newest = Some(index);
        if !self.growing.contains_key(&index) {
            self.growing.insert(index, Growth::begin(item, &mut self.output));
        }
    }

    fn complete(&mut self, index: Option<u64>, item: Item) {
        let index = index.or(self.newest).unwrap_or_default();
        self.newest = self.newest.max(Some(index));
        let growth = self.growing.remove(&index);
        let growth = growth.unwrap_or_else(|| Growth::begin(item.clone(), &mut self.output));
        growth.complete(Some(item), &mut self.output);
    }

    /// Returns the item that an event is about; one that never began does so now.
    fn growing(&mut self, event: &Event<'_>, kind: &str) -> (&mut Growth, &mut Output) {
        let index = event.output_index.or(self.newest).unwrap_or_default();
        self.newest = self.newest.max(Some(index));
        let output = &mut self.output;
        let growth = self.growing.entry(index).or_insert_with(|| {
            let item = Map::from_iter([("type".to_owned(), Value::from(kind))]);
            Growth::begin(item, output)
        });
        (growth, output)
    }

    fn delta(&self, event: &Event<'_>) -> Result<String> {
        event.delta.map_or(Ok(String::new()), |delta| self.parse("a delta", delta.get()))
    }

    fn say(&mut self, event: &Event<'_>, is_refusal: bool) -> Result<()> {
        let delta = self.delta(event)?;
        let (growth, output) = self.growing(event, "message");
        let said = growth.say(event.content_index.unwrap_or_default(), delta, is_refusal, output);
        said.map_err(|problem| self.error(ErrorKind::Protocol, problem))
    }

    fn think(&mut self, event: &Event<'_>, list: Thoughts, index: Option<u64>) -> Result<()> {
        let delta = self.delta(event)?;
        let (growth, output) = self.growing(event, "reasoning");
        let thought = growth.think(list, index.unwrap_or_default(), delta, output);
        thought.map_err(|problem| self.error(ErrorKind::Protocol, problem))
    }

    fn argue(&mut self, event: &Event<'_>) -> Result<()> {
        let delta = self.delta(event)?;
        let (growth, output) = self.growing(event, "function_call");
        let argued = growth.argue(delta, output);
        argued.map_err(|problem| self.error(ErrorKind::Protocol, problem))
    }

    fn annotate(&mut self, event: &Event<'_>) -> Result<()> {
        if let Some(annotation) = event.annotation {
            let annotation: Value = self.parse("an annotation", annotation.get())?;
            let (growth, output) = self.growing(event, "message");
            growth.annotate(event.content_index.unwrap_or_default(), &annotation, output);
        }
        Ok(())
    }

    /// Ends the answer with its response object; a failed one is an error.
    fn finish(&mut self, json: &str, status: Option<&str>) -> Result<()> {
        let mut answer: Answer<'_> = self.parse("the end", json)?;
        self.learn(&answer);
        answer.status = answer.status.or(status.map(str::to_owned));
        if answer.status.is_none() && answer.output.is_none() && answer.error.is_none() {
            return Err(self.error(ErrorKind::Protocol, "the answer is no response: it has no `output`"));
        }
        let has_error = answer.error.as_ref().is_some_and(|error| !error.is_null());
        if has_error || answer.status.as_deref() == Some("failed") {
            let failed = self.failed(json);
            return Err(match answer.usage() {
                Some(usage) => failed.with_usage(usage),
                None => failed,
            });
        }
        let items: Vec<Item> = match answer.output {
            // Most streams have said all; then the items are not read again.
            Some(output) if self.newest.is_none() || !self.growing.is_empty() => {
                self.parse("the output", output.get())?
            }
            _ => Vec::new(),
        };
        let has_streamed = self.newest.is_some();
        for (index, item) in (0..).zip(items) {
            if !has_streamed || self.growing.contains_key(&index) {
                self.complete(Some(index), item);
            }
        }
        for growth in std::mem::take(&mut self.growing).into_values() {
            growth.complete(None, &mut self.output);
        }
        let status = answer.status.clone().unwrap_or_default();
        let Some(finish) = answer.finish(&mut self.output) else {
            let text = format!("the response ended with status `{status}`, which is no end");
            return Err(self.error(ErrorKind::Protocol, text));
        };
        self.output.chunks.push_back(Chunk::Finish(finish));
        self.is_finished = true;
        Ok(())
    }

    fn hand_on(&mut self, chunks: &mut VecDeque<Chunk>) {
        if !self.output.chunks.is_empty()
            && let Some(info) = self.info.take()
        {
            // It was never said what the response is.
            chunks.push_back(Chunk::Start(info));
        }
        chunks.append(&mut self.output.chunks);
    }
}

impl ReadEvents for Reader {
    fn head(&mut self, headers: BTreeMap<String, String>) {
        if let Some(info) = &mut self.info {
            info.headers = headers;
        }
    }

    fn event(&mut self, event: SseEvent, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        let read = self.read_event(&event);
        // What came before an error is handed on too.
        self.hand_on(chunks);
        read
    }

    fn end(&mut self, _chunks: &mut VecDeque<Chunk>) -> Result<()> {
        if self.is_finished {
            return Ok(());
        }
        Err(self.error(ErrorKind::Interrupted, "the stream ended before the response did"))
    }

    fn whole(&mut self, body: Bytes, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        let json = std::str::from_utf8(&body)
            .map_err(|error| self.error(ErrorKind::Protocol, format!("the response is no UTF-8: {error}")))?;
        let read = self.finish(json, None);
        self.hand_on(chunks);
        read
    }

    fn usage(&self) -> Option<Usage> {
        // The one report comes with the end.
        let has_begun = self.place.id.is_some() || self.newest.is_some();
        has_begun.then(|| self.output.reckoning.broken(None))
    }
}
