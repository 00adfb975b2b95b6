//! The writer threads: mutations in batches that share one commit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loomwork_core::{Clock, Random, Stopwatch, crash_point};

use crate::engine::{Lane, Outcome, Profile, Seq, Stop, TxKind};
use crate::error::{Error, Problem, Result};
use crate::live::{Hits, Live};
use crate::reads::Touch;
use crate::tx::{Tx, panicked};
use crate::work::Work;

/// How often a mutation that conflicts with others is run before it is given up.
pub const MUTATION_ATTEMPTS: u32 = 100;

/// A closure that runs longer holds up its neighbours; it is warned of by its caller's place.
pub const SLOW_CLOSURE: Duration = Duration::from_millis(50);

/// The longest pause before a mutation that conflicted runs again.
const LONGEST_BACK_OFF: Duration = Duration::from_millis(50);

/// How long a writer looks for further work before it sleeps.
const LINGER: Duration = Duration::from_micros(30);

/// Up to so many watchers are woken by the writer itself; more are handed to a thread of their
/// own, since waking them would hold up the next commit.
const INLINE_WAKES: usize = 32;

pub(crate) struct Writer {
    pub(crate) tx: Tx,
    pub(crate) profile: Profile,
    pub(crate) queue: async_channel::Receiver<Box<dyn Work>>,
    /// Work taken from the queue that did not fit the batch.
    pub(crate) waiting: VecDeque<Box<dyn Work>>,
    pub(crate) live: Arc<Live>,
    pub(crate) committed: Arc<AtomicU64>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) wakes: async_channel::Sender<Hits>,
}

/// A batch that is committed: where each mutation stands, and whom it woke.
struct Committed {
    positions: Vec<u64>,
    hits: Hits,
}

