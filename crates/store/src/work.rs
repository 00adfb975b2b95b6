//! Mutations on their way to a writer, and reads on their way to a reader.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use loomwork_core::{Clock, Time};
use tokio::sync::oneshot;

use crate::engine::{Lane, Outcome, Stop, TxKind};
use crate::error::{Error, Problem, Result};
use crate::reads::ReadRange;
use crate::tx::{Tx, run_caught};

/// A mutation in the queue, whatever its types.
pub(crate) trait Work: Send {
    fn order(&self) -> &Order;

    /// Runs the closure once and keeps its result. Says whether there is something to apply.
    ///
    /// A read that the engine could not answer is this closure's error alone, whatever the closure
    /// made of it: the others of its batch may not depend on a row that is damaged.
    ///
    /// # Errors
    /// [`Stop::Conflict`], which runs the whole batch again.
    fn run(&mut self, tx: &mut Tx) -> Outcome<bool>;

    /// Sends the kept result to the caller, or what kept the commit from happening.
    fn answer(self: Box<Self>, end: Result<u64>);

    /// Whether somebody still waits for the answer.
    fn is_awaited(&self) -> bool;
}

/// What a mutation asks for beside its closure.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) lane: Lane,
    pub(crate) kind: TxKind,
    pub(crate) deadline: Option<Time>,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) track_reads: bool,
    /// Where the mutation was asked for, to name it in warnings.
    pub(crate) caller: &'static Location<'static>,
}

/// Decides between starting a mutation and giving it up: whichever comes first, the other is too late.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Ticket {
    /// Starts it, also again after a conflict; `false` if it was given up.
    pub(crate) fn start(&self) -> bool {
        self.0.compare_exchange(WAITING, STARTED, Ordering::AcqRel, Ordering::Acquire) != Err(GIVEN_UP)
    }

    /// Gives it up; `false` if it has started.
    pub(crate) fn give_up(&self) -> bool {
        self.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) != Err(STARTED)
    }
}

/// A mutation's answer: its value, what it read and where its commit stands among others.
#[derive(Debug)]
pub(crate) struct Done<T, E = Error> {
    pub(crate) result: Result<T, E>,
    pub(crate) reads: Vec<ReadRange>,
    pub(crate) position: u64,
}

pub(crate) struct Mutation<F, T, E> {
    pub(crate) order: Order,
    pub(crate) closure: Option<F>,
    /// Whether the closure may be needed again.
    pub(crate) keep: bool,
    pub(crate) clock: Clock,
    pub(crate) result: Option<Result<T, E>>,
    pub(crate) reads: Vec<ReadRange>,
    pub(crate) reply: oneshot::Sender<Done<T, E>>,
}

impl<F, T, E> Work for Mutation<F, T, E>
where
    F: FnOnce(&mut Tx) -> Result<T, E> + Clone + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn order(&self) -> &Order {
        &self.order
    }

    fn run(&mut self, tx: &mut Tx) -> Outcome<bool> {
        tx.start_run(self.clock.now(), self.order.track_reads);
        // The closure's own error must not pass through `store::Error`: it is not a fault of ours.
        let mut result = None;
        let ran = run_caught("mutation", || {
            let closure = if self.keep { self.closure.clone() } else { self.closure.take() };
            let closure = closure.expect("a mutation that is not kept runs once");
            result = Some(closure(tx));
            Ok(())
        });
        let ran = match tx.outcome() {
            Ok(()) => ran,
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Conflict) => return Err(Stop::Conflict),
        };
        let result = ran.map_err(E::from).and_then(|()| result.expect("the closure has returned"));
        let succeeded = result.is_ok();
        if !succeeded {
            tx.drop_writes();
        }
        self.reads = tx.take_reads();
        self.result = Some(result);
        Ok(succeeded)
    }

    fn answer(mut self: Box<Self>, end: Result<u64>) {
        let done = match end {
            Ok(position) => {
                let result = self.result.take().expect("a committed mutation has run");
                Done { result, reads: self.reads, position }
            }
            Err(error) => Done { result: Err(error.into()), reads: self.reads, position: 0 },
        };
        // A caller that has gone away does not want its answer.
        let _ = self.reply.send(done);
    }

    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }
}

/// A read in the queue: it gets the reader thread's transaction to itself.
pub(crate) type Read = Box<dyn FnOnce(&mut Tx) + Send>;

/// How often a read is tried on an engine that reports conflicts for it.
const READ_ATTEMPTS: u32 = 20;

/// Runs a query on a snapshot of its own and returns its result and what it read.
pub(crate) fn read_snapshot<T, E: From<Error>>(
    tx: &mut Tx,
    now: Time,
    track_reads: bool,
    query: &dyn Fn(&Tx) -> Result<T, E>,
) -> (Result<T, E>, Vec<ReadRange>) {
    for _ in 0..READ_ATTEMPTS {
        tx.start_run(now, track_reads);
        let ended = read_once(tx, query);
        tx.rollback();
        match ended {
            Ok(result) => return (result, tx.take_reads()),
            Err(Stop::Failed(error)) => return (Err(error.into()), vec![ReadRange::every_commit()]),
            Err(Stop::Conflict) => {}
        }
    }
    let nothing_read = vec![ReadRange::every_commit()];
    (Err(Error::from(Problem::GaveUp { what: "query", attempts: READ_ATTEMPTS }).into()), nothing_read)
}

fn read_once<T, E: From<Error>>(tx: &mut Tx, query: &dyn Fn(&Tx) -> Result<T, E>) -> Outcome<Result<T, E>> {
    let began = run_caught("storage engine", || Ok(tx.begin(TxKind::Read, Lane::Relaxed)));
    began.map_err(Stop::Failed)??;
    let mut result = None;
    let ran = run_caught("query", || {
        result = Some(query(tx));
        Ok(())
    });
    tx.outcome()?;
    Ok(ran.map_err(E::from).and_then(|()| result.expect("the query has returned")))
}
