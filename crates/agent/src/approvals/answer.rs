//! Answering: the record, what the thread says of it, and the run that waits for it, in one transaction.

use loomwork_files::Hash;
use loomwork_messages::{
    HUMAN, MessagePatch, MessageRow, NewMessage, Place, Position, RunStatus, Save, save, update,
};
use loomwork_models::{ApprovalResponse, Extras, Message, Part, Role};
use loomwork_store::{Result, Row, Tx};
use serde_json::{Map, Value};

use super::{ApprovalError, ApprovalId, ApprovalRow, ApprovalState, digest, grant};
use crate::context::AUTO_DENIED;
use crate::tool::Schema;
use crate::waiting::{self, Said};

/// Lets a call run. A name alone says who does.
///
/// ```
/// use loomwork_agent::approvals::Approve;
/// use serde_json::json;
///
/// let half = Approve::by("bob").with_input(json!({ "order": 7, "amount": 10 })).because("half of it");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Approve {
    by: String,
    reason: Option<String>,
    input: Option<Value>,
    seen: Option<Hash>,
    always: bool,
}

impl Approve {
    /// Returns the approval of a person.
    pub fn by(name: impl Into<String>) -> Self {
        Self { by: name.into(), reason: None, input: None, seen: None, always: false }
    }

    /// Says why, in words that the model may read.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// Lets it run with other arguments. They have to fit the tool's schema, and take the place of the model's in the
    /// thread.
    #[must_use]
    pub fn with_input(self, input: Value) -> Self {
        Self { input: Some(input), ..self }
    }

    /// Says which arguments the person has seen: if they are others by now, it is refused.
    #[must_use]
    pub fn seen(self, digest: Hash) -> Self {
        Self { seen: Some(digest), ..self }
    }

    /// Lets the agent call the tool in this thread from now on without asking, until that is
    /// [taken back](super::revoke).
    #[must_use]
    pub fn always(self) -> Self {
        Self { always: true, ..self }
    }
}

impl<N: Into<String>> From<N> for Approve {
    fn from(name: N) -> Self {
        Self::by(name)
    }
}

/// Lets a call not run. A name alone says who does.
#[derive(Clone, Debug, PartialEq)]
pub struct Deny {
    by: String,
    reason: Option<String>,
}

impl Deny {
    /// Returns the refusal of a person.
    pub fn by(name: impl Into<String>) -> Self {
        Self { by: name.into(), reason: None }
    }

    /// Says why, in words that the model reads.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

impl<N: Into<String>> From<N> for Deny {
    fn from(name: N) -> Self {
        Self::by(name)
    }
}

/// An approval that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The approval, as it is now.
    pub approval: Row<ApprovalRow>,
    /// Whether its run waits for nobody any more.
    pub goes_on: bool,
}

/// Lets a call run, once. If its run waits for nobody else, it goes on.
///
/// # Errors
/// [`ApprovalError`]; when the thread takes no messages, or the store cannot be written.
pub fn approve(tx: &mut Tx, id: ApprovalId, approve: impl Into<Approve>) -> Result<Answered> {
    let Approve { by, reason, input, seen, always } = approve.into();
    let row = open(tx, id)?;
    check_unchanged(tx, &row, seen)?;
    let before = row.input.clone();
    let input = input.filter(|input| Some(input) != before.as_ref());
    if let Some(input) = &input {
        check(&row, input)?;
        row.site.rewrite(tx, input)?;
    }
    let (now, why) = (tx.now(), reason.clone());
    let row = tx.update(id, |row| {
        row.state = ApprovalState::Approved;
        (row.answered, row.by, row.reason) = (Some(now), Some(by.clone()), why);
        if let Some(input) = input {
            row.digest = digest(&row.site.tool, &input);
            row.asked = row.input.replace(input);
        }
    })?;
    if always {
        grant(tx, &row.site, &by, reason)?;
    }
    say(tx, &row, true)?;
    let goes_on = waiting::go_on(tx, row.site.run)?;
    Ok(Answered { approval: row, goes_on })
}

/// Lets a call not run; the model is told why. If its run waits for nobody else, it goes on.
///
/// # Errors
/// As [`approve`].
pub fn deny(tx: &mut Tx, id: ApprovalId, deny: impl Into<Deny>) -> Result<Answered> {
    let Deny { by, reason } = deny.into();
    let row = open(tx, id)?;
    let row = refuse(tx, &row, ApprovalState::Denied, Some(by), reason)?;
    say(tx, &row, false)?;
    let goes_on = waiting::go_on(tx, row.site.run)?;
    Ok(Answered { approval: row, goes_on })
}

/// Denies what nobody has answered in time.
pub(crate) fn deny_by_time(tx: &mut Tx, row: &Row<ApprovalRow>) -> Result<()> {
    if row.site.is_over(tx)? {
        return tx.update(row.id, |row| row.close(ApprovalState::Cancelled)).map(drop);
    }
    let reason = Some("nobody approved it in time".to_owned());
    let row = refuse(tx, row, ApprovalState::Expired, None, reason)?;
    // A thread that takes no messages must not keep it from expiring.
    if let Err(error) = tx.nested(|tx| say(tx, &row, false)) {
        tracing::warn!(approval = %row.id, %error, "an approval expires without a word in its thread");
    }
    waiting::go_on(tx, row.site.run).map(drop)
}

