//! A process's part in running workflows, from start to shutdown.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Fault, Kind, Shutdown, Tasks, crash_point};
use loomwork_store::{Error, Result, Store, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};

use crate::blocked::{try_at_start, trying_again};
use crate::claim::{CLAIM_STEP, Taken, claim, is_claimable};
use crate::clean::{retention, sweeping};
use crate::completion::{Completions, telling};
use crate::driver::{Handlers, Shared, drive};
use crate::flow::Flow;
use crate::forgetting::forgetting;
use crate::host::{CurrentHost, Host, beat, bury, is_closed, keep_alive, recovery, register};
use crate::limits::MAX_TEXT_BYTES;
use crate::machine::Handler;
use crate::outcome::Done;
use crate::steps::result;
use crate::timers::{starts, timers};
use crate::workflow::{Completion, Workflow};

/// How long a run waits in memory before it is put away, by default.
pub const IDLE: Duration = Duration::from_secs(10);

/// How many runs are in memory at most, by default.
pub const RESIDENT: usize = 10_000;

/// How long a loop waits after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// How often takers look without being woken: a hint from another process may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a shutdown waits for the loops themselves, which have nothing long to do.
const LOOP_DEADLINE: Duration = Duration::from_secs(5);

/// Why an engine cannot be started as it was described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two functions for one name.
    #[error("the {what} {name:?} is registered twice; give each its own name")]
    Twice {
        /// Workflow or completion.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A name that no workflow could be started under.
    #[error("the {what} name {name:?} has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}", bytes = name.len())]
    BadName {
        /// Workflow or completion.
        what: &'static str,
        /// The name.
        name: &'static str,
    },
    /// No room for any workflow.
    #[error("an engine of 0 resident workflows runs none; let it have at least 1")]
    NoRoom,
}

