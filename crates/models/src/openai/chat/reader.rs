//! From the events of an answer, or a whole one, to chunks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use loomwork_core::Time;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::calls::Calls;
use super::details;
use super::think::{Piece, ThinkSplitter};
use super::wire::{self, CallDelta, Choice, Delta, Event, Words};
use crate::content::from_base64;
use crate::history::MADE_BY;
use crate::http::{ReadEvents, SseEvent};
use crate::openai::{ThinkTags, errors, usage};
use crate::tokens::Reckoning;
use crate::{
    Chunk, Data, Error, ErrorKind, Extras, File, Finish, FinishReason, ModelName, Part, PartKind, PartNumber,
    ProviderData, ReplyInfo, Result, Source, SourceKind, Usage, guess_media_type,
};

/// How much of an event that cannot be read is shown, in characters.
const SHOWN: usize = 200;

/// The reason of an answer that ended with a failure of the provider.
const FAILED: &str = "error";

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Reader {
    name: ModelName,
    /// What is known before the answer begins; handed on with the first event.
    info: Option<ReplyInfo>,
    is_named: bool,
    think: ThinkSplitter,
    next_part: PartNumber,
    /// The text or the thoughts that grow.
    open: Option<Open>,
    calls: Calls,
    is_refusal: bool,
    has_choice: bool,
    /// Why it ended, in the server's word; empty where a whole answer says nothing.
    reason: Option<String>,
    /// The last report.
    report: Option<String>,
    reckoning: Reckoning,
    /// What OpenRouter wants back with the thoughts.
    reasoning_details: Vec<Value>,
    /// What the provider says of the answer, by its own names.
    said: Map<String, Value>,
    logprobs: Map<String, Value>,
    sources: BTreeSet<String>,
    sound: Option<Sound>,
    is_finished: bool,
}

/// Sound that comes in pieces.
#[derive(Debug, Default)]
struct Sound {
    bytes: Vec<u8>,
    /// What the provider says of it, such as the id that it goes back by.
    said: Map<String, Value>,
}

/// A part that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    part: PartNumber,
    kind: Grows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grows {
    Text,
    Refusal,
    Thoughts,
}

impl Reader {
    /// Returns a reader. `info` is handed on with the first chunk; `mint` begins the ids of calls that
    /// have none, and is another for each answer.
    pub(super) fn new(
        name: ModelName,
        info: ReplyInfo,
        reckoning: Reckoning,
        think_tags: ThinkTags,
        mint: String,
    ) -> Self {
        Self {
            name,
            info: Some(info),
            is_named: false,
            think: ThinkSplitter::new(think_tags),
            next_part: 0,
            open: None,
            calls: Calls::new(mint),
            is_refusal: false,
            has_choice: false,
            reason: None,
            report: None,
            reckoning,
            reasoning_details: Vec::new(),
            said: Map::new(),
            logprobs: Map::new(),
            sources: BTreeSet::new(),
            sound: None,
            is_finished: false,
        }
    }

