//! From the events of an answer to chunks.

mod block;
mod citation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::event::{Delta, Event, EventKind, Message};
use super::request::Document;
use super::{errors, usage};
use crate::history::MADE_BY;
use crate::http::{ReadEvents, SseEvent};
use crate::tokens::Reckoning;
use crate::{
    Chunk, Error, ErrorKind, Finish, FinishReason, ModelName, PartNumber, ProviderData, ReplyInfo, Result,
    Usage,
};
use block::Block;
use citation::Sources;

/// The stop reason of an answer that wants to be continued.
pub(super) const PAUSE: &str = "pause_turn";

/// The field of a pausing answer's metadata that holds its blocks.
pub(super) const PAUSED: &str = "content";

/// What a reader knows before the first event.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) name: ModelName,
    /// What is said at the start of the answer.
    pub(super) info: ReplyInfo,
    pub(super) reckoning: Reckoning,
    /// The documents of the request, which citations name by number.
    pub(super) documents: Arc<[Document]>,
    /// Whether the answer's blocks are kept, in case that it pauses.
    pub(super) keeps_blocks: bool,
    /// The number of the first part.
    pub(super) first_part: PartNumber,
}

/// Reads the events of one answer.
#[derive(Debug)]
pub(super) struct Reader {
    before: Before,
    parts: PartNumber,
    blocks: BTreeMap<u64, Block>,
    /// The names of the tools that were called, by the ids of the calls.
    tools: HashMap<String, String>,
    sources: Sources,
    kept: Vec<Value>,
    report: usage::Report,
    reckoning: Reckoning,
    has_begun: bool,
    model: String,
    stop_reason: Option<String>,
    metadata: Map<String, Value>,
    is_finished: bool,
}

/// Returns a reader of an answer that nobody asked for.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn lone_reader() -> impl ReadEvents {
    Reader::new(Before {
        name: ModelName::new(super::BAG, "claude-sonnet-4-5"),
        info: ReplyInfo::default(),
        reckoning: Reckoning::default(),
        documents: Arc::default(),
        keeps_blocks: false,
        first_part: 0,
    })
}

impl ReadEvents for Reader {
    fn head(&mut self, headers: BTreeMap<String, String>) {
        self.before.info.headers.extend(headers);
    }

    fn event(&mut self, event: SseEvent, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        self.read(event.event.as_deref(), &event.data, chunks)
    }

    fn end(&mut self, _: &mut VecDeque<Chunk>) -> Result<()> {
        if self.is_finished {
            return Ok(());
        }
        let text = "the stream ended before the answer did";
        Err(self.error(ErrorKind::Interrupted, text))
    }

    fn whole(&mut self, body: Bytes, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        let body: Value = serde_json::from_slice(&body).map_err(|error| self.unreadable(&error))?;
        if body["type"] == "error" || body.get("error").is_some_and(Value::is_object) {
            return Err(errors::in_stream(&self.before.name, &body));
        }
        if !body["content"].is_array() {
            let text = "the answer has no `content`, so it is no answer of this protocol";
            return Err(self.error(ErrorKind::Protocol, text));
        }
        self.has_begun = true;
        let mut message: Message = serde_json::from_value(body).map_err(|error| self.unreadable(&error))?;
        self.stop_reason = message.stop_reason.take();
        let rest = std::mem::take(&mut message.rest);
        self.start(message, chunks)?;
        self.describe(rest);
        self.finish(chunks)
    }

    fn cut(&mut self, chunks: &mut VecDeque<Chunk>) {
        for (_, block) in std::mem::take(&mut self.blocks) {
            if block.holds_what_is_whole() {
                let Self { before, model, tools, sources, .. } = self;
                // A result that names no call has nothing to hand on.
                let _ = block.close(before, model, tools, sources, chunks);
            }
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.has_begun.then(|| self.reckoning.broken(self.report.read()))
    }
}

impl Reader {
    pub(super) fn new(before: Before) -> Self {
        Self {
            parts: before.first_part,
            model: before.name.model.clone(),
            reckoning: before.reckoning,
            has_begun: false,
            before,
            blocks: BTreeMap::new(),
            tools: HashMap::new(),
            sources: Sources::default(),
            kept: Vec::new(),
            report: usage::Report::default(),
            stop_reason: None,
            metadata: Map::new(),
            is_finished: false,
        }
    }

