//! The pool's records.

use std::time::Duration;

use loomwork_core::{RetryPolicy, Time};
use loomwork_store::lease::Lease;
use loomwork_store::{Id, Key, Table, TableDef};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cron::{CronRow, RunRow};
use crate::options::OutcomeKind;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for its time: a delay, or the pause before a further attempt.
    Scheduled,
    /// It waits for a free slot.
    Ready,
    /// A worker runs it.
    Running,
    /// It ended; the row stays for its retention.
    Ended,
}

/// The id of a job.
pub type JobId = Id<JobRow>;

/// A job, from its enqueuing until its retention is over. [`status`](crate::status()) tells what is
/// in it.
///
/// `ready` begins with pool and name, so a claim reads only what its process can run: jobs of
/// unknown names wait beside it, however many there are.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "jobs", id = "job")]
#[index(ready(pool, name, rank, key, due), when = JobRow::is_ready)]
#[index(scheduled(due), when = JobRow::is_scheduled)]
#[index(running(pool, key), when = JobRow::is_running)]
#[index(by_worker(worker), when = JobRow::is_running)]
#[index(cancelling(worker), when = JobRow::is_cancelling)]
#[index(unique by_unique(name, unique), when = JobRow::is_pending_unique)]
#[index(pending(pool, enqueued), when = JobRow::is_pending)]
#[index(dead(pool, finished), when = JobRow::is_dead)]
#[index(expiring(expires), when = JobRow::is_expiring)]
#[index(retained(retained), when = JobRow::has_ended)]
pub struct JobRow {
    pub(crate) pool: String,
    pub(crate) name: String,
    pub(crate) state: State,
    /// The priority: the most urgent sorts first.
    pub(crate) rank: u8,
    /// When it was to run; the pauses between attempts do not move it.
    pub(crate) scheduled: Time,
    /// Not before this time.
    pub(crate) due: Time,
    /// Jobs of one key share a limit and take turns with those of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// While a job of its name with this text is pending, no second one is enqueued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique: Option<String>,
    /// How many attempts have ended. It is also the fence of the running one, so it only grows.
    pub(crate) attempt: u32,
    /// How many of them count against the retry policy.
    pub(crate) failures: u32,
    pub(crate) args: Held,
    /// `None` starts it at most once.
    pub(crate) retry: Option<RetryPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_done: Option<StoredCallback>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_ms: Option<u64>,
    /// By when it must have ended, whatever its attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<Time>,
    /// When an upkeep ends what nobody runs: the deadline, or the end of an external attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Time>,
    /// Its handler has returned, and a call from outside will end the attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) external: bool,
    /// Somebody asked to cancel it while it ran.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cancelled: bool,
    /// The start of a job that may start only once has reached stable storage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) confirmed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<Id<WorkerRow>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
    pub(crate) enqueued: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished: Option<Time>,
    /// When an ended job is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retained: Option<Time>,
}

impl JobRow {
    fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    fn is_scheduled(&self) -> bool {
        self.state == State::Scheduled
    }

    fn is_running(&self) -> bool {
        self.state == State::Running
    }

    fn is_cancelling(&self) -> bool {
        self.is_running() && self.cancelled
    }

    fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    fn is_pending(&self) -> bool {
        !self.has_ended()
    }

    fn is_pending_unique(&self) -> bool {
        self.unique.is_some() && self.is_pending()
    }

    fn is_expiring(&self) -> bool {
        self.expires.is_some()
            && match self.state {
                State::Scheduled | State::Ready => true,
                State::Running => self.external,
                State::Ended => false,
            }
    }

    fn is_dead(&self) -> bool {
        matches!(self.ended, Some(Ended::Failed(_) | Ended::Interrupted))
    }

    /// When the attempt that runs is over at the latest.
    pub(crate) fn attempt_ends(&self) -> Option<Time> {
        let timeout = self.timeout_ms.map(Duration::from_millis);
        let timed_out = timeout.zip(self.started).map(|(timeout, started)| started + timeout);
        timed_out.into_iter().chain(self.deadline).min()
    }

    /// Whether something lies beside the row.
    pub(crate) fn has_payload(&self) -> bool {
        let context = self.on_done.as_ref().map(|callback| &callback.context);
        [Some(&self.args), context].into_iter().flatten().any(|held| matches!(held, Held::Aside))
    }
}

