//! Upkeep: the one kind of durable loop.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy, Tasks, Time};

use crate::error::Result;
use crate::live::Watcher;
use crate::store::Store;
use crate::tx::Tx;

/// When an upkeep wants to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once: there is more to do than one mutation should.
    More,
    /// At this time, or earlier if a commit touches what it read.
    At(Time),
    /// When a commit touches what it read.
    Idle,
}

type Step = Arc<dyn Fn(&mut Tx) -> Result<(Next, AfterCommit)> + Send + Sync>;

/// What is done when a step is committed.
pub type AfterCommit = Box<dyn FnOnce() + Send>;

/// A mutation that runs again and again: at start, whenever another commit touches what it read,
/// and when it asked for it. Clean-up, expiry, settlement and dispatch are upkeep.
///
/// Its own writes do not wake it. An error, or a panic, is logged, and the step is tried again
/// after a pause.
#[derive(Clone)]
pub struct Upkeep {
    name: &'static str,
    step: Step,
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeep").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Upkeep {
    /// An upkeep whose every run is one mutation.
    pub fn new(name: &'static str, step: impl Fn(&mut Tx) -> Result<Next> + Send + Sync + 'static) -> Self {
        Self::followed_up(name, move |tx| Ok((step(tx)?, Box::new(|| {}))))
    }

    /// An upkeep that follows each step up, such as by counting what it did: once, behind its commit, and
    /// not at all if the upkeep is ended at that moment.
    pub fn followed_up(
        name: &'static str,
        step: impl Fn(&mut Tx) -> Result<(Next, AfterCommit)> + Send + Sync + 'static,
    ) -> Self {
        Self { name, step: Arc::new(step) }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Store {
    /// Starts an upkeep as one of `tasks`; it ends with them or with the store.
    pub fn start_upkeep(&self, tasks: &Tasks, upkeep: Upkeep) {
        let store = self.clone();
        tasks.spawn(upkeep.name, |shutdown| async move {
            let registered = Registered { watcher: store.inner.live.watcher(), store };
            tokio::select! {
                () = shutdown.requested() => {}
                () = registered.run(upkeep) => {}
            }
        });
    }
}

/// An upkeep's place among the live queries; dropping it gives the place back.
struct Registered {
    store: Store,
    watcher: Arc<Watcher>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.store.inner.live.remove(&self.watcher);
    }
}

impl Registered {
    async fn run(&self, upkeep: Upkeep) {
        let pauses = RetryPolicy::default();
        let mut failures = 0;
        while !self.store.is_closed() {
            let until = match self.step(&upkeep).await {
                Ok(Next::More) => {
                    failures = 0;
                    continue;
                }
                Ok(Next::At(time)) => {
                    failures = 0;
                    Some(time)
                }
                Ok(Next::Idle) => {
                    failures = 0;
                    None
                }
                Err(error) if error.kind() == Kind::Unavailable && self.store.is_closed() => return,
                Err(error) => {
                    failures += 1;
                    let pause = pauses.delay(failures, &self.store.inner.context.random);
                    tracing::error!(upkeep = upkeep.name, %error, ?pause, "an upkeep step failed and will be tried again");
                    self.pause(pause).await;
                    continue;
                }
            };
            self.wait(until).await;
        }
    }

    async fn step(&self, upkeep: &Upkeep) -> Result<Next> {
        let step = upkeep.step.clone();
        let (done, mark) = self.store.mutate_tracked(move |tx| step(tx)).await;
        // Its own commit is no news to it; any other one may be.
        self.store.inner.live.settle(&self.watcher, done.reads, &mark, Some(done.position));
        let (next, follow_up) = done.result?;
        follow_up();
        Ok(next)
    }

    /// Waits until a commit has touched what the last step read, or until `time`.
    async fn wait(&self, time: Option<Time>) {
        let concerned = self.woken(|is_stale| is_stale);
        match time {
            None => concerned.await,
            Some(time) => tokio::select! {
                () = concerned => {}
                () = self.store.clock().sleep_until(time) => {}
            },
        }
    }

    /// Waits for the time of a pause, whatever is committed meanwhile.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.woken(|_| false) => {}
            () = self.store.clock().sleep(pause) => {}
        }
    }

    /// Waits until the upkeep is as stale as `enough` says, or the store is closed.
    async fn woken(&self, enough: impl Fn(bool) -> bool) {
        std::future::poll_fn(|cx| {
            // Asked first, since it registers the waker: what happens after that is not missed.
            let is_stale = self.watcher.poll_stale(cx.waker());
            if enough(is_stale) || self.store.is_closed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
