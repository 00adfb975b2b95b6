//! What a test tells the fake to answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::content::{Content, Part, ToolCall};
use super::delivery::{Delivery, Start, Turn};
use super::{Deltas, Failure, Finish, Gate, LineEnd, ReasoningForm, Split, Usage};

/// One scripted answer: what it says, and how its bytes travel.
///
/// What it says is one of three: content that is rendered in the form of whichever endpoint is called
/// ([`new`](Self::new) and the methods behind it; a `&str` is a reply of one text), an error in that
/// provider's form (from a [`Failure`]), or bytes exactly as given ([`raw`](Self::raw),
/// [`json`](Self::json), [`sse`](Self::sse)). How it travels is set by the methods from
/// [`delay`](Self::delay) on, for each of them alike.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) answer: Answer,
    pub(super) headers: Vec<(String, String)>,
    pub(super) edits: Vec<Edit>,
    pub(super) delivery: Delivery,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Content(Content),
    Failure(Failure),
    Raw { status: u16, content_type: String, frames: Vec<Bytes> },
}

/// A change to each JSON text of an answer.
#[derive(Clone)]
pub(super) struct Edit(pub(super) Arc<dyn Fn(&mut Value) + Send + Sync>);

impl fmt::Debug for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Edit")
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::of(Answer::Failure(failure))
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::new()
    }
}

/// What it says.
impl Reply {
    /// Returns a proper answer that says nothing yet. For embeddings and pictures it is complete.
    pub fn new() -> Self {
        Self::of(Answer::Content(Content::default()))
    }

    /// Returns an answer of these bytes.
    pub fn raw(status: u16, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::of(Answer::Raw { status, content_type: content_type.into(), frames: vec![body.into()] })
    }

    /// Returns a JSON answer with status 200.
    pub fn json(body: &Value) -> Self {
        Self::raw(200, "application/json", body.to_string())
    }

    /// Returns an event stream of these bytes; each item counts as one event, and should hold one with
    /// the empty line that ends it.
    pub fn sse<B: Into<Bytes>>(events: impl IntoIterator<Item = B>) -> Self {
        let frames = events.into_iter().map(Into::into).collect();
        Self::of(Answer::Raw { status: 200, content_type: "text/event-stream".to_owned(), frames })
    }

    fn of(answer: Answer) -> Self {
        Self { answer, headers: Vec::new(), edits: Vec::new(), delivery: Delivery::default() }
    }

    /// Says a text. Parts stand in the order in which they are added.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.part(Part::Text(text.into()))
    }

    /// Reasons. Anthropic's form signs it, and the Responses form encrypts it where that was asked for.
    #[must_use]
    pub fn reasoning(self, text: impl Into<String>) -> Self {
        self.part(Part::Reasoning(text.into()))
    }

    /// Reasons in secret: Anthropic's `redacted_thinking`, which the other forms do not have.
    #[must_use]
    pub fn redacted_reasoning(self, data: impl Into<String>) -> Self {
        self.part(Part::Redacted(data.into()))
    }

    /// Calls a tool. An empty object is sent as providers do: Anthropic's stream says nothing for it.
    #[must_use]
    pub fn tool_call(self, name: impl Into<String>, arguments: Value) -> Self {
        self.part(Part::Call(ToolCall { id: None, name: name.into(), arguments: arguments.to_string() }))
    }

    /// Calls a tool with this id and with arguments that may be no JSON at all.
    #[must_use]
    pub fn raw_tool_call(
        self,
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        let call = ToolCall { id: Some(id.into()), name: name.into(), arguments: arguments.into() };
        self.part(Part::Call(call))
    }

    /// Refuses, with an explanation.
    #[must_use]
    pub fn refusal(self, text: impl Into<String>) -> Self {
        self.part(Part::Refusal(text.into()))
    }

    /// Sets why it ends. Default: for tool calls if it has any, else because it is done.
    #[must_use]
    pub fn finish(self, finish: Finish) -> Self {
        self.content(|content| content.finish = Some(finish))
    }

    /// Sets what it cost. Default: [`Usage::default`].
    #[must_use]
    pub fn usage(self, usage: Usage) -> Self {
        self.content(|content| content.usage = Some(usage))
    }

    /// Does not say what it cost.
    #[must_use]
    pub fn no_usage(self) -> Self {
        self.content(|content| content.has_no_usage = true)
    }

    /// Fails behind its parts: inside a stream, the provider's error event; else as a plain error.
    #[must_use]
    pub fn fails(self, failure: Failure) -> Self {
        self.content(|content| content.failure = Some(failure))
    }

    /// Sets how texts and arguments are cut into deltas.
    #[must_use]
    pub fn deltas(self, deltas: Deltas) -> Self {
        self.content(|content| content.deltas = deltas)
    }

    /// Sets where its reasoning stands.
    #[must_use]
    pub fn reasoning_form(self, form: ReasoningForm) -> Self {
        self.content(|content| content.reasoning = form)
    }

    /// Streams tool calls that follow each other in turns instead of one after the other; OpenAI's
    /// forms do that.
    #[must_use]
    pub fn interleaved(self) -> Self {
        self.content(|content| content.are_calls_interleaved = true)
    }

    /// Gives these vectors for the inputs of a call for embeddings. Default: one of length 1 that
    /// depends only on the input and on `dimensions`.
    #[must_use]
    pub fn vectors(self, vectors: Vec<Vec<f32>>) -> Self {
        self.content(|content| content.vectors = Some(vectors))
    }

    /// Gives one more picture. Default: as many small PNGs as were asked for.
    #[must_use]
    pub fn image(self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        self.content(|content| content.images.push(bytes))
    }

    /// Changes each JSON text on its way out: each event of a stream, or the whole body. This is how
    /// a test makes a server that deviates.
    #[must_use]
    pub fn edit(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edits.push(Edit(Arc::new(edit)));
        self
    }

    /// Sets a header of the answer, in place of one that it would have anyway.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn part(self, part: Part) -> Self {
        self.content(|content| content.parts.push(part))
    }

    /// # Panics
    /// When the reply is raw or a failure: its test is wrong.
    fn content(mut self, change: impl FnOnce(&mut Content)) -> Self {
        let Answer::Content(content) = &mut self.answer else {
            panic!("only a reply made with `Reply::new()` has content, this one is {:?}", self.answer);
        };
        change(content);
        self
    }
}

