//! Answers that are made in the background, and an answer as it comes.

mod outlet;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use loomwork_core::Kind;
use loomwork_messages::UiChunk;
use loomwork_store::Error;
use tokio::sync::oneshot;

use crate::call_off::{CallOff, shutdown};
use crate::error::AgentError;
use crate::generate::Generation;
use crate::reply::{AgentReply, Stored};

pub use outlet::UNREAD_CHUNKS;
pub(crate) use outlet::{Chunks, Outlet, outlet};

/// An answer as it comes: a [`Stream`] of its chunks.
///
/// The answer is made in the background: dropping this loses nothing, and does not stop it; nor does a reader that
/// lags, who is given longer pieces then. When the process ends, it is called off, unless it is
/// [durable](crate::Options::durable).
#[derive(Debug)]
pub struct TextStream(Answering<AgentReply>);

impl TextStream {
    pub(crate) async fn start<S: Send + Sync + 'static>(
        generation: Generation<S>,
    ) -> Result<Self, AgentError> {
        Answering::begin(generation, |generation, out| generation.run(Some(out))).await.map(Self)
    }

    /// Returns where the answer is stored: its thread and run, and its messages so far, of which the last one is the
    /// answer itself. Outside of threads it is nowhere.
    pub fn stored(&self) -> Option<&Stored> {
        self.0.stored.as_ref()
    }

    /// Returns the next chunk; `None` behind the last one.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<UiChunk> {
        self.0.chunks.next().await
    }

    /// Returns the next piece of text; `None` behind the last one. Thoughts and tools are passed over.
    ///
    /// # Cancel safety
    /// As [`next`](Self::next).
    pub async fn next_text(&mut self) -> Option<String> {
        loop {
            if let UiChunk::TextDelta { delta, .. } = self.next().await? {
                return Some(delta);
            }
        }
    }

    /// Calls the answer off; what came is stored, and [`finish`](Self::finish) says [`AgentError::Ended`].
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Returns the whole answer when it is complete, whether its chunks were read or not.
    ///
    /// # Errors
    /// As [`generate_text`](crate::AgentHandle::generate_text).
    pub async fn finish(self) -> Result<AgentReply, AgentError> {
        self.0.finish().await
    }
}

impl Stream for TextStream {
    type Item = UiChunk;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<UiChunk>> {
        self.0.chunks.poll_next(context)
    }
}

/// An answer that is made in the background.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    reply: oneshot::Receiver<Result<R, AgentError>>,
    call_off: CallOff,
}

impl<R: Send + 'static> Pending<R> {
    /// Begins to answer. At a shutdown a durable answer is left as it is, so that another process goes on with it;
    /// any other one is called off.
    pub(crate) fn spawn<S, F>(generation: Generation<S>, make: impl FnOnce(Generation<S>) -> F) -> Self
    where
        F: Future<Output = Result<R, AgentError>> + Send + 'static,
    {
        let (tasks, call_off) = (generation.runtime.tasks.clone(), generation.call_off.clone());
        let is_durable = generation.options.durable.unwrap_or(false);
        let (done, reply) = oneshot::channel();
        // It is large, and would be moved from hand to hand.
        let (mut making, stop) = (Box::pin(make(generation)), call_off.clone());
        tasks.spawn("answer", move |ends| async move {
            let made = tokio::select! {
                made = &mut making => made,
                () = ends.requested(), if is_durable => return,
                () = ends.requested(), if !is_durable => {
                    stop.call(shutdown());
                    making.await
                }
            };
            // Nobody may wait for it.
            let _ = done.send(made);
        });
        Self { reply, call_off }
    }

    async fn wait(self) -> Result<R, AgentError> {
        let text = "the answer ended with its process, or by a panic of which the log tells; a durable run waits to be resumed";
        self.reply.await.map_err(|_| Error::message(Kind::Cancelled, text))?
    }

    /// Waits for the answer. Whoever drops this calls it off.
    pub(crate) async fn or_call_off(self) -> Result<R, AgentError> {
        let _dropped = self.call_off.when_dropped();
        self.wait().await
    }
}

/// An answer that is made in the background, and its chunks.
#[derive(Debug)]
pub(crate) struct Answering<R> {
    pub(crate) chunks: Chunks,
    /// Where it is stored.
    pub(crate) stored: Option<Stored>,
    reply: Pending<R>,
}

impl<R: Send + 'static> Answering<R> {
    /// Begins to answer, and returns when the answer has begun. Whoever drops this before calls it off.
    pub(crate) async fn begin<S, F>(
        generation: Generation<S>,
        make: impl FnOnce(Generation<S>, Outlet) -> F,
    ) -> Result<Self, AgentError>
    where
        F: Future<Output = Result<R, AgentError>> + Send + 'static,
    {
        let (out, chunks, begun) = outlet();
        let dropped = generation.call_off.when_dropped();
        let mut reply = Pending::spawn(generation, |generation| make(generation, out));
        let stored = match begun.await {
            Ok(stored) => stored,
            // It has ended before it began.
            Err(_) => {
                let call_off = reply.call_off.clone();
                let whole = reply.wait().await?;
                let (done, known) = oneshot::channel();
                let _ = done.send(Ok(whole));
                reply = Pending { reply: known, call_off };
                None
            }
        };
        dropped.let_go();
        Ok(Self { chunks, stored, reply })
    }

    pub(crate) fn abort(&self) {
        self.reply.call_off.abort();
    }

    pub(crate) async fn finish(self) -> Result<R, AgentError> {
        drop(self.chunks);
        self.reply.wait().await
    }
}
