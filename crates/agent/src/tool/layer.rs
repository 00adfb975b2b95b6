//! What is put around tools.

use async_trait::async_trait;
use loomwork_models::ToolOutput;
use serde_json::Value;

use super::ToolContext;

/// Wraps a tool: checks, changes, notes or refuses its calls, and sees what they return.
///
/// The layer that was added last sees a call first and its output last. A call is seen once, however often
/// the tool is tried; one that waits for approval is seen again when it runs.
///
/// ```
/// use async_trait::async_trait;
/// use loomwork_agent::{ToolContext, ToolLayer};
/// use loomwork_models::ToolOutput;
/// use serde_json::Value;
///
/// /// Only those who are known may call.
/// struct Known;
///
/// #[async_trait]
/// impl<S: Send + Sync + 'static> ToolLayer<S> for Known {
///     async fn before(&self, ctx: &ToolContext<S>, input: Value) -> Result<Value, ToolOutput> {
///         match ctx.user() {
///             Some(_) => Ok(input),
///             None => Err(ToolOutput::Denied { reason: Some("sign in first".into()) }),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait ToolLayer<S>: Send + Sync + 'static
where
    S: Send + Sync + 'static,
{
    /// Sees a call before it runs. Returns the arguments to go on with, or what the model is given instead of
    /// the tool's output.
    async fn before(&self, ctx: &ToolContext<S>, input: Value) -> Result<Value, ToolOutput> {
        let _ = ctx;
        Ok(input)
    }

    /// Sees what the call returned, an error or an inner layer's refusal too. Returns what the model is given.
    async fn after(&self, ctx: &ToolContext<S>, output: ToolOutput) -> ToolOutput {
        let _ = ctx;
        output
    }
}
