//! Deciding who answers: by a model, by likeness, by name, or by the agent that has the conversation.

use std::sync::Arc;

use loomwork_core::Kind;
use loomwork_messages::ThreadId;
use loomwork_messages::runs::Prompt;
use loomwork_models::{EmbedRequest, EmbeddingModel, Message, Usage};
use loomwork_store::Error;

use crate::agent::Agent;
use crate::error::AgentError;
use crate::object::ObjectSpec;
use crate::options::{Options, Storage};
use crate::thread::AgentHandle;
use crate::tool::{Tools, ToolsError};

/// The ways that a question can go: each has a name, says what it is for, may have examples, and leads to something:
/// to an [`Agent`], or to whatever the application knows it by.
///
/// ```
/// use std::sync::Arc;
///
/// use loomwork_agent::{Agent, Routes, Runtime};
/// use loomwork_models::{MockModel, MockReply};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::memory().await?;
/// let routes = Routes::default()
///     .to("billing", "Invoices, payments, refunds.", 1)
///     .to("support", "Anything that does not work.", 2);
///
/// // By a model that chooses, by a field of a value that a model has made, or by a name from anywhere.
/// let model = Arc::new(MockModel::always(MockReply::default().text("\"billing\"")));
/// let judge = Agent::new("judge", model).for_nobody(&runtime);
/// let chosen = routes.by_model(&judge, "I was charged twice.").await?;
/// assert_eq!((chosen.name, chosen.to), ("billing", &1));
/// assert_eq!(routes.named("support"), Some(&2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Routes<T> {
    ways: Vec<Way<T>>,
}

#[derive(Clone, Debug)]
struct Way<T> {
    name: String,
    about: String,
    examples: Vec<String>,
    to: T,
}

/// A way that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen<'a, T> {
    /// Its name.
    pub name: &'a str,
    /// Where it leads.
    pub to: &'a T,
    /// How like the question is to its examples: the cosine of the one that is most like it. 1 where a model has
    /// chosen.
    pub score: f32,
}

/// The vectors of what routes are for and of their examples.
#[derive(Clone, Debug)]
pub struct Corpus<'a, T> {
    routes: &'a Routes<T>,
    model: Arc<dyn EmbeddingModel>,
    /// The number of a way, and a vector of it.
    vectors: Vec<(usize, Vec<f32>)>,
    usage: Usage,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { ways: Vec::new() }
    }
}

impl<T> Routes<T> {
    /// Adds a way. Of two of one name the later one counts.
    #[must_use]
    pub fn to(mut self, name: impl Into<String>, about: impl Into<String>, to: T) -> Self {
        let (name, about) = (name.into(), about.into());
        self.ways.retain(|way| way.name != name);
        self.ways.push(Way { name, about, examples: Vec::new(), to });
        self
    }

    /// Gives the way that was added last examples of what goes there.
    #[must_use]
    pub fn like<E: Into<String>>(mut self, examples: impl IntoIterator<Item = E>) -> Self {
        if let Some(last) = self.ways.last_mut() {
            last.examples.extend(examples.into_iter().map(Into::into));
        }
        self
    }

    /// Returns where the way of a name leads: the name may be a field of an
    /// [object](crate::AgentHandle::generate_object), or that of the [agent](loomwork_messages::Thread::agent) which
    /// has a thread.
    pub fn named(&self, name: &str) -> Option<&T> {
        self.ways.iter().find(|way| way.name == name).map(|way| &way.to)
    }