    fn read(&mut self, json: &str, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        if self.is_named
            && self.open.is_some()
            && let Some(words) = Words::alone(json)
        {
            self.words(words, chunks);
            return Ok(());
        }
        let event: Event<'_> = match serde_json::from_str(json) {
            Ok(event) => event,
            Err(error) => return Err(self.malformed(json, &error)),
        };
        if let Some(error) = failure(&event, json) {
            return Err(errors::in_stream(&self.name, &error));
        }
        self.introduce(&event, chunks);
        self.keep(&event);
        for choice in event.choices.into_iter().flatten() {
            // Other choices were asked for by an option that we don't read back.
            if choice.index.unwrap_or(0) == 0 {
                self.choice(choice, chunks)?;
            }
        }
        for url in wire::list(event.citations) {
            self.cite(url.as_str(), None, Map::new(), chunks);
        }
        Ok(())
    }

    /// Hands on what the answer says of itself; some servers say it later than in the first event.
    fn introduce(&mut self, event: &Event<'_>, chunks: &mut VecDeque<Chunk>) {
        if self.is_named {
            return;
        }
        let (id, model) = (wire::word(event.id), wire::word(event.model));
        self.is_named = id.is_some() && model.is_some();
        if self.info.is_none() && !self.is_named {
            return;
        }
        let mut info = self.info.take().unwrap_or_default();
        let seconds = wire::value(event.created).and_then(|seconds| seconds.as_f64());
        info.created =
            seconds.filter(|seconds| *seconds > 0.0).map(|at| Time::from_millis((at * 1000.0) as i64));
        info.id = id;
        if let Some(model) = model {
            info.model = model;
        }
        chunks.push_back(Chunk::Start(info));
    }

    /// Keeps what belongs to the whole answer.
    fn keep(&mut self, event: &Event<'_>) {
        let fields = [
            ("service_tier", event.service_tier),
            ("system_fingerprint", event.system_fingerprint),
            ("prompt_filter_results", event.prompt_filter_results),
            ("timings", event.timings),
        ];
        for (name, raw) in fields {
            self.say(name, raw);
        }
        let groq =
            || event.x_groq.and_then(|raw| serde_json::from_str::<BTreeMap<&str, &RawValue>>(raw.get()).ok());
        let report = event.usage.or_else(|| groq()?.remove("usage"));
        if let Some(report) = report {
            self.report = Some(report.get().to_owned());
        }
    }

    fn say(&mut self, name: &str, raw: Option<&RawValue>) {
        // Most of them are the same in each event.
        if raw.is_some()
            && !self.said.contains_key(name)
            && let Some(value) = wire::value(raw)
        {
            self.said.insert(name.to_owned(), value);
        }
    }

    fn choice(&mut self, choice: Choice<'_>, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        self.has_choice = true;
        for (name, raw) in [
            ("native_finish_reason", choice.native_finish_reason),
            ("stop_reason", choice.stop_reason),
            ("content_filter_results", choice.content_filter_results),
        ] {
            self.say(name, raw);
        }
        for (name, value) in wire::value(choice.logprobs).and_then(into_object).into_iter().flatten() {
            match (self.logprobs.get_mut(&name), value) {
                (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
                (None, value @ Value::Array(_)) => drop(self.logprobs.insert(name, value)),
                _ => {}
            }
        }
        if let Some(delta) = choice.delta.or(choice.message.map(|message| *message)) {
            self.delta(delta, chunks);
        }
        if let Some(reason) = wire::word(choice.finish_reason) {
            self.reason = Some(reason);
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta<'_>, chunks: &mut VecDeque<Chunk>) {
        let details = wire::list(delta.reasoning_details);
        if !details.is_empty() {
            // Sealed thoughts have no text, and still are a part to keep what goes back.
            if !matches!(self.open, Some(Open { kind: Grows::Thoughts, .. })) {
                self.begin(Grows::Thoughts, chunks);
            }
            details::merge(&mut self.reasoning_details, details);
        }
        self.words(Words::of(&delta), chunks);
        if let Some(refusal) = wire::text(delta.refusal) {
            self.is_refusal = true;
            self.grow(Grows::Refusal, refusal, chunks);
        }
        for annotation in wire::list(delta.annotations) {
            self.annotate(&annotation, chunks);
        }
        for image in wire::list(delta.images) {
            self.image(&image, chunks);
        }
        self.audio(delta.audio, chunks);
        let retired = delta.function_call.map(|function| CallDelta {
            index: Some(0),
            function: Some(*function),
            ..CallDelta::default()
        });
        let calls: Vec<_> = delta.tool_calls.into_iter().flatten().chain(retired).collect();
        if !calls.is_empty() {
            self.end_open(chunks);
            self.calls.add(calls, &mut self.next_part, &mut self.reckoning, chunks);
        }
    }

    fn words(&mut self, words: Words, chunks: &mut VecDeque<Chunk>) {
        let (thoughts, text) = words.split();
        if let Some(thoughts) = thoughts {
            self.grow(Grows::Thoughts, thoughts, chunks);
        }
        if let Some(text) = text {
            let mut pieces = Vec::new();
            self.think.push(text, |piece| pieces.push(piece));
            self.pieces(pieces, chunks);
        }
    }

    fn pieces(&mut self, pieces: Vec<Piece>, chunks: &mut VecDeque<Chunk>) {
        for piece in pieces {
            match piece {
                Piece::Thought(text) => self.grow(Grows::Thoughts, text, chunks),
                Piece::Text(text) => self.grow(Grows::Text, text, chunks),
            }
        }
    }

    /// Adds to the part that grows, or begins another.
    fn grow(&mut self, kind: Grows, delta: String, chunks: &mut VecDeque<Chunk>) {
        let part = match self.open {
            Some(open) if open.kind == kind => open.part,
            _ => self.begin(kind, chunks),
        };
        self.reckoning.came(&delta);
        chunks.push_back(Chunk::PartDelta { part, delta });
    }

    fn begin(&mut self, kind: Grows, chunks: &mut VecDeque<Chunk>) -> PartNumber {
        self.end_open(chunks);
        let part = self.next_part;
        self.next_part += 1;
        self.open = Some(Open { part, kind });
        let (kind, provider_metadata) = match kind {
            Grows::Text => (PartKind::Text, ProviderData::new()),
            Grows::Refusal => {
                (PartKind::Text, self.bag(Map::from_iter([(super::REFUSAL.to_owned(), true.into())])))
            }
            Grows::Thoughts => (PartKind::Reasoning, self.bag(Map::new())),
        };
        chunks.push_back(Chunk::PartStart { part, kind, provider_metadata });
        part
    }

    fn end_open(&mut self, chunks: &mut VecDeque<Chunk>) {
        let Some(open) = self.open.take() else { return };
        let details = match open.kind {
            Grows::Thoughts => std::mem::take(&mut self.reasoning_details),
            _ => Vec::new(),
        };
        let provider_metadata = match details.is_empty() {
            true => ProviderData::new(),
            false => self.bag(Map::from_iter([(super::REASONING_DETAILS.to_owned(), details.into())])),
        };
        chunks.push_back(Chunk::PartEnd { part: open.part, provider_metadata });
    }

    /// Returns fields as the provider's bag, with the model that they are for.
    fn bag(&self, mut fields: Map<String, Value>) -> ProviderData {
        fields.insert(MADE_BY.to_owned(), self.name.model.as_str().into());
        ProviderData::from_iter([(self.name.provider.clone(), fields.into())])
    }

    fn annotate(&mut self, annotation: &Value, chunks: &mut VecDeque<Chunk>) {
        let citation = annotation.get("url_citation").unwrap_or(annotation);
        let title = citation["title"].as_str().filter(|title| !title.is_empty()).map(str::to_owned);
        let places = ["start_index", "end_index", "content"].into_iter();
        let places = places.filter_map(|name| Some((name.to_owned(), citation.get(name)?.clone()))).collect();
        self.cite(citation["url"].as_str(), title, places, chunks);
    }

    fn cite(
        &mut self,
        url: Option<&str>,
        title: Option<String>,
        places: Map<String, Value>,
        chunks: &mut VecDeque<Chunk>,
    ) {
        let Some(url) = url.filter(|url| !url.is_empty()) else { return };
        // A list of citations comes anew with each event; places tell annotations apart.
        if !self.sources.insert(format!("{url} {}", json!(places))) {
            return;
        }
        let id = format!("source_{}", self.sources.len() - 1);
        let provider_metadata = if places.is_empty() {
            ProviderData::new()
        } else {
            ProviderData::from_iter([(self.name.provider.clone(), places.into())])
        };
        let extras = Extras { provider_metadata, ..Extras::default() };
        let source = Source { id, kind: SourceKind::Url { url: url.to_owned() }, title, extras };
        chunks.push_back(Chunk::Part { part: Part::Source(source) });
    }

    fn image(&mut self, image: &Value, chunks: &mut VecDeque<Chunk>) {
        let Some(url) = image["image_url"]["url"].as_str() else { return };
        let data = Data::Url(url.to_owned());
        let bytes = data.bytes();
        let media_type = data.media_type().or_else(|| bytes.as_deref().map(guess_media_type));
        let media_type = media_type.unwrap_or("image/*").to_owned();
        self.file(bytes.map(Data::Bytes).unwrap_or(data), media_type, Map::new(), chunks);
    }

    /// Keeps the sound until it is complete, and hands on what is said in it.
    fn audio(&mut self, raw: Option<&RawValue>, chunks: &mut VecDeque<Chunk>) {
        let Some(mut audio) = wire::value(raw).and_then(into_object) else { return };
        if let Some(Value::String(transcript)) = audio.remove("transcript") {
            self.grow(Grows::Text, transcript, chunks);
        }
        let sound = self.sound.get_or_insert_default();
        if let Some(Value::String(data)) = audio.remove("data") {
            sound.bytes.extend(from_base64(&data).unwrap_or_default());
        }
        sound.said.extend(audio);
    }

    fn sound_whole(&mut self, sound: Sound, chunks: &mut VecDeque<Chunk>) {
        let media_type = match guess_media_type(&sound.bytes) {
            known if known.starts_with("audio/") => known,
            // Streams carry bare samples, which have no signature.
            _ => "audio/pcm",
        };
        if !sound.bytes.is_empty() {
            self.file(Data::from(sound.bytes), media_type.to_owned(), sound.said, chunks);
        }
    }

    fn file(
        &mut self,
        data: Data,
        media_type: String,
        bag: Map<String, Value>,
        chunks: &mut VecDeque<Chunk>,
    ) {
        let provider_metadata = if bag.is_empty() { ProviderData::new() } else { self.bag(bag) };
        let extras = Extras { provider_metadata, ..Extras::default() };
        let file = File { data, media_type, filename: None, extras };
        chunks.push_back(Chunk::Part { part: Part::File(file) });
    }

    fn finish(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        if self.is_finished {
            return Ok(());
        }
        let Some(raw) = self.reason.take() else {
            let (kind, text) = match self.has_choice {
                true => (ErrorKind::Interrupted, "the answer ended without a reason to end"),
                false => (ErrorKind::Protocol, "the answer has no choices, where one was due"),
            };
            return Err(self.error(kind, text));
        };
        if raw == FAILED {
            let text = format!("the provider ended the answer with `{FAILED}` and does not say why");
            return Err(self.error(ErrorKind::Interrupted, text));
        }
        self.let_go(chunks);
        let has_calls = !self.calls.is_empty();
        let mut calls = std::mem::replace(&mut self.calls, Calls::new(String::new()));
        calls.end(|fields| self.bag(fields), chunks).map_err(|text| self.error(ErrorKind::Protocol, text))?;
        if !self.logprobs.is_empty() {
            self.said.insert("logprobs".to_owned(), std::mem::take(&mut self.logprobs).into());
        }
        let said = std::mem::take(&mut self.said);
        let provider_metadata = match said.is_empty() {
            true => ProviderData::new(),
            false => ProviderData::from_iter([(self.name.provider.clone(), said.into())]),
        };
        let reason = self.reason_of(&raw, has_calls);
        let raw_reason = Some(raw).filter(|raw| !raw.is_empty());
        chunks.push_back(Chunk::Finish(Finish {
            reason,
            raw_reason,
            usage: self.reckoning.complete(self.report()),
            provider_metadata,
        }));
        self.is_finished = true;
        Ok(())
    }

    /// Hands on what was held back, and ends what grows.
    fn let_go(&mut self, chunks: &mut VecDeque<Chunk>) {
        let mut pieces = Vec::new();
        self.think.finish(|piece| pieces.push(piece));
        self.pieces(pieces, chunks);
        self.end_open(chunks);
        if let Some(sound) = self.sound.take() {
            self.sound_whole(sound, chunks);
        }
    }

    fn reason_of(&self, raw: &str, has_calls: bool) -> FinishReason {
        match raw {
            "stop" if has_calls => FinishReason::ToolCalls,
            "stop" | "content_filter" if self.is_refusal => FinishReason::Refusal,
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            "tool_calls" | "function_call" => FinishReason::ToolCalls,
            "content_filter" => FinishReason::ContentFilter,
            _ if has_calls => FinishReason::ToolCalls,
            _ => FinishReason::Other,
        }
    }

    fn report(&self) -> Option<Usage> {
        self.report.as_deref().and_then(usage::read)
    }

    fn malformed(&self, json: &str, error: &serde_json::Error) -> Error {
        let shown: String = json.chars().take(SHOWN).collect();
        self.error(ErrorKind::Protocol, format!("an event is no chunk of an answer: {error}: {shown}"))
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, &self.name.provider, &self.name.model, message)
    }
}