/// How its bytes travel. Where events are counted, a body that is no stream is one event.
impl Reply {
    /// Waits before the head of the answer.
    #[must_use]
    pub fn delay(mut self, time: Duration) -> Self {
        self.delivery.delay = time;
        self
    }

    /// Never answers, and leaves the connection open.
    #[must_use]
    pub fn hangs(mut self) -> Self {
        self.delivery.start = Start::Hang;
        self
    }

    /// Closes the connection instead of an answer.
    #[must_use]
    pub fn hangs_up(mut self) -> Self {
        self.delivery.start = Start::Cut;
        self
    }

    /// Holds each event back until the gate lets it through. The head goes out before.
    #[must_use]
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.delivery.gate = Some(gate.clone());
        self
    }

    /// Sets where the body is cut into writes. Default: [`Split::Events`].
    #[must_use]
    pub fn split(mut self, split: Split) -> Self {
        self.delivery.split = split;
        self
    }

    /// Waits behind each write.
    #[must_use]
    pub fn pace(mut self, time: Duration) -> Self {
        self.delivery.pace = time;
        self
    }

    /// Sets how lines end in rendered events. Default: a line feed.
    #[must_use]
    pub fn line_end(mut self, line_end: LineEnd) -> Self {
        self.delivery.line_end = line_end;
        self
    }

    /// Sends these bytes behind so many events: a comment, an event of another kind, a malformed one.
    #[must_use]
    pub fn insert_after(self, events: usize, bytes: impl Into<Bytes>) -> Self {
        self.turn(events, Turn::Insert(bytes.into()))
    }

    /// Waits behind so many events.
    #[must_use]
    pub fn pause_after(self, events: usize, time: Duration) -> Self {
        self.turn(events, Turn::Pause(time))
    }

    /// Sends nothing more behind so many events, and leaves the connection open.
    #[must_use]
    pub fn hangs_after(self, events: usize) -> Self {
        self.turn(events, Turn::Hang)
    }

    /// Closes the connection behind so many events, without the end that HTTP wants.
    #[must_use]
    pub fn cut_after(self, events: usize) -> Self {
        self.turn(events, Turn::Cut)
    }

    /// Ends the body properly behind so many events, whatever would come.
    #[must_use]
    pub fn ends_after(self, events: usize) -> Self {
        self.turn(events, Turn::End)
    }

    fn turn(mut self, events: usize, turn: Turn) -> Self {
        self.delivery.turns.push((events, turn));
        self
    }
}
