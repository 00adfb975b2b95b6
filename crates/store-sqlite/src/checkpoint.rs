//! Moving the write-ahead log back into the file, off the hot path where that is possible.
//!
//! While commits come, SQLite checkpoints by itself when the log passes [`CHECKPOINT_PAGES`], and
//! the log begins anew once no reader needs its old part. A log that grew far beyond that, because
//! readers never let go, is restarted between two batches. When commits pause, a thread empties it.
//! Neither waits long for readers: they would hold up every mutation meanwhile.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use loomwork_core::crash_point;
use rusqlite::Connection;

/// How many pages of log may gather before a commit checkpoints.
pub const CHECKPOINT_PAGES: u32 = 10_000;

/// A log of this size is restarted by the writer, which waits a little for readers to let go.
pub const LARGEST_LOG: u64 = 256 << 20;

/// How long the writer waits for them; queries are shorter, and backups would take too long.
const RESTART_WAIT: Duration = Duration::from_millis(100);

/// How many commits pass between two looks at the log's size.
const LOOK_EVERY: u32 = 256;

/// After this long without a commit the log is emptied.
pub const IDLE: Duration = Duration::from_secs(1);

/// What the checkpoint thread knows of the writer.
#[derive(Debug)]
pub(crate) struct Commits {
    log: PathBuf,
    busy_timeout: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many commits there were.
    count: u64,
    /// How many of them the last idle checkpoint has seen.
    emptied: u64,
    closing: bool,
}

impl Commits {
    pub(crate) fn new(path: &Path, busy_timeout: Duration) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into(), busy_timeout, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while commits are counted")
    }

    /// Counts a commit, and restarts a log that has grown too large.
    pub(crate) fn after_commit(&self, connection: &Connection) {
        let mut state = self.state();
        state.count += 1;
        let first_since_idle = state.count == state.emptied + 1;
        let look = state.count.is_multiple_of(u64::from(LOOK_EVERY));
        drop(state);
        if first_since_idle {
            self.changed.notify_all();
        }
        if look && std::fs::metadata(&self.log).is_ok_and(|log| log.len() > LARGEST_LOG) {
            waiting(connection, RESTART_WAIT);
            run(connection, "RESTART");
            waiting(connection, self.busy_timeout);
        }
    }

    /// Ends the checkpoint thread.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    /// Waits for a pause after commits and returns their count; `None` when the store closes.
    fn wait_for_pause(&self) -> Option<u64> {
        let mut state = self.state();
        loop {
            if state.closing {
                return None;
            }
            if state.count == state.emptied {
                state = self.changed.wait(state).expect("nothing panics while commits are counted");
                continue;
            }
            let before = state.count;
            let (after, waited) =
                self.changed.wait_timeout(state, IDLE).expect("nothing panics while commits are counted");
            state = after;
            if waited.timed_out() && state.count == before {
                return Some(before);
            }
        }
    }
}

/// Empties the log whenever commits pause, over a connection of its own. Where a reader still needs
/// the log, it tries again after the next pause.
pub(crate) fn empty_when_idle(commits: &Arc<Commits>, connection: &Connection) {
    waiting(connection, Duration::ZERO);
    while let Some(count) = commits.wait_for_pause() {
        // The first does the work and lets mutations pass, the second holds them up and does the rest.
        if run(connection, "PASSIVE") && run(connection, "TRUNCATE") {
            commits.state().emptied = count;
        }
    }
}

fn waiting(connection: &Connection, timeout: Duration) {
    if let Err(error) = connection.busy_timeout(timeout) {
        tracing::warn!(%error, "failed to set how long to wait for other connections");
    }
}

/// Runs a checkpoint and says whether nothing kept it from its end.
fn run(connection: &Connection, mode: &str) -> bool {
    crash_point("checkpoint");
    let ran =
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, bool>(0));
    match ran {
        Ok(busy) => !busy,
        Err(error) => {
            // The log stays as it is; the next commit or pause tries again.
            tracing::warn!(%error, mode, "failed to checkpoint");
            false
        }
    }
}
