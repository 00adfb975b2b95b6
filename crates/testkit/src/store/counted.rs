//! An engine that counts what it is asked.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use loomwork_core::RawId;
use loomwork_store::Result;
use loomwork_store::engine::{
    Changes, Engine, Entry, Lane, Logged, Others, Outcome, Profile, Role, Scan, Seq, Session, Shape, TableNo,
    TxKind,
};

/// What a writer's transaction has asked of its engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) gets: usize,
    pub(super) scans: usize,
    pub(super) applies: usize,
    /// The rows that were handed over by all of its `apply`s.
    pub(super) rows: usize,
}

/// An engine over another one.
#[derive(Clone)]
pub(super) struct Counted {
    engine: Arc<dyn Engine>,
    newest: Arc<Mutex<Asked>>,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("newest", &self.newest()).finish_non_exhaustive()
    }
}

impl Counted {
    pub(super) fn over(engine: Arc<dyn Engine>) -> Self {
        Self { engine, newest: Arc::default() }
    }

    /// What the newest run of a mutation has asked; runs before it, ended by a conflict, do not count.
    pub(super) fn newest(&self) -> Asked {
        *self.newest.lock().expect("nothing panics while it counts")
    }
}

impl Engine for Counted {
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
        Ok(match role {
            Role::Reader => session,
            Role::Writer => Box::new(CountedSession { session, asked: self.newest.clone() }),
        })
    }
}

struct CountedSession {
    session: Box<dyn Session>,
    asked: Arc<Mutex<Asked>>,
}

impl CountedSession {
    fn count(&self, count: impl FnOnce(&mut Asked)) {
        count(&mut self.asked.lock().expect("nothing panics while it counts"));
    }
}

impl Session for CountedSession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        self.count(|asked| *asked = Asked::default());
        self.session.begin(kind, lane)
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        self.count(|asked| asked.gets += 1);
        self.session.get(table, id, visit)
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        self.count(|asked| asked.scans += 1);
        self.session.scan(scan, visit)
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        self.count(|asked| {
            asked.applies += 1;
            asked.rows += changes.writes.len();
        });
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
