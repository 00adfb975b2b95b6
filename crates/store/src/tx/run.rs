//! Running transactions, for the threads that own them.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use loomwork_core::Time;

use super::{Context, Seen, Tx};
use crate::engine::{Changes, Lane, LogEntry, Outcome, Seq, Session, TxKind, Write};
use crate::error::{Error, Problem, Result};
use crate::overlay::Overlay;
use crate::reads::{ReadRange, ReadSet, Touch};

/// Each opening of the store has so many bits of log positions to itself.
const EPOCH_SHIFT: u32 = 40;

impl Tx {
    pub(crate) fn new(session: Box<dyn Session>, context: Context) -> Self {
        Self {
            session,
            context,
            now: Time::EPOCH,
            overlay: Overlay::default(),
            seen: RefCell::new(None),
            reads: RefCell::new(None),
            trim: None,
            stopped: RefCell::new(None),
        }
    }

    pub(crate) fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        *self.seen.get_mut() = (kind != TxKind::Read).then(Seen::default);
        self.session.begin(kind, lane)
    }

    /// Forgets the run before and gives the next one its time.
    pub(crate) fn start_run(&mut self, now: Time, track_reads: bool) {
        self.now = now;
        self.overlay.clear();
        if let Some(seen) = self.seen.get_mut() {
            seen.clear();
        }
        self.trim = None;
        *self.stopped.get_mut() = None;
        *self.reads.get_mut() = track_reads.then(ReadSet::default);
    }

    /// Drops what the run has written.
    pub(crate) fn drop_writes(&mut self) {
        self.overlay.clear();
        self.trim = None;
    }

    pub(crate) fn take_reads(&mut self) -> Vec<ReadRange> {
        self.reads.get_mut().take().map(ReadSet::into_ranges).unwrap_or_default()
    }

    /// Whether the engine could answer every read of the run. If not, the run counts for
    /// nothing, whatever its closure made of that, and only `rollback` may follow.
    pub(crate) fn outcome(&mut self) -> Outcome<()> {
        self.stopped.get_mut().take().map_or(Ok(()), Err)
    }

    /// Hands the run's writes to the engine; returns what they touch.
    pub(crate) fn apply(&mut self) -> Outcome<Vec<Touch>> {
        let writes = self.overlay.writes();
        if writes.is_empty() && self.trim.is_none() {
            return Ok(Vec::new());
        }
        let logged =
            |write: &&Write<'_>| self.context.tables.numbered(write.table).is_some_and(|table| table.feed);
        let log: Vec<LogEntry> = writes.iter().filter(logged).map(Write::log_entry).collect();
        let log_floor = Seq(self.context.epoch << EPOCH_SHIFT);
        let changes = Changes { writes: &writes, log: &log, log_floor, trim: self.trim };
        let touches = changes.touched().map(Touch::from).collect();
        self.session.apply(&changes)?;
        Ok(touches)
    }

    pub(crate) fn commit(&mut self) -> Outcome<Seq> {
        self.session.commit()
    }

    pub(crate) fn rollback(&mut self) {
        self.session.rollback();
    }
}

/// Runs `f` and makes an error of a panic.
pub(crate) fn run_caught<R>(what: &'static str, f: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(panicked(what, &*panic)))
}

/// The error that a panic of `what` becomes.
pub(crate) fn panicked(what: &'static str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let message = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Problem::Panicked { what, message: message.to_owned() }.into()
}
