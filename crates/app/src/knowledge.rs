//! Knowledge for agents: tools that find in the app's knowledge base, and add to it.

use std::sync::{Arc, OnceLock};

use loomwork_agent::{Tool, ToolContext};
use loomwork_core::Kind;
use loomwork_rag::{NewEntry, Query, Rag};
use loomwork_store::Error;
use schemars::JsonSchema;
use serde::Deserialize;

/// How many chunks a tool finds, unless the model asks for fewer.
const FOUND: usize = 5;

/// The app's knowledge base, for tools that are made before the app is: [`Builder::knowledge`](crate::Builder::knowledge)
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
/// let support = Agent::new("support", Arc::new(OfflineModel::default()))
///     .tool(knowledge.search_tool("handbook"))?
///     .stop_when(step_count(5));
/// let app = App::memory().knowledge(&knowledge).agent(support).build().await?;
/// # app.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Knowledge(Arc<OnceLock<Rag>>);

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

impl Knowledge {
    /// Connects the tools to the knowledge base of an app. A handle is of one app.
    pub(crate) fn connect(&self, rag: &Rag) {
        if self.0.set(rag.clone()).is_err() {
            tracing::warn!("a handle of knowledge is of the app that it was given first");
        }
    }

    fn rag(&self) -> Result<Rag, Error> {
        let missing = "the tool belongs to no knowledge base; give its handle to `Builder::knowledge`";
        self.0.get().cloned().ok_or_else(|| Error::message(Kind::Internal, missing))
    }

    /// Finds in a namespace by words and by meaning, and returns the text with the titles that it is from.
    ///
    /// # Errors
    /// When the handle is of no app yet; as [`Rag::search`].
    pub async fn find(&self, namespace: &str, query: &str) -> Result<String, Error> {
        let query = Query { limit: FOUND, ..Query::hybrid(query) };
        Ok(self.rag()?.search(namespace, query).await?.text)
    }

    /// Returns the tool `search_knowledge`, which finds in a namespace by words and by meaning, and shows the model the
    /// text with the titles that it is from.
    pub fn search_tool<S: Send + Sync + 'static>(&self, namespace: impl Into<String>) -> Tool<S> {
        let (knowledge, namespace) = (self.clone(), namespace.into());
        Tool::new(
            "search_knowledge",
            "Finds what the handbook says. Use it before you answer a question about us.",
            move |_: ToolContext<S>, Search { query }: Search| {
                let (knowledge, namespace) = (knowledge.clone(), namespace.clone());
                async move {
                    let found = knowledge.find(&namespace, &query).await?;
                    Ok::<_, Error>(if found.is_empty() { "Nothing was found.".to_owned() } else { found })
                }
            },
        )
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
}
