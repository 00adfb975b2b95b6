//! A value as it grows.

use std::fmt;

use loomwork_messages::UiChunk;
use loomwork_models::PartialJson;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ObjectReply, ObjectSpec, make};
use crate::error::AgentError;
use crate::generate::Generation;
use crate::reply::Stored;
use crate::stream::Answering;

/// A value as it grows.
///
/// The answer is made in the background: dropping this loses nothing, and does not stop it; nor does a reader that
/// lags. Others follow the text of the value as they follow any answer.
pub struct ObjectStream<T = Value> {
    answering: Answering<ObjectReply<T>>,
    json: PartialJson,
}

impl<T: DeserializeOwned + Send + 'static> ObjectStream<T> {
    pub(crate) async fn start<S: Send + Sync + 'static>(
        generation: Generation<S>,
        spec: ObjectSpec<T>,
    ) -> Result<Self, AgentError> {
        let making = |generation, out| make(generation, spec, Some(out));
        let answering = Answering::begin(generation.of_one_step(), making).await?;
        Ok(Self { answering, json: PartialJson::default() })
    }

    /// Returns where the answer is stored: its thread and run, and its messages so far, of which the last one is the
    /// answer itself. Outside of threads it is nowhere.
    pub fn stored(&self) -> Option<&Stored> {
        self.answering.stored.as_ref()
    }

    /// Waits until the value has grown, and shows it; `None` behind the last time.
    ///
    /// What is shown has not been checked: texts are beginnings, lists lack their last elements and objects their
    /// last fields, and what did not fit in the end may have been shown before. All showings together cost as much
    /// as reading the value once.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<&Value> {
        loop {
            match self.answering.chunks.next().await? {
                UiChunk::TextDelta { delta, .. } => {
                    let growth = self.json.growth();
                    // What is handed on was read as JSON before.
                    let _ = self.json.push(&delta);
                    if self.json.growth() > growth && self.json.value().is_some() {
                        break;
                    }
                }
                chunk if chunk.is_restart_step() => self.json = PartialJson::default(),
                _ => {}
            }
        }
        self.json.value()
    }

    /// Calls the answer off; what came is stored.
    pub fn abort(&self) {
        self.answering.abort();
    }

    /// Returns the value when it is complete and checked, whether it was read before or not.
    ///
    /// # Errors
    /// As [`generate_object`](crate::AgentHandle::generate_object).
    pub async fn finish(self) -> Result<ObjectReply<T>, AgentError> {
        self.answering.finish().await
    }
}

impl<T> fmt::Debug for ObjectStream<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectStream").field("json", &self.json).finish_non_exhaustive()
    }
}
