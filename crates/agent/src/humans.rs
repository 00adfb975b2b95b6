//! People among the agents: they answer in threads, and tools ask them.
//!
//! A tool that [asks a person](crate::Tool::human), such as [`ask_human`], leaves a question in the inbox of whoever it
//! is for, and its run waits. [`inbox`] lists what is open, live under a watch. Somebody may [`claim`] a question and
//! [`release`] it again, [`assign`] passes it on, [`answer`] gives the model what it asked for, and [`hand_back`] gives
//! it back unanswered, with a reason. What nobody answers in time the model is told. All of these are functions of a
//! transaction, and the last answer that a run waits for lets it go on, whatever was said in the thread meanwhile.
//!
//! A person who answers in a thread themselves [replies](reply) there, in a turn of their own, and may
//! [take over](take_over) the thread until they [hand it over](hand_over) to the agent again.
//!
//! Whoever calls has made sure that the person may: who is in which group, the application knows.

mod answer;
mod ask;
mod error;
mod inbox;
mod reply;
mod upkeep;

use std::time::Duration;

use loomwork_core::Time;
use loomwork_messages::RunId;
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use answer::expire;
pub use answer::{QuestionAnswered, answer, hand_back};
pub use ask::ask_human;
pub(crate) use ask::{NewQuestion, Reply, ask, cancel, consume, replies};
pub use error::QuestionError;
pub use inbox::{assign, claim, inbox, of_run, open, release};
pub use reply::{HumanReply, hand_over, reply, take_over};
pub(crate) use upkeep::upkeep;

use crate::waiting::CallSite;

/// How long people may take to answer where a tool says nothing else.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Whom a tool asks, and for how long.
///
/// New fields may come; `..Inquiry::default()` is ready for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// A person, or a group of people; nobody leaves it to whoever looks.
    pub assignee: Option<String>,
    /// How long they may take. Default: [`ANSWER_WITHIN`].
    pub within: Duration,
}

impl Default for Inquiry {
    fn default() -> Self {
        Self { assignee: None, within: ANSWER_WITHIN }
    }
}

impl<N: Into<String>> From<N> for Inquiry {
    fn from(assignee: N) -> Self {
        Self { assignee: Some(assignee.into()), ..Self::default() }
    }
}

/// The id of a question.
pub type QuestionId = Id<QuestionRow>;

/// A call that waits, or has waited, for the answer of a person.
///
/// Its rows are kept for 30 days. Once the call has ended they hold neither question nor answer: the thread has these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "agent_questions", id = "question")]
#[index(unique by_call(run: RunId = QuestionRow::run, step: u32 = QuestionRow::step, call: String = QuestionRow::call))]
#[index(open(run: RunId = QuestionRow::run), when = QuestionRow::is_open)]
#[index(inbox(assignee, created), when = QuestionRow::is_open)]
#[index(due(expires), when = QuestionRow::is_open)]
#[index(old(created), when = QuestionRow::is_closed)]
#[non_exhaustive]
pub struct QuestionRow {
    /// The call.
    pub site: CallSite,
    /// Where it stands.
    pub state: QuestionState,
    /// Who is to answer: a person or a group; anybody if nobody is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Who is at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// The title of the tool, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is asked: the arguments of the call; none once that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The schema that an answer has to fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The answer, until the call has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// When it was asked.
    pub created: Time,
    /// When the model is told that nobody answered.
    pub expires: Time,
    /// When it was answered or handed back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<Time>,
    /// Who answered or handed it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it was handed back, in words that the model reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuestionState {
    /// Nobody has answered.
    Open,
    /// It is answered.
    Answered,
    /// Somebody gave it back without an answer.
    HandedBack,
    /// Nobody answered in time.
    Expired,
    /// The model has the answer, or knows that there is none.
    Used,
    /// Its run has ended before.
    Cancelled,
}

impl QuestionState {
    /// Returns its name, as it is in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::HandedBack => "handed_back",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Cancelled => "cancelled",
        }
    }
}

impl QuestionRow {
    fn run(&self) -> RunId {
        self.site.run
    }

    fn step(&self) -> u32 {
        self.site.step
    }

    fn call(&self) -> String {
        self.site.call.clone()
    }

    fn is_open(&self) -> bool {
        self.state == QuestionState::Open
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, QuestionState::Used | QuestionState::Cancelled)
    }

    /// Ends it: the thread has what it was about.
    fn close(&mut self, state: QuestionState) {
        self.state = state;
        (self.input, self.schema, self.answer) = (None, None, None);
    }
}

/// Returns a question.
///
/// # Errors
/// When the store cannot be read.
pub fn get(tx: &Tx, id: QuestionId) -> Result<Option<Row<QuestionRow>>> {
    tx.get(id)
}

pub(crate) fn has_open(tx: &Tx, run: RunId) -> Result<bool> {
    Ok(tx.first(QuestionRow::open.eq(run))?.is_some())
}
