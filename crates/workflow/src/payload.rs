//! What lies beside a workflow's row because it is large: the row is written again whenever the run is taken
//! or parked.

use loomwork_core::Kind;
use loomwork_store::{Error, Id, Result, Tx};
use serde_json::value::RawValue;

use crate::tables::{Held, PayloadRow, WorkflowId};

/// JSON of this size or more lies beside its workflow's row.
const INLINE_BYTES: usize = 2_000;

fn payload_of(run: WorkflowId) -> Id<PayloadRow> {
    Id::from_raw(run.raw())
}

/// Returns the JSON of a field.
///
/// # Errors
/// One that lies aside and is gone, or cannot be read, is corrupt.
pub(crate) fn read(
    tx: &Tx,
    run: WorkflowId,
    held: &Held,
    field: fn(PayloadRow) -> Option<Box<RawValue>>,
) -> Result<Box<RawValue>> {
    match held {
        Held::Here(json) => Ok(json.clone()),
        Held::Aside => {
            let json = tx.get(payload_of(run))?.and_then(|row| field(row.record));
            json.ok_or_else(|| Error::message(Kind::Corrupt, format!("what lies beside {run} is gone")))
        }
    }
}

/// Holds JSON in the row, or beside it if it is large.
pub(crate) fn hold(
    tx: &mut Tx,
    run: WorkflowId,
    json: Box<RawValue>,
    field: fn(&mut PayloadRow) -> &mut Option<Box<RawValue>>,
) -> Result<Held> {
    if json.get().len() < INLINE_BYTES {
        return Ok(Held::Here(json));
    }
    let id = payload_of(run);
    match tx.get(id)? {
        Some(_) => tx.update(id, |payload| *field(payload) = Some(json))?,
        None => {
            let mut payload = PayloadRow::default();
            *field(&mut payload) = Some(json);
            tx.insert_at(id, payload)?
        }
    };
    Ok(Held::Aside)
}

/// Holds JSON in place of what was held before.
pub(crate) fn hold_instead(
    tx: &mut Tx,
    run: WorkflowId,
    before: &Held,
    json: Box<RawValue>,
    field: fn(&mut PayloadRow) -> &mut Option<Box<RawValue>>,
) -> Result<Held> {
    let held = hold(tx, run, json, field)?;
    if let (Held::Aside, Held::Here(_)) = (before, &held) {
        tx.update(payload_of(run), |payload| *field(payload) = None)?;
    }
    Ok(held)
}

/// Drops all that lies beside a workflow. What cannot be read cannot be deleted either, and stays.
pub(crate) fn drop_all(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    if let Some(payload) = tx.get_readable(payload_of(run))? {
        tx.delete(payload.id)?;
    }
    Ok(())
}
