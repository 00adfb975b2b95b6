//! Background tasks that have an owner, a name and an end.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{Fault, Kind};

/// How long a shutdown waits for the tasks that it aborted. They are dropped at their next await, so
/// only one that blocks its thread takes longer.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Owns the background tasks of something, and ends them with it.
///
/// Clones own the same tasks. When the last one is dropped, the tasks are asked to end, as by
/// [`shutdown`](Self::shutdown), but nobody waits for them. So a task must not hold a clone of its own
/// owner.
///
/// ```
/// use std::time::Duration;
/// use loomwork_core::{Clock, Tasks};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), loomwork_core::StillRunning> {
/// let tasks = Tasks::new();
/// let clock = Clock::system();
/// tasks.spawn("heartbeat", |shutdown| async move {
///     while !shutdown.is_requested() {
///         tokio::select! {
///             () = shutdown.requested() => {}
///             () = clock.sleep(Duration::from_secs(10)) => { /* beat */ }
///         }
///     }
/// });
/// assert_eq!(tasks.running(), ["heartbeat"]);
/// tasks.shutdown(Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Tasks {
    owner: Arc<Owner>,
}

#[derive(Default)]
struct Owner {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    abort: CancellationToken,
    names: Arc<Names>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Tasks {
    /// Returns an owner without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task; after a shutdown was requested, `work` is dropped instead.
    ///
    /// The task ends when its future does; it should do so soon after [`Shutdown::requested`]. If it
    /// panics, that is logged with its name, and the other tasks go on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, name: impl Into<String>, work: impl FnOnce(Shutdown) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Handle::current();
        let name = name.into();
        let span = tracing::info_span!("task", name);
        let shutdown = Shutdown(self.owner.shutdown.clone());
        let work = async move { work(shutdown).await };
        let named = Named::new(&self.owner.names, name);
        let task = run(named, self.owner.abort.clone(), work).instrument(span);
        // Tracked before the look: a shutdown at this moment is either seen here, or waits for the task.
        let task = self.owner.tracker.track_future(task);
        if !self.owner.shutdown.is_cancelled() {
            runtime.spawn(task);
        }
    }

    /// Returns the names of the tasks that have not ended, oldest first.
    pub fn running(&self) -> Vec<String> {
        self.owner.names.lock().running.values().cloned().collect()
    }

    /// Asks all tasks to end, waits for them, and aborts those that have not ended after `deadline`.
    ///
    /// The deadline is real time, since a process has to end even where a clock stands still. A task
    /// that waits here for its own owner waits for itself, until the deadline.
    ///
    /// Cancel safety: the request stays; call again to wait again.
    ///
    /// # Errors
    ///
    /// Names the tasks that were aborted. They are gone, except those that block their thread.
    #[expect(clippy::disallowed_methods, reason = "a process has to end even where a clock stands still")]
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), StillRunning> {
        let owner = &self.owner;
        owner.shutdown.cancel();
        owner.tracker.close();
        if timeout(deadline, owner.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let names = self.running();
        owner.abort.cancel();
        if timeout(ABORT_GRACE, owner.tracker.wait()).await.is_err() {
            tracing::error!(tasks = ?self.running(), "aborted tasks block their threads");
        }
        if names.is_empty() { Ok(()) } else { Err(StillRunning { names }) }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tasks").field("running", &self.running()).finish_non_exhaustive()
    }
}

/// Tells a task of [`Tasks`] that it should end.
#[derive(Clone, Debug)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Returns whether the task should end.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the task should end.
    ///
    /// Cancel safety: it changes nothing and may be dropped at any time.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}

/// Tasks did not end in time and were aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("background tasks did not end in time: {}", names.join(", "))]
pub struct StillRunning {
    /// The names of the tasks.
    pub names: Vec<String>,
}

impl Fault for StillRunning {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}

/// The life of one task. Its name leaves the list with it, however it ends.
async fn run(named: Named, abort: CancellationToken, work: impl Future<Output = ()> + Send) {
    match abort.run_until_cancelled(catch_panic(work)).await {
        Some(Ok(())) => tracing::debug!(task = named.name, "background task ended"),
        Some(Err(panic)) => {
            let panic = panic_message(panic.as_ref());
            tracing::error!(task = named.name, panic, "background task panicked");
        }
        None => tracing::warn!(task = named.name, "background task aborted"),
    }
}

/// Asserts unwind safety because work that panicked is never polled again, only dropped.
async fn catch_panic(work: impl Future<Output = ()> + Send) -> Result<(), Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

/// The names of the running tasks, by the order in which they were spawned.
#[derive(Default)]
struct Names(Mutex<NameList>);

#[derive(Default)]
struct NameList {
    spawned: u64,
    running: BTreeMap<u64, String>,
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, NameList> {
        self.0.lock().expect("nothing panics while it holds the names")
    }
}

/// A task's place in the list, given up on drop.
struct Named {
    names: Arc<Names>,
    number: u64,
    name: String,
}

impl Named {
    fn new(names: &Arc<Names>, name: String) -> Self {
        let mut list = names.lock();
        list.spawned += 1;
        let number = list.spawned;
        list.running.insert(number, name.clone());
        drop(list);
        Self { names: names.clone(), number, name }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.names.lock().running.remove(&self.number);
    }
}
