//! Holding closures up inside a store, so that a test decides what happens meanwhile.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use loomwork_store::Store;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::soon;
use crate::store::Place;
use crate::store::probe::poll_now;

/// How long a closure waits for its test; only one whose test has failed waits so long.
const ABANDONED: Duration = Duration::from_secs(60);

/// Polls a future once, which is what hands a mutation in, and finds it waiting.
pub(super) fn hand_in(future: &mut (impl Future + Unpin)) {
    assert!(poll_now(future).is_pending(), "it has to wait");
}

/// How many mutations run side by side on a place's engine. Ask before a store is open there.
pub(super) fn writers(place: &dyn Place) -> usize {
    place.engine().profile().writers
}

/// A gate that closures wait at, on the store's threads, until the test opens it.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    arrivals: Semaphore,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(super) fn new() -> Self {
        let (arrivals, is_open, opened) = (Semaphore::new(0), Mutex::new(false), Condvar::new());
        Self(Arc::new(Shared { arrivals, is_open, opened }))
    }

    /// Says that a closure is here and waits until the gate is open.
    pub(super) fn pass(&self) {
        self.0.arrivals.add_permits(1);
        let is_open = self.0.is_open.lock().expect("nothing panics while it holds a gate");
        let waited = self.0.opened.wait_timeout_while(is_open, ABANDONED, |is_open| !*is_open);
        let (is_open, _) = waited.expect("nothing panics while it holds a gate");
        let is_open = *is_open;
        assert!(is_open, "the test opens its gate");
    }

    /// Waits until one more closure has arrived.
    pub(super) async fn reached(&self) {
        soon(self.0.arrivals.acquire()).await.expect("a gate's semaphore stays open").forget();
    }

    pub(super) fn open(&self) {
        *self.0.is_open.lock().expect("nothing panics while it holds a gate") = true;
        self.0.opened.notify_all();
    }
}

/// Occupies every writer of a store: what is handed in meanwhile waits in its queue.
pub(super) struct Busy {
    gate: Gate,
    held: JoinSet<loomwork_store::Result<()>>,
}

impl Busy {
    /// Occupies `writers` writers, one after the other.
    pub(super) async fn hold(store: &Store, writers: usize) -> Self {
        let (gate, mut held) = (Gate::new(), JoinSet::new());
        for _ in 0..writers {
            let at = gate.clone();
            let wait = store.mutate(move |_| {
                at.pass();
                Ok(())
            });
            held.spawn(wait.into_future());
            gate.reached().await;
        }
        Self { gate, held }
    }

    /// Lets the writers go on and waits until they have.
    pub(super) async fn end(self) {
        self.gate.open();
        soon(self.held.join_all()).await.into_iter().for_each(|ended| ended.expect("waiting succeeds"));
    }
}