    /// Returns the names and what they are for, in their order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ways.iter().map(|way| (way.name.as_str(), way.about.as_str()))
    }

    /// Lets a model choose. It sees what the ways are for and their examples, and what is asked; within a thread also
    /// what was said there. Nothing of it is stored.
    ///
    /// # Errors
    /// As [`AgentHandle::generate_object_with`]; [`AgentError::Lacks`] where there is no way at all.
    pub async fn by_model<S, At>(
        &self,
        judge: &AgentHandle<S, At>,
        question: impl Into<Prompt>,
    ) -> Result<Chosen<'_, T>, AgentError>
    where
        S: Send + Sync + 'static,
        At: Copy + Into<Option<ThreadId>>,
    {
        let spec = ObjectSpec::choice(self.names().map(|(name, _)| name));
        let told = vec![Message::system(self.guide())];
        let options = Options { messages: Some(told), storage: Some(Storage::Nothing), ..Options::default() };
        let chosen = judge.generate_object_with(question, spec, options).await?.object;
        let way = self.ways.iter().find(|way| way.name == chosen);
        let none = || {
            let text = format!("the model has chosen {chosen:?}, which is none of the ways that there are");
            AgentError::Store(Error::message(Kind::Unavailable, text))
        };
        way.map(|way| Chosen { name: &way.name, to: &way.to, score: 1.0 }).ok_or_else(none)
    }

    fn guide(&self) -> String {
        let mut guide = "Choose where this is to go, by what each is for:\n".to_owned();
        for way in &self.ways {
            guide.push_str(&format!("- {}: {}\n", way.name, way.about));
            for example in &way.examples {
                guide.push_str(&format!("  - such as: {example}\n"));
            }
        }
        guide
    }

    /// Embeds what the ways are for and their examples, to choose by likeness.
    ///
    /// # Errors
    /// When the model fails.
    ///
    /// # Cancel safety
    /// It changes nothing and may be dropped at any time.
    pub async fn corpus(
        &self,
        model: Arc<dyn EmbeddingModel>,
    ) -> Result<Corpus<'_, T>, loomwork_models::Error> {
        let texts = self.ways.iter().enumerate().flat_map(|(number, way)| {
            let all = std::iter::once(&way.about).chain(&way.examples);
            all.filter(|text| !text.trim().is_empty()).map(move |text| (number, text.clone()))
        });
        let (numbers, texts): (Vec<_>, Vec<_>) = texts.unzip();
        if texts.is_empty() {
            return Ok(Corpus { routes: self, model, vectors: Vec::new(), usage: Usage::default() });
        }
        let embedded = model.embed(EmbedRequest::new(texts)).await?;
        let vectors = numbers.into_iter().zip(embedded.vectors).collect();
        Ok(Corpus { routes: self, model, vectors, usage: embedded.usage })
    }
}

impl<T> Corpus<'_, T> {
    /// Returns what embedding it has used.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Chooses the way that has the example which is most like a question, and returns what embedding that has used.
    /// There is none if the question is empty, or nothing is as like it as `least`, a cosine: an application that
    /// has a default way then takes that.
    ///
    /// # Errors
    /// When the model fails.
    ///
    /// # Cancel safety
    /// It changes nothing and may be dropped at any time.
    pub async fn choose(
        &self,
        question: &str,
        least: f32,
    ) -> Result<(Option<Chosen<'_, T>>, Usage), loomwork_models::Error> {
        if question.trim().is_empty() || self.vectors.is_empty() {
            return Ok((None, Usage::default()));
        }
        let embedded = self.model.embed(EmbedRequest::new([question])).await?;
        let Some(asked) = embedded.vectors.first() else { return Ok((None, embedded.usage)) };
        let scores = self.vectors.iter().map(|(number, vector)| (*number, cosine(asked, vector)));
        let best =
            scores.max_by(|(_, one), (_, two)| one.total_cmp(two)).filter(|(_, score)| *score >= least);
        let chosen = best.and_then(|(number, score)| {
            let way = self.routes.ways.get(number)?;
            Some(Chosen { name: &way.name, to: &way.to, score })
        });
        Ok((chosen, embedded.usage))
    }
}

/// Vectors have length 1.
fn cosine(one: &[f32], two: &[f32]) -> f32 {
    one.iter().zip(two).map(|(one, two)| one * two).sum()
}

impl<W: Send + Sync + 'static> Routes<Agent<W>> {
    /// Returns the agents as tools: a model that has them chooses who works on what, and puts together what comes of
    /// it.
    ///
    /// # Errors
    /// When the name of a way can be no tool's.
    pub fn workers<S: Send + Sync + 'static>(&self) -> Result<Tools<S>, ToolsError> {
        let mut tools = Tools::new();
        for way in &self.ways {
            tools.add(way.to.as_tool(way.name.clone(), way.about.clone()))?;
        }
        Ok(tools)
    }
}