impl ReadEvents for Reader {
    fn head(&mut self, headers: BTreeMap<String, String>) {
        if let Some(info) = &mut self.info {
            info.headers = headers;
        }
    }

    fn event(&mut self, event: SseEvent, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        match event.data.trim() {
            "" => Ok(()),
            "[DONE]" => self.finish(chunks),
            json => self.read(json, chunks),
        }
    }

    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        self.finish(chunks)
    }

    fn whole(&mut self, body: Bytes, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        let json = std::str::from_utf8(&body)
            .map_err(|error| self.error(ErrorKind::Protocol, format!("the answer is no UTF-8: {error}")))?;
        self.read(json, chunks)?;
        if self.has_choice {
            // It came whole, so nothing broke off.
            self.reason.get_or_insert_default();
        }
        self.finish(chunks)
    }

    fn cut(&mut self, chunks: &mut VecDeque<Chunk>) {
        self.let_go(chunks);
        let mut calls = std::mem::replace(&mut self.calls, Calls::new(String::new()));
        let mut next_part = self.next_part;
        calls.cut(|fields| self.bag(fields), &mut next_part, chunks);
        self.next_part = next_part;
    }

    fn usage(&self) -> Option<Usage> {
        self.has_choice.then(|| self.reckoning.broken(self.report()))
    }
}

/// Returns the error that an event tells of, in any of its places.
fn failure(event: &Event<'_>, json: &str) -> Option<Value> {
    let is_truthy = |error: &Value| !matches!(error, Value::Bool(false)) && error.as_str() != Some("");
    if let Some(error) = wire::value(event.error).filter(is_truthy) {
        return Some(json!({ "error": error }));
    }
    if event.object.is_some_and(|object| object.get() == "\"error\"") {
        return serde_json::from_str(json).ok();
    }
    let of_choice =
        event.choices.iter().flatten().find_map(|choice| wire::value(choice.error).filter(is_truthy));
    of_choice.map(|error| json!({ "error": error }))
}

fn into_object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}
