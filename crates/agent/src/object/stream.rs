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
    /// How many elements of a list were handed on.
    handed_on: usize,
}

impl<T: DeserializeOwned + Send + 'static> ObjectStream<T> {
    pub(crate) async fn start<S: Send + Sync + 'static>(
        generation: Generation<S>,
        spec: ObjectSpec<T>,
    ) -> Result<Self, AgentError> {
        let making = |generation, out| make(generation, spec, Some(out));
        let answering = Answering::begin(generation.of_one_step(), making).await?;
        Ok(Self { answering, json: PartialJson::default(), handed_on: 0 })
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

impl<T: DeserializeOwned + Send + 'static> ObjectStream<Vec<T>> {
    /// Waits for the next element of a list that is complete, and returns it; `None` behind the last one. An element is
    /// complete when the next one begins, or the list ends.
    ///
    /// The list as a whole has not been checked then. What takes the place of a list that did not fit goes on behind
    /// the elements that were handed on.
    ///
    /// # Errors
    /// When an element is not of the type; the next one may be.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next_element(&mut self) -> Option<serde_json::Result<T>> {
        loop {
            if let Some(element) = self.element(1) {
                return Some(element);
            }
            if self.next().await.is_none() {
                return self.element(0);
            }
        }
    }

    /// Returns the next element, if so many others have begun behind it.
    fn element(&mut self, behind: usize) -> Option<serde_json::Result<T>> {
        let elements = self.json.value()?.as_array()?;
        let element = elements.get(self.handed_on).filter(|_| elements.len() > self.handed_on + behind)?;
        self.handed_on += 1;
        Some(T::deserialize(element))
    }
}

impl<T> fmt::Debug for ObjectStream<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectStream").field("json", &self.json).finish_non_exhaustive()
    }
}
