//! An answer as it comes.

use loomwork_core::Kind;
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
pub struct TextStream {
    chunks: mpsc::Receiver<UiChunk>,
    reply: oneshot::Receiver<Result<AgentReply, AgentError>>,
    cancel: CancellationToken,
}

impl TextStream {
    pub(crate) fn start<S: Send + Sync + 'static>(generation: Generation<S>) -> Self {
        let (out, chunks) = mpsc::channel(UNREAD_CHUNKS);
        let (done, reply) = oneshot::channel();
        let cancel = generation.cancel.clone();
        let tasks = generation.runtime.tasks.clone();
        tasks.spawn("answer", move |shutdown| async move {
            let cancel = generation.cancel.clone();
            let is_durable = generation.options.durable.unwrap_or(false);
            let mut answering = std::pin::pin!(generation.run(Some(out)));
            let answered = tokio::select! {
                answered = &mut answering => answered,
                // Another process goes on with it.
                () = shutdown.requested(), if is_durable => return,
                () = shutdown.requested(), if !is_durable => {
                    cancel.cancel();
                    answering.await
                }
            };
            // Nobody may wait for it.
            let _ = done.send(answered);
        });
        Self { chunks, reply, cancel }
    }

    /// Returns the next chunk; `None` behind the last one.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<UiChunk> {
        self.chunks.recv().await
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
        self.cancel.cancel();
    }

    /// Returns the whole answer when it is complete, whether its chunks were read or not.
    ///
    /// # Errors
    /// As [`generate_text`](crate::AgentThread::generate_text).
    pub async fn finish(mut self) -> Result<AgentReply, AgentError> {
        self.chunks.close();
        let gone = |_| Error::message(Kind::Cancelled, "the answer ended with its process");
        self.reply.await.map_err(gone)?
    }
}
