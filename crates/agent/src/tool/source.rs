//! Tools that are known at run time only.

use async_trait::async_trait;
use loomwork_models::ToolOutput;
use serde_json::Value;

use super::{BoxError, ToolContext, ToolInfo};

/// Lists tools at run time and calls them, as a server of tools does. [`Tools::load`](super::Tools::load) puts
/// them among others.
#[async_trait]
pub trait ToolSource: Send + Sync + 'static {
    /// Returns what the source is called, for errors.
    fn name(&self) -> &str;

    /// Returns the tools that there are now.
    ///
    /// # Errors
    ///
    /// Any, such as a server that does not answer.
    async fn list(&self) -> Result<Vec<ToolInfo>, BoxError>;

    /// Calls a tool by the name that it has at the source, with arguments that fit its schema.
    ///
    /// The call ends early when the context's [token](ToolContext::cancelled) says so, and the future is
    /// dropped soon after.
    ///
    /// # Errors
    ///
    /// What is given to the model. [`ToolError`](super::ToolError) says of which kind it is.
    async fn call(&self, tool: &str, ctx: ToolContext, input: Value) -> Result<ToolOutput, BoxError>;
}
