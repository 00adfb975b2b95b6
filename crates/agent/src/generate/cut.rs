//! Steps whose process has gone: what they may have used is told, once.

use loomwork_messages::HostRow;
use loomwork_models::Usage;
use loomwork_store::{Id, Next, Result, Row, Table as _, Tx, Upkeep};

use super::report::key;
use crate::journal;
use crate::outbox::{self, Told};
use crate::tables::{StepEnd, StepRow};
use crate::usage::UsageEvent;
use crate::values::Values;

/// How many steps one transaction ends.
const CUT_STEP: usize = 64;

/// The upkeep that ends the steps of processes that are gone. It reads neither the steps of those that live nor
/// their runs, so that no answer wakes it.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("steps of dead processes", |tx| {
        let mut cut = 0;
        for row in orphans(tx)? {
            let is_over = tx.get(row.run)?.is_none_or(|run| run.status.has_ended());
            // Whoever takes the run up goes on with what the model has said.
            if is_over || row.reply.is_none() {
                end(tx, row, is_over)?;
                cut += 1;
            }
            if cut == CUT_STEP {
                return Ok(Next::More);
            }
        }
        Ok(Next::Idle)
    })
}

/// Returns the open steps of processes that are gone: their rows go when all their runs are settled.
fn orphans(tx: &Tx) -> Result<Vec<Row<StepRow>>> {
    let mut orphans = Vec::new();
    let mut before: Option<Id<HostRow>> = None;
    // They come in the order of their ids, as the steps do.
    for host in tx.scan(HostRow::all().readable())? {
        let between = match before {
            Some(before) => StepRow::open.gt(before).lt(host.id),
            None => StepRow::open.lt(host.id),
        };
        orphans.extend(tx.scan(between.readable())?);
        before = Some(host.id);
    }
    let behind = match before {
        Some(before) => tx.scan(StepRow::open.gt(before).readable())?,
        None => tx.scan(StepRow::open.all().readable())?,
    };
    orphans.extend(behind);
    Ok(orphans)
}

/// Ends a step whose process has gone, and has its handler told. Its calls keep their results if the run goes on.
pub(super) fn end(tx: &mut Tx, row: Row<StepRow>, run_is_over: bool) -> Result<()> {
    let usage = match &row.reply {
        Some(reply) => reply.finish.usage.clone(),
        None => Usage { input_fresh: row.sent, estimated: true, ..Usage::default() },
    };
    journal::cut(tx, &row, &usage, run_is_over)?;
    let Some(handler) = row.record.on_usage.clone() else { return Ok(()) };
    let values = tx.get(row.run)?.map(|run| Values::of_run(&run)).unwrap_or_default();
    let event = UsageEvent {
        key: key(row.run, row.step, row.attempt),
        kind: row.kind,
        run: row.run,
        root: row.root,
        step: row.step,
        attempt: row.attempt,
        thread: Some(row.thread),
        user: row.record.user,
        agent: row.record.agent,
        values,
        provider: row.record.provider,
        model: row.record.model,
        usage,
        provider_metadata: loomwork_models::ProviderData::new(),
        end: StepEnd::Cut,
        at: tx.now(),
    };
    outbox::put(tx, handler, Told::Usage(Box::new(event)), None)
}
