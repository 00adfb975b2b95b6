//! The inbox: what agents ask people, and what these say; and calls of tools that clients answer.

use loomwork_agent::humans::{self, HumanReply, QuestionAnswered, QuestionId, QuestionRow};
use loomwork_core::Kind;
use loomwork_messages::{RunId, ThreadId};
use loomwork_models::ToolOutput;
use loomwork_store::{Row, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approvals::{CallSiteShape, speaks_for};
use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::page;
use super::runs::StartedRun;
use super::shapes::{Shown, shapes};
use crate::auth::{Caller, Need, Refused, Scope, allow};
use crate::error::{Error, Result};
use crate::reached::{MAX_REASON_BYTES, reason};

pub(super) fn operations() -> Group {
    Group::new("questions")
        .get(
            "inbox",
            "/api/questions",
            Scope::Read,
            "Lists what a person or a group is asked, the oldest first, or, for a program that names nobody, what all are \
             asked, what expires first in front.",
            inbox,
        )
        .get("get", "/api/questions/{question}", Scope::Read, "Returns a question.", get)
        .act(
            "claim",
            (Method::Post, "/api/questions/{question}/claim"),
            Scope::Chat,
            "Says that somebody is at a question: nobody else answers it then.",
            claim,
        )
        .act(
            "release",
            (Method::Post, "/api/questions/{question}/release"),
            Scope::Chat,
            "Gives a question back to its inbox that somebody has claimed.",
            release,
        )
        .act(
            "assign",
            (Method::Post, "/api/questions/{question}/assign"),
            Scope::Chat,
            "Passes a question on to another person or group, or to anybody.",
            assign,
        )
        .act(
            "answer",
            (Method::Post, "/api/questions/{question}/answer"),
            Scope::Chat,
            "Answers a question. If its run waits for nobody else, it goes on.",
            answer,
        )
        .act(
            "hand_back",
            (Method::Post, "/api/questions/{question}/hand-back"),
            Scope::Chat,
            "Gives a question back to the agent unanswered; the model reads why.",
            hand_back,
        )
        .act(
            "reply",
            (Method::Post, "/api/threads/{thread}/replies"),
            Scope::Chat,
            "Saves what a person answers in a thread instead of an agent, under their name, as a turn of its own.",
            reply,
        )
        .act(
            "answer_call",
            (Method::Post, "/api/runs/{run}/results"),
            Scope::Chat,
            "Answers a call of a tool that the client runs. When all calls of the step are answered, the agent goes on.",
            answer_call,
        )
}

shapes! {
    /// A call that waits, or has waited, for the answer of a person.
    QuestionShape = "Question" {
        /// Its id.
        id: String,
        /// The call.
        site: CallSiteShape,
        /// `open`, `answered`, `handed_back`, `expired`, `used` or `cancelled`.
        state: String,
        /// Who is to answer: a person or a group; anybody if nobody is named.
        assignee: Option<String>,
        /// Who is at it.
        claimed: Option<String>,
        /// The title of the tool.
        title: Option<String>,
        /// What is asked; absent once the call has ended.
        input: Option<Value>,
        /// The schema that an answer has to fit.
        schema: Option<Value>,
        /// The answer, until the call has ended.
        answer: Option<Value>,
        /// When it was asked, in milliseconds since 1970.
        created: i64,
        /// When the model is told that nobody answered.
        expires: i64,
        /// When it was answered or handed back.
        answered: Option<i64>,
        /// Who answered or handed it back.
        by: Option<String>,
        /// Why it was handed back.
        reason: Option<String>,
    }
}

type QuestionView = Shown<Row<QuestionRow>, QuestionShape>;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inbox {
    /// Who is asked; by default the caller, or, for a program, everybody.
    assignee: Option<String>,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
}

fn inbox(reading: &Reading<'_>, args: &Inbox) -> Result<Vec<QuestionView>> {
    let count = page(args.limit, None)?.size;
    let found = match reading.user_or_own(args.assignee.as_deref())? {
        Some(assignee) => humans::inbox(reading.tx, Some(assignee), count)?,
        None => humans::open(reading.tx, count)?,
    };
    Ok(found.into_iter().map(Shown::new).collect())
}

/// A question by its id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneQuestion {
    /// The question's id.
    #[schemars(with = "String")]
    question: QuestionId,
}

fn get(reading: &Reading<'_>, args: &OneQuestion) -> Result<QuestionView> {
    Ok(Shown::new(seen(reading.tx, reading.caller, args.question)?))
}

