//! Values as they grow.

use std::fmt;
use std::marker::PhantomData;

use futures_util::StreamExt as _;
use futures_util::stream::Fuse;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Object, PartialJson, exchange::Exchange, target::Target};
use crate::{
    Assembly, Chunk, Error, ErrorKind, Estimator, Finish, ModelName, PartKind, PartNumber, Reply,
    ReplyStream, Result, SchemaSupport, TokenCounter as _, Usage,
};

/// A value that a model is writing.
///
/// ```
/// # use loomwork_models::{LanguageModel, Message, ObjectOptions, OfflineModel, Request, stream_object};
/// # #[derive(schemars::JsonSchema, serde::Deserialize)]
/// # struct Person { name: String, age: u32 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// # let model = OfflineModel::default();
/// # let request = Request::new([Message::user("Ada Lovelace was 36 years old.")]);
/// let mut stream = stream_object::<Person>(&model, request, &ObjectOptions::default()).await?;
/// while let Some(partial) = stream.next().await? {
///     println!("{partial}"); // {"name":"Ada"}, {"name":"Ada Lovelace"}, …
/// }
/// let person = stream.finish().await?;
/// # assert_eq!(person.value.age, 36);
/// # Ok(())
/// # }
/// ```
pub struct ObjectStream<'model, T> {
    answer: Answer<'model>,
    value: PhantomData<fn() -> T>,
}

impl<'model, T: DeserializeOwned> ObjectStream<'model, T> {
    pub(super) async fn open(exchange: Exchange<'model>) -> Result<Self> {
        Ok(Self { answer: Answer::open(exchange).await?, value: PhantomData })
    }

    /// Waits until the value has grown, and shows it; `None` when the answer is complete.
    ///
    /// What is shown is contained in the value that the answer makes, and has not been checked. All
    /// showings together cost as much as reading the answer once.
    ///
    /// Cancel safety: nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<&Value>> {
        while self.answer.advance().await? {
            if std::mem::take(&mut self.answer.has_grown) && self.answer.shown().is_some() {
                return Ok(self.answer.shown());
            }
        }
        Ok(None)
    }

    /// Returns the JSON of the value as far as it is written, as the model writes it; empty until the value has
    /// begun, and where it is shown only when it is complete.
    ///
    /// What turns out to be no JSON is taken back, and the text begins anew:
    /// [`beginnings`](Self::beginnings) tells.
    pub fn text(&self) -> &str {
        self.answer.text()
    }

    /// Returns how often the text has begun: while that is the same, it only grows.
    pub fn beginnings(&self) -> u32 {
        self.answer.beginnings
    }

    /// Reads the rest, and returns the value, which fits its schema. An answer that does not fit goes back
    /// to the model as it does without streaming.
    pub async fn finish(mut self) -> Result<Object<T>> {
        while self.answer.advance().await? {}
        let (mut exchange, reply) = self.answer.into_reply()?;
        match exchange.take(reply)? {
            Some(object) => Ok(object),
            None => exchange.run().await,
        }
    }
}

/// A list whose elements come one by one.
pub struct ArrayStream<'model, T> {
    model: ModelName,
    answer: Option<Answer<'model>>,
    element: Target,
    delivered: usize,
    finish: Option<Finish>,
    /// The elements that were left when the answer was complete, the last first.
    rest: Vec<Value>,
    value: PhantomData<fn() -> T>,
}

impl<'model, T: DeserializeOwned> ArrayStream<'model, T> {
    pub(super) async fn open(exchange: Exchange<'model>, element: Target) -> Result<Self> {
        let model = exchange.model.name().clone();
        let answer = Some(Answer::open(exchange).await?);
        let (delivered, finish, rest) = (0, None, Vec::new());
        Ok(Self { model, answer, element, delivered, finish, rest, value: PhantomData })
    }

    /// Waits for the next element, and returns it; `None` after the last one.
    ///
    /// An element that does not fit ends the list with an error: what was handed on can't be asked for
    /// again. Cancel safety: nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<T>> {
        while let Some(answer) = &mut self.answer {
            if let Some(value) = answer.complete_element(self.delivered) {
                let value = value.clone();
                return self.deliver(value).map(Some);
            }
            if answer.advance().await? {
                continue;
            }
            let Some(answer) = self.answer.take() else { break };
            let (exchange, reply) = answer.into_reply()?;
            self.finish = Some(reply.finish.clone());
            self.rest = rest_of(&exchange, reply, self.delivered)?;
        }
        self.rest.pop().map(|value| self.deliver(value)).transpose()
    }

    /// Returns how the answer ended and what it used, once [`next`](Self::next) has come to its end.
    pub fn finish(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    fn deliver(&mut self, value: Value) -> Result<T> {
        let index = self.delivered;
        self.delivered += 1;
        let read = self.element.check(value);
        let read = read.and_then(|value| T::deserialize(value).map_err(|error| error.to_string()));
        read.map_err(|wrong| {
            let used = match (self.answer.take(), &self.finish) {
                (Some(answer), _) => answer.reckon(),
                (None, finish) => finish.as_ref().map(|finish| finish.usage.clone()).unwrap_or_default(),
            };
            self.rest = Vec::new();
            let text = format!("element {index} of the answer does not fit its schema: {wrong}");
            let error = Error::new(ErrorKind::InvalidOutput, &self.model.provider, &self.model.model, text);
            error.with_all_usage(&used)
        })
    }
}

