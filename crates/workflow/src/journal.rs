//! The journal: what is recorded of steps, in which order, and by whom.
//!
//! A step has a *number*, its place in the code, and once it is settled a *position*, its place in the order
//! in which outcomes reach the code. Whoever settles a step gives it the next position in the same
//! transaction, so positions are dense, and who has read up to one has missed none. Code that is run again
//! gets the outcomes in the order of their positions, one at a time, as it did the first time: so whatever it
//! does with several steps at once, it does again.

use loomwork_core::{Kind, Time};
use loomwork_store::{Id, Result, Row, Tx};
use serde_json::value::RawValue;

use crate::cutting::{Budget, call_off, cut};
use crate::limits::check_room;
use crate::mail;
use crate::tables::{
    HostRow, MailRow, State, StepId, StepKind, StepRow, StoredFailure, StoredOutcome, WorkflowId, WorkflowRow,
};

/// A process's right to a run. It ends when the run's fence grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) run: WorkflowId,
    pub(crate) host: Id<HostRow>,
    pub(crate) fence: u64,
    pub(crate) chapter: u32,
}

impl Hold {
    /// Returns the run if the hold is good.
    pub(crate) fn check(&self, tx: &Tx) -> Result<Option<Row<WorkflowRow>>> {
        let row = tx.get(self.run)?;
        Ok(row.filter(|row| {
            row.state == State::Running && row.fence == self.fence && row.host == Some(self.host)
        }))
    }
}

/// A settled step on its way to the code.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) position: u64,
    pub(crate) number: u32,
    pub(crate) kind: StepKind,
    pub(crate) at: Time,
    pub(crate) outcome: StoredOutcome,
    /// The bytes of all outcomes up to this one.
    pub(crate) total: u64,
}

impl Arrived {
    /// Reads a settled step; `None` for one that is not.
    pub(crate) fn of(row: StepRow) -> Option<Self> {
        let StepRow { position, number, kind, finished, started, outcome, total, .. } = row;
        let at = finished.unwrap_or(started);
        Some(Self { position: position?, number, kind, at, outcome: outcome?, total })
    }
}

/// What a step is called and given, which a replay has to find again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: StepKind,
    pub(crate) name: String,
    pub(crate) fingerprint: Option<u64>,
    pub(crate) args: Option<String>,
    /// How many outcomes the code had been given when it began the step, or dropped it. What is recorded is always
    /// what a replay would find again, so it is not compared.
    pub(crate) behind: u64,
}

/// A place behind settled steps: the position that comes next, and the bytes of all outcomes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) bytes: u64,
}

impl Place {
    /// The end of a journal of which one place is known.
    fn end(tx: &Tx, run: WorkflowId, chapter: u32, known: Self) -> Result<Self> {
        // Counting reads keys alone, and mostly there is nothing to count.
        match tx.count(StepRow::settled.eq(run).eq(chapter).ge(known.position).take(1))? {
            0 => Ok(known),
            _ => Self::look_up(tx, run, chapter),
        }
    }

    fn look_up(tx: &Tx, run: WorkflowId, chapter: u32) -> Result<Self> {
        let last = tx.first(StepRow::settled.eq(run).eq(chapter).desc())?;
        let behind = |last: Row<StepRow>| Some(Self { position: last.position? + 1, bytes: last.total });
        Ok(last.and_then(behind).unwrap_or_default())
    }

    /// Puts an outcome here, and goes behind it. One that there is no room for fails its step.
    fn put(&mut self, row: &mut StepRow, outcome: StoredOutcome, now: Time) {
        let outcome = match check_room(self.bytes, outcome.bytes()) {
            Ok(()) => outcome,
            Err(message) => StoredOutcome::Failed(StoredFailure::new(Kind::Invalid, message)),
        };
        row.position = Some(self.position);
        row.total = self.bytes + outcome.bytes() as u64;
        row.outcome = Some(outcome);
        row.finished = Some(now);
        row.due = None;
        *self = Self { position: self.position + 1, bytes: row.total };
    }
}

/// Writes entries of one run in one transaction.
pub(crate) struct Writer<'a> {
    pub(crate) tx: &'a mut Tx,
    hold: Hold,
    known: Place,
    /// Where the next entry goes; `None` while others may have settled steps since it was looked up.
    end: Option<Place>,
    arrived: Vec<Arrived>,
    budget: Budget,
}

