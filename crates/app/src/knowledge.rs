//! Knowledge for agents: tools that find in the app's knowledge base and add to it, and answers from what is found. Each
//! answer has its sources beside it.

use std::sync::{Arc, OnceLock};

use loomwork_agent::{Agent, BoxError, Json, NextStep, Options, PrepareStep, Tool, ToolContext};
use loomwork_core::Kind;
use loomwork_models::{Message, Part, Role, Source, SourceKind, ToolOutput};
use loomwork_rag::{Ask, Found, NewEntry, Query, Rag, Shape, prompt};
use loomwork_store::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many chunks are found, unless [`Knowledge::searching`] says otherwise.
pub const FOUND: usize = 5;

/// The app's knowledge base, for agents that are made before the app is: [`Builder::knowledge`](crate::Builder::knowledge)
/// connects them.
///
/// ```
/// use std::sync::Arc;
///
/// use loomwork::{Agent, App, Knowledge, OfflineModel, step_count};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let knowledge = Knowledge::default();
/// let model = Arc::new(OfflineModel::default());
/// // One that looks something up when it wants to, and one that is always told what is known.
/// let support = Agent::new("support", model.clone())
///     .tool(knowledge.search_tool("handbook"))?
///     .stop_when(step_count(5));
/// let clerk = knowledge.answer_with(Agent::new("clerk", model), "handbook");
/// let app = App::memory().knowledge(&knowledge).agent(support).agent(clerk).build().await?;
/// # app.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Knowledge {
    rag: Arc<OnceLock<Rag>>,
    query: Query,
}

impl Default for Knowledge {
    fn default() -> Self {
        let query = Query { limit: FOUND, ..Query::hybrid("") };
        Self { rag: Arc::default(), query }
    }
}

/// What the model asks for.
#[derive(Deserialize, JsonSchema)]
struct Search {
    /// What to look for, in words.
    query: String,
}

/// What the model has learnt.
#[derive(Deserialize, JsonSchema)]
struct Learnt {
    /// A name to find it by; a text of the same name takes its place.
    key: String,
    /// The text.
    text: String,
}

/// What the model is told of what was found.
#[derive(Serialize, Deserialize)]
struct Told {
    /// The texts, each under its title.
    text: String,
    sources: Vec<ToldSource>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldSource {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
}

impl Knowledge {
    /// Connects the tools to the knowledge base of an app. A handle is of one app.
    pub(crate) fn connect(&self, rag: &Rag) {
        if self.rag.set(rag.clone()).is_err() {
            tracing::warn!("a handle of knowledge is of the app that it was given first");
        }
    }

    fn rag(&self) -> Result<Rag, Error> {
        let missing = "the agent belongs to no knowledge base; give its handle to `Builder::knowledge`";
        self.rag.get().cloned().ok_or_else(|| Error::message(Kind::Internal, missing))
    }

    /// Says how is searched: what is asked comes from the model or the prompt. Default: by words and by meaning, for
    /// [`FOUND`] chunks.
    #[must_use]
    pub fn searching(&self, query: Query) -> Self {
        Self { rag: self.rag.clone(), query }
    }

    /// Finds in a namespace.
    ///
    /// # Errors
    /// When the handle is of no app yet; as [`Rag::search`].
    pub async fn find(&self, namespace: &str, query: &str) -> Result<Found, Error> {
        let query = Query { ask: Ask::from(query), ..self.query.clone() };
        Ok(self.rag()?.search(namespace, query).await?)
    }

    /// Returns the tool `search_knowledge`, which finds in a namespace and shows the model the texts with the titles
    /// that they are from. They are the sources of the answer's message.
    pub fn search_tool<S: Send + Sync + 'static>(&self, namespace: impl Into<String>) -> Tool<S> {
        let (knowledge, namespace) = (self.clone(), namespace.into());
        Tool::new(
            "search_knowledge",
            "Finds what is known. Use it before you answer a question about us.",
            move |context: ToolContext<S>, Search { query }: Search| {
                let (mut knowledge, namespace) = (knowledge.clone(), namespace.clone());
                let user = context.user().map(str::to_owned);
                knowledge.query.user = knowledge.query.user.or(user);
                async move {
                    let found = knowledge.find(&namespace, &query).await?;
                    Ok::<_, Error>(Json(told(&found)))
                }
            },
        )
        .with_sources(sources_of)
    }

