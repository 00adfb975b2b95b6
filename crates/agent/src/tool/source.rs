//! Tools that are known at run time only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loomwork_models::ToolOutput;
use serde_json::Value;

use super::{BoxError, ToolContext, ToolInfo};

/// How long a source may take to list its tools before the model is asked.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// Lists tools at run time and calls them, as a server of tools does.
///
/// [`Options::tool_source`](crate::Options::tool_source) offers what it lists when a model is asked;
/// [`Tools::load`](super::Tools::load) puts what it lists now among others.
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

/// A source among the tools of an agent, a thread's handle or a call: it is asked for its tools each time that
/// something is generated.
#[derive(Clone)]
pub struct ToolMount {
    pub(super) source: Arc<dyn ToolSource>,
    pub(super) prefix: String,
    pub(super) may_fail: bool,
}

impl ToolMount {
    /// Offers the tools of a source under their own names. One that cannot be listed within [`LIST_TIMEOUT`] is
    /// an error of the generation.
    pub fn new(source: Arc<dyn ToolSource>) -> Self {
        Self { source, prefix: String::new(), may_fail: false }
    }

    /// Calls each tool `prefix_name`.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Goes on without the source's tools where they cannot be listed, and says so in the log.
    #[must_use]
    pub fn skipped_when_failing(self) -> Self {
        Self { may_fail: true, ..self }
    }
}

impl<T: ToolSource> From<Arc<T>> for ToolMount {
    fn from(source: Arc<T>) -> Self {
        Self::new(source)
    }
}

impl fmt::Debug for ToolMount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ToolMount");
        shown.field("source", &self.source.name()).field("prefix", &self.prefix);
        shown.field("may_fail", &self.may_fail).finish()
    }
}