/// Denies what is open when a new generation begins, whose transaction says so in the thread. Its run, which nobody
/// waits for then, ends.
pub(crate) fn auto_deny(tx: &mut Tx, request: &str) -> Result<()> {
    let Ok(id) = request.parse::<ApprovalId>() else { return Ok(()) };
    let Some(row) = tx.get(id)?.filter(|row| row.is_open()) else { return Ok(()) };
    let row = refuse(tx, &row, ApprovalState::Denied, None, Some(AUTO_DENIED.to_owned()))?;
    let run = tx.get(row.site.run)?.filter(|run| run.status == RunStatus::Waiting);
    match run {
        Some(run) if !waiting::is_open(tx, run.id)? => waiting::supersede(tx, &run),
        _ => Ok(()),
    }
}

/// Returns an approval that may be answered now.
fn open(tx: &Tx, id: ApprovalId) -> Result<Row<ApprovalRow>> {
    let row = tx.get(id)?.ok_or(ApprovalError::Unknown { approval: id })?;
    if row.state == ApprovalState::Expired || (row.is_open() && row.expires <= tx.now()) {
        return Err(ApprovalError::Expired { approval: id, expired: row.expires }.into());
    }
    if row.state == ApprovalState::Cancelled || (row.is_open() && row.site.is_over(tx)?) {
        return Err(ApprovalError::Over { approval: id }.into());
    }
    if !row.is_open() {
        let ApprovalRow { state, by, answered: at, .. } = row.record;
        return Err(ApprovalError::Answered { approval: id, state, by, at }.into());
    }
    Ok(row)
}

/// Makes sure that what is approved is what was asked, and what was seen.
fn check_unchanged(tx: &Tx, row: &Row<ApprovalRow>, seen: Option<Hash>) -> Result<()> {
    let is_same = match row.site.said(tx)? {
        Said::Call(call) => digest(&call.name, &call.input) == row.digest,
        Said::NotYet => true,
        Said::Gone => false,
    };
    if !is_same || seen.is_some_and(|seen| seen != row.digest) {
        return Err(ApprovalError::Changed { approval: row.id }.into());
    }
    Ok(())
}

/// Makes sure that the tool takes changed arguments.
fn check(row: &Row<ApprovalRow>, input: &Value) -> Result<()> {
    let Some(schema) = &row.schema else { return Ok(()) };
    match Schema::default().faults(schema, input) {
        Some(faults) => {
            let tool = row.site.tool.clone();
            Err(ApprovalError::BadInput { approval: row.id, tool, faults }.into())
        }
        None => Ok(()),
    }
}

fn refuse(
    tx: &mut Tx,
    row: &Row<ApprovalRow>,
    state: ApprovalState,
    by: Option<String>,
    reason: Option<String>,
) -> Result<Row<ApprovalRow>> {
    let now = tx.now();
    tx.update(row.id, |row| {
        row.close(state);
        (row.answered, row.by, row.reason) = (Some(now), by, reason);
    })
}

/// Says the answer in the thread: all answers of a step are one message, in the turn that asked.
fn say(tx: &mut Tx, row: &Row<ApprovalRow>, approved: bool) -> Result<()> {
    let mut facts = Map::new();
    facts.extend(row.by.clone().map(|by| ("by".to_owned(), Value::from(by))));
    facts.extend(row.asked.clone().map(|asked| ("asked".to_owned(), asked)));
    let mut extras = Extras::default();
    if !facts.is_empty() {
        extras.provider_metadata.insert(HUMAN.to_owned(), facts.into());
    }
    let answer = Part::ApprovalResponse(ApprovalResponse {
        id: row.id.to_string(),
        approved,
        reason: row.reason.clone(),
        provider_executed: false,
        extras,
    });
    match answers(tx, row)? {
        Some(said) => {
            let mut message = said.record.message;
            message.parts.push(answer);
            let patch = MessagePatch { message: Some(message), ..MessagePatch::default() };
            update(tx, said.id, patch).map(drop)
        }
        None => {
            let site = &row.site;
            let new = NewMessage {
                agent: Some(site.agent.clone()),
                user: site.user.clone(),
                ..NewMessage::new(Message::new(Role::Tool, [answer]))
            };
            save(tx, site.thread, Save::from(new).at(Place::Turn(site.order))).map(drop)
        }
    }
}

/// Returns the message that has answers of the same step.
fn answers(tx: &Tx, row: &Row<ApprovalRow>) -> Result<Option<Row<MessageRow>>> {
    let site = &row.site;
    let step = tx.ids(ApprovalRow::by_call.eq(site.run).eq(site.step))?;
    let step: Vec<String> = step.iter().map(ToString::to_string).collect();
    let is_of_step = |part: &Part| match part {
        Part::ApprovalResponse(response) => step.contains(&response.id),
        _ => false,
    };
    let from = tx.get(site.message)?.map_or(Position::start_of(site.order), |row| row.position());
    let turn = MessageRow::by_position.eq(site.thread).gt(from).le(Position::end_of(site.order));
    let rows = tx.scan(turn)?;
    Ok(rows.into_iter().find(|row| row.role() == Role::Tool && row.message.parts.iter().any(is_of_step)))
}
