//! Steps whose process has gone: what they may have used is told, once.

use std::collections::HashSet;

use loomwork_core::Shutdown;
use loomwork_messages::HostRow;
use loomwork_models::Usage;
use loomwork_store::{Result, Row, Store, Table as _, Tx};

use super::report::key;
use crate::journal;
use crate::outbox::{self, Told};
use crate::tables::{StepEnd, StepRow};
use crate::usage::UsageEvent;

/// How many steps one transaction ends.
const CUT_STEP: usize = 64;

/// Ends the steps of processes that are gone, at the start and whenever one goes, until the process ends.
pub(crate) async fn settle_cut(store: Store, shutdown: Shutdown) {
    // Their rows go when all their runs are settled.
    let mut hosts = store.watch(|tx| {
        let hosts = tx.scan(HostRow::all().readable())?;
        Ok(hosts.into_iter().map(|host| host.id).collect::<Vec<_>>())
    });
    loop {
        let seen = tokio::select! {
            () = shutdown.requested() => return,
            seen = hosts.next() => seen,
        };
        match seen {
            Some(Ok(_)) => while store.mutate(cut_some).await.unwrap_or_else(failed) {},
            Some(Err(error)) => drop(failed(error)),
            None => return,
        }
    }
}

fn failed(error: loomwork_store::Error) -> bool {
    tracing::warn!(%error, "what steps of a process that is gone have used is told at the next start");
    false
}

/// Ends some steps, and says whether there may be more.
fn cut_some(tx: &mut Tx) -> Result<bool> {
    let hosts: HashSet<_> = tx.scan(HostRow::all().readable())?.into_iter().map(|host| host.id).collect();
    let orphans = tx.scan(StepRow::open.all().readable())?.into_iter();
    let mut cut = 0;
    for row in orphans.filter(|row| !hosts.contains(&row.host)) {
        let is_over = tx.get(row.run)?.is_none_or(|run| run.status.has_ended());
        // Whoever takes the run up goes on with what the model has said.
        if is_over || row.reply.is_none() {
            end(tx, row, is_over)?;
            cut += 1;
        }
        if cut == CUT_STEP {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends a step whose process has gone, and has its handler told. Its calls keep their results if the run goes on.
pub(super) fn end(tx: &mut Tx, row: Row<StepRow>, run_is_over: bool) -> Result<()> {
    let usage = match &row.reply {
        Some(reply) => reply.finish.usage.clone(),
        None => Usage { input_fresh: row.sent, estimated: true, ..Usage::default() },
    };
    journal::cut(tx, &row, &usage, run_is_over)?;
    let Some(handler) = row.record.on_usage.clone() else { return Ok(()) };
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
        provider: row.record.provider,
        model: row.record.model,
        usage,
        provider_metadata: loomwork_models::ProviderData::new(),
        end: StepEnd::Cut,
        at: tx.now(),
    };
    outbox::put(tx, handler, Told::Usage(Box::new(event)), None)
}
