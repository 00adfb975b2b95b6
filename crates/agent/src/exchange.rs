//! What was sent to a model and what came back, for a log.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use loomwork_core::Time;
use loomwork_messages::{Failure, RunId, ThreadId};
use loomwork_models::Reply;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tool::BoxError;
use crate::values::Values;

/// The largest exchange that is kept whole until it is told, in bytes of JSON. Of a larger one the request is left
/// out, and then the reply's parts.
pub const MAX_EXCHANGE_BYTES: usize = 1 << 20;

/// One call of a model: what was sent, and what came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Exchange {
    /// A name that no other exchange has: that of its usage too.
    pub key: String,
    /// The run; of an answer outside of threads, a name for it.
    pub run: RunId,
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
    /// The body of the request as it was sent; not of models that have none, and of calls that never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// What came, with headers; all of it, or what came before it broke off.
    pub reply: Reply,
    /// Why it broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Whether something was left out, since it was too large.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// When it ended.
    pub at: Time,
}

impl Exchange {
    /// Leaves out what is too large to be kept until it is told.
    pub(crate) fn fitting(mut self) -> Self {
        let is_large =
            |exchange: &Self| serde_json::to_vec(exchange).is_ok_and(|json| json.len() > MAX_EXCHANGE_BYTES);
        if is_large(&self) {
            (self.request, self.is_cut) = (None, true);
        }
        if is_large(&self) {
            self.reply.parts.clear();
        }
        self
    }
}

/// A handler that is told of each exchange with a model, from the [outbox](crate::outbox): at least once, under the
/// exchange's key. Its name says which one it is after a restart too.
#[derive(Clone)]
pub struct OnExchange {
    name: &'static str,
    handler: Arc<Handler>,
}

type Handler = dyn Fn(Exchange) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

impl OnExchange {
    /// Returns a handler.
    pub fn new<F, Fut, E>(name: &'static str, handler: F) -> Self
    where
        F: Fn(Exchange) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let handler = move |exchange| handler(exchange).map(|told| told.map_err(Into::into)).boxed();
        Self { name, handler: Arc::new(handler) }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn tell(&self, exchange: Exchange) -> BoxFuture<'static, Result<(), BoxError>> {
        (self.handler)(exchange)
    }
}

impl fmt::Debug for OnExchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("OnExchange").field(&self.name).finish()
    }
}
