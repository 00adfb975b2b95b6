//! What lies beside a job's row because it is large.

use loomwork_store::{Id, Result, Row, Tx};
use serde_json::value::RawValue;

use crate::tables::{Held, JobId, Payload, ProgressRow};

/// JSON of this size or more lies beside its job's row.
pub const INLINE_BYTES: usize = 8_000;

fn payload_of(job: JobId) -> Id<Payload> {
    Id::from_raw(job.raw())
}

/// Where a job says how far it is.
pub(crate) fn progress_of(job: JobId) -> Id<ProgressRow> {
    Id::from_raw(job.raw())
}

/// Splits arguments and context between the row and its payload: the arguments go if they are
/// large, the context if both together are.
pub(crate) fn split(args: Box<RawValue>, context: Option<Box<RawValue>>) -> (Held, Option<Held>, Payload) {
    let mut payload = Payload::default();
    let args_bytes = args.get().len();
    let context_bytes = context.as_ref().map_or(0, |context| context.get().len());
    let args = if args_bytes >= INLINE_BYTES {
        payload.args = Some(args);
        Held::Aside
    } else {
        Held::Here(args)
    };
    let inline = if matches!(args, Held::Here(_)) { args_bytes } else { 0 };
    let context = context.map(|context| {
        if inline + context_bytes >= INLINE_BYTES {
            payload.context = Some(context);
            return Held::Aside;
        }
        Held::Here(context)
    });
    (args, context, payload)
}

/// Stores what a payload holds, if anything.
pub(crate) fn insert(tx: &mut Tx, job: JobId, payload: Payload) -> Result<()> {
    if payload.args.is_none() && payload.context.is_none() {
        return Ok(());
    }
    tx.insert_at(payload_of(job), payload).map(drop)
}

/// One that cannot be read counts as gone, so that its job still ends; the row stays as it is.
fn find(tx: &Tx, job: JobId) -> Result<Option<Row<Payload>>> {
    tx.get_readable(payload_of(job))
}

/// Returns the JSON of a field; `None` when it lies aside and its payload is gone.
pub(crate) fn read(
    tx: &Tx,
    job: JobId,
    held: &Held,
    field: fn(Payload) -> Option<Box<RawValue>>,
) -> Result<Option<Box<RawValue>>> {
    match held {
        Held::Here(json) => Ok(Some(json.clone())),
        Held::Aside => Ok(find(tx, job)?.and_then(|row| field(row.record))),
    }
}

/// Holds a result in the row, or beside it if it is large.
pub(crate) fn hold_result(tx: &mut Tx, job: JobId, result: Box<RawValue>) -> Result<Held> {
    if result.get().len() < INLINE_BYTES {
        return Ok(Held::Here(result));
    }
    let id = payload_of(job);
    match tx.get(id)? {
        Some(_) => tx.update(id, |payload| payload.result = Some(result))?,
        None => tx.insert_at(id, Payload { result: Some(result), ..Payload::default() })?,
    };
    Ok(Held::Aside)
}

/// Drops the arguments and the context of a job that will not run again.
pub(crate) fn drop_inputs(tx: &mut Tx, job: JobId) -> Result<()> {
    let Some(payload) = find(tx, job)? else { return Ok(()) };
    if payload.result.is_none() {
        return tx.delete(payload.id).map(drop);
    }
    tx.update(payload.id, |payload| {
        payload.args = None;
        payload.context = None;
    })
    .map(drop)
}

/// Drops all that lies beside a job.
pub(crate) fn drop_all(tx: &mut Tx, job: JobId) -> Result<()> {
    if let Some(payload) = find(tx, job)? {
        tx.delete(payload.id)?;
    }
    if let Some(progress) = tx.get_readable(progress_of(job))? {
        tx.delete(progress.id)?;
    }
    Ok(())
}
