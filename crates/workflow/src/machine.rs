//! The machine: a workflow's code as a value that is run step by step, without a store, a runtime or a clock.
//!
//! [`advance`](Machine::advance) polls the code until it can go no further, and then hands it the next
//! outcome. What the code wants done are orders; what came of them is [fed](Machine::arrive) back. So a
//! machine does the same whenever it is given the same outcomes, whoever gives them: a process, a replay, or a
//! simulation.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use loomwork_core::Kind;
use loomwork_store::{Error, Result, Row};
use serde_json::value::RawValue;
use tokio::task::coop::unconstrained;

use crate::desk::Desk;
use crate::difference::Trouble;
use crate::flow::Flow;
use crate::journal::{Arrived, Place};
use crate::order::Order;
use crate::tables::{StepRow, WorkflowRow};

/// A workflow's code under way.
pub(crate) type Code = Pin<Box<dyn Future<Output = Result<Box<RawValue>>> + Send>>;

/// The code of a name: it begins a run.
pub(crate) type Handler = Arc<dyn Fn(Flow, Box<RawValue>) -> Code + Send + Sync>;

/// How often code may be polled in a row without an outcome; more is a loop that waits for nothing.
const MAX_POLLS: usize = 10_000;

/// How far a machine has come.
#[derive(Debug)]
pub(crate) enum Advance {
    /// It waits for outcomes; there may be orders.
    Waiting,
    /// The code has returned.
    Ended(Result<Box<RawValue>>),
    /// It cannot go on.
    Stuck(Trouble),
}

/// Remembers that the code was woken, and by whom.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    /// The thread on which the machine is polling or delivering: who rings there is part of the code.
    within: Mutex<Option<ThreadId>>,
    /// Somebody else has rung.
    foreign: AtomicBool,
}

impl Bell {
    fn within(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.within.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        if *self.within() != Some(thread::current().id()) {
            self.foreign.store(true, Ordering::Release);
        }
    }
}

/// A run in memory.
pub(crate) struct Machine {
    /// `None` when it has ended.
    code: Option<Code>,
    desk: Arc<Desk>,
    bell: Arc<Bell>,
    /// What is to be delivered, in this order.
    ready: VecDeque<Arrived>,
    /// What has come before its turn.
    early: BTreeMap<u64, Arrived>,
    /// How far it knows its journal.
    known: Place,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("desk", &self.desk.about)
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.desk.close();
        // A destructor that panics is the code's own affair.
        let code = self.code.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(code)));
    }
}

impl Machine {
    /// Makes a machine of a run and its journal.
    pub(crate) fn new(
        handler: &Handler,
        run: &Row<WorkflowRow>,
        input: Box<RawValue>,
        journal: Vec<StepRow>,
    ) -> Self {
        let desk = Desk::new(run.id, run, &journal);
        let mut ready: Vec<Arrived> = journal.into_iter().filter_map(Arrived::of).collect();
        ready.sort_by_key(|arrived| arrived.position);
        let known = ready.last().map_or(Place::default(), behind);
        let (flow, handler) = (Flow::new(desk.clone()), handler.clone());
        // Called inside, so that a panic before the first await is caught like any other. Without the runtime's
        // budget: a select that has used that up says "later", which a replay would not find again.
        let code = Box::pin(unconstrained(async move { handler(flow, input).await }));
        let bell = Arc::new(Bell::default());
        bell.rung.store(true, Ordering::Release);
        Self { code: Some(code), desk, bell, ready: ready.into(), early: BTreeMap::new(), known }
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Returns the place from which on it knows nothing.
    pub(crate) fn known(&self) -> Place {
        self.known
    }

    /// Whether something has come whose turn it is not, since others have settled a step before it.
    pub(crate) fn has_gap(&self) -> bool {
        !self.early.is_empty()
    }

    /// Takes an outcome in, once.
    pub(crate) fn arrive(&mut self, arrived: Arrived) {
        if arrived.position >= self.known.position {
            self.early.insert(arrived.position, arrived);
        }
        while let Some(arrived) = self.early.remove(&self.known.position) {
            self.known = behind(&arrived);
            self.ready.push_back(arrived);
        }
    }

    /// Takes the orders that the code has left.
    pub(crate) fn orders(&self) -> Vec<Order> {
        self.desk.orders()
    }

    /// Goes on for as long as there are outcomes.
    pub(crate) fn advance(&mut self) -> Advance {
        let mut polls = 0;
        loop {
            if self.bell.foreign.load(Ordering::Acquire) || polls > MAX_POLLS {
                return Advance::Stuck(Trouble::Foreign);
            }
            if self.bell.rung.swap(false, Ordering::AcqRel) {
                polls += 1;
                if let Poll::Ready(ended) = self.poll() {
                    return self.ended(ended);
                }
            }
            if let Some(trouble) = self.desk.trouble() {
                return Advance::Stuck(trouble);
            }
            if self.bell.rung.load(Ordering::Acquire) {
                continue;
            }
            match self.ready.pop_front() {
                Some(arrived) => {
                    polls = 0;
                    self.within(|| self.desk.deliver(arrived));
                }
                None if self.desk.is_waiting() => return Advance::Waiting,
                None => return Advance::Stuck(Trouble::Foreign),
            }
        }
    }

    fn poll(&mut self) -> Poll<Result<Box<RawValue>>> {
        let Some(mut code) = self.code.take() else { return Poll::Pending };
        let waker = Waker::from(self.bell.clone());
        self.desk.set_polling(true);
        let polled = self.within(|| {
            catch_unwind(AssertUnwindSafe(|| code.as_mut().poll(&mut Context::from_waker(&waker))))
        });
        self.desk.set_polling(false);
        match polled {
            Ok(Poll::Pending) => {
                self.code = Some(code);
                Poll::Pending
            }
            Ok(Poll::Ready(ended)) => {
                self.desk.close();
                Poll::Ready(ended)
            }
            Err(panic) => {
                self.desk.close();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(code)));
                let message = format!("the workflow panicked: {}", panic_text(&*panic));
                Poll::Ready(Err(Error::message(Kind::Internal, message)))
            }
        }
    }

    fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        *self.bell.within() = Some(thread::current().id());
        let done = work();
        *self.bell.within() = None;
        done
    }

    /// Code that returns before its journal is used up is not the code that wrote it.
    fn ended(&mut self, ended: Result<Box<RawValue>>) -> Advance {
        if let Some(trouble) = self.desk.trouble() {
            return Advance::Stuck(trouble);
        }
        match self.desk.left_over() {
            Some(difference) => Advance::Stuck(Trouble::Differs(difference)),
            None => Advance::Ended(ended),
        }
    }
}

/// The place behind an outcome.
fn behind(arrived: &Arrived) -> Place {
    Place { position: arrived.position + 1, bytes: arrived.total }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}
