//! Hosts: the processes that drive runs, each under a lease that a heartbeat renews.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork_core::{Shutdown, Tasks};
use loomwork_store::lease::{self, Lease};
use loomwork_store::{Id, Result, Store, Tx};

use super::end::settle_orphans;
use super::{Hold, RunError, take};
use crate::tables::{HostRow, RunId};

/// How often a host renews its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a host's lease lasts: its runs are taken from it when it was not renewed for so long, and at
/// once when the process that owned the store is known to be gone.
pub const LEASE: Duration = Duration::from_secs(15);

/// This process's part in the runs of a store.
#[derive(Clone, Debug)]
pub struct Host {
    store: Store,
    id: Arc<Mutex<Id<HostRow>>>,
    /// One beat at a time: two that find the host gone would enter it twice.
    beating: Arc<tokio::sync::Mutex<()>>,
}

impl Host {
    /// Enters this process, renews its lease until the tasks end, and takes their runs from processes that
    /// are gone.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn start(store: &Store, tasks: &Tasks) -> Result<Self> {
        let id = store.mutate(register).await?;
        let host = Self { store: store.clone(), id: Arc::new(Mutex::new(id)), beating: Arc::default() };
        let beating = host.clone();
        tasks.spawn("heartbeat of runs", |shutdown| async move { beating.beat_until(shutdown).await });
        // It knows that it lives, even if its clock was stopped for longer than a lease.
        let own = host.clone();
        store.start_upkeep(tasks, settle_orphans(move || own.id()));
        Ok(host)
    }

    /// Returns the id under which it takes runs.
    pub fn id(&self) -> Id<HostRow> {
        *self.id.lock().expect("nothing panics while the id is held")
    }

    /// Takes a run, as [`take`] does. If the lease ran out unnoticed, the clock having leapt, it is renewed
    /// first.
    ///
    /// # Errors
    /// As [`take`].
    pub async fn take(&self, run: RunId) -> Result<Option<Hold>> {
        self.write(move |tx, host| take(tx, host, run)).await
    }

    /// Runs a mutation that takes runs under the id of this process. If the lease ran out unnoticed, the clock
    /// having leapt, it is renewed first, and the mutation runs anew.
    ///
    /// # Errors
    /// Those of the mutation.
    pub async fn write<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx, Id<HostRow>) -> Result<T> + Clone + Send + 'static,
    {
        let (id, first) = (self.id(), write.clone());
        match self.store.mutate(move |tx| first(tx, id)).await {
            Err(error) if matches!(error.downcast_ref(), Some(RunError::HostGone { .. })) => {
                self.beat().await?;
                let id = self.id();
                self.store.mutate(move |tx| write(tx, id)).await
            }
            written => written,
        }
    }

    async fn beat_until(&self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.requested() => return self.leave().await,
                () = self.store.clock().sleep(HEARTBEAT) => {}
            }
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "a heartbeat of runs failed; the next one tries again");
            }
        }
    }

    /// Gives the lease back, so that others need not wait for its end.
    async fn leave(&self) {
        let id = self.id();
        let left = self.store.mutate(move |tx| match tx.get(id)? {
            Some(host) => lease::release(tx, &host.lease),
            None => Ok(()),
        });
        if let Err(error) = left.relaxed().await {
            tracing::debug!(%error, "the lease of runs ends by itself");
        }
    }

    /// Renews the lease; a host that was taken for dead comes back under another id, without its runs.
    async fn beat(&self) -> Result<()> {
        let _turn = self.beating.lock().await;
        let id = self.id();
        if self.store.mutate(move |tx| beat(tx, id)).relaxed().await? {
            return Ok(());
        }
        tracing::warn!(host = %id, "this process was taken for dead, and has lost its runs");
        let next = self.store.mutate(register).await?;
        *self.id.lock().expect("nothing panics while the id is held") = next;
        Ok(())
    }
}

fn register(tx: &mut Tx) -> Result<Id<HostRow>> {
    let id = tx.new_id();
    let lease = free_lease(tx, id)?;
    tx.insert_at(id, HostRow { lease, buried: false })?;
    Ok(id)
}

/// Hosts take the first free of numbered leases, since a lease's name is never forgotten.
fn free_lease(tx: &mut Tx, id: Id<HostRow>) -> Result<Lease> {
    let mut number = 0_u32;
    loop {
        let name = format!("runs {number}");
        if let Some(lease) = lease::acquire(tx, &name, &id.to_string(), LEASE)? {
            return Ok(lease);
        }
        number += 1;
    }
}

/// Renews a host's lease; `false` when its runs are being taken from it. A lease that ran out unnoticed is
/// taken again.
fn beat(tx: &mut Tx, id: Id<HostRow>) -> Result<bool> {
    let Some(host) = tx.get(id)?.filter(|host| !host.buried) else { return Ok(false) };
    let held = lease::check(tx, &host.lease).is_ok();
    let lease = if held { lease::renew(tx, &host.lease, LEASE)? } else { free_lease(tx, id)? };
    tx.update(id, |host| host.lease = lease)?;
    Ok(true)
}

/// Whether a host may take runs.
pub(super) fn is_entitled(tx: &Tx, id: Id<HostRow>) -> Result<bool> {
    Ok(tx.get(id)?.is_some_and(|host| !host.buried && lease::check(tx, &host.lease).is_ok()))
}
