//! What lies beside a workflow's row because it is large: the row is written again whenever the run is taken
//! or parked.

use loomwork_store::{Id, Result, Row, Tx};
use serde_json::value::RawValue;

use crate::tables::{Held, PayloadRow, WorkflowId};

/// JSON of this size or more lies beside its workflow's row.
const INLINE_BYTES: usize = 2_000;

fn payload_of(run: WorkflowId) -> Id<PayloadRow> {
    Id::from_raw(run.raw())
}

/// One that cannot be read counts as gone, so that its workflow still ends.
fn find(tx: &Tx, run: WorkflowId) -> Result<Option<Row<PayloadRow>>> {
    tx.get_readable(payload_of(run))
}

/// Returns the JSON of a field; `None` when it lies aside and is gone.
pub(crate) fn read(
    tx: &Tx,
    run: WorkflowId,
    held: &Held,
    field: fn(PayloadRow) -> Option<Box<RawValue>>,
) -> Result<Option<Box<RawValue>>> {
    match held {
        Held::Here(json) => Ok(Some(json.clone())),
        Held::Aside => Ok(find(tx, run)?.and_then(|row| field(row.record))),
    }
}

/// Holds JSON in the row, or beside it if it is large.
pub(crate) fn hold(
    tx: &mut Tx,
    run: WorkflowId,
    json: Box<RawValue>,
    set: fn(&mut PayloadRow, Box<RawValue>),
) -> Result<Held> {
    if json.get().len() < INLINE_BYTES {
        return Ok(Held::Here(json));
    }
    let id = payload_of(run);
    match tx.get(id)? {
        Some(_) => tx.update(id, |payload| set(payload, json))?,
        None => {
            let mut payload = PayloadRow::default();
            set(&mut payload, json);
            tx.insert_at(id, payload)?
        }
    };
    Ok(Held::Aside)
}

/// Drops all that lies beside a workflow.
pub(crate) fn drop_all(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    if let Some(payload) = find(tx, run)? {
        tx.delete(payload.id)?;
    }
    Ok(())
}