impl Writer {
    /// Works until the store is closed and the queue is empty.
    pub(crate) fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            if !run_guarded(|| self.write(batch)) {
                self.tx.rollback();
            }
        }
    }

    /// Waits for work, then takes what else is waiting, of the same kind, up to the batch's size.
    fn next_batch(&mut self) -> Option<Vec<Box<dyn Work>>> {
        let first = match self.waiting.pop_front() {
            Some(work) => work,
            None => self.wait()?,
        };
        let kind = first.order().kind;
        let mut batch: Vec<_> = self.started(first).into_iter().collect();
        while self.take_further(&mut batch, kind, Lane::Durable) {}
        Some(batch)
    }

    /// Adds the next mutation that waits and is still wanted to the batch, if it fits: a batch has
    /// one kind and a lane that is settled when it begins.
    fn take_further(&mut self, batch: &mut Vec<Box<dyn Work>>, kind: TxKind, lane: Lane) -> bool {
        while batch.len() < self.profile.batch {
            let Some(next) = self.waiting.pop_front().or_else(|| self.queue.try_recv().ok()) else { break };
            if next.order().kind != kind || next.order().lane > lane {
                self.waiting.push_front(next);
                break;
            }
            if let Some(next) = self.started(next) {
                batch.push(next);
                return true;
            }
        }
        false
    }

    /// Starts a mutation that is still wanted; one given up or out of time never runs.
    fn started(&self, work: Box<dyn Work>) -> Option<Box<dyn Work>> {
        let order = work.order();
        if order.deadline.is_some_and(|deadline| deadline <= self.clock.now()) {
            order.ticket.give_up();
            answer(work, Err(Problem::DeadlinePassed.into()));
            return None;
        }
        if work.is_awaited() && order.ticket.start() {
            return Some(work);
        }
        run_guarded(|| drop(work));
        None
    }

    /// Waits for work; `None` when the store is closed and nothing is left.
    ///
    /// A caller that hands in one mutation after the other does so within some microseconds of each
    /// answer. Falling asleep and being woken takes longer than that, so the writer lingers first.
    fn wait(&self) -> Option<Box<dyn Work>> {
        let watch = Stopwatch::start();
        while watch.elapsed() < LINGER {
            if let Ok(work) = self.queue.try_recv() {
                return Some(work);
            }
            std::thread::yield_now();
        }
        self.queue.recv_blocking().ok()
    }

    fn write(&mut self, mut batch: Vec<Box<dyn Work>>) {
        if batch.is_empty() {
            return;
        }
        for attempt in 1..=MUTATION_ATTEMPTS {
            match self.attempt(&mut batch) {
                Ok(committed) => return self.answer(batch, committed),
                Err(Stop::Conflict) => {
                    self.tx.rollback();
                    back_off(attempt, &self.random);
                }
                Err(Stop::Failed(error)) => {
                    self.tx.rollback();
                    return refuse(batch, error);
                }
            }
        }
        let gave_up = || Problem::GaveUp { what: "mutation", attempts: MUTATION_ATTEMPTS }.into();
        batch.into_iter().for_each(|work| answer(work, Err(gave_up())));
    }

    /// Runs the batch in one engine transaction. Mutations that the batch has no time for are put back.
    fn attempt(&mut self, batch: &mut Vec<Box<dyn Work>>) -> Outcome<Committed> {
        let kind = batch[0].order().kind;
        let lane = batch.iter().map(|work| work.order().lane).max().unwrap_or_default();
        let running = AssertUnwindSafe(|| {
            self.tx.begin(kind, lane)?;
            let touches = self.run_batch(batch, kind, lane)?;
            crash_point("commit.before");
            let seq = self.tx.commit()?;
            crash_point("commit.after");
            Ok((touches, seq))
        });
        let (touches, seq) = catch_unwind(running)
            .unwrap_or_else(|panic| Err(Stop::Failed(panicked("storage engine", &*panic))))?;
        Ok(self.publish(touches, seq))
    }

    /// Runs the batch, and what comes in meanwhile: callers who were answered together come back
    /// one by one, and each that is taken along saves a commit.
    fn run_batch(
        &mut self,
        batch: &mut Vec<Box<dyn Work>>,
        kind: TxKind,
        lane: Lane,
    ) -> Outcome<Vec<Vec<Touch>>> {
        let batch_watch = Stopwatch::start();
        let mut touches = Vec::with_capacity(batch.len());
        while touches.len() < batch.len() || self.take_further(batch, kind, lane) {
            let at = touches.len();
            if at > 0 && batch_watch.elapsed() > self.profile.batch_time {
                for work in batch.drain(at..).rev() {
                    self.waiting.push_front(work);
                }
                break;
            }
            let watch = Stopwatch::start();
            let ran = batch[at].run(&mut self.tx);
            let took = watch.elapsed();
            if took > SLOW_CLOSURE {
                let caller = batch[at].order().caller;
                tracing::warn!(%caller, ?took, "a slow mutation held up all others; do its work before it");
            }
            touches.push(if ran? { self.tx.apply()? } else { Vec::new() });
        }
        Ok(touches)
    }

    fn publish(&self, touches: Vec<Vec<Touch>>, Seq(seq): Seq) -> Committed {
        self.committed.fetch_max(seq, Ordering::AcqRel);
        let mut hits = Hits::new();
        let positions = touches.into_iter().map(|touches| self.live.publish(touches, &mut hits)).collect();
        Committed { positions, hits }
    }

    /// Answers first and wakes then: the callers' own watches are stale before the answer.
    fn answer(&self, batch: Vec<Box<dyn Work>>, committed: Committed) {
        for (work, position) in batch.into_iter().zip(committed.positions) {
            answer(work, Ok(position));
        }
        let hits = committed.hits;
        if hits.len() <= INLINE_WAKES {
            hits.iter().for_each(|watcher| watcher.wake());
        } else if let Err(unsent) = self.wakes.try_send(hits) {
            unsent.into_inner().iter().for_each(|watcher| watcher.wake());
        }
    }
}

/// Waits before a run that conflicted is tried again: longer after each attempt, and spread, so that
/// those who met do not meet again.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of the store waits out a conflict; no test depends on how long"
)]
pub(crate) fn back_off(attempt: u32, random: &Random) {
    let longest = LONGEST_BACK_OFF.min(Duration::from_micros(100) * 2_u32.saturating_pow(attempt.min(16)));
    std::thread::sleep(longest.mul_f64(random.unit()));
}

/// Answers one caller. Closures and results are the users': even dropping them may panic, which
/// must not keep the others from their answers.
fn answer(work: Box<dyn Work>, end: Result<u64>) {
    run_guarded(|| work.answer(end));
}

/// Runs a thread's piece of work so that its panic does not end the thread; says whether it went well.
pub(crate) fn run_guarded(work: impl FnOnce()) -> bool {
    let ended = catch_unwind(AssertUnwindSafe(work));
    if ended.is_err() {
        tracing::error!("a store thread caught a panic outside of a transaction and goes on");
    }
    ended.is_ok()
}

/// Answers a whole batch with what ended it.
fn refuse(batch: Vec<Box<dyn Work>>, error: Error) {
    let mut error = Some(error);
    for work in batch {
        let own = error.take().expect("every error but the last is repeated");
        error = Some(own.repeated());
        answer(work, Err(own));
    }
}