    /// Returns the tool `add_knowledge`, which adds a text to a namespace, for this conversation and all others.
    pub fn add_tool<S: Send + Sync + 'static>(&self, namespace: impl Into<String>) -> Tool<S> {
        let (knowledge, namespace) = (self.clone(), namespace.into());
        Tool::new(
            "add_knowledge",
            "Keeps a text so that it is found later, by everybody.",
            move |_: ToolContext<S>, Learnt { key, text }: Learnt| {
                let (knowledge, namespace) = (knowledge.clone(), namespace.clone());
                async move {
                    let added = knowledge.rag()?.add(namespace, NewEntry::key(key), text).await?;
                    Ok::<_, Error>(if added.created { "It is kept." } else { "It was known already." })
                }
            },
        )
    }

    /// Returns an agent that is told, with each prompt, what a namespace has on it, in the shape that its model reads
    /// best. The thread holds the prompt alone, and the answer has the sources beside it. What else
    /// [prepares](PrepareStep) the agent's steps is replaced.
    #[must_use]
    pub fn answer_with<S: Send + Sync + 'static>(
        &self,
        agent: Agent<S>,
        namespace: impl Into<String>,
    ) -> Agent<S> {
        let (knowledge, namespace) = (self.clone(), namespace.into());
        let prepare = PrepareStep::new(move |next: NextStep<S>| {
            let (knowledge, namespace) = (knowledge.clone(), namespace.clone());
            async move { knowledge.tell(next, &namespace).await }
        });
        agent.with(Options { prepare_step: Some(prepare), ..Options::default() })
    }

    /// Puts what is found for the prompt beside it.
    async fn tell<S>(&self, mut next: NextStep<S>, namespace: &str) -> Result<NextStep<S>, BoxError> {
        let asked = next.messages.iter_mut().rev().find(|message| message.role == Role::User);
        let Some(asked) = asked.filter(|message| !message.text().trim().is_empty()) else { return Ok(next) };
        let question = asked.text();
        let found = self.find(namespace, &question).await?;
        if found.results.is_empty() {
            return Ok(next);
        }
        put_text(asked, prompt(Shape::of(next.model.name()), &found, &question));
        if next.number == 0 {
            next.sources.extend(found.sources());
        }
        Ok(next)
    }
}

/// Gives a message another text; images and files stay.
fn put_text(message: &mut Message, text: String) {
    let others = std::mem::take(&mut message.parts).into_iter().filter(|part| part.as_text().is_none());
    message.parts = std::iter::once(Part::text(text)).chain(others).collect();
}

fn told(found: &Found) -> Told {
    let sources = found.sources().into_iter().map(|source| {
        let (url, media_type) = match source.kind {
            SourceKind::Url { url } => (Some(url), None),
            SourceKind::Document { media_type, .. } => (None, Some(media_type)),
            _ => (None, None),
        };
        ToldSource { id: source.id, title: source.title, url, media_type }
    });
    let text = if found.results.is_empty() { "Nothing was found.".to_owned() } else { found.text.clone() };
    Told { sources: sources.collect(), text }
}

/// Returns the sources that an output of the tool names.
fn sources_of(output: &ToolOutput) -> Vec<Source> {
    let ToolOutput::Json(output) = output else { return Vec::new() };
    let Ok(Told { sources, .. }) = Told::deserialize(output) else { return Vec::new() };
    let source = |told: ToldSource| {
        let kind = match (told.url, told.media_type) {
            (Some(url), _) => SourceKind::Url { url },
            (None, media_type) => {
                let media_type = media_type.unwrap_or_else(|| "text/plain".to_owned());
                SourceKind::Document { media_type, filename: None }
            }
        };
        Source { id: told.id, kind, title: told.title, extras: Default::default() }
    };
    sources.into_iter().map(source).collect()
}
