//! What is done when a tool is called.

use std::future::{Future, ready};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use loomwork_models::ToolOutput;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{IntoToolOutput, ToolContext, ToolError, schema};

/// A call's future.
type Doing = BoxFuture<'static, Result<ToolOutput, ToolError>>;

/// The function behind a tool.
pub(super) struct Handler<S> {
    /// Whether arguments are of the type that the function takes; `None` where the schema alone says so.
    pub(super) fits: Option<fn(&Value) -> serde_json::Result<()>>,
    run: Arc<dyn Fn(ToolContext<S>, Value) -> Doing + Send + Sync>,
}

impl<S: 'static> Handler<S> {
    pub(super) fn typed<Args, F, Fut>(handler: F) -> Self
    where
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(ToolContext<S>, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToolOutput> + Send + 'static,
    {
        // Models are told that no arguments are an object without fields, serde knows them as null.
        let takes_none = schema::takes_none::<Args>();
        let run = move |context: ToolContext<S>, input: Value| -> Doing {
            match Args::deserialize(if takes_none { Value::Null } else { input }) {
                Ok(args) => finish(handler(context, args)),
                Err(error) => Box::pin(ready(Err(ToolError::invalid(error.to_string())))),
            }
        };
        let fits = |input: &Value| Args::deserialize(input).map(drop);
        Self { fits: (!takes_none).then_some(fits), run: Arc::new(run) }
    }

    pub(super) fn dynamic<F, Fut>(handler: F) -> Self
    where
        F: Fn(ToolContext<S>, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToolOutput> + Send + 'static,
    {
        Self { fits: None, run: Arc::new(move |context, input| finish(handler(context, input))) }
    }

    pub(super) fn run(&self, context: ToolContext<S>, input: Value) -> Doing {
        (self.run)(context, input)
    }
}

fn finish<Fut>(doing: Fut) -> Doing
where
    Fut: Future<Output: IntoToolOutput> + Send + 'static,
{
    Box::pin(async move { doing.await.into_tool_output() })
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Self {
        Self { fits: self.fits, run: self.run.clone() }
    }
}
