//! Under which limits a tool runs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use loomwork_core::RetryPolicy;
use serde_json::Value;

use super::ToolContext;
use crate::approvals::APPROVAL_WITHIN;

/// How long one try of a tool may take where its policy says nothing else.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Under which limits a tool runs.
///
/// New fields may come; `..ToolPolicy::default()` is ready for them.
pub struct ToolPolicy<S = ()> {
    /// The longest that one try may take; `None` lets it take for ever. Default: [`DEFAULT_TIMEOUT`].
    pub timeout: Option<Duration>,
    /// How often a failed call is tried again, if the tool is idempotent. Default: not at all.
    pub retries: RetryPolicy,
    /// How many calls may run at a time, over all runs of this process. Default: any number.
    pub concurrency: Option<usize>,
    /// Whether a call that runs twice does no more than one that runs once. Default: no.
    ///
    /// A tool can make itself so by its call's [key](ToolContext::idempotency_key).
    pub idempotent: bool,
    /// Which calls wait until somebody approved them. Default: none.
    pub needs_approval: Approval<S>,
    /// How long somebody may take to approve a call; then it is denied. Default: [`APPROVAL_WITHIN`].
    pub approval_within: Duration,
}

impl<S> Default for ToolPolicy<S> {
    fn default() -> Self {
        Self {
            timeout: Some(DEFAULT_TIMEOUT),
            retries: RetryPolicy::none(),
            concurrency: None,
            idempotent: false,
            needs_approval: Approval::Never,
            approval_within: APPROVAL_WITHIN,
        }
    }
}

impl<S> ToolPolicy<S> {
    /// Says how a call is tried: what is not idempotent only once.
    pub(super) fn tries(&self) -> RetryPolicy {
        if self.idempotent { self.retries } else { RetryPolicy::none() }
    }
}

impl<S> Clone for ToolPolicy<S> {
    fn clone(&self) -> Self {
        let needs_approval = self.needs_approval.clone();
        Self { needs_approval, ..*self }
    }
}

impl<S> fmt::Debug for ToolPolicy<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ToolPolicy")
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("concurrency", &self.concurrency)
            .field("idempotent", &self.idempotent)
            .field("needs_approval", &self.needs_approval)
            .field("approval_within", &self.approval_within)
            .finish()
    }
}

/// Which calls wait until somebody approved them.
pub enum Approval<S = ()> {
    /// None.
    Never,
    /// All.
    Always,
    /// Those of which a function says so.
    When(Arc<ApprovalRule<S>>),
}

/// Says of a call and its arguments whether they need approval.
type ApprovalRule<S> = dyn Fn(ToolContext<S>, Value) -> BoxFuture<'static, bool> + Send + Sync;

impl<S: 'static> Approval<S> {
    /// Lets a function say which calls wait.
    ///
    /// ```
    /// use loomwork_agent::{Approval, ToolContext, ToolPolicy};
    /// use serde_json::Value;
    ///
    /// let policy: ToolPolicy = ToolPolicy {
    ///     needs_approval: Approval::when(|_, input| async move { input["amount"].as_f64() > Some(100.0) }),
    ///     ..ToolPolicy::default()
    /// };
    /// ```
    pub fn when<F, Fut>(rule: F) -> Self
    where
        F: Fn(ToolContext<S>, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        Self::When(Arc::new(move |context, input| Box::pin(rule(context, input))))
    }

    pub(super) async fn is_needed(&self, context: &ToolContext<S>, input: &Value) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::When(rule) => rule(context.clone(), input.clone()).await,
        }
    }
}

impl<S> Clone for Approval<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Always => Self::Always,
            Self::When(rule) => Self::When(rule.clone()),
        }
    }
}

impl<S> fmt::Debug for Approval<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Never => "Never",
            Self::Always => "Always",
            Self::When(_) => "When(..)",
        })
    }
}