/// JSON in a row, or in the row's [`Payload`].
///
/// An `Option` would not do: it reads a `null` as absent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Held {
    Here(Box<RawValue>),
    Aside,
}

/// Whom to call when a job has ended, and with what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredCallback {
    pub(crate) name: String,
    pub(crate) context: Held,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) except: Vec<OutcomeKind>,
}

/// How a job ended, encoded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    Success(Held),
    Failed(String),
    Cancelled,
    Interrupted,
}

impl Ended {
    pub(crate) fn kind(&self) -> OutcomeKind {
        match self {
            Self::Success(_) => OutcomeKind::Success,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::Cancelled => OutcomeKind::Cancelled,
            Self::Interrupted => OutcomeKind::Interrupted,
        }
    }
}

/// What is too large for a job's row, under the job's id, so that the row stays quick to rewrite.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Table)]
#[table(name = "job_payloads", id = "payload")]
pub(crate) struct Payload {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) args: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Box<RawValue>>,
}

/// How far a job says it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// In words.
    pub text: String,
}

/// A job's progress, under the job's id. A row of its own, so that saying it wakes no claim.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "job_progress", id = "progress")]
pub(crate) struct ProgressRow {
    pub(crate) progress: Progress,
}

/// A process that runs jobs. Its lease is the lease of all that it runs.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "workers", id = "worker")]
pub struct WorkerRow {
    pub(crate) lease: Lease,
    /// Its jobs are being taken over; it must not come back under this id.
    pub(crate) buried: bool,
}

/// What an operator set for a pool; it outlives restarts and beats what the code says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "pools", id = "pool")]
#[index(unique by_name(name))]
pub(crate) struct PoolRow {
    pub(crate) name: String,
    pub(crate) paused: bool,
    pub(crate) parallel: Option<u32>,
}

/// A key whose jobs do not start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "paused_keys", id = "pausedkey")]
#[index(unique by_key(pool, key))]
pub(crate) struct PausedKey {
    pub(crate) pool: String,
    pub(crate) key: String,
}

/// Whose turn it is in a pool. Every claim that takes something writes it, so no two claims go by
/// the same count of running jobs, on engines that run several at once too.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Table)]
#[table(name = "pool_turns", id = "turn")]
#[index(unique by_pool(pool))]
pub(crate) struct TurnRow {
    pub(crate) pool: String,
    /// How many jobs the pool has started.
    pub(crate) starts: u64,
    /// How often another pool has started jobs in its slots.
    #[serde(default)]
    pub(crate) lent: u64,
    /// The key served last, by rank.
    pub(crate) last: [Option<Served>; 4],
}

/// A key that was served: a struct, since `null` is also the key of jobs that have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) key: Option<String>,
}

/// A running job whose row cannot be read, under the job's id: it keeps no slot.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "jobs_aside", id = "aside")]
#[index(by_pool(pool))]
pub(crate) struct AsideRow {
    pub(crate) pool: String,
    pub(crate) job: JobId,
    pub(crate) since: Time,
}

/// A completion that is still to run, because its handler failed or was not at hand when the job
/// ended.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "job_completions", id = "completion")]
#[index(due(name, due), when = CompletionRow::is_alive)]
#[index(dead(due), when = CompletionRow::is_dead)]
pub struct CompletionRow {
    pub(crate) name: String,
    pub(crate) job: JobId,
    pub(crate) job_name: String,
    pub(crate) attempts: u32,
    pub(crate) context: Held,
    pub(crate) ended: Ended,
    pub(crate) due: Time,
    pub(crate) tries: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) dead: bool,
}

impl CompletionRow {
    fn is_alive(&self) -> bool {
        !self.dead
    }

    fn is_dead(&self) -> bool {
        self.dead
    }
}

/// The crate's tables, for [`Store::builder`](loomwork_store::Store::builder).
pub fn tables() -> [TableDef; 11] {
    [
        JobRow::table(),
        Payload::table(),
        ProgressRow::table(),
        WorkerRow::table(),
        PoolRow::table(),
        PausedKey::table(),
        TurnRow::table(),
        AsideRow::table(),
        CompletionRow::table(),
        CronRow::table(),
        RunRow::table(),
    ]
}
