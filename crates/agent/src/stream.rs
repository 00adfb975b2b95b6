//! An answer as it comes.

use std::future::Future;

use loomwork_core::{Kind, Tasks};
use loomwork_messages::UiChunk;
use loomwork_store::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::AgentError;
use crate::generate::Generation;
use crate::reply::AgentReply;

/// How many chunks may wait for a reader, before the answer waits for them.
pub const UNREAD_CHUNKS: usize = 256;

/// An answer as it comes.
///
/// The answer is made in the background: dropping this loses nothing, and does not stop it. Who reads
/// slowly slows it down. When the process ends, it is called off, unless it is
/// [durable](crate::Options::durable).
#[derive(Debug)]
pub struct TextStream(Answering<AgentReply>);

impl TextStream {
    pub(crate) fn start<S: Send + Sync + 'static>(generation: Generation<S>) -> Self {
        let (tasks, cancel) = (generation.runtime.tasks.clone(), generation.cancel.clone());
        let is_durable = generation.options.durable.unwrap_or(false);
        Self(Answering::start(&tasks, cancel, is_durable, |out| generation.run(Some(out))))
    }

    /// Returns the next chunk; `None` behind the last one.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<UiChunk> {
        self.0.next().await
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

    /// Calls the answer off; what came is stored.
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

/// An answer that is made in the background, and its chunks.
#[derive(Debug)]
pub(crate) struct Answering<R> {
    chunks: mpsc::Receiver<UiChunk>,
    reply: oneshot::Receiver<Result<R, AgentError>>,
    cancel: CancellationToken,
}

impl<R: Send + 'static> Answering<R> {
    /// Begins to answer; `cancel` calls the answer off. At a shutdown a durable one is left as it is, so that
    /// another process goes on with it.
    pub(crate) fn start<F>(
        tasks: &Tasks,
        cancel: CancellationToken,
        is_durable: bool,
        make: impl FnOnce(mpsc::Sender<UiChunk>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<R, AgentError>> + Send + 'static,
    {
        let (out, chunks) = mpsc::channel(UNREAD_CHUNKS);
        let (done, reply) = oneshot::channel();
        // It is large, and would be moved from hand to hand.
        let (mut making, stop) = (Box::pin(make(out)), cancel.clone());
        tasks.spawn("answer", move |shutdown| async move {
            let made = tokio::select! {
                made = &mut making => made,
                () = shutdown.requested(), if is_durable => return,
                () = shutdown.requested(), if !is_durable => {
                    stop.cancel();
                    making.await
                }
            };
            // Nobody may wait for it.
            let _ = done.send(made);
        });
        Self { chunks, reply, cancel }
    }

    pub(crate) async fn next(&mut self) -> Option<UiChunk> {
        self.chunks.recv().await
    }

    pub(crate) fn abort(&self) {
        self.cancel.cancel();
    }

    pub(crate) async fn finish(mut self) -> Result<R, AgentError> {
        self.chunks.close();
        let gone = |_| Error::message(Kind::Cancelled, "the answer ended with its process");
        self.reply.await.map_err(gone)?
    }
}
