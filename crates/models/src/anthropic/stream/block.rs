//! One block of an answer, from its start to its end.

use std::collections::{HashMap, VecDeque};

use serde_json::{Map, Value};

use super::citation::Sources;
use super::{Before, Delta};
use crate::tokens::Reckoning;
use crate::{
    Chunk, Custom, Extras, Part, PartKind, PartNumber, ProviderData, Reasoning, ToolOutput, ToolResult,
};

/// The blocks by which the provider calls tools that it runs itself.
const REMOTE_CALLS: [&str; 2] = ["server_tool_use", "mcp_tool_use"];

/// The end of the names of the blocks with their results.
const RESULT: &str = "_tool_result";

/// A block that grows.
#[derive(Debug)]
pub(super) struct Block {
    kind: Kind,
    /// The block as it began, without what is handed on.
    fields: Map<String, Value>,
    citations: Vec<Value>,
    signature: Option<String>,
    /// What it has grown by, where it is kept or cannot be handed on before its end.
    grown: String,
    has_grown: bool,
}

#[derive(Debug)]
enum Kind {
    Text(PartNumber),
    Thinking(PartNumber),
    Call {
        part: PartNumber,
        id: String,
        name: String,
        input: Value,
        is_remote: bool,
    },
    /// What the provider's own tool returned; it comes whole.
    Result,
    Redacted,
    /// A block of a type that this version does not know, or that means nothing to others.
    Other,
}

