//! Runs: how an answer is begun for a caller, and how it is read as it comes. All that clients speak to the app stands
//! on these two.

mod answer;
mod follow;

use loomwork_agent::durable::{StartOptions, Started, start};
use loomwork_core::Kind;
use loomwork_messages::runs::Prompt;
use loomwork_messages::{MessageId, NewMessage, ThreadId, threads};
use loomwork_models::Message;
use loomwork_store::Tx;

pub use follow::{RunCursor, RunFollower};

use crate::app::App;
use crate::auth::{Caller, Need, allow};
use crate::error::{Error, Result};
use crate::said;

/// What a caller asks of an agent. New fields may come, so end a literal with `..RunAsk::new(thread, ..)`.
#[derive(Clone, Debug)]
pub struct RunAsk {
    /// Where it is asked.
    pub thread: ThreadId,
    /// Who answers; by default the agent that the thread was handed to, or the only one there is.
    pub agent: Option<String>,
    /// What is asked.
    pub prompt: Prompt,
    /// How. Callers that are users ask for themselves, whoever is named here.
    pub options: StartOptions,
}

impl RunAsk {
    /// Returns what is asked of whoever answers in a thread.
    pub fn new(thread: ThreadId, prompt: impl Into<Prompt>) -> Self {
        Self { thread, agent: None, prompt: prompt.into(), options: StartOptions::default() }
    }
}

/// A run that is about to be started, as [`Builder::before_run`](crate::Builder::before_run) is told of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct RunAsked<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The thread.
    pub thread: ThreadId,
    /// Whose the run will be.
    pub user: Option<&'a str>,
    /// The agent.
    pub agent: &'a str,
    /// What is said with it; nothing where a message is answered that is stored already.
    pub messages: &'a [NewMessage],
}

impl RunAsked<'_> {
    /// Returns the text of what is said, for an estimate of its length.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.messages.iter().map(|new| new.message.text()).collect();
        texts.join("\n")
    }
}

pub(crate) type BeforeRun = dyn Fn(&mut Tx, &RunAsked<'_>) -> loomwork_store::Result<()> + Send + Sync;

impl App {
    /// Starts a durable run for a caller: what is said is saved, and its answer begins, in the caller's transaction. It
    /// outlives connections and processes; [`follow_run`](Self::follow_run) reads it as it comes.
    ///
    /// ```
    /// use loomwork::{App, Caller, Result, RunAsk, messages::ThreadId};
    ///
    /// async fn ask(app: &App, caller: Caller, thread: ThreadId) -> Result<()> {
    ///     let starting = app.clone();
    ///     let ask = RunAsk::new(thread, "Where is my parcel?");
    ///     let started = app.store().try_mutate(move |tx| starting.start_run(tx, &caller, ask)).await?;
    ///     println!("{:?}", started.run());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// When the caller may not write there, or say that; for an agent that there is not; as
    /// [`start`](loomwork_agent::durable::start); what [`Builder::before_run`](crate::Builder::before_run) refuses.
    pub fn start_run(&self, tx: &mut Tx, caller: &Caller, ask: RunAsk) -> Result<Started> {
        self.admit_run(tx, caller, ask)?.start(tx)
    }

    /// Looks whether a run may be started, and takes from limits what that takes.
    pub(crate) fn admit_run(&self, tx: &mut Tx, caller: &Caller, ask: RunAsk) -> Result<AdmittedRun> {
        let RunAsk { thread, agent, mut prompt, mut options } = ask;
        allow(tx, caller, Need::WriteThread(thread))?;
        let home = threads::require(tx, thread)?;
        let (agent, _) = self.inner().agents.find(agent.as_deref().or(home.agent.as_deref()))?;
        if let Some(user) = caller.as_user() {
            options.user = Some(user.to_owned());
        }
        let messages = match &mut prompt {
            Prompt::Message(prompt) => {
                require_message(tx, thread, *prompt)?;
                &[]
            }
            Prompt::New(messages) => {
                said::check(tx, caller, messages.iter().map(|new| &new.message))?;
                for new in messages.iter_mut() {
                    new.user = new.user.take().or_else(|| options.user.clone());
                }
                messages.as_slice()
            }
        };
        let user = options.user.clone().or_else(|| home.user.clone());
        let asked = RunAsked { caller, thread, user: user.as_deref(), agent, messages };
        for ask in &self.inner().before_run {
            ask(tx, &asked)?;
        }
        Ok(AdmittedRun { thread, agent: agent.to_owned(), prompt, options })
    }
}

/// A run that may be started.
#[derive(Clone, Debug)]
pub(crate) struct AdmittedRun {
    thread: ThreadId,
    agent: String,
    prompt: Prompt,
    options: StartOptions,
}

impl AdmittedRun {
    pub(crate) fn start(self, tx: &mut Tx) -> Result<Started> {
        let Self { thread, agent, prompt, options } = self;
        Ok(start(tx, &agent, thread, prompt, options)?)
    }

    /// Answers another message than the one it was admitted with: that of a thread which was wound back to it.
    pub(crate) fn answering(self, prompt: MessageId) -> Self {
        Self { prompt: Prompt::Message(prompt), ..self }
    }
}

/// Makes sure that a thread has a message, without telling of those of others.
fn require_message(tx: &Tx, thread: ThreadId, message: MessageId) -> Result<()> {
    match tx.get(message)?.filter(|row| row.thread == thread) {
        Some(_) => Ok(()),
        None => {
            let text = format!("there is no {message} in {thread}");
            Err(Error::new(Kind::NotFound, text).about("promptId"))
        }
    }
}

/// Returns messages of a caller, as they are saved.
pub(crate) fn named(caller: &Caller, messages: impl IntoIterator<Item = Message>) -> Vec<NewMessage> {
    let user = caller.as_user().map(str::to_owned);
    let of_caller = |message| NewMessage { user: user.clone(), ..NewMessage::new(message) };
    messages.into_iter().map(of_caller).collect()
}
