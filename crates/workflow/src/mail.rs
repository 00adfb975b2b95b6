//! Events that nobody has taken yet, and who gets them.
//!
//! A wait takes from here and nowhere else, the first that was sent first. A wait that its code has dropped
//! gives back what it has got, to its old place. So none is lost, none is taken twice, and none overtakes
//! another.

use loomwork_store::{Result, Tx};

use crate::journal::{end_of, settle, settle_by};
use crate::limits::check_room;
use crate::order::refusal;
use crate::tables::{Left, LeftoverRow, MailRow, StepRow, WorkflowId};

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
    let mut mail = tx.first(MailRow::by_name.eq(run).readable())?;
    while let Some(next) = mail {
        serve(tx, run, chapter, &next.name)?;
        mail = tx.first(MailRow::by_name.eq(run).gt(next.name.as_str()).readable())?;
    }
    if release_held(tx, run, chapter)? {
        tx.insert(LeftoverRow { run, left: Left::Held(chapter) })?;
    }
    Ok(())
}

/// How many waits one step lets end that were held.
const HELD_STEP: usize = 256;

/// Lets waits end that were over while their run could not hear of it; says whether there may be more. Events that
/// came meanwhile were served before.
pub(crate) fn release_held(tx: &mut Tx, run: WorkflowId, chapter: u32) -> Result<bool> {
    let held = tx.scan(StepRow::held.eq(run).eq(chapter).readable().take(HELD_STEP))?;
    for wait in &held {
        tx.update(wait.id, |wait| wait.held = false)?;
    }
    Ok(held.len() == HELD_STEP)
}

/// Takes an event back from a step that its code has dropped when it had been given so many outcomes; returns the
/// event's name if it had one.
pub(crate) fn give_back(
    tx: &mut Tx,
    (run, chapter, number): (WorkflowId, u32, u32),
    given: u64,
) -> Result<Option<String>> {
    let Some(step) = tx.first(StepRow::waits.eq(run).eq(chapter).eq(number))? else { return Ok(None) };
    let Some((event, mail)) = step.mail() else { return Ok(None) };
    tx.update(step.id, |step| step.given_back = Some(given))?;
    Ok(Some(tx.insert_at(event, mail)?.record.name))
}

/// Takes an event back from a step whose code came to its end before it saw that: for the code, the wait was still
/// pending and is cut off.
pub(crate) fn take_back(tx: &mut Tx, run: WorkflowId, chapter: u32, number: u32) -> Result<()> {
    let Some(step) = tx.first(StepRow::waits.eq(run).eq(chapter).eq(number))? else { return Ok(()) };
    let Some((event, mail)) = step.mail() else { return Ok(()) };
    tx.update(step.id, |step| {
        (step.position, step.outcome, step.event) = (None, None, None);
        step.cut = true;
    })?;
    tx.insert_at(event, mail).map(drop)
}