impl Block {
    /// Opens a block, and hands on what it begins with.
    pub(super) fn open(
        mut fields: Map<String, Value>,
        parts: &mut PartNumber,
        before: &Before,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<Self, String> {
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
        let next = *parts;
        let mut begin = |kind: PartKind| {
            let part = *parts;
            *parts += 1;
            chunks.push_back(Chunk::PartStart { part, kind, provider_metadata: ProviderData::new() });
            part
        };
        let mut first = None;
        let kind = match kind.as_str() {
            "text" => {
                first = take_text(&mut fields, "text");
                Kind::Text(begin(PartKind::Text))
            }
            "thinking" => {
                first = take_text(&mut fields, "thinking");
                Kind::Thinking(begin(PartKind::Reasoning))
            }
            "redacted_thinking" => Kind::Redacted,
            call if call == "tool_use" || REMOTE_CALLS.contains(&call) => {
                let is_remote = call != "tool_use";
                let name =
                    take_text(&mut fields, "name").ok_or_else(|| format!("a {call} block has no `name`"))?;
                let id = take_text(&mut fields, "id").unwrap_or_else(|| format!("toolu_{next}"));
                let input = fields.remove("input").unwrap_or_default();
                let (tool_call_id, tool_name) = (id.clone(), name.clone());
                let part =
                    begin(PartKind::ToolCall { tool_call_id, tool_name, provider_executed: is_remote });
                Kind::Call { part, id, name, input, is_remote }
            }
            result if result.ends_with(RESULT) => Kind::Result,
            _ => Kind::Other,
        };
        let signature = match kind {
            Kind::Thinking(_) => take_text(&mut fields, "signature"),
            _ => None,
        };
        let citations = match fields.remove("citations") {
            Some(Value::Array(citations)) => citations,
            _ => Vec::new(),
        };
        let (grown, has_grown) = (String::new(), false);
        let mut block = Self { kind, fields, citations, signature, grown, has_grown };
        if let Some(first) = first {
            block.hand_on(first, before, chunks);
        }
        Ok(block)
    }

    /// Returns the id and the tool of a call.
    pub(super) fn call(&self) -> Option<(&str, &str)> {
        match &self.kind {
            Kind::Call { id, name, .. } => Some((id, name)),
            _ => None,
        }
    }

    /// Grows by a delta.
    pub(super) fn grow(
        &mut self,
        mut delta: Delta,
        sources: &mut Sources,
        before: &Before,
        reckoning: &mut Reckoning,
        chunks: &mut VecDeque<Chunk>,
    ) {
        if let Some(citation) = delta.citation.take() {
            chunks.extend(sources.of(&citation, before));
            self.citations.push(citation);
        }
        if let Some(signature) = delta.signature.take() {
            // It comes once; where it comes in pieces, they are one.
            self.signature.get_or_insert_default().push_str(&signature);
        }
        let text = match self.kind {
            Kind::Text(_) => delta.text,
            Kind::Thinking(_) => delta.thinking,
            Kind::Call { .. } => delta.partial_json,
            Kind::Result | Kind::Redacted | Kind::Other => {
                return self.grow_other(delta);
            }
        };
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        reckoning.came(&text);
        self.hand_on(text, before, chunks);
    }

    /// Hands on what came; it is copied only if it has to be sent back within the same call.
    fn hand_on(&mut self, text: String, before: &Before, chunks: &mut VecDeque<Chunk>) {
        let (Kind::Text(part) | Kind::Thinking(part) | Kind::Call { part, .. }) = self.kind else { return };
        if before.keeps_blocks {
            self.grown.push_str(&text);
        }
        self.has_grown = true;
        chunks.push_back(Chunk::PartDelta { part, delta: text });
    }

    /// Adds a delta to a block that is kept as it is: texts grow, all else is replaced.
    fn grow_other(&mut self, delta: Delta) {
        let texts = [("text", delta.text), ("thinking", delta.thinking)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
        for (name, text) in texts {
            self.append(name, text.into());
        }
        if let Some(json) = delta.partial_json {
            self.grown.push_str(&json);
        }
        for (name, value) in delta.rest {
            self.append(name, value);
        }
    }

    fn append(&mut self, name: String, value: Value) {
        match (self.fields.get_mut(&name), value) {
            (Some(Value::String(known)), Value::String(more)) => known.push_str(&more),
            (Some(_), Value::Null) => {}
            (_, value) => drop(self.fields.insert(name, value)),
        }
    }

    /// Whether it holds something back that is whole although the block is not: what came with its start,
    /// and citations. A signature may be cut, and a part of one would be refused.
    pub(super) fn holds_what_is_whole(&self) -> bool {
        match &self.kind {
            Kind::Text(_) => !self.citations.is_empty(),
            Kind::Call { input, .. } => {
                !self.has_grown && input.as_object().is_some_and(|input| !input.is_empty())
            }
            Kind::Redacted | Kind::Result => true,
            Kind::Thinking(_) | Kind::Other => false,
        }
    }

    /// Closes the block, and returns it as it was if it is kept.
    pub(super) fn close(
        mut self,
        before: &Before,
        model: &str,
        tools: &HashMap<String, String>,
        sources: &mut Sources,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<Option<Value>, String> {
        // Relays send the whole input with the start.
        if let Kind::Call { input: Value::Object(input), .. } = &self.kind
            && !self.has_grown
            && !input.is_empty()
        {
            let text = Value::Object(input.clone()).to_string();
            self.hand_on(text, before, chunks);
        }
        let raw = before.keeps_blocks.then(|| self.raw());
        let citations = std::mem::take(&mut self.citations);
        match self.kind {
            Kind::Text(part) => {
                for citation in &citations {
                    chunks.extend(sources.of(citation, before));
                }
                let mut bag = ProviderData::new();
                if !citations.is_empty() {
                    bag = before.bag(model, [("citations".to_owned(), Value::Array(citations))]);
                }
                chunks.push_back(Chunk::PartEnd { part, provider_metadata: bag });
            }
            Kind::Thinking(part) => {
                let signature = self.signature.map(|signature| ("signature".to_owned(), signature.into()));
                let provider_metadata = before.bag(model, signature);
                chunks.push_back(Chunk::PartEnd { part, provider_metadata });
            }
            Kind::Call { part, is_remote, .. } => {
                if !is_remote {
                    self.fields.remove("type");
                }
                let mut bag = ProviderData::new();
                if !self.fields.is_empty() {
                    bag = before.bag(model, [("block".to_owned(), Value::Object(self.fields))]);
                }
                chunks.push_back(Chunk::PartEnd { part, provider_metadata: bag });
            }
            Kind::Redacted => {
                let data = self.fields.remove("data").map(|data| ("redactedData".to_owned(), data));
                let extras = Extras { provider_metadata: before.bag(model, data), ..Extras::default() };
                let reasoning = Reasoning { text: String::new(), extras };
                chunks.push_back(Chunk::Part { part: Part::Reasoning(reasoning) });
            }
            Kind::Result => {
                let part = result(self.fields, before, model, tools)?;
                chunks.push_back(Chunk::Part { part: Part::ToolResult(part) });
            }
            Kind::Other => {
                let type_name = self.fields.get("type").and_then(Value::as_str).unwrap_or("block");
                let kind = format!("{}.{type_name}", before.name.provider);
                let block = [("block".to_owned(), Value::Object(self.fields))];
                let extras = Extras { provider_metadata: before.bag(model, block), ..Extras::default() };
                chunks.push_back(Chunk::Part { part: Part::Custom(Custom { kind, extras }) });
            }
        }
        Ok(raw)
    }

    /// Returns the block as it was, to be sent back.
    fn raw(&self) -> Value {
        let mut raw = self.fields.clone();
        let grown = Value::String(self.grown.clone());
        match &self.kind {
            Kind::Text(_) => drop(raw.insert("text".to_owned(), grown)),
            Kind::Thinking(_) => {
                raw.insert("thinking".to_owned(), grown);
                raw.insert("signature".to_owned(), self.signature.clone().unwrap_or_default().into());
            }
            Kind::Call { id, name, .. } => {
                raw.insert("id".to_owned(), id.as_str().into());
                raw.insert("name".to_owned(), name.as_str().into());
                let input = serde_json::from_str(&self.grown).ok().filter(Value::is_object);
                raw.insert("input".to_owned(), input.unwrap_or_else(|| Value::Object(Map::new())));
            }
            Kind::Result | Kind::Redacted | Kind::Other => {}
        }
        if !self.citations.is_empty() {
            raw.insert("citations".to_owned(), Value::Array(self.citations.clone()));
        }
        Value::Object(raw)
    }
}

/// Returns what the provider's own tool returned. Its block stays in its bag, to be sent back.
fn result(
    mut fields: Map<String, Value>,
    before: &Before,
    model: &str,
    tools: &HashMap<String, String>,
) -> Result<ToolResult, String> {
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let call = take_text(&mut fields, "tool_use_id")
        .ok_or_else(|| format!("a {kind} block has no `tool_use_id`"))?;
    let content = fields.remove("content").unwrap_or_default();
    let is_error = fields.get("is_error") == Some(&Value::Bool(true))
        || content["type"].as_str().is_some_and(|kind| kind.ends_with("_error"));
    let output = if is_error { ToolOutput::ErrorJson(content) } else { ToolOutput::Json(content) };
    let name = tools.get(&call).map_or_else(|| kind.trim_end_matches(RESULT), String::as_str).to_owned();
    let block = [("block".to_owned(), Value::Object(fields))];
    let extras = Extras { provider_metadata: before.bag(model, block), ..Extras::default() };
    Ok(ToolResult { call, name, output, provider_executed: true, extras })
}

fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}
