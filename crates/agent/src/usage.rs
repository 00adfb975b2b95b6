//! What calls of models used, and who is told.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use loomwork_core::Time;
use loomwork_messages::{RunId, ThreadId};
use loomwork_models::{ProviderData, Usage};
use loomwork_store::{Result, Tx};
use serde::{Deserialize, Serialize};

use crate::tables::StepEnd;
use crate::tool::BoxError;
use crate::values::Values;

/// What a call was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UsageKind {
    /// A language model was asked.
    #[default]
    Chat,
    /// Images were made.
    Image,
    /// A language model wrote a summary.
    Summary,
    /// What is searched for was embedded.
    Embedding,
}

/// What one call of a model used. There is one for each attempt at each step, however it ended, and one for each
/// text that was embedded to search for it.
///
/// What the pipeline of `loomwork-search` embeds is told by its own hook, in the commit of the vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct UsageEvent {
    /// A name that no other event has, and that is the same however often this one is told.
    pub key: String,
    /// What the call was for.
    pub kind: UsageKind,
    /// The run; of an answer outside of threads, a name for it.
    pub run: RunId,
    /// The run to which it belongs in the end: the first of those that called each other's agents as tools.
    pub root: RunId,
    /// The number of the step within the run, from 0.
    pub step: u32,
    /// The number of the attempt at it, from 1.
    pub attempt: u32,
    /// The thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent.
    pub agent: String,
    /// What the application attached.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub values: Values,
    /// Who answered, or was asked if nobody did.
    pub provider: String,
    /// Its model.
    pub model: String,
    /// What was used; nothing if the provider refused.
    pub usage: Usage,
    /// What the provider said of the whole answer.
    #[serde(default, skip_serializing_if = "ProviderData::is_empty")]
    pub provider_metadata: ProviderData,
    /// How the call ended.
    pub end: StepEnd,
    /// When it ended.
    pub at: Time,
}

/// A handler that is told of usage. Its name says which one it is after a restart too.
#[derive(Clone)]
pub struct OnUsage {
    name: &'static str,
    handler: UsageHandler,
}

#[derive(Clone)]
pub(crate) enum UsageHandler {
    InCommit(Arc<InCommit>),
    Later(Arc<Later>),
}

pub(crate) type InCommit = dyn Fn(&mut Tx, &UsageEvent) -> Result<()> + Send + Sync;
pub(crate) type Later =
    dyn Fn(UsageEvent) -> BoxFuture<'static, std::result::Result<(), BoxError>> + Send + Sync;

impl OnUsage {
    /// Tells a function in the commit of the step, so that both are stored or none. If it fails or panics, what it
    /// wrote is undone, and it is told again from the [outbox](crate::outbox) until it succeeds.
    ///
    /// ```
    /// use loomwork_agent::OnUsage;
    ///
    /// let bill = OnUsage::new("bill", |_tx, event| {
    ///     println!("{:?} used {} tokens of {}", event.user, event.usage.total(), event.model);
    ///     Ok(()) // or rows of your own, or a ledger's
    /// });
    /// # let _ = bill;
    /// ```
    pub fn new(
        name: &'static str,
        handler: impl Fn(&mut Tx, &UsageEvent) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { name, handler: UsageHandler::InCommit(Arc::new(handler)) }
    }

    /// Tells an async function, from the [outbox](crate::outbox): at least once, under the event's key.
    pub fn later<F, Fut, E>(name: &'static str, handler: F) -> Self
    where
        F: Fn(UsageEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let handler = move |event| handler(event).map(|told| told.map_err(Into::into)).boxed();
        Self { name, handler: UsageHandler::Later(Arc::new(handler)) }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn handler(&self) -> &UsageHandler {
        &self.handler
    }
}

impl fmt::Debug for OnUsage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("OnUsage").field(&self.name).finish()
    }
}