/// Returns a question that a caller may see: one of theirs to answer, or of a thread that they read.
fn seen(tx: &Tx, caller: &Caller, id: QuestionId) -> Result<Row<QuestionRow>> {
    let missing = || Error::new(Kind::NotFound, format!("there is no {id}"));
    let row = humans::get(tx, id)?.ok_or_else(missing)?;
    if allow(tx, caller, Need::ReadUser(row.assignee.as_deref())).is_ok() {
        return Ok(row);
    }
    match allow(tx, caller, Need::ReadThread(row.site.thread)) {
        Ok(()) => Ok(row),
        Err(error) if error.kind() == Kind::NotFound => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that a caller may answer a question, and returns in whose name.
fn answers(tx: &Tx, caller: &Caller, id: QuestionId, by: Option<String>) -> Result<String> {
    let row = seen(tx, caller, id)?;
    allow(tx, caller, Need::AnswerFor(row.assignee.as_deref()))?;
    speaks_for(tx, caller, by)
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QuestionBy {
    /// The question's id.
    #[schemars(with = "String")]
    question: QuestionId,
    /// Who does it, for programs to say; by default the caller.
    by: Option<String>,
}

async fn claim(call: Call, args: QuestionBy) -> Result<Answer<QuestionView>> {
    call.mutate(move |tx, caller| {
        let by = answers(tx, caller, args.question, args.by)?;
        Ok(Shown::new(humans::claim(tx, args.question, by)?))
    })
    .await
}

async fn release(call: Call, args: QuestionBy) -> Result<Answer<QuestionView>> {
    call.mutate(move |tx, caller| {
        let by = answers(tx, caller, args.question, args.by)?;
        Ok(Shown::new(humans::release(tx, args.question, &by)?))
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssignQuestion {
    /// The question's id.
    #[schemars(with = "String")]
    question: QuestionId,
    /// The person or group; left out it is for anybody.
    assignee: Option<String>,
}

async fn assign(call: Call, args: AssignQuestion) -> Result<Answer<QuestionView>> {
    call.mutate(move |tx, caller| {
        answers(tx, caller, args.question, None)?;
        Ok(Shown::new(humans::assign(tx, args.question, args.assignee)?))
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnswerQuestion {
    /// The question's id.
    #[schemars(with = "String")]
    question: QuestionId,
    /// A text, or JSON that fits the question's schema.
    answer: Value,
    /// Who answers, for programs to say; by default the caller.
    by: Option<String>,
}

/// A question that was answered or handed back.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AnsweredQuestion {
    /// The question, as it is now.
    question: QuestionView,
    /// Whether its run waits for nobody any more.
    goes_on: bool,
}

impl From<QuestionAnswered> for AnsweredQuestion {
    fn from(answered: QuestionAnswered) -> Self {
        Self { question: Shown::new(answered.question), goes_on: answered.goes_on }
    }
}

async fn answer(call: Call, args: AnswerQuestion) -> Result<Answer<AnsweredQuestion>> {
    call.mutate(move |tx, caller| {
        let by = answers(tx, caller, args.question, args.by)?;
        Ok(humans::answer(tx, args.question, by, args.answer)?.into())
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HandBack {
    /// The question's id.
    #[schemars(with = "String")]
    question: QuestionId,
    /// Why, in words that the model reads; 1,000 bytes at most.
    reason: String,
    /// Who hands it back, for programs to say; by default the caller.
    by: Option<String>,
}

async fn hand_back(call: Call, args: HandBack) -> Result<Answer<AnsweredQuestion>> {
    let why = reason(Some(args.reason))?.unwrap_or_default();
    call.mutate(move |tx, caller| {
        let by = answers(tx, caller, args.question, args.by)?;
        Ok(humans::hand_back(tx, args.question, by, why)?.into())
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReplyInThread {
    /// The thread's id.
    #[schemars(with = "String")]
    thread: ThreadId,
    /// What the person says.
    text: String,
    /// Who, for programs to say; by default the caller.
    by: Option<String>,
}

/// The message that was saved.
#[derive(Serialize, JsonSchema)]
struct Replied {
    /// Its id.
    id: String,
}

async fn reply(call: Call, args: ReplyInThread) -> Result<Answer<Replied>> {
    call.mutate(move |tx, caller| {
        allow(tx, caller, Need::WriteThread(args.thread))?;
        // It stands there as an agent's answer does.
        if caller.as_user().is_some() && caller.scope() < Scope::Manage {
            return Err(Refused::Scope { has: caller.scope(), needed: Scope::Manage }.into());
        }
        let by = speaks_for(tx, caller, args.by)?;
        Ok(Replied { id: humans::reply(tx, args.thread, HumanReply::new(by, args.text))?.id.to_string() })
    })
    .await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnswerCall {
    /// The run that made the call.
    #[schemars(with = "String")]
    run: RunId,
    /// The id of the call: the `toolCallId` of its part.
    call: String,
    /// What came of it: a text or any JSON.
    output: Option<Value>,
    /// Why it failed, in words that the model reads, in the place of an output; 1,000 bytes at most.
    error: Option<String>,
}

/// What came of an answer to a call.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AnsweredCall {
    /// The run that goes on; absent while other calls of the step have no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<StartedRun>,
}

async fn answer_call(call: Call, args: AnswerCall) -> Result<Answer<AnsweredCall>> {
    let output = match (args.output, args.error) {
        (Some(Value::String(text)), None) => ToolOutput::Text(text),
        (Some(output), None) => ToolOutput::Json(output),
        (None, Some(text)) if text.len() <= MAX_REASON_BYTES => ToolOutput::error(text),
        (None, Some(text)) => {
            let message = format!("the error has {} bytes; {MAX_REASON_BYTES} are the most", text.len());
            return Err(Error::new(Kind::Invalid, message).about("error"));
        }
        _ => {
            let message = "a call has either an output or an error; give one of them";
            return Err(Error::new(Kind::Invalid, message).about("output"));
        }
    };
    let app = call.app.clone();
    call.mutate(move |tx, caller| {
        let next = app.answer_call(tx, caller, args.run, &args.call, output)?;
        Ok(AnsweredCall { next: next.map(StartedRun::from) })
    })
    .await
}
