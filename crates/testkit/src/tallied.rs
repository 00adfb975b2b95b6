//! An engine that counts its transactions, and the rows that it shows.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loomwork_core::RawId;
use loomwork_store::Result;
use loomwork_store::engine::{
    Changes, Engine, Entry, Lane, Logged, Others, Outcome, Profile, Role, Scan, Seq, Session, Shape, TableNo,
    TxKind,
};

/// An engine over another one, which counts the transactions that are begun: what an idle program costs. It
/// counts the rows that they are shown too: what a query costs.
pub struct Tallied {
    engine: Box<dyn Engine>,
    begun: Arc<Begun>,
}

/// How many transactions have begun; it does not keep the engine.
#[derive(Debug, Default)]
pub struct Begun {
    reads: AtomicU64,
    writes: AtomicU64,
    rows: AtomicU64,
}

impl Tallied {
    /// Counts the transactions of an engine.
    pub fn over(engine: impl Engine) -> (Self, Arc<Begun>) {
        let begun = Arc::<Begun>::default();
        (Self { engine: Box::new(engine), begun: begun.clone() }, begun)
    }
}

impl Begun {
    /// Returns how many queries have begun.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Returns how many transactions of mutations have begun.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Returns how many rows transactions have been shown.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Tallied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tallied").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Engine for Tallied {
    fn profile(&self) -> Profile {
        self.engine.profile()
    }

    fn define(&self, tables: &[Shape]) -> Result<()> {
        self.engine.define(tables)
    }

    fn hear_others(&self, others: Others) {
        self.engine.hear_others(others);
    }

    fn session(&self, role: Role) -> Result<Box<dyn Session>> {
        let session = self.engine.session(role)?;
        Ok(Box::new(TalliedSession { session, begun: self.begun.clone() }))
    }
}

struct TalliedSession {
    session: Box<dyn Session>,
    begun: Arc<Begun>,
}

impl Session for TalliedSession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        let count = match kind {
            TxKind::Read => &self.begun.reads,
            TxKind::Write | TxKind::Claim => &self.begun.writes,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.session.begin(kind, lane)
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        self.begun.rows.fetch_add(1, Ordering::Relaxed);
        self.session.get(table, id, visit)
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        self.session.scan(scan, &mut |entry| {
            self.begun.rows.fetch_add(1, Ordering::Relaxed);
            visit(entry)
        })
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        self.session.apply(changes)
    }

    fn commit(&mut self) -> Outcome<Seq> {
        self.session.commit()
    }

    fn rollback(&mut self) {
        self.session.rollback();
    }

    fn log(&self, after: Seq, visit: &mut dyn FnMut(Logged) -> ControlFlow<()>) -> Outcome<()> {
        self.session.log(after, visit)
    }

    fn log_bounds(&self) -> Outcome<(Seq, Seq)> {
        self.session.log_bounds()
    }
}
