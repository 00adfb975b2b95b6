//! Answering a question from what is found for it.

use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_models::{LanguageModel, Message, Reply, Request, Role, TokenCounter};

use crate::embed::{Bill, Task};
use crate::error::unwrapped;
use crate::namespaces::find;
use crate::prompt::{INSTRUCTION, Shape, prompt};
use crate::query::{Ask, Found, Query};
use crate::rag::Rag;
use crate::tables::{EntryRow, EntryStatus, NamespaceStatus};
use crate::{Error, Result, entries};

/// What is asked of a model, and what is searched for it. New fields may come, so end a literal with
/// `..Question::default()`; a text converts into one.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The question.
    pub prompt: String,
    /// What is searched. Where its text is empty, that is the question.
    pub query: Query,
    /// What the model is told to do; [`INSTRUCTION`] if nothing is said.
    pub system: Option<String>,
    /// The shape of the prompt; that of the model if nothing is said.
    pub shape: Option<Shape>,
    /// Messages before the question, tools, settings and all else of the call.
    pub request: Request,
}

impl<T: Into<String>> From<T> for Question {
    fn from(prompt: T) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }
}

/// An answer, and what it was made from.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the model said.
    pub reply: Reply,
    /// What it was given.
    pub found: Found,
}

impl Rag {
    /// Searches for a question, and returns the request that asks it together with what was found. The
    /// conversation that an application keeps need hold the question alone.
    ///
    /// # Errors
    /// For an empty question; as [`search`](Self::search).
    pub async fn ask(
        &self,
        namespace: &str,
        shape: Shape,
        question: impl Into<Question>,
    ) -> Result<(Request, Found)> {
        let Question { prompt: asked, mut query, system, shape: wanted, mut request } = question.into();
        if asked.trim().is_empty() {
            return Err(Error::bad("a question of", "nothing", "ask something"));
        }
        if query.ask == Ask::default() {
            query.ask = Ask::Text(asked.clone());
        }
        let found = self.search(namespace, query).await?;
        let has_system = request.messages.iter().any(|message| message.role == Role::System);
        if let Some(system) = system.or_else(|| (!has_system).then(|| INSTRUCTION.to_owned())) {
            request.messages.insert(0, Message::system(system));
        }
        request.messages.push(Message::user(prompt(wanted.unwrap_or(shape), &found, &asked)));
        Ok((request, found))
    }

    /// Returns the text of all live entries of a namespace, the oldest first, if that has at most so many
    /// tokens, such as [`INLINE_TOKENS`](crate::INLINE_TOKENS): it then fits into a prompt, and need not be
    /// searched. `None` if it is longer, or there is no such namespace.
    ///
    /// # Errors
    /// [`Error::Denied`] where this user may not search it; when the store cannot be read.
    pub async fn whole(
        &self,
        namespace: &str,
        user: Option<&str>,
        tokens: u64,
        counter: Arc<dyn TokenCounter>,
    ) -> Result<Option<String>> {
        self.check_access(user, namespace)?;
        let (name, wanted) = (namespace.to_owned(), self.inner.wanted.clone());
        let read = self.inner.store.query(move |tx| {
            let names = std::iter::empty();
            let Some(found) = find(tx, &name, NamespaceStatus::Ready, &wanted, names)? else {
                return Ok(None);
            };
            let (mut whole, mut left) = (Some(String::new()), tokens);
            tx.each(EntryRow::by_status.eq(found.id).eq(EntryStatus::Ready), |entry| {
                let chunks = entries::range(tx, entry.id, 0, u32::MAX)?;
                let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
                let title = entry.title.as_ref().map(|title| format!("## {title}:\n\n")).unwrap_or_default();
                let text = format!("{title}{}\n\n", texts.join("\n"));
                match (left.checked_sub(counter.count(&text)), &mut whole) {
                    (Some(rest), Some(whole)) => {
                        left = rest;
                        whole.push_str(&text);
                        Ok(ControlFlow::Continue(()))
                    }
                    _ => {
                        whole = None;
                        Ok(ControlFlow::Break(()))
                    }
                }
            })?;
            Ok(whole)
        });
        read.await.map_err(unwrapped)
    }

    /// Searches for a question and has a model answer it from what was found.
    ///
    /// # Errors
    /// For an empty question; when searching or the model fails.
    pub async fn generate_text(
        &self,
        namespace: &str,
        model: &dyn LanguageModel,
        question: impl Into<Question>,
    ) -> Result<Answer> {
        let question = question.into();
        let user = question.query.user.clone();
        let (request, found) = self.ask(namespace, Shape::of(model.name()), question).await?;
        let reply = model.generate(request).await?;
        let bill = Bill::new(Task::Answer, [namespace], user.as_deref());
        self.charge(&bill, model.name(), reply.usage()).await?;
        Ok(Answer { reply, found })
    }
}
