//! What stands between what is said and who reads it: before the model, and before the user.

mod passage;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use loomwork_messages::ThreadId;
use loomwork_models::Message;

use crate::tool::BoxError;
use crate::values::Values;

pub(crate) use passage::Gatekeeper;

/// What a guard says of what it was shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<T> {
    /// It may pass as it is.
    Pass,
    /// This goes in its place: a redaction, another text, or nothing.
    Replace(T),
    /// Nothing of it may pass, and the answer ends. The reason is for whoever asked.
    Block(String),
}

type Judge<T> = dyn Fn(Arc<Occasion>, T) -> BoxFuture<'static, Result<Verdict<T>, BoxError>> + Send + Sync;

/// Whose answer a guard looks at.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Occasion {
    /// The agent.
    pub agent: String,
    /// Who asks, where that was said.
    pub user: Option<String>,
    /// The thread.
    pub thread: Option<ThreadId>,
    /// What the application attaches.
    pub values: Values,
}

/// Looks at messages before a model is sent them: all of the context before the first step, and before each
/// further one what has come since, such as results of tools.
///
/// What is stored stays as it was said; the guard sees it again with the next answer. An error blocks.
///
/// ```
/// use loomwork_agent::{InputGuard, Verdict};
/// use loomwork_models::Message;
///
/// let guard = InputGuard::new("no secrets", |messages: Vec<Message>| async move {
///     let has_secret = messages.iter().any(|message| message.text().contains("BEGIN PRIVATE KEY"));
///     Ok(if has_secret { Verdict::Block("a private key does not belong here".into()) } else { Verdict::Pass })
/// });
/// # let _ = guard;
/// ```
#[derive(Clone)]
pub struct InputGuard {
    name: &'static str,
    judge: Arc<Judge<Vec<Message>>>,
}

impl InputGuard {
    /// Returns a guard.
    pub fn new<F, Fut>(name: &'static str, judge: F) -> Self
    where
        F: Fn(Vec<Message>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Verdict<Vec<Message>>, BoxError>> + Send + 'static,
    {
        Self::knowing(name, move |_, messages| judge(messages))
    }

    /// Returns a guard that is told whose answer it is too.
    pub fn knowing<F, Fut>(name: &'static str, judge: F) -> Self
    where
        F: Fn(Arc<Occasion>, Vec<Message>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Verdict<Vec<Message>>, BoxError>> + Send + 'static,
    {
        Self { name, judge: Arc::new(move |occasion, messages| judge(occasion, messages).boxed()) }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the messages that may be sent.
    pub(crate) async fn check(
        &self,
        occasion: &Arc<Occasion>,
        messages: Vec<Message>,
    ) -> Result<Vec<Message>, Blocked> {
        match (self.judge)(occasion.clone(), messages.clone()).await {
            Ok(Verdict::Pass) => Ok(messages),
            Ok(Verdict::Replace(others)) => Ok(others),
            Ok(Verdict::Block(reason)) => Err(Blocked { guard: self.name, reason }),
            Err(error) => Err(Blocked::by_error(self.name, &error)),
        }
    }
}

impl fmt::Debug for InputGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("InputGuard").field(&self.name).finish()
    }
}

/// How much of a text an [`OutputGuard`] is shown at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Passage {
    /// A whole text of the model. Nothing of it is seen before.
    #[default]
    Text,
    /// Up to an end of a sentence or line: readers wait less, and what spans several is not seen as one.
    Sentence,
}

/// Looks at what a model says before anybody sees it: texts and thoughts, passage by passage. What it holds back or
/// replaces is in no delta, no stored message and no later step.
///
/// Of a value it is shown the whole JSON, and nothing is seen before; what it puts in its place has to be JSON of the
/// same type. Calls of tools are not its matter: a [`ToolLayer`](crate::ToolLayer) sees those. An error blocks.
#[derive(Clone)]
pub struct OutputGuard {
    name: &'static str,
    passage: Passage,
    judge: Arc<Judge<String>>,
}

impl OutputGuard {
    /// Returns a guard that is shown whole texts.
    pub fn new<F, Fut>(name: &'static str, judge: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Verdict<String>, BoxError>> + Send + 'static,
    {
        Self::knowing(name, move |_, text| judge(text))
    }

    /// Returns a guard that is told whose answer it is too, and is shown whole texts.
    pub fn knowing<F, Fut>(name: &'static str, judge: F) -> Self
    where
        F: Fn(Arc<Occasion>, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Verdict<String>, BoxError>> + Send + 'static,
    {
        let judge = Arc::new(move |occasion, text| judge(occasion, text).boxed());
        Self { name, passage: Passage::default(), judge }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Says how much it is shown at a time.
    #[must_use]
    pub fn by(self, passage: Passage) -> Self {
        Self { passage, ..self }
    }

    /// Returns the text that may be seen.
    pub(crate) async fn check(&self, occasion: &Arc<Occasion>, text: String) -> Result<String, Blocked> {
        match (self.judge)(occasion.clone(), text.clone()).await {
            Ok(Verdict::Pass) => Ok(text),
            Ok(Verdict::Replace(other)) => Ok(other),
            Ok(Verdict::Block(reason)) => Err(Blocked { guard: self.name, reason }),
            Err(error) => Err(Blocked::by_error(self.name, &error)),
        }
    }
}

impl fmt::Debug for OutputGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OutputGuard").field("name", &self.name).field("by", &self.passage).finish()
    }
}

/// What a guard has blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) guard: &'static str,
    pub(crate) reason: String,
}

impl Blocked {
    fn by_error(guard: &'static str, error: &BoxError) -> Self {
        Self { guard, reason: format!("the guard failed: {error}") }
    }
}
