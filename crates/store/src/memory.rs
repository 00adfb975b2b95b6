//! An engine in memory, stricter than the real ones: for tests, examples, and as their model.

mod session;
mod state;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loomwork_core::Random;

use crate::engine::{Engine, Others, Profile, Role, Seq, Session, Shape, Touched};
use crate::error::Result;

use session::MemorySession;
use state::{Commits, State};

/// Ordered maps with snapshots. Clones share their rows, so a store can be closed and opened again,
/// or, where the options say so, opened several times at once.
///
/// [`Memory::strict`] runs several writers side by side on snapshots and lets only those commit
/// whose reads still hold, as a serialisable database does: wrong assumptions fail early.
pub struct Memory {
    shared: Arc<Shared>,
    options: MemoryOptions,
    /// Each clone stands for a process of its own.
    process: u64,
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        let process = self.shared.processes.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone(), options: self.options.clone(), process }
    }
}

/// How the in-memory engine behaves.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// How many mutations run side by side. Above one, they conflict as those of a database
    /// server do. Default 1.
    pub writers: usize,
    /// How many queries run side by side. Default 4.
    pub readers: usize,
    /// How many mutations may share one commit. Default 256.
    pub batch: usize,
    /// A batch takes no further mutation after this time. Default 5 ms.
    pub batch_time: Duration,
    /// The share of commits that fail with a conflict although there is none, from 0 to 1. Default 0.
    pub conflict_share: f64,
    /// The seed that decides which commits fail so. Default 0.
    pub seed: u64,
    /// Whether several stores may be open over its clones at once, as processes over one database
    /// server are; they hear of each other's commits. Default `false`.
    pub shared: bool,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            writers: 1,
            readers: 4,
            batch: 256,
            batch_time: Duration::from_millis(5),
            conflict_share: 0.0,
            seed: 0,
            shared: false,
        }
    }
}

struct Shared {
    commits: Mutex<Commits>,
    random: Random,
    processes: AtomicU64,
    /// Which processes want to hear of the others' commits.
    listeners: Mutex<Vec<(u64, Others)>>,
}

impl Shared {
    fn commits(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().expect("the in-memory engine's lock is never held across code that may panic")
    }

    /// Tells all processes but this one of its commit.
    fn tell_others(&self, process: u64, touched: &[Touched], end: Seq) {
        let mut listeners = self.listeners.lock().expect("nothing panics while listeners are told");
        listeners.retain(|(listener, others)| {
            *listener == process || others.committed(touched.iter().cloned(), end)
        });
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty engine with one writer that never conflicts, as SQLite's.
    pub fn new() -> Self {
        Self::with(MemoryOptions::default())
    }

    /// An empty engine with four writers that conflict, and one commit in eight that is run again
    /// without need.
    pub fn strict(seed: u64) -> Self {
        let options =
            MemoryOptions { writers: 4, batch: 1, conflict_share: 0.125, seed, ..Default::default() };
        Self::with(options)
    }

    /// An empty engine with these options.
    pub fn with(options: MemoryOptions) -> Self {
        Self::holding(State::default(), options)
    }

    /// What a power failure would leave: every durable commit, and the relaxed ones before the
    /// newest of them.
    pub fn after_power_failure(&self) -> Self {
        Self::holding(self.shared.commits().durable.clone(), self.options.clone())
    }

    fn holding(state: State, options: MemoryOptions) -> Self {
        let random = Random::seeded(options.seed);
        let commits = Mutex::new(Commits::of(state));
        let shared = Shared { commits, random, processes: AtomicU64::new(1), listeners: Mutex::default() };
        Self { shared: Arc::new(shared), options, process: 0 }
    }
}

impl Engine for Memory {
    fn profile(&self) -> Profile {
        let options = &self.options;
        Profile {
            name: "memory",
            writers: options.writers,
            readers: options.readers,
            batch: options.batch,
            batch_time: options.batch_time,
            conflicts: options.writers > 1 || options.conflict_share > 0.0,
            shared: options.shared,
        }
    }

    fn define(&self, tables: &[Shape]) -> Result<()> {
        self.shared.commits().define(tables);
        Ok(())
    }

    fn hear_others(&self, others: Others) {
        if self.options.shared {
            let mut listeners =
                self.shared.listeners.lock().expect("nothing panics while listeners are added");
            listeners.push((self.process, others));
        }
    }

    fn session(&self, _: Role) -> Result<Box<dyn Session>> {
        let conflict_share = self.options.conflict_share;
        Ok(Box::new(MemorySession::new(self.shared.clone(), self.process, conflict_share)))
    }
}
