//! What is stored of an answer while it is made: its run, its messages and its stream.

use loomwork_core::Tasks;
use loomwork_messages::runs::{self, Begun, Hold, NewRun, RunError, Step, Then};
use loomwork_messages::streams::{NewStream, StreamWriter};
use loomwork_messages::{Failure, MessageId, MessageStatus, NewMessage, RunStatus, UiChunk};
use loomwork_store::{Row, Store, Tx};
use tokio::runtime::Handle;

use super::{Generation, deny};
use crate::error::AgentError;
use crate::reply::Stored;
use crate::tool::ParentRun;

/// The record of an answer; of one outside of threads, nothing.
pub(crate) struct Record(Option<Kept>);

pub(crate) struct Kept {
    store: Store,
    pub(crate) hold: Hold,
    pub(crate) run: Row<loomwork_messages::Run>,
    writer: StreamWriter,
    messages: Vec<MessageId>,
    /// Settles the run if the answer is dropped before its end.
    tasks: Tasks,
    has_ended: bool,
}

/// Whoever drops an answer calls it off: its run would be held for as long as this process lives.
impl Drop for Kept {
    fn drop(&mut self) {
        if self.has_ended || Handle::try_current().is_err() {
            return;
        }
        let (store, hold) = (self.store.clone(), self.hold);
        self.tasks.spawn("dropped answer", move |_| async move {
            let dropped = Failure::new("dropped", "whoever waited for the answer has gone");
            let ended = store.mutate(move |tx| runs::fail(tx, hold, MessageStatus::Aborted, dropped));
            if let Err(error) = ended.await {
                tracing::debug!(run = %hold.run, %error, "a dropped answer had ended already");
            }
        });
    }
}

impl Record {
    /// Saves the prompt and the pending answer, and takes the run.
    pub(crate) async fn begin<S: Send + Sync + 'static>(
        generation: &Generation<S>,
    ) -> Result<Self, AgentError> {
        let Some(thread) = generation.target.thread else { return Ok(Self(None)) };
        let runtime = &generation.runtime;
        let new = NewRun {
            agent: Some(generation.agent.name().to_owned()),
            user: generation.target.user.clone(),
            values: generation.parent.map(ParentRun::values).unwrap_or_default(),
            ..NewRun::answering(generation.prompt.clone())
        };
        let denials = generation.denials.clone();
        let begin = move |tx: &mut Tx| {
            deny::store(tx, thread, &denials)?;
            runs::begin(tx, thread, new)
        };
        let begun = runtime.store.mutate(begin).await?;
        let Begun { run, inputs, .. } = begun;
        let taken = runtime.host.take(run.id).await?;
        let lost = || RunError::Lost { run: run.id, status: RunStatus::Running, error: None };
        let hold = taken.ok_or_else(lost).map_err(|lost| AgentError::Ended(Box::new(lost)))?;
        let writer = runtime.live.write(NewStream { hold: Some(hold), ..NewStream::of(run.first) });
        let messages = inputs.iter().map(|row| row.id).collect();
        let (store, tasks) = (runtime.store.clone(), runtime.tasks.clone());
        Ok(Self(Some(Kept { store, hold, run, writer, messages, tasks, has_ended: false })))
    }

    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.0.as_ref()
    }

    /// Hands a chunk to the stream.
    pub(crate) async fn push(&self, chunk: UiChunk) -> Result<(), AgentError> {
        match &self.0 {
            Some(kept) => Ok(kept.writer.push(chunk).await?),
            None => Ok(()),
        }
    }

    /// Returns when the run is no longer ours: never, where there is none.
    pub(crate) async fn lost(&self) -> RunError {
        match &self.0 {
            Some(kept) => runs::lost(&kept.store, kept.hold).await,
            None => std::future::pending().await,
        }
    }

    /// Commits a step.
    pub(crate) async fn commit(
        &mut self,
        messages: Vec<NewMessage>,
        goes_on: bool,
    ) -> Result<(), AgentError> {
        let Some(kept) = &mut self.0 else { return Ok(()) };
        let hold = kept.hold;
        let then = if goes_on { Then::GoOn } else { Then::End };
        let done = match kept.writer.flush().await {
            Ok(()) => kept.store.mutate(move |tx| runs::step(tx, hold, Step { messages, then })).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => {
                kept.messages.extend(done.messages.iter().map(|row| row.id));
                kept.run = done.run;
                kept.has_ended = !goes_on;
                Ok(())
            }
            // A step that cannot be stored is a failed run, and is told.
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Ends the run with an error, and returns the error. What was streamed is kept.
    pub(crate) async fn fail(&mut self, error: AgentError) -> AgentError {
        let Some(kept) = &mut self.0 else { return error };
        if let AgentError::Ended(_) = error {
            // It has ended already; its message gets the rest of what was streamed.
            let _ = kept.writer.flush().await;
            kept.has_ended = true;
            return error;
        }
        let (hold, failure) = (kept.hold, error.failure());
        let status = match &error {
            AgentError::Model { source, .. } if source.kind() == &loomwork_models::ErrorKind::Cancelled => {
                MessageStatus::Aborted
            }
            _ => MessageStatus::Failed,
        };
        let flushed = kept.writer.flush().await;
        let failed = kept.store.mutate(move |tx| runs::fail(tx, hold, status, failure)).await;
        kept.has_ended = true;
        match failed.map(drop).map_err(AgentError::from) {
            // Its stream was cut because somebody had ended the run: that is the reason to tell.
            Err(ended @ AgentError::Ended(_)) => return ended,
            Err(second) => tracing::warn!(run = %kept.run.id, error = %second, "a failed run was not ended"),
            Ok(()) => {
                if let Err(second) = flushed {
                    tracing::warn!(run = %kept.run.id, error = %second, "the rest of a failed run was not stored");
                }
            }
        }
        error
    }

    pub(crate) fn stored(mut self) -> Option<Stored> {
        let kept = self.0.as_mut()?;
        let (run, messages) = (&kept.run, std::mem::take(&mut kept.messages));
        Some(Stored { thread: run.thread, run: run.id, prompt: run.prompt, order: run.order, messages })
    }
}