    /// Reads one event; its type stands in the data, and where it is missing there, in the event's line.
    pub(super) fn read(
        &mut self,
        name: Option<&str>,
        data: &str,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<()> {
        if self.is_finished || data == "[DONE]" {
            return Ok(());
        }
        if !self.blocks.is_empty()
            && let Some((index, delta)) = Delta::alone(data)
            && let Some(block) = self.blocks.get_mut(&index)
        {
            block.grow(delta, &mut self.sources, &self.before, &mut self.reckoning, chunks);
            return Ok(());
        }
        let event: Event = serde_json::from_str(data).map_err(|error| self.unreadable(&error))?;
        self.has_begun |= event.message.is_some() || event.content_block.is_some();
        let kind = event.kind.or_else(|| EventKind::of_line(name?));
        let index = |reader: &Self| {
            event.index.ok_or_else(|| reader.error(ErrorKind::Protocol, "an event of a block has no `index`"))
        };
        match kind.unwrap_or(EventKind::Other) {
            EventKind::ContentBlockDelta => {
                let index = index(self)?;
                let Some(block) = self.blocks.get_mut(&index) else {
                    let text = format!("a delta belongs to block {index}, which is not open");
                    return Err(self.error(ErrorKind::Protocol, text));
                };
                let delta = event.delta.unwrap_or_default();
                block.grow(delta, &mut self.sources, &self.before, &mut self.reckoning, chunks);
            }
            EventKind::ContentBlockStart => {
                self.open(index(self)?, event.content_block.unwrap_or_default(), chunks)?;
            }
            EventKind::ContentBlockStop => self.close(index(self)?, chunks)?,
            EventKind::MessageStart => self.start(event.message.unwrap_or_default(), chunks)?,
            EventKind::MessageDelta => {
                let delta = event.delta.unwrap_or_default();
                self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                self.describe(delta.rest);
                self.report.add(&event.usage.unwrap_or_default());
            }
            EventKind::MessageStop => self.finish(chunks)?,
            EventKind::Error => {
                let body = serde_json::json!({ "error": event.error, "request_id": event.request_id });
                return Err(errors::in_stream(&self.before.name, &body));
            }
            EventKind::Other => {}
        }
        Ok(())
    }

    /// Relays may start an answer again: what is said last counts, and the blocks stay.
    fn start(&mut self, message: Message, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        let mut info = std::mem::take(&mut self.before.info);
        info.provider.clone_from(&self.before.name.provider);
        if let Some(model) = message.model.filter(|model| !model.is_empty()) {
            self.model = model;
        }
        info.model.clone_from(&self.model);
        info.id = message.id.filter(|id| !id.is_empty());
        chunks.push_back(Chunk::Start(info));
        self.report.add(&message.usage.unwrap_or_default());
        for (index, block) in (0..).zip(message.content.unwrap_or_default()) {
            self.open(index, block, chunks)?;
            self.close(index, chunks)?;
        }
        Ok(())
    }

    fn open(&mut self, index: u64, block: Map<String, Value>, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        // A block that begins again has ended.
        self.close(index, chunks)?;
        let block = Block::open(block, &mut self.parts, &self.before, chunks)
            .map_err(|text| self.error(ErrorKind::Protocol, text))?;
        if let Some((id, name)) = block.call() {
            self.tools.insert(id.to_owned(), name.to_owned());
        }
        self.blocks.insert(index, block);
        Ok(())
    }

    /// Closes a block, if it is open.
    fn close(&mut self, index: u64, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        let Some(block) = self.blocks.remove(&index) else { return Ok(()) };
        let Self { before, model, tools, sources, .. } = self;
        let raw = block
            .close(before, model, tools, sources, chunks)
            .map_err(|text| self.error(ErrorKind::Protocol, text))?;
        self.kept.extend(raw);
        Ok(())
    }

    /// Keeps what is said of the answer besides its blocks.
    fn describe(&mut self, rest: Map<String, Value>) {
        const KNOWN_ELSEWHERE: [&str; 2] = ["type", "role"];
        for (name, value) in rest {
            if !value.is_null() && !KNOWN_ELSEWHERE.contains(&name.as_str()) {
                self.metadata.insert(camel_case(&name), value);
            }
        }
    }

    fn finish(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        while let Some(index) = self.blocks.keys().next().copied() {
            self.close(index, chunks)?;
        }
        let Some(raw_reason) = self.stop_reason.take() else {
            let text = "the answer ended without saying why";
            return Err(self.error(ErrorKind::Interrupted, text));
        };
        self.is_finished = true;
        if raw_reason == PAUSE && self.before.keeps_blocks {
            self.metadata.insert(PAUSED.to_owned(), Value::Array(std::mem::take(&mut self.kept)));
        }
        let metadata = std::mem::take(&mut self.metadata);
        let mut provider_metadata = ProviderData::new();
        if !metadata.is_empty() {
            provider_metadata.insert(self.before.name.provider.clone(), Value::Object(metadata));
        }
        let usage = self.reckoning.complete(self.report.read());
        let reason = reason(&raw_reason);
        let raw_reason = Some(raw_reason);
        chunks.push_back(Chunk::Finish(Finish { reason, raw_reason, usage, provider_metadata }));
        Ok(())
    }

    fn unreadable(&self, error: &serde_json::Error) -> Error {
        self.error(ErrorKind::Protocol, format!("an event is not what the protocol has: {error}"))
    }

    fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        let name = &self.before.name;
        Error::new(kind, &name.provider, &name.model, text)
    }
}

impl Before {
    /// Returns a bag that names the model which made the part.
    fn bag(&self, model: &str, fields: impl IntoIterator<Item = (String, Value)>) -> ProviderData {
        let made_by = [(MADE_BY.to_owned(), Value::from(model))];
        let bag = Value::Object(made_by.into_iter().chain(fields).collect());
        ProviderData::from_iter([(self.name.provider.clone(), bag)])
    }
}

fn reason(raw: &str) -> FinishReason {
    match raw {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::Refusal,
        _ => FinishReason::Other,
    }
}

/// Our bags are spelled as the rest of a message is.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &capital.into_iter().chain(letters).collect::<String>()
    })
}
