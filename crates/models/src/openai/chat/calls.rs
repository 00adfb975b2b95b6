//! Tool calls that come in pieces, and how each piece finds its call.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::wire::{self, CallDelta, Function};
use crate::tokens::Reckoning;
use crate::{Chunk, PartKind, PartNumber, ProviderData};

/// The calls of one answer.
#[derive(Debug)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// What ids begin with that are made up here; no other answer has it.
    mint: String,
}

#[derive(Debug)]
struct Call {
    index: Option<u64>,
    id: String,
    /// The part, once the name is known.
    part: Option<PartNumber>,
    /// Arguments that came before the name.
    held: String,
    is_custom: bool,
    /// Whether the text of a custom tool has begun.
    is_begun: bool,
    /// What Gemini's layer wants back with the call.
    extra_content: Option<Value>,
}

impl Calls {
    pub(super) fn new(mint: String) -> Self {
        Self { calls: Vec::new(), mint }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a list of pieces. A part begins when the name of its tool is known.
    pub(super) fn add(
        &mut self,
        deltas: Vec<CallDelta<'_>>,
        next_part: &mut PartNumber,
        reckoning: &mut Reckoning,
        chunks: &mut VecDeque<Chunk>,
    ) {
        let of = deltas.len();
        for (position, delta) in deltas.into_iter().enumerate() {
            let is_custom = delta.custom.is_some();
            let function = delta.custom.or(delta.function).unwrap_or_default();
            let name = function.name.as_deref().unwrap_or_default();
            let id = delta.id.as_deref().unwrap_or_default();
            let found = self.find(delta.index, id, name, position, of);
            let at = found.unwrap_or_else(|| self.begin(delta.index, id, is_custom));
            let call = &mut self.calls[at];
            if let Some(extra) = wire::value(delta.extra_content) {
                call.extra_content = Some(extra);
            }
            if call.part.is_none() && !name.is_empty() {
                call.start(name, next_part, chunks);
            }
            reckoning.came(name);
            call.argue(&function, reckoning, chunks);
        }
    }

    /// Returns the call that a piece belongs to, if it has begun: the one of the same index, else of the
    /// same id, else at the same place. Some servers give each of several calls the index 0; such a call
    /// has an id and a name of its own.
    fn find(&self, index: Option<u64>, id: &str, name: &str, position: usize, of: usize) -> Option<usize> {
        let is_other = |call: &Call| !id.is_empty() && !name.is_empty() && call.id != id;
        if index.is_some() {
            let at = self.calls.iter().rposition(|call| call.index == index)?;
            return (!is_other(&self.calls[at])).then_some(at);
        }
        if !id.is_empty() {
            return self.calls.iter().position(|call| call.id == id);
        }
        if !name.is_empty() {
            return None;
        }
        if of > 1 {
            (position < self.calls.len()).then_some(position)
        } else {
            self.calls.len().checked_sub(1)
        }
    }

    fn begin(&mut self, index: Option<u64>, id: &str, is_custom: bool) -> usize {
        let at = self.calls.len();
        let id = if id.is_empty() { format!("call_{}_{at}", self.mint) } else { id.to_owned() };
        let (part, held, extra_content) = (None, String::new(), None);
        self.calls.push(Call { index, id, part, held, is_custom, is_begun: false, extra_content });
        at
    }

    /// Ends all calls; `Err` if one of them never said which tool it calls. `bag` makes what the provider
    /// shall get back with a call.
    pub(super) fn end(
        &mut self,
        bag: impl Fn(Map<String, Value>) -> ProviderData,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<(), String> {
        for mut call in std::mem::take(&mut self.calls) {
            let Some(part) = call.part else {
                return Err(format!("the tool call {} names no tool", call.id));
            };
            if call.is_custom {
                let delta = if call.is_begun { "\"" } else { "\"\"" }.to_owned();
                chunks.push_back(Chunk::PartDelta { part, delta });
            }
            let provider_metadata = call.bag(&bag);
            chunks.push_back(Chunk::PartEnd { part, provider_metadata });
        }
        Ok(())
    }

    /// Hands on what is still held back of calls that broke off. One that waits for its name has none.
    pub(super) fn cut(
        &mut self,
        bag: impl Fn(Map<String, Value>) -> ProviderData,
        next_part: &mut PartNumber,
        chunks: &mut VecDeque<Chunk>,
    ) {
        for mut call in std::mem::take(&mut self.calls) {
            if call.part.is_none() {
                call.start("", next_part, chunks);
            }
            let provider_metadata = call.bag(&bag);
            if let Some(part) = call.part.filter(|_| !provider_metadata.is_empty()) {
                chunks.push_back(Chunk::PartEnd { part, provider_metadata });
            }
        }
    }
}

impl Call {
    /// Returns what the provider shall get back with the call.
    fn bag(&mut self, bag: impl Fn(Map<String, Value>) -> ProviderData) -> ProviderData {
        let extra = self.extra_content.take();
        let fields = extra.map(|extra| Map::from_iter([(super::EXTRA_CONTENT.to_owned(), extra)]));
        fields.map(bag).unwrap_or_default()
    }

    fn start(&mut self, name: &str, next_part: &mut PartNumber, chunks: &mut VecDeque<Chunk>) {
        let part = *next_part;
        *next_part += 1;
        self.part = Some(part);
        let (tool_call_id, tool_name) = (self.id.clone(), name.to_owned());
        let kind = PartKind::ToolCall { tool_call_id, tool_name, provider_executed: false };
        chunks.push_back(Chunk::PartStart { part, kind, provider_metadata: ProviderData::new() });
        let delta = std::mem::take(&mut self.held);
        if !delta.is_empty() {
            chunks.push_back(Chunk::PartDelta { part, delta });
        }
    }

    fn argue(&mut self, function: &Function<'_>, reckoning: &mut Reckoning, chunks: &mut VecDeque<Chunk>) {
        let delta = if self.is_custom { self.quote(function.input) } else { arguments(function.arguments) };
        let Some(delta) = delta else { return };
        reckoning.came(&delta);
        match self.part {
            Some(part) => chunks.push_back(Chunk::PartDelta { part, delta }),
            None => self.held.push_str(&delta),
        }
    }

    /// Makes a piece of a custom tool's text a piece of a JSON string.
    fn quote(&mut self, input: Option<&RawValue>) -> Option<String> {
        let quoted = Value::String(wire::text(input)?).to_string();
        let piece = &quoted[1..quoted.len() - 1];
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        Some(if is_first { format!("\"{piece}") } else { piece.to_owned() })
    }
}

/// Returns a piece of JSON text; some servers send the arguments as an object instead.
fn arguments(raw: Option<&RawValue>) -> Option<String> {
    let json = raw?.get();
    if json.starts_with('"') { wire::text(raw) } else { Some(json.to_owned()) }
}
