//! A connection to the in-memory engine: a snapshot, what was read of it, what is to be written.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_core::RawId;

use super::Shared;
use super::state::{Batch, State};
use crate::engine::{
    Changes, Entry, EntryKey, Lane, Logged, Outcome, Scan, Seq, Session, Stop, TableNo, Touched, TxKind,
};

pub(super) struct MemorySession {
    shared: Arc<Shared>,
    process: u64,
    conflict_share: f64,
    running: Option<Running>,
}

struct Running {
    kind: TxKind,
    lane: Lane,
    /// The snapshot, and over it what was applied.
    state: State,
    began: u64,
    reads: RefCell<Vec<(EntryKey, EntryKey)>>,
    claimed: RefCell<Vec<(TableNo, RawId)>>,
    batches: Vec<Batch>,
    /// For the other processes.
    touched: Vec<Touched>,
}

impl MemorySession {
    pub(super) fn new(shared: Arc<Shared>, process: u64, conflict_share: f64) -> Self {
        Self { shared, process, conflict_share, running: None }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the store reads only in a transaction that it has begun")
    }

    /// Whether another claim has visited the row; if none has, it is this one's.
    fn is_taken(&self, table: TableNo, id: RawId) -> bool {
        let mut own = self.running().claimed.borrow_mut();
        if own.contains(&(table, id)) {
            return false;
        }
        let free = self.shared.commits().claimed.insert((table, id));
        if free {
            own.push((table, id));
        }
        !free
    }

    fn record_read(&self, low: EntryKey, high: EntryKey) {
        if self.running().kind == TxKind::Write {
            self.running().reads.borrow_mut().push((low, high));
        }
    }
}

impl Running {
    /// Whether a key that another transaction committed meanwhile makes this one's work void.
    fn conflicts_with(&self, key: &EntryKey) -> bool {
        match self.kind {
            TxKind::Read => false,
            TxKind::Write => self.reads.borrow().iter().any(|(low, high)| low <= key && key < high),
            TxKind::Claim => self.batches.iter().any(|batch| batch.rows.contains(key)),
        }
    }
}

fn just_behind(key: &EntryKey) -> EntryKey {
    [key, [0].as_slice()].concat().into()
}

impl Session for MemorySession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        debug_assert!(self.running.is_none(), "a session has one transaction at a time");
        let (state, began) = self.shared.commits().begin();
        self.running = Some(Running {
            kind,
            lane,
            state,
            began,
            reads: RefCell::default(),
            claimed: RefCell::default(),
            batches: Vec::new(),
            touched: Vec::new(),
        });
        Ok(())
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        let key = State::row_key(table, id);
        self.record_read(key.clone(), just_behind(&key));
        let row = self.running().state.get(table, id);
        Ok(row.map(|stored| visit(stored.version, &stored.body)).is_some())
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        let running = self.running();
        let Some(range) = running.state.range(scan) else { return Ok(()) };
        let mut stopped_at = None;
        running.state.scan(scan, &range, &mut |place, entry| {
            if scan.claim && self.is_taken(scan.table, entry.id) {
                return ControlFlow::Continue(());
            }
            let flow = visit(entry);
            if flow.is_break() {
                stopped_at = Some(place.clone());
            }
            flow
        });
        let (low, high) = range;
        match (stopped_at, scan.reverse) {
            (None, _) => self.record_read(low, high),
            (Some(last), false) => self.record_read(low, just_behind(&last)),
            (Some(last), true) => self.record_read(last, high),
        }
        Ok(())
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        let running = self.running.as_mut().expect("the store applies only in a transaction");
        let batch = running.state.batch(changes);
        running.state.apply(&batch);
        running.batches.push(batch);
        running.touched.extend(changes.touched());
        Ok(())
    }

    fn commit(&mut self) -> Outcome<Seq> {
        let running = self.running.as_ref().expect("the store commits only what it has begun");
        let mut commits = self.shared.commits();
        let unlucky = self.conflict_share > 0.0 && self.shared.random.unit() < self.conflict_share;
        if unlucky || commits.touched_since(running.began, |key| running.conflicts_with(key)) {
            return Err(Stop::Conflict);
        }
        commits.commit(running.began, &running.state, &running.batches);
        if running.lane == Lane::Durable {
            commits.durable = commits.state.clone();
        }
        let (_, end) = commits.state.log_bounds();
        drop(commits);
        self.shared.tell_others(self.process, &running.touched, end);
        self.rollback();
        Ok(end)
    }

    fn rollback(&mut self) {
        if let Some(running) = self.running.take() {
            let mut commits = self.shared.commits();
            for row in running.claimed.into_inner() {
                commits.claimed.remove(&row);
            }
            commits.end(running.began);
        }
    }

    fn log(&self, after: Seq, visit: &mut dyn FnMut(Logged) -> ControlFlow<()>) -> Outcome<()> {
        self.record_read(State::log_start_key(), just_behind(&State::log_end_key()));
        let mut log = self.running().state.log(after).map(|(seq, entry)| Logged { seq, entry });
        let _ = log.try_for_each(visit);
        Ok(())
    }

    fn log_bounds(&self) -> Outcome<(Seq, Seq)> {
        self.record_read(State::log_start_key(), just_behind(&State::log_start_key()));
        Ok(self.running().state.log_bounds())
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.rollback();
    }
}
