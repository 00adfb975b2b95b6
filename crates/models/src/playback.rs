//! Answers that are known before they are given: chunks, waits and failures, played on a clock.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use loomwork_core::{Clock, Time};
use tokio_util::sync::CancellationToken;

use crate::mock::Gate;
use crate::{Chunk, Error, ErrorKind, ModelName, ReplyStream, Request, Result};

/// One step of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Chunk(Chunk),
    Wait(Duration),
    Gate(Gate),
    Fail(Error),
}

/// What an answer is played on.
#[derive(Debug)]
pub(crate) struct Playback {
    model: ModelName,
    clock: Clock,
    cancel: CancellationToken,
    deadline: Option<Time>,
}

impl Playback {
    /// Returns the playback of an answer to a request, whose time-out and token it obeys.
    pub(crate) fn new(model: &ModelName, clock: &Clock, request: &Request) -> Self {
        let deadline = request.settings.timeout.map(|timeout| clock.now() + timeout);
        Self { model: model.clone(), clock: clock.clone(), cancel: request.cancel.clone(), deadline }
    }

    /// Plays the steps. `guard` lives as long as the stream, and is told when the steps have ended.
    pub(crate) fn play(self, steps: impl Into<VecDeque<Step>>, guard: impl Guard) -> ReplyStream {
        let state = Some((self, steps.into(), guard));
        let chunks = stream::unfold(state, async |state| {
            let (playback, mut steps, mut guard) = state?;
            match playback.next(&mut steps).await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some((playback, steps, guard)))),
                Ok(None) => {
                    guard.ended();
                    None
                }
                Err(error) => {
                    guard.ended();
                    Some((Err(error), None))
                }
            }
        });
        Box::pin(chunks.fuse())
    }

    async fn next(&self, steps: &mut VecDeque<Step>) -> Result<Option<Chunk>> {
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Chunk(chunk) => {
                    self.check()?;
                    return Ok(Some(chunk));
                }
                Step::Wait(wait) => self.wait(self.clock.sleep(wait)).await?,
                Step::Gate(gate) => self.wait(gate.pass()).await?,
                Step::Fail(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(self.cancelled()) } else { Ok(()) }
    }

    /// Waits for what has to happen, unless the caller calls the answer off or its time is over.
    pub(crate) async fn wait(&self, event: impl Future<Output = ()>) -> Result<()> {
        let timeout = async {
            match self.deadline {
                Some(deadline) => self.clock.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.cancelled()),
            () = event => Ok(()),
            () = timeout => Err(self.error(ErrorKind::Timeout, "the answer took longer than its time-out")),
        }
    }

    fn cancelled(&self) -> Error {
        self.error(ErrorKind::Cancelled, "the caller called the answer off")
    }

    fn error(&self, kind: ErrorKind, text: &str) -> Error {
        Error::new(kind, &self.model.provider, &self.model.model, text)
    }
}

/// Cuts a text into words, each with the space behind it; JSON, which needs no spaces, behind its marks too.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let is_json = text.starts_with(['{', '[']);
    text.split_inclusive(move |letter| letter == ' ' || is_json && matches!(letter, ',' | ':'))
}

/// What a stream holds while it lives.
pub(crate) trait Guard: Send + 'static {
    /// The steps have ended; the reader has them all.
    fn ended(&mut self) {}
}

impl Guard for () {}
