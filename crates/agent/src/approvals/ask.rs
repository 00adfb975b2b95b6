//! Asking, and what becomes of what was asked.

use std::time::Duration;

use loomwork_messages::{MessageId, RunId};
use loomwork_models::ToolCall;
use loomwork_store::{Result, Row, Tx};
use serde_json::Value;

use super::{ApprovalId, ApprovalRow, ApprovalState, digest};
use crate::waiting::CallSite;

/// An approval that is to be asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewApproval {
    pub(crate) site: CallSite,
    pub(crate) input: Value,
    pub(crate) title: Option<String>,
    pub(crate) schema: Value,
    pub(crate) within: Duration,
}

/// Asks for an approval. One that was asked for already stays as it is, answered or not.
pub(crate) fn ask(tx: &mut Tx, new: NewApproval) -> Result<ApprovalId> {
    let NewApproval { site, input, title, schema, within } = new;
    if let Some(known) = of_call(tx, site.run, site.step, &site.call)? {
        return Ok(known.id);
    }
    let created = tx.now();
    let row = tx.insert(ApprovalRow {
        digest: digest(&site.tool, &input),
        state: ApprovalState::Open,
        title,
        input: Some(input),
        asked: None,
        schema: Some(schema),
        created,
        expires: created + within,
        answered: None,
        by: None,
        reason: None,
        site,
    })?;
    tracing::debug!(approval = %row.id, tool = %row.site.tool, run = %row.site.run, "a call waits for approval");
    Ok(row.id)
}

fn of_call(tx: &Tx, run: RunId, step: u32, call: &str) -> Result<Option<Row<ApprovalRow>>> {
    tx.first(ApprovalRow::by_call.eq(run).eq(step).eq(call))
}

/// Returns the message that has the calls of a step somebody was asked about.
pub(crate) fn message_of(tx: &Tx, run: RunId, step: u32) -> Result<Option<MessageId>> {
    Ok(tx.first(ApprovalRow::by_call.eq(run).eq(step))?.map(|row| row.site.message))
}

/// Uses an approval up, in the commit that stores the result of its call. A call that nobody was asked about has none.
pub(crate) fn consume(tx: &mut Tx, run: RunId, step: u32, call: &str) -> Result<()> {
    match of_call(tx, run, step, call)? {
        Some(row) if row.state == ApprovalState::Approved => {
            tx.update(row.id, |row| row.close(ApprovalState::Used)).map(drop)
        }
        _ => Ok(()),
    }
}

/// Puts the arguments that somebody has changed while the step was made where they belong: into its message.
pub(crate) fn apply_changes(tx: &mut Tx, run: RunId, step: u32) -> Result<()> {
    for row in tx.scan(ApprovalRow::by_call.eq(run).eq(step))? {
        if let (Some(_), Some(input)) = (&row.asked, &row.input) {
            row.site.rewrite(tx, input)?;
        }
    }
    Ok(())
}

/// Closes what a run has asked for and does not need any more.
pub(crate) fn cancel(tx: &mut Tx, run: RunId) -> Result<()> {
    for row in tx.scan(ApprovalRow::by_call.eq(run))? {
        if !row.is_closed() {
            tx.update(row.id, |row| row.close(ApprovalState::Cancelled))?;
        }
    }
    Ok(())
}

/// What became of the approval of a call.
#[derive(Clone, Debug)]
pub(crate) enum Ruling {
    /// It may run.
    Run,
    /// It does not run, for this reason.
    Not(Option<String>),
}

/// Returns what became of the approvals of a step, by the ids of their calls. A call with other arguments than those
/// that were approved does not run.
pub(crate) fn rulings<'a>(
    tx: &Tx,
    run: RunId,
    step: u32,
    calls: impl Iterator<Item = &'a ToolCall>,
) -> Result<Vec<(&'a ToolCall, Ruling)>> {
    let rows = tx.scan(ApprovalRow::by_call.eq(run).eq(step))?;
    let rulings = calls.filter_map(|call| {
        let row = rows.iter().find(|row| row.site.call == call.id)?;
        let ruling = match row.state {
            ApprovalState::Open | ApprovalState::Used => return None,
            ApprovalState::Approved if digest(&call.name, &call.input) == row.digest => Ruling::Run,
            ApprovalState::Approved => {
                Ruling::Not(Some("its arguments were changed after it was approved".to_owned()))
            }
            ApprovalState::Denied | ApprovalState::Expired | ApprovalState::Cancelled => {
                Ruling::Not(row.reason.clone())
            }
        };
        Some((call, ruling))
    });
    Ok(rulings.collect())
}
