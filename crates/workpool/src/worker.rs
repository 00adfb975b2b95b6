//! Workers: who runs jobs, under a lease that a heartbeat renews, and who takes over when it ends.

use std::sync::Arc;
use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::lease::{self, Lease};
use loomwork_store::{AfterCommit, Id, Next, Result, Table, Tx, Upkeep};

use crate::aside::set_aside;
use crate::conclude::{Completions, Settled, conclude};
use crate::failure::AttemptEnd;
use crate::process::Process;
use crate::tables::{JobRow, WorkerRow};

/// How often a worker renews its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a worker's lease lasts: its jobs are taken over when it was not renewed for so long, and
/// at once when the process that owned the store is known to be gone.
pub const LEASE: Duration = Duration::from_secs(15);

/// How many jobs of a dead worker one step takes over.
pub const RECOVERY_STEP: usize = 64;

/// Enters a worker.
pub(crate) fn register(tx: &mut Tx) -> Result<Id<WorkerRow>> {
    let id = tx.new_id();
    let lease = free_lease(tx, id)?;
    tx.insert_at(id, WorkerRow { lease, buried: false })?;
    Ok(id)
}

/// Workers take the first free of numbered leases, since a lease's name is never forgotten.
fn free_lease(tx: &mut Tx, id: Id<WorkerRow>) -> Result<Lease> {
    let mut number = 0_u32;
    loop {
        let name = format!("workpool worker {number}");
        if let Some(lease) = lease::acquire(tx, &name, &id.to_string(), LEASE)? {
            return Ok(lease);
        }
        number += 1;
    }
}

/// Renews a worker's lease; `false` when its jobs were taken over. A lease that ran out unnoticed is
/// taken again.
pub(crate) fn beat(tx: &mut Tx, id: Id<WorkerRow>) -> Result<bool> {
    let Some(worker) = tx.get(id)?.filter(|worker| !worker.buried) else { return Ok(false) };
    let held = lease::check(tx, &worker.lease).is_ok();
    let lease = if held { lease::renew(tx, &worker.lease, LEASE)? } else { free_lease(tx, id)? };
    tx.update(id, |worker| worker.lease = lease)?;
    Ok(true)
}

/// Whether a worker may take jobs.
pub(crate) fn is_entitled(tx: &Tx, id: Id<WorkerRow>) -> Result<bool> {
    Ok(tx.get(id)?.is_some_and(|worker| !worker.buried && lease::check(tx, &worker.lease).is_ok()))
}

/// Takes over what dead workers ran. This process knows that it lives itself, even if its clock was
/// stopped for longer than a lease.
pub(crate) fn recovery(process: Arc<Process>) -> Upkeep {
    let nothing = || -> AfterCommit { Box::new(|| {}) };
    Upkeep::followed_up("workpool recovery", move |tx| {
        let own = process.worker().id;
        let mut next: Option<Time> = None;
        for worker in tx.scan(WorkerRow::all().readable())? {
            if worker.id == own {
                continue;
            }
            if worker.buried || lease::check(tx, &worker.lease).is_err() {
                let lost = bury(tx, &process.completions, worker.id)?.unwrap_or_default();
                let process = process.clone();
                return Ok((Next::More, Box::new(move || process.counting.take_over(&lost))));
            }
            let expires = worker.lease.expires;
            next = Some(next.map_or(expires, |next| next.min(expires)));
        }
        Ok((next.map_or(Next::Idle, Next::At), nothing()))
    })
}

/// Ends the attempts of a worker as lost, some at a time, and then the worker. Returns what became of the
/// jobs; `None` when the worker is gone.
pub(crate) fn bury(
    tx: &mut Tx,
    completions: &Completions,
    id: Id<WorkerRow>,
) -> Result<Option<Vec<Settled>>> {
    let Some(worker) = tx.get(id)? else { return Ok(None) };
    let jobs = tx.scan(JobRow::by_worker.eq(id).readable().take(RECOVERY_STEP))?;
    if jobs.is_empty() {
        let unreadable = tx.ids(JobRow::by_worker.eq(id))?;
        set_aside(tx, &unreadable)?;
        let _ = lease::release(tx, &worker.lease);
        tx.delete(id)?;
        return Ok(None);
    }
    tracing::warn!(worker = %id, jobs = jobs.len(), "taking over the jobs of a worker that is gone");
    let lost = jobs.into_iter().map(|job| conclude(tx, completions, job, AttemptEnd::Lost));
    let lost = lost.collect::<Result<_>>()?;
    tx.update(id, |worker| worker.buried = true)?;
    Ok(Some(lost))
}
