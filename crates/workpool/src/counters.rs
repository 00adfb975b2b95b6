//! What a process has done so far, in numbers.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::conclude::Settled;
use crate::options::OutcomeKind;

/// The upper bounds of a [`Histogram`]'s buckets, in milliseconds; one more bucket holds the rest.
pub const BUCKETS: [u64; 10] = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 60_000];

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each of [`BUCKETS`], and how many above.
    pub counts: [u64; BUCKETS.len() + 1],
    /// The sum, in milliseconds.
    pub sum_ms: u64,
}

impl Histogram {
    /// Returns what was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self { sum_ms: self.sum_ms - earlier.sum_ms, ..*self };
        for (count, before) in since.counts.iter_mut().zip(earlier.counts) {
            *count -= before;
        }
        since
    }

    /// Returns how many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What a [`Workpool`](crate::Workpool) has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Attempts that run now.
    pub running: u64,
    /// Attempts that were started.
    pub started: u64,
    /// Jobs that succeeded.
    pub succeeded: u64,
    /// Attempts that failed and are followed by another.
    pub retried: u64,
    /// Jobs that failed for good: the dead.
    pub failed: u64,
    /// Jobs that were cancelled while they ran.
    pub cancelled: u64,
    /// Attempts that were left to a call from outside; whichever process takes the call ends them.
    pub handed_over: u64,
    /// Attempts whose end was not recorded here: the job was no longer this worker's, or a shutdown aborted
    /// them.
    pub dropped: u64,
    /// Attempts that were lost with their worker, another's or this one's at its shutdown, and that this
    /// process has ended in its place.
    pub taken_over: u64,
    /// Jobs among them that are not followed up, since they may start only once.
    pub interrupted: u64,
    /// From due to start.
    pub waited: Histogram,
    /// From start to end of an attempt.
    pub ran: Histogram,
}

impl Counters {
    /// Returns what was counted since `earlier`; what runs now stays as it is.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            running: self.running,
            started: self.started - earlier.started,
            succeeded: self.succeeded - earlier.succeeded,
            retried: self.retried - earlier.retried,
            failed: self.failed - earlier.failed,
            cancelled: self.cancelled - earlier.cancelled,
            handed_over: self.handed_over - earlier.handed_over,
            dropped: self.dropped - earlier.dropped,
            taken_over: self.taken_over - earlier.taken_over,
            interrupted: self.interrupted - earlier.interrupted,
            waited: self.waited.since(&earlier.waited),
            ran: self.ran.since(&earlier.ran),
        }
    }

    /// Returns how many attempts ended.
    pub fn completed(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled + self.retried
    }

    /// Returns the share of ended attempts that failed; 0 when none ended.
    pub fn failure_rate(&self) -> f64 {
        share(self.failed + self.retried, self.completed())
    }

    /// Returns the share of ended jobs that failed for good; 0 when none ended.
    pub fn permanent_failure_rate(&self) -> f64 {
        share(self.failed, self.completed() - self.retried)
    }
}

/// Rounded to four digits, for reports.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0 }
}

#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; BUCKETS.len() + 1],
    sum_ms: AtomicU64,
}

impl Buckets {
    fn add(&self, took: Duration) {
        let millis = took.as_millis().try_into().unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| millis <= *bound).unwrap_or(BUCKETS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(millis, Ordering::Relaxed);
    }

    fn read(&self) -> Histogram {
        let mut histogram = Histogram { sum_ms: self.sum_ms.load(Ordering::Relaxed), ..Histogram::default() };
        for (count, counter) in histogram.counts.iter_mut().zip(&self.counts) {
            *count = counter.load(Ordering::Relaxed);
        }
        histogram
    }
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    running: AtomicU64,
    started: AtomicU64,
    succeeded: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    handed_over: AtomicU64,
    dropped: AtomicU64,
    taken_over: AtomicU64,
    interrupted: AtomicU64,
    waited: Buckets,
    ran: Buckets,
}

impl Counting {
    pub(crate) fn start(&self, waited: Duration) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        self.waited.add(waited);
    }

    pub(crate) fn stop(&self, ran: Duration) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.ran.add(ran);
    }

    /// `None` when the result was dropped.
    pub(crate) fn settle(&self, settled: Option<&Settled>) {
        let counter = match settled {
            None => &self.dropped,
            Some(Settled::HandedOver) => &self.handed_over,
            Some(Settled::Retried { .. }) => &self.retried,
            Some(Settled::Ended { kind, .. }) => match kind {
                OutcomeKind::Success => &self.succeeded,
                OutcomeKind::Failed | OutcomeKind::Interrupted => &self.failed,
                OutcomeKind::Cancelled => &self.cancelled,
            },
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what became of a lost worker's jobs.
    pub(crate) fn take_over(&self, lost: &[Settled]) {
        let is_interrupted =
            |settled: &&Settled| matches!(settled, Settled::Ended { kind: OutcomeKind::Interrupted, .. });
        let interrupted = lost.iter().filter(is_interrupted).count();
        self.taken_over.fetch_add(lost.len() as u64, Ordering::Relaxed);
        self.interrupted.fetch_add(interrupted as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            running: read(&self.running),
            started: read(&self.started),
            succeeded: read(&self.succeeded),
            retried: read(&self.retried),
            failed: read(&self.failed),
            cancelled: read(&self.cancelled),
            handed_over: read(&self.handed_over),
            dropped: read(&self.dropped),
            taken_over: read(&self.taken_over),
            interrupted: read(&self.interrupted),
            waited: self.waited.read(),
            ran: self.ran.read(),
        }
    }
}
