//! Holding up a store's writer, so that a test decides which mutations share a batch.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Waker};

use loomwork_store::{Result, Store};
use loomwork_testkit::{GUARD, soon};
use tokio::sync::Notify;

/// A mutation in which the writer waits.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    open: Mutex<bool>,
    opened: Condvar,
    reached: Notify,
}

impl Gate {
    /// Waits inside a closure until the gate is open.
    pub(crate) fn pass(&self) {
        self.inner.reached.notify_one();
        let open = self.inner.open.lock().unwrap();
        let (open, _) = self.inner.opened.wait_timeout_while(open, GUARD, |open| !*open).unwrap();
        assert!(*open, "the gate opens");
    }

    pub(crate) fn open(&self) {
        *self.inner.open.lock().unwrap() = true;
        self.inner.opened.notify_all();
    }

    /// Waits until a closure waits.
    pub(crate) async fn reached(&self) {
        soon(self.inner.reached.notified()).await;
    }
}

/// What was handed in and is not answered yet.
pub(crate) type Queued<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Hands a mutation in at once; its answer is awaited later.
pub(crate) fn queued<T>(mutation: impl IntoFuture<Output = T, IntoFuture: Send + 'static>) -> Queued<T> {
    let mut future = Box::pin(mutation.into_future());
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "the writer is held up");
    future
}

/// Holds up the writer: what is handed in before the gate opens waits in the order in which it came.
///
/// It waits in a claim, which shares its batch with claims only.
pub(crate) async fn hold(store: &Store) -> (Gate, Queued<Result<()>>) {
    let gate = Gate::default();
    let inside = gate.clone();
    let held = queued(store.claim_with(move |_| {
        inside.pass();
        Ok(())
    }));
    gate.reached().await;
    (gate, held)
}