impl<'a> Writer<'a> {
    /// Begins to write, if the hold is good; the run is known up to the place `known`.
    pub(crate) fn open(tx: &'a mut Tx, hold: Hold, known: Place) -> Result<Option<Self>> {
        if hold.check(tx)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { tx, hold, known, end: None, arrived: Vec::new(), budget: Budget::default() }))
    }

    fn end(&mut self) -> Result<Place> {
        match self.end {
            Some(end) => Ok(end),
            None => Place::end(self.tx, self.hold.run, self.hold.chapter, self.known),
        }
    }

    /// Runs what a step brings along, which may settle other steps of this very run. If it fails, or what it
    /// returns has no room in the journal, nothing of it stays.
    pub(crate) fn run<T>(
        &mut self,
        part: impl FnOnce(&mut Tx) -> Result<T>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T> {
        let Self { hold, known, .. } = *self;
        let (done, end) = self.tx.nested(|tx| {
            let done = part(tx)?;
            let end = Place::end(tx, hold.run, hold.chapter, known)?;
            check_room(end.bytes, bytes(&done))
                .map_err(|message| loomwork_store::Error::message(Kind::Invalid, message))?;
            Ok((done, end))
        })?;
        self.end = Some(end);
        Ok(done)
    }

    /// Records a step that is settled at once.
    pub(crate) fn settled(&mut self, number: u32, label: &Label, outcome: StoredOutcome) -> Result<()> {
        let row = self.entry(number, label);
        let id = self.tx.new_id();
        self.insert_settled(id, row, outcome)
    }

    /// As [`settled`](Self::settled), of an entry that says more; it began at its own time.
    pub(crate) fn insert_settled(
        &mut self,
        id: StepId,
        mut row: StepRow,
        outcome: StoredOutcome,
    ) -> Result<()> {
        let mut end = self.end()?;
        end.put(&mut row, outcome, self.tx.now());
        self.end = Some(end);
        let row = self.tx.insert_at(id, row)?.record;
        self.arrived.extend(Arrived::of(row));
        Ok(())
    }

    /// The entry of a step that has just begun.
    pub(crate) fn entry(&self, number: u32, label: &Label) -> StepRow {
        StepRow {
            run: self.hold.run,
            chapter: self.hold.chapter,
            number,
            kind: label.kind,
            name: label.name.clone(),
            fingerprint: label.fingerprint,
            args: label.args.clone(),
            behind: label.behind,
            position: None,
            outcome: None,
            cut: false,
            due: None,
            held: false,
            job: None,
            child: None,
            awaits: None,
            event: None,
            given_back: None,
            total: 0,
            started: self.tx.now(),
            finished: None,
        }
    }

    /// Returns the pending entry of a number.
    pub(crate) fn pending(&self, number: u32) -> Result<Option<Row<StepRow>>> {
        self.tx.first(StepRow::pending.eq(self.hold.run).eq(self.hold.chapter).eq(number))
    }

    /// Settles an entry that was pending.
    pub(crate) fn settle(&mut self, step: StepId, outcome: StoredOutcome) -> Result<()> {
        let (now, mut end) = (self.tx.now(), self.end()?);
        let row = self.tx.update(step, |row| end.put(row, outcome, now))?;
        self.end = Some(end);
        self.arrived.extend(Arrived::of(row.record));
        Ok(())
    }

    /// Hands events that are there to those who wait for them.
    pub(crate) fn serve(&mut self, name: &str) -> Result<()> {
        let served = mail::serve(self.tx, self.hold.run, self.hold.chapter, name)?;
        self.end = None;
        self.arrived.extend(served.into_iter().filter_map(Arrived::of));
        Ok(())
    }

    /// Calls off a step that its code dropped: what it waited for is not to happen for nothing, and an event
    /// that it has got is there for the next one.
    pub(crate) fn withdraw(&mut self, number: u32, given: u64) -> Result<()> {
        let wait = (self.hold.run, self.hold.chapter, number);
        if let Some(row) = self.pending(number)? {
            self.settle(row.id, StoredOutcome::Withdrawn)?;
            call_off(self.tx, &row, &mut self.budget)?;
            self.end = None;
        } else if let Some(event) = mail::give_back(self.tx, wait, given)? {
            self.serve(&event)?;
        }
        Ok(())
    }

    /// Returns what was settled, in order.
    pub(crate) fn finish(self) -> Vec<Arrived> {
        self.arrived
    }
}

/// Settles a pending step from outside of its workflow, and wakes that; `None` when there is nothing to settle
/// any more. A step of a journal that is left behind is cut off instead.
pub(crate) fn settle(tx: &mut Tx, step: StepId, outcome: StoredOutcome) -> Result<Option<StepRow>> {
    settle_by(tx, step, outcome, None)
}

/// As [`settle`], by an event.
pub(crate) fn settle_by(
    tx: &mut Tx,
    step: StepId,
    outcome: StoredOutcome,
    event: Option<Id<MailRow>>,
) -> Result<Option<StepRow>> {
    let Some(row) = tx.get(step)?.filter(|row| row.is_pending()) else { return Ok(None) };
    let Some(run) = tx.get(row.run)?.filter(|run| run.chapter == row.chapter) else {
        cut(tx, step)?;
        return Ok(None);
    };
    let (now, mut end) = (tx.now(), Place::look_up(tx, row.run, row.chapter)?);
    let row = tx.update(step, |row| {
        end.put(row, outcome, now);
        row.event = event;
    })?;
    wake(tx, &run)?;
    Ok(Some(row.record))
}

/// The end of a journal.
pub(crate) fn end_of(tx: &Tx, run: WorkflowId, chapter: u32) -> Result<Place> {
    Place::look_up(tx, run, chapter)
}

/// Has a run taken that nobody has in memory.
fn wake(tx: &mut Tx, run: &Row<WorkflowRow>) -> Result<()> {
    let now = tx.now();
    if run.state == State::Parked {
        tx.update(run.id, |row| {
            row.state = State::Ready;
            row.woken = now;
        })?;
    }
    Ok(())
}

/// Returns what was settled from a position on; `None` when the hold is lost.
pub(crate) fn news(tx: &Tx, hold: &Hold, from: u64) -> Result<Option<Vec<Arrived>>> {
    if hold.check(tx)?.is_none() {
        return Ok(None);
    }
    let rows = tx.scan(StepRow::settled.eq(hold.run).eq(hold.chapter).ge(from))?;
    Ok(Some(rows.into_iter().filter_map(|row| Arrived::of(row.record)).collect()))
}

/// What a step without a value returns.
pub(crate) fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}
