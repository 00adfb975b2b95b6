//! An engine in memory that takes no writes while a test says so.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loomwork_core::{Kind, RawId};
use loomwork_store::engine::{
    Changes, Engine, Entry, Lane, Logged, Others, Outcome, Profile, Role, Scan, Seq, Session, Shape, Stop,
    TableNo, TxKind,
};
use loomwork_store::{Memory, Result};

/// Whether the engine takes writes. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mood(Arc<AtomicBool>);

impl Mood {
    pub(crate) fn refuse(&self, refuses: bool) {
        self.0.store(refuses, Ordering::SeqCst);
    }
}

pub(crate) struct Moody {
    engine: Memory,
    mood: Mood,
}

impl Moody {
    pub(crate) fn new() -> (Self, Mood) {
        let mood = Mood::default();
        (Self { engine: Memory::new(), mood: mood.clone() }, mood)
    }
}

impl fmt::Debug for Moody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Moody").field(&self.mood).finish()
    }
}

impl Engine for Moody {
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
        Ok(Box::new(MoodySession { session: self.engine.session(role)?, mood: self.mood.clone() }))
    }
}

struct MoodySession {
    session: Box<dyn Session>,
    mood: Mood,
}

impl Session for MoodySession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        self.session.begin(kind, lane)
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        self.session.get(table, id, visit)
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        self.session.scan(scan, visit)
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        if self.mood.0.load(Ordering::SeqCst) {
            return Err(Stop::failed("moody", "write", Kind::Unavailable, "not in the mood"));
        }
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
