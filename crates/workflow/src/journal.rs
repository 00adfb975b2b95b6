//! The journal: what is recorded of steps, in which order, and by whom.
//!
//! A step has a *number*, its place in the code, and once it is settled a *position*, its place in the order
//! in which outcomes reach the code. Whoever settles a step gives it the next position in the same
//! transaction, so positions are dense, and who has read up to one has missed none. Code that is run again
//! gets the outcomes in the order of their positions, one at a time, as it did the first time: so whatever it
//! does with several steps at once, it does again.

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Tx};
use serde_json::value::RawValue;

use crate::cancel::cancel;
use crate::tables::{
    HostRow, MailRow, State, StepId, StepKind, StepRow, StoredOutcome, WorkflowId, WorkflowRow,
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
    pub(crate) name: String,
    pub(crate) at: Time,
    pub(crate) outcome: StoredOutcome,
    pub(crate) returned_from: Option<u32>,
}

impl Arrived {
    /// Reads a settled step; `None` for one that is not.
    pub(crate) fn of(row: StepRow) -> Option<Self> {
        let StepRow { position, number, kind, name, finished, started, outcome, returned_from, .. } = row;
        let at = finished.unwrap_or(started);
        Some(Self { position: position?, number, kind, name, at, outcome: outcome?, returned_from })
    }
}

/// What a step is called and given, which a replay has to find again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: StepKind,
    pub(crate) name: String,
    pub(crate) fingerprint: Option<u64>,
    pub(crate) args: Option<String>,
}

/// The entry of a step that has just begun.
fn entry(tx: &Tx, hold: &Hold, number: u32, label: &Label) -> StepRow {
    StepRow {
        run: hold.run,
        chapter: hold.chapter,
        number,
        kind: label.kind,
        name: label.name.clone(),
        fingerprint: label.fingerprint,
        args: label.args.clone(),
        position: None,
        outcome: None,
        cut: false,
        due: None,
        job: None,
        child: None,
        returned_from: None,
        started: tx.now(),
        finished: None,
    }
}

/// Writes entries of one run in one transaction.
pub(crate) struct Writer<'a> {
    pub(crate) tx: &'a mut Tx,
    hold: Hold,
    next: u64,
    arrived: Vec<Arrived>,
}

impl<'a> Writer<'a> {
    /// Begins to write, if the hold is good; the run is known up to the position `known`.
    pub(crate) fn open(tx: &'a mut Tx, hold: Hold, known: u64) -> Result<Option<Self>> {
        if hold.check(tx)?.is_none() {
            return Ok(None);
        }
        // Counting reads keys alone, and mostly there is nothing to count.
        let behind = tx.count(StepRow::settled.eq(hold.run).eq(hold.chapter).ge(known))? as u64;
        Ok(Some(Self { tx, hold, next: known + behind, arrived: Vec::new() }))
    }

    /// Records a step that is settled at once.
    pub(crate) fn settled(&mut self, number: u32, label: &Label, outcome: StoredOutcome) -> Result<()> {
        let row = entry(self.tx, &self.hold, number, label);
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
        row.position = Some(self.next);
        row.outcome = Some(outcome);
        row.finished = Some(self.tx.now());
        self.next += 1;
        let row = self.tx.insert_at(id, row)?.record;
        self.arrived.extend(Arrived::of(row));
        Ok(())
    }

    /// The entry of a step that has just begun.
    pub(crate) fn entry(&self, number: u32, label: &Label) -> StepRow {
        entry(self.tx, &self.hold, number, label)
    }

    /// Returns the pending entry of a number.
    pub(crate) fn pending(&self, number: u32) -> Result<Option<Row<StepRow>>> {
        let row = self.tx.first(StepRow::pending.eq(self.hold.run).eq(number))?;
        Ok(row.filter(|row| row.chapter == self.hold.chapter))
    }

    /// Settles an entry that was pending.
    pub(crate) fn settle(&mut self, row: Row<StepRow>, change: impl FnOnce(&mut StepRow)) -> Result<()> {
        let (now, position) = (self.tx.now(), self.next);
        self.next += 1;
        let row = self.tx.update(row.id, |row| {
            row.position = Some(position);
            row.finished = Some(now);
            row.due = None;
            change(row);
        })?;
        self.arrived.extend(Arrived::of(row.record));
        Ok(())
    }

    /// Calls off a step that its code dropped: what it waited for is not to happen for nothing.
    pub(crate) fn withdraw(&mut self, number: u32) -> Result<()> {
        let Some(row) = self.pending(number)? else { return Ok(()) };
        let (job, child) = (row.job, row.child);
        self.settle(row, |row| row.outcome = Some(StoredOutcome::Withdrawn))?;
        call_off(self.tx, job, child)
    }

    /// Returns what was settled, in order.
    pub(crate) fn finish(self) -> Vec<Arrived> {
        self.arrived
    }
}

/// Cancels what a step has waited for.
fn call_off(tx: &mut Tx, job: Option<loomwork_workpool::JobId>, child: Option<WorkflowId>) -> Result<()> {
    if let Some(job) = job {
        loomwork_workpool::cancel(tx, job)?;
    }
    if let Some(child) = child {
        cancel(tx, child)?;
    }
    Ok(())
}

/// Settles a pending step from outside of its workflow, and wakes that; `false` when there is nothing to
/// settle any more.
pub(crate) fn settle(tx: &mut Tx, step: StepId, outcome: StoredOutcome) -> Result<bool> {
    let Some(row) = tx.get(step)?.filter(|row| row.is_pending()) else { return Ok(false) };
    let last = tx.first(StepRow::settled.eq(row.run).eq(row.chapter).desc())?;
    let position = last.and_then(|last| last.position).map_or(0, |last| last + 1);
    let now = tx.now();
    tx.update(step, |row| {
        row.position = Some(position);
        row.outcome = Some(outcome);
        row.finished = Some(now);
        row.due = None;
    })?;
    wake(tx, row.run)?;
    Ok(true)
}

/// Has a run taken that nobody has in memory.
pub(crate) fn wake(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    let now = tx.now();
    if tx.get(run)?.is_some_and(|row| row.state == State::Parked) {
        tx.update(run, |row| {
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

/// Cuts off what a run still waits for: its jobs and its children are cancelled.
pub(crate) fn cut_off(tx: &mut Tx, run: WorkflowId) -> Result<()> {
    let now = tx.now();
    for row in tx.scan(StepRow::pending.eq(run))? {
        tx.update(row.id, |row| {
            row.cut = true;
            row.due = None;
            row.finished = Some(now);
        })?;
        call_off(tx, row.job, row.child)?;
    }
    Ok(())
}

/// Takes the first event of a name.
pub(crate) fn take_mail(tx: &mut Tx, run: WorkflowId, name: &str) -> Result<Option<StoredOutcome>> {
    let Some(mail) = tx.first(MailRow::by_name.eq(run).eq(name))? else { return Ok(None) };
    tx.delete(mail.id)?;
    Ok(Some(mail.record.value))
}

/// What a step without a value returns.
pub(crate) fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}
