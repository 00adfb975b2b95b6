//! Answers that are known before they are given: chunks, waits and failures, played on a clock.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use loomwork_core::Clock;

use crate::mock::Gate;
use crate::term::Term;
use crate::{Chunk, Error, ModelName, ReplyStream, Request, Result};

/// One step of an answer.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "most steps are chunks")]
pub(crate) enum Step {
    Chunk(Chunk),
    Wait(Duration),
    Gate(Gate),
    Fail(Error),
}

/// What an answer is played on.
#[derive(Debug)]
pub(crate) struct Playback {
    clock: Clock,
    term: Term,
}

impl Playback {
    /// Returns the playback of an answer to a request, whose time-out and token it obeys.
    pub(crate) fn new(model: &ModelName, clock: &Clock, request: &Request) -> Self {
        let term = Term::new(model, clock, &request.settings, &request.cancel);
        Self { clock: clock.clone(), term }
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
                    self.term.wait(std::future::ready(())).await?;
                    return Ok(Some(chunk));
                }
                Step::Wait(wait) => self.term.wait(self.clock.sleep(wait)).await?,
                Step::Gate(gate) => self.term.wait(gate.pass()).await?,
                Step::Fail(error) => return Err(error),
            }
        }
        Ok(None)
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
