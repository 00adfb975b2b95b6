//! An answer that may pause: the provider wants to be asked again, with what it has said so far, and goes
//! on. The caller sees one answer.

use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::stream::{Before, PAUSE, PAUSED, Reader};
use super::{Provider, errors};
use crate::http::{Ask, Body, Call};
use crate::term::Term;
use crate::{Chunk, Error, Finish, ReplyInfo, ReplyStream, Result, Settings, Usage};

/// A call, as often as its answer pauses.
pub(super) struct Continued {
    provider: Arc<Provider>,
    headers: Vec<(String, String)>,
    body: Value,
    settings: Settings,
    /// A call has one time for all its answers.
    term: Term,
    /// What the next reader knows.
    before: Before,
    /// How often the answer may still pause.
    left: u32,
    /// What the paused answers used.
    used: Vec<Usage>,
}

impl Continued {
    pub(super) fn new(
        provider: Arc<Provider>,
        headers: Vec<(String, String)>,
        body: Value,
        settings: Settings,
        cancel: CancellationToken,
        before: Before,
        left: u32,
    ) -> Self {
        let term = provider.http.term(&before.name.model, &settings, &cancel);
        Self { provider, headers, body, settings, term, before, left, used: Vec::new() }
    }

    /// Asks, and returns the answer with all that follows its pauses.
    pub(super) async fn begin(mut self) -> Result<ReplyStream> {
        let stream = self.ask().await?;
        if !self.before.keeps_blocks {
            return Ok(stream);
        }
        self.before.info = ReplyInfo::default();
        Ok(Box::pin(futures_util::stream::unfold(Some((self, stream)), |state| async move {
            let (mut continued, mut stream) = state?;
            match continued.next(&mut stream).await? {
                Ok(chunk) => Some((Ok(chunk), Some((continued, stream)))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    async fn ask(&self) -> Result<ReplyStream> {
        let call = Call { term: &self.term, settings: &self.settings, read_error: errors::read };
        let path = self.provider.options.path();
        let ask = Ask { path, headers: &self.headers, body: Body::Json(&self.body) };
        self.provider.http.stream(&call, &ask, || Reader::new(self.before.clone())).await
    }

    async fn next(&mut self, stream: &mut ReplyStream) -> Option<Result<Chunk>> {
        loop {
            let chunk = match stream.next().await? {
                Ok(chunk) => chunk,
                Err(error) => return Some(Err(self.add_used(error))),
            };
            match chunk {
                Chunk::Finish(mut finish) => match self.take_pause(&mut finish) {
                    None => return Some(Ok(Chunk::Finish(self.sum(finish)))),
                    Some(blocks) => {
                        self.used.push(finish.usage);
                        *stream = match self.go_on(blocks).await {
                            Ok(stream) => stream,
                            Err(error) => return Some(Err(self.add_used(error))),
                        };
                    }
                },
                Chunk::PartStart { part, .. } => {
                    self.before.first_part = self.before.first_part.max(part + 1);
                    return Some(Ok(chunk));
                }
                chunk => return Some(Ok(chunk)),
            }
        }
    }

    /// Returns the blocks of an answer that pauses and is to go on.
    fn take_pause(&self, finish: &mut Finish) -> Option<Value> {
        let metadata = finish.provider_metadata.get_mut(&self.before.name.provider)?.as_object_mut()?;
        let blocks = metadata.remove(PAUSED)?;
        let has_blocks = blocks.as_array().is_some_and(|blocks| !blocks.is_empty());
        (finish.raw_reason.as_deref() == Some(PAUSE) && self.left > 0 && has_blocks).then_some(blocks)
    }

    /// Sends back what was said, as it is.
    async fn go_on(&mut self, mut blocks: Value) -> Result<ReplyStream> {
        self.left -= 1;
        if let Some(messages) = self.body["messages"].as_array_mut() {
            match (messages.last_mut(), blocks.as_array_mut()) {
                // A second pause goes on where the first one did.
                (Some(last), Some(blocks)) if last["role"] == "assistant" => {
                    if let Some(content) = last["content"].as_array_mut() {
                        content.append(blocks);
                    }
                }
                _ => messages.push(json!({ "role": "assistant", "content": blocks })),
            }
        }
        self.ask().await
    }

    /// Adds what the paused answers used.
    fn sum(&mut self, mut finish: Finish) -> Finish {
        if !self.used.is_empty() {
            finish.usage = self.total(std::mem::take(&mut finish.usage));
        }
        finish
    }

    fn add_used(&mut self, error: Error) -> Error {
        if self.used.is_empty() {
            return error;
        }
        let last = error.usage().cloned().unwrap_or_default();
        let total = self.total(last);
        error.with_usage(total)
    }

    /// Sums up; the provider's reports stand in a list.
    fn total(&mut self, last: Usage) -> Usage {
        self.used.push(last);
        let raw: Value = self.used.iter().filter_map(|usage| usage.raw.clone()).collect();
        let mut total = Usage::default();
        for usage in &self.used {
            total += usage;
        }
        Usage { raw: Some(raw), ..total }
    }
}
