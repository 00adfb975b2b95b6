//! Events that nobody has taken yet, and who gets them.
//!
//! A wait takes from here and nowhere else, the first that was sent first. A wait that its code has dropped
//! gives back what it has got, to its old place. So none is lost, none is taken twice, and none overtakes
//! another.

use loomwork_store::{Result, Tx};

use crate::journal::{end_of, settle, settle_by};
use crate::limits::check_room;
use crate::order::refusal;
use crate::tables::{MailRow, StepRow, WorkflowId};

/// Hands the events of a name to the steps that wait for it, and returns the entries of those.
pub(crate) fn serve(tx: &mut Tx, run: WorkflowId, chapter: u32, name: &str) -> Result<Vec<StepRow>> {
    let mut served = Vec::new();
    while let Some(wait) = tx.first(StepRow::waiting.eq(run).eq(chapter).eq(name))? {
        let Some(mail) = tx.first(MailRow::by_name.eq(run).eq(name))? else { break };
        let settled = match check_room(end_of(tx, run, chapter)?.bytes, mail.value.bytes()) {
            Ok(()) => {
                tx.delete(mail.id)?;
                settle_by(tx, wait.id, mail.record.value, Some(mail.id))?
            }
            // The event stays for the next chapter.
            Err(message) => settle(tx, wait.id, refusal(loomwork_core::Kind::Invalid, message))?,
        };
        served.extend(settled);
    }
    Ok(served)
}

/// Serves all that wait, after a time in which nobody was served.
pub(crate) fn serve_all(tx: &mut Tx, run: WorkflowId, chapter: u32) -> Result<()> {
    let waiting = tx.scan(StepRow::waiting.eq(run).eq(chapter).readable())?;
    let mut names: Vec<String> = waiting.into_iter().map(|wait| wait.record.name).collect();
    names.dedup();
    names.iter().try_for_each(|name| serve(tx, run, chapter, name).map(drop))
}

/// Takes an event back from a step that its code has dropped; says whether it had one.
pub(crate) fn give_back(tx: &mut Tx, run: WorkflowId, chapter: u32, number: u32) -> Result<bool> {
    let Some(step) = tx.first(StepRow::waits.eq(run).eq(chapter).eq(number))? else { return Ok(false) };
    let (Some(event), Some(value), false) = (step.event, step.outcome.clone(), step.given_back) else {
        return Ok(false);
    };
    tx.update(step.id, |step| step.given_back = true)?;
    tx.insert_at(event, MailRow { run, name: step.record.name, value })?;
    Ok(true)
}
