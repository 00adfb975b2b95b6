//! Hosts: which process has which runs in memory, under a lease that a heartbeat renews, and who takes over
//! when it ends.

use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Shutdown, Time};
use loomwork_store::lease::{self, Lease};
use loomwork_store::{Error, Id, Next, Problem, Result, Store, Table, Tx, Upkeep};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::tables::{HostRow, State, WorkflowRow};

/// How often a host renews its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a host's lease lasts: its workflows are taken over when it was not renewed for so long, and at
/// once when the process that owned the store is known to be gone.
pub const LEASE: Duration = Duration::from_secs(15);

/// How long a renewal may take; then the lease is nearly over.
const STANDSTILL: Duration = LEASE.saturating_sub(HEARTBEAT).saturating_sub(HEARTBEAT);

/// How many workflows of a dead host one step sets free.
pub const RECOVERY_STEP: usize = 512;

/// Under which id this process has runs.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) id: Id<HostRow>,
    /// Its runs are another's now.
    pub(crate) lost: CancellationToken,
}

/// The host that this process is now.
#[derive(Debug)]
pub(crate) struct CurrentHost(watch::Sender<Host>);

impl CurrentHost {
    pub(crate) fn new(id: Id<HostRow>) -> Self {
        Self(watch::Sender::new(Host { id, lost: CancellationToken::new() }))
    }

    pub(crate) fn get(&self) -> Host {
        self.0.borrow().clone()
    }

    /// Tells of each host that comes in place of the one before.
    pub(crate) fn watch(&self) -> watch::Receiver<Host> {
        self.0.subscribe()
    }

    /// Goes on under another id; what was in memory under the old one is dropped.
    fn replace(&self, id: Id<HostRow>) {
        let old = self.0.send_replace(Host { id, lost: CancellationToken::new() });
        old.lost.cancel();
    }
}

/// Enters a host.
pub(crate) fn register(tx: &mut Tx) -> Result<Id<HostRow>> {
    let id = tx.new_id();
    let lease = free_lease(tx, id)?;
    tx.insert_at(id, HostRow { lease, buried: false })?;
    Ok(id)
}

/// Hosts take the first free of numbered leases, since a lease's name is never forgotten.
fn free_lease(tx: &mut Tx, id: Id<HostRow>) -> Result<Lease> {
    let mut number = 0_u32;
    loop {
        let name = format!("workflow host {number}");
        if let Some(lease) = lease::acquire(tx, &name, &id.to_string(), LEASE)? {
            return Ok(lease);
        }
        number += 1;
    }
}

/// Renews a host's lease; `false` when its runs were taken over. A lease that ran out unnoticed is taken again.
pub(crate) fn beat(tx: &mut Tx, id: Id<HostRow>) -> Result<bool> {
    let Some(host) = tx.get(id)?.filter(|host| !host.buried) else { return Ok(false) };
    let held = lease::check(tx, &host.lease).is_ok();
    let lease = if held { lease::renew(tx, &host.lease, LEASE)? } else { free_lease(tx, id)? };
    tx.update(id, |host| host.lease = lease)?;
    Ok(true)
}

/// Whether a host may take runs.
pub(crate) fn is_entitled(tx: &Tx, id: Id<HostRow>) -> Result<bool> {
    Ok(tx.get(id)?.is_some_and(|host| !host.buried && lease::check(tx, &host.lease).is_ok()))
}

/// Sets the runs of dead hosts free. This process knows that it lives itself, even if its clock was stopped
/// for longer than a lease.
pub(crate) fn recovery(own: Arc<CurrentHost>) -> Upkeep {
    Upkeep::new("workflow recovery", move |tx| {
        let own = own.get().id;
        let mut next: Option<Time> = None;
        for host in tx.scan(HostRow::all().readable())? {
            if host.id == own {
                continue;
            }
            if host.buried || lease::check(tx, &host.lease).is_err() {
                bury(tx, host.id)?;
                return Ok(Next::More);
            }
            let expires = host.lease.expires;
            next = Some(next.map_or(expires, |next| next.min(expires)));
        }
        Ok(next.map_or(Next::Idle, Next::At))
    })
}

/// Sets the runs of a host free, some at a time, and then forgets it; `false` when it is gone.
pub(crate) fn bury(tx: &mut Tx, id: Id<HostRow>) -> Result<bool> {
    let Some(host) = tx.get(id)? else { return Ok(false) };
    let now = tx.now();
    let runs = tx.scan(WorkflowRow::by_host.eq(id).readable().take(RECOVERY_STEP))?;
    if runs.is_empty() {
        let _ = lease::release(tx, &host.lease);
        tx.delete(id)?;
        return Ok(false);
    }
    for run in runs {
        tx.update(run.id, |run| {
            run.state = State::Ready;
            run.host = None;
            run.woken = now;
        })?;
    }
    if !host.buried {
        tx.update(id, |host| host.buried = true)?;
    }
    Ok(true)
}

/// Enters a host in place of one that is to have nothing any more.
fn succeed(tx: &mut Tx, lost: Id<HostRow>) -> Result<Id<HostRow>> {
    if tx.get_readable(lost)?.is_some() {
        tx.update(lost, |host| host.buried = true)?;
    }
    register(tx)
}

/// Renews the lease until the engine or its store ends.
pub(crate) async fn keep_alive(store: Store, host: Arc<CurrentHost>, shutdown: Shutdown) {
    let clock = store.clock().clone();
    let mut renewed = clock.now();
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = clock.sleep(HEARTBEAT) => {}
        }
        let now = host.get();
        let beating = store.mutate(move |tx| beat(tx, now.id)).relaxed();
        tokio::select! {
            biased;
            beat = beating => match beat {
                Ok(true) => renewed = clock.now(),
                Ok(false) => {
                    tracing::error!(host = %now.id, "this host's workflows were taken over; it goes on as a new one");
                    now.lost.cancel();
                }
                Err(error) if is_closed(&error) => return now.lost.cancel(),
                Err(error) => tracing::error!(host = %now.id, %error, "a host's lease cannot be renewed"),
            },
            () = clock.sleep(STANDSTILL) => {
                tracing::error!(host = %now.id, "the store stands still; this host's workflows are given up");
                now.lost.cancel();
            }
        }
        // Before the lease is over: whoever takes over should find nothing running any more.
        if clock.now().since(renewed) >= LEASE - HEARTBEAT {
            now.lost.cancel();
        }
        if now.lost.is_cancelled()
            && let Ok(id) = store.mutate(move |tx| succeed(tx, now.id)).await
        {
            renewed = clock.now();
            host.replace(id);
        }
    }
}

/// Whether there is no store to go on with.
pub(crate) fn is_closed(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(Problem::Closed))
}