/// Returns the elements of a complete answer that were not handed on, the last first.
fn rest_of(exchange: &Exchange<'_>, reply: Reply, delivered: usize) -> Result<Vec<Value>> {
    if let Some(error) = exchange.hopeless(&reply) {
        return Err(error.with_all_usage(reply.usage()).with_partial(reply));
    }
    match exchange.read(&reply) {
        Ok(Value::Array(elements)) => Ok(elements.into_iter().skip(delivered).rev().collect()),
        read => {
            let wrong = read.err().unwrap_or_else(|| "it is no list".to_owned());
            let text = format!("the answer does not fit its schema: {wrong}");
            let error = exchange.error(ErrorKind::InvalidOutput, text).with_all_usage(reply.usage());
            Err(error.with_partial(reply))
        }
    }
}

/// An answer, and the value in it as far as it has come.
struct Answer<'model> {
    exchange: Exchange<'model>,
    stream: Fuse<ReplyStream>,
    assembly: Assembly,
    /// The part of the answer that is the value, where a tool call is.
    call: Option<PartNumber>,
    /// The character that begins the value; `None` where a value can't be shown before it is complete.
    begin: Option<char>,
    json: PartialJson,
    /// What `json` has read.
    text: String,
    beginnings: u32,
    has_begun: bool,
    has_grown: bool,
}

impl<'model> Answer<'model> {
    async fn open(exchange: Exchange<'model>) -> Result<Self> {
        let stream = exchange.model.stream(exchange.next_request()?).await?.fuse();
        let begin = exchange.target.begins_with(exchange.support != SchemaSupport::Prompt);
        Ok(Self {
            exchange,
            stream,
            assembly: Assembly::default(),
            call: None,
            begin,
            json: PartialJson::default(),
            text: String::new(),
            beginnings: 0,
            has_begun: false,
            has_grown: false,
        })
    }

    /// Reads the next chunk; `false` if there is none.
    async fn advance(&mut self) -> Result<bool> {
        match self.stream.next().await {
            None => Ok(false),
            Some(Ok(chunk)) => {
                self.look_at(&chunk);
                self.assembly.push(chunk)?;
                Ok(true)
            }
            Some(Err(error)) => Err(std::mem::take(&mut self.assembly).fail(error)),
        }
    }

    fn look_at(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::PartStart { part, kind: PartKind::ToolCall { tool_name, .. }, .. }
                if *tool_name == self.exchange.target.output.name =>
            {
                self.call = Some(*part);
            }
            Chunk::PartStart { part, kind: PartKind::Text, .. } if self.call.is_none() && !self.has_begun => {
                self.call = Some(*part);
            }
            Chunk::PartDelta { part, delta } if self.call == Some(*part) => self.read(delta),
            _ => {}
        }
    }

    /// Reads what was added. Words before the value are skipped; what turns out to be no JSON is a word
    /// too, and the value is looked for behind it.
    fn read(&mut self, mut text: &str) {
        let Some(begin) = self.begin else { return };
        while !(text.is_empty() || self.has_begun && self.json.is_complete()) {
            if !self.has_begun {
                let Some(start) = text.find(begin) else { return };
                text = &text[start..];
                self.has_begun = true;
                self.json = PartialJson::default();
                self.text.clear();
                self.beginnings += 1;
            }
            let (before, growth) = (self.json.bytes(), self.json.growth());
            let pushed = self.json.push(text);
            self.text.push_str(&text[..self.json.bytes() - before]);
            self.has_grown |= self.json.growth() > growth;
            match pushed {
                Err(error) if !self.json.is_complete() => {
                    self.has_begun = false;
                    // The character at fault may begin the value.
                    text = &text[error.at - before..];
                }
                _ => return,
            }
        }
    }

    /// The text without the object that providers want around a value that is none.
    fn text(&self) -> &str {
        let text = if self.json.is_complete() { self.text.trim_end() } else { &self.text };
        let is_wrapped = self.exchange.target.is_wrapped && text.starts_with('{');
        if !is_wrapped {
            return text;
        }
        // The wrapper has one key, whose name has no colon.
        let inner = text.split_once(':').map_or("", |(_, inner)| inner.trim_start());
        if self.json.is_complete() { inner.strip_suffix('}').unwrap_or(inner) } else { inner }
    }

    fn shown(&mut self) -> Option<&Value> {
        let value = self.json.value()?;
        self.exchange.target.inner(value)
    }

    /// Returns the element at an index if it is complete.
    fn complete_element(&mut self, index: usize) -> Option<&Value> {
        let depth = self.json.depth();
        let value = self.json.value()?;
        let level = if value.is_array() { 1 } else { 2 };
        let elements = self.exchange.target.inner(value)?.as_array()?;
        let complete = if depth > level { elements.len().saturating_sub(1) } else { elements.len() };
        elements.get(..complete)?.get(index)
    }

    /// Returns what an answer used whose end is not waited for.
    fn reckon(self) -> Usage {
        Estimator.estimate(&self.exchange.request, &self.assembly.into_reply())
    }

    fn into_reply(self) -> Result<(Exchange<'model>, Reply)> {
        let reply = self.assembly.finish()?;
        Ok((self.exchange, reply))
    }
}

impl<T> fmt::Debug for ObjectStream<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectStream").field("json", &self.answer.json).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ArrayStream<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ArrayStream").field("delivered", &self.delivered).finish_non_exhaustive()
    }
}