impl Fault for BuildError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Describes a [`Workflows`]; nothing runs before [`start`](Self::start).
#[must_use = "nothing runs before `start` is awaited"]
pub struct Builder {
    store: Store,
    handlers: HashMap<&'static str, Handler>,
    completions: Completions,
    idle: Duration,
    resident: usize,
    /// The first mistake; `start` tells it.
    mistake: Option<BuildError>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workflows", &self.handlers.keys())
            .field("completions", &self.completions)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Binds a workflow to its code: any async function whose awaits are steps. It returns a result, or an error
    /// that ends it as failed.
    pub fn on<I, R, F, W>(mut self, workflow: Workflow<I, R>, code: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(Flow, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R>> + Send + 'static,
    {
        let name = workflow.name;
        self.check_name("workflow", name);
        let code = Arc::new(code);
        let handler: Handler = Arc::new(move |flow, input| {
            let code = code.clone();
            Box::pin(async move {
                let input: I = serde_json::from_str(input.get()).map_err(|error| {
                    let message = format!(
                        "the input of workflow {name:?} is not what this program takes it for: {error}"
                    );
                    Error::message(Kind::Invalid, message)
                })?;
                result(&code(flow, input).await?)
            })
        });
        if self.handlers.insert(name, handler).is_some() {
            self.refuse(BuildError::Twice { what: "workflow", name });
        }
        self
    }

    /// Binds a completion. It runs in the transaction that ends a workflow, or, where that was cancelled, right
    /// behind it; exactly once either way. If it fails, its writes are undone, the end stays, and it is tried
    /// again by itself until it is dead.
    pub fn on_done<C, R, F>(mut self, completion: Completion<C, R>, handler: F) -> Self
    where
        C: DeserializeOwned + 'static,
        R: DeserializeOwned + 'static,
        F: Fn(&mut Tx, Done<C, R>) -> Result<()> + Send + Sync + 'static,
    {
        let name = completion.name;
        self.check_name("completion", name);
        let handler = Arc::new(move |tx: &mut Tx, told| handler(tx, Done::decode(&told)?));
        if self.completions.0.insert(name, handler).is_some() {
            self.refuse(BuildError::Twice { what: "completion", name });
        }
        self
    }

    /// Says how long a run may wait in memory before it is put away; then it costs rows alone, and is run again
    /// from its journal when something comes. Default: [`IDLE`].
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Says how many runs may be in memory. When others wait for a place, those that wait for something are put
    /// away at once. Default: [`RESIDENT`].
    pub fn resident(mut self, resident: usize) -> Self {
        if resident == 0 {
            self.refuse(BuildError::NoRoom);
        }
        self.resident = resident.min(Semaphore::MAX_PERMITS);
        self
    }

    /// Starts to run workflows, as background tasks of this process. Those that are blocked are tried again behind
    /// that, since this may be the code that they wait for.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] for what does not fit together; when the store cannot be written, or was opened without
    /// [`tables`](crate::tables()).
    pub async fn start(mut self) -> Result<Workflows> {
        match self.mistake.take() {
            Some(mistake) => Err(mistake.into()),
            None => Workflows::start(self).await,
        }
    }

    fn check_name(&mut self, what: &'static str, name: &'static str) {
        if name.is_empty() || name.len() > MAX_TEXT_BYTES {
            self.refuse(BuildError::BadName { what, name });
        }
    }

    fn refuse(&mut self, mistake: BuildError) {
        self.mistake.get_or_insert(mistake);
    }
}

/// Runs the workflows of a store in this process. One is enough; others, in this process or another, share the
/// work.
///
/// [`shutdown`](Self::shutdown) ends it. When it is dropped instead, its runs begin nothing more and are given back
/// as the actions in them end; nobody waits for that.
#[derive(Debug)]
pub struct Workflows {
    shared: Arc<Shared>,
    host: Arc<CurrentHost>,
    /// Takes runs. It ends first.
    takers: Tasks,
    /// Drive them.
    runs: Tasks,
    /// Look after them. They end last.
    loops: Tasks,
    places: Arc<Semaphore>,
    resident: usize,
}

impl Workflows {
    /// Begins to describe what this process runs.
    pub fn builder(store: &Store) -> Builder {
        Builder {
            store: store.clone(),
            handlers: HashMap::new(),
            completions: Completions::default(),
            idle: IDLE,
            resident: RESIDENT,
            mistake: None,
        }
    }

    async fn start(builder: Builder) -> Result<Self> {
        let Builder { store, handlers, completions, idle, resident, .. } = builder;
        let names: Arc<[&'static str]> = handlers.keys().copied().collect();
        let host = Arc::new(CurrentHost::new(store.mutate(register).await?));
        let shared = Arc::new(Shared {
            store: store.clone(),
            handlers: Handlers(handlers),
            completions: Arc::new(completions),
            idle,
            crowded: watch::Sender::new(false),
        });
        let engine = Self {
            shared: shared.clone(),
            host: host.clone(),
            takers: Tasks::new(),
            runs: Tasks::new(),
            loops: Tasks::new(),
            places: Arc::new(Semaphore::new(resident)),
            resident,
        };
        let (alive, current) = (store.clone(), host.clone());
        engine.loops.spawn("workflow heartbeat", |shutdown| keep_alive(alive, current, shutdown));
        let upkeeps = [
            recovery(host.clone()),
            timers(),
            starts(),
            telling(shared.completions.clone()),
            sweeping(),
            retention(),
            forgetting(),
            trying_again(names.clone()),
        ];
        for upkeep in upkeeps {
            store.start_upkeep(&engine.loops, upkeep);
        }
        let (blocked, of) = (store.clone(), names.clone());
        engine.loops.spawn("workflow blocked at start", |shutdown| try_at_start(blocked, of, shutdown));
        let taker = Taker { shared, host, names, runs: engine.runs.clone(), places: engine.places.clone() };
        engine.takers.spawn("workflow taker", |shutdown| taker.run(shutdown));
        Ok(engine)
    }

    /// Returns how many runs are in memory.
    pub fn resident(&self) -> usize {
        self.resident - self.places.available_permits().min(self.resident)
    }

    /// Takes no further run, lets the actions that run within runs come to their end, and aborts after `deadline`
    /// (real time) those that do not. Its runs are then free for others.
    ///
    /// # Cancel safety
    /// The request to end stays; call again to wait again.
    ///
    /// # Errors
    /// When the store cannot be written: then its runs are taken over when the host's lease ends.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let log = |ended: Result<(), loomwork_core::StillRunning>| {
            if let Err(error) = ended {
                tracing::warn!(%error, "an engine's shutdown had to abort");
            }
        };
        log(self.takers.shutdown(LOOP_DEADLINE).await);
        log(self.runs.shutdown(deadline).await);
        log(self.loops.shutdown(LOOP_DEADLINE).await);
        let host = self.host.get().id;
        while self.shared.store.mutate(move |tx| bury(tx, host)).await? {}
        Ok(())
    }
}

/// Whether there is something to take. That there is is always news: the same answer twice means that there is
/// more.
#[derive(Clone, Debug)]
struct News(bool);

impl PartialEq for News {
    fn eq(&self, other: &Self) -> bool {
        !self.0 && !other.0
    }
}

/// Takes runs whenever some are ready and there is room in memory.
struct Taker {
    shared: Arc<Shared>,
    host: Arc<CurrentHost>,
    names: Arc<[&'static str]>,
    runs: Tasks,
    places: Arc<Semaphore>,
}

impl Taker {
    async fn run(self, shutdown: Shutdown) {
        let (store, names) = (&self.shared.store, self.names.clone());
        let mut news = store.watch(move |tx| is_claimable(tx, &names).map(News));
        let mut hosts = self.host.watch();
        loop {
            let looked = tokio::select! {
                biased;
                () = shutdown.requested() => return,
                news = news.next() => match news {
                    None => return,
                    Some(news) => news.map(|news| news.0),
                },
                // Nothing could be taken while there was none.
                Ok(()) = hosts.changed() => Ok(true),
                () = store.clock().sleep(LOOK_EVERY) => Ok(true),
            };
            let took = match looked {
                Ok(true) => self.take_all(&shutdown).await,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            let Err(error) = took else { continue };
            if is_closed(&error) {
                return;
            }
            tracing::error!(%error, "no workflows can be taken; it is tried again");
            tokio::select! {
                () = shutdown.requested() => return,
                () = store.clock().sleep(FAILURE_PAUSE) => {}
            }
        }
    }

    async fn take_all(&self, shutdown: &Shutdown) -> Result<()> {
        while !shutdown.is_requested() {
            if self.places.available_permits() == 0 && !self.is_wanted().await? {
                return Ok(());
            }
            let Some(count) = self.room(shutdown).await else { return Ok(()) };
            let (host, taken) = self.take(count).await?;
            crash_point("workflow.taken");
            if taken.is_empty() {
                return Ok(());
            }
            for taken in taken {
                // Nobody else takes places, so there is one for each run that was taken.
                let Ok(place) = self.places.clone().acquire_owned().await else { return Ok(()) };
                let (shared, host) = (self.shared.clone(), host.clone());
                self.runs.spawn(taken.run.name.clone(), |shutdown| {
                    // Boxed, since a task's future is moved several times before it runs.
                    Box::pin(drive(shared, host, taken, place, shutdown))
                });
            }
        }
        Ok(())
    }

    /// Whether a run is ready, so that others make room for it.
    async fn is_wanted(&self) -> Result<bool> {
        let names = self.names.clone();
        self.shared.store.query(move |tx| is_claimable(tx, &names)).await
    }

    /// Waits for room; while there is none, runs that wait for something are put away.
    async fn room(&self, shutdown: &Shutdown) -> Option<usize> {
        if self.places.available_permits() == 0 {
            self.shared.crowded.send_replace(true);
            let is_free = tokio::select! {
                () = shutdown.requested() => false,
                place = self.places.acquire() => place.is_ok(),
            };
            self.shared.crowded.send_replace(false);
            if !is_free {
                return None;
            }
        }
        Some(self.places.available_permits().clamp(1, CLAIM_STEP))
    }

    /// Takes ready runs, and returns them with the host that they are this process's under. The commit is relaxed: if a power failure undoes it, they are ready again, and nothing
    /// that came of it is on record.
    async fn take(&self, count: usize) -> Result<(Host, Vec<Taken>)> {
        let host = self.host.get();
        if host.lost.is_cancelled() {
            return Ok((host, Vec::new()));
        }
        let (store, id) = (&self.shared.store, host.id);
        let names = self.names.clone();
        let taken = store.claim_with(move |tx| claim(tx, id, &names, count)).relaxed().await?;
        if let Some(taken) = taken {
            return Ok((host, taken));
        }
        // A clock that leaps, as after a machine's sleep, ends a lease before its heartbeat is due.
        if !store.mutate(move |tx| beat(tx, id)).relaxed().await? {
            return Ok((host, Vec::new()));
        }
        let names = self.names.clone();
        let taken = store.claim_with(move |tx| claim(tx, id, &names, count)).relaxed().await?;
        Ok((host, taken.unwrap_or_default()))
    }
}
