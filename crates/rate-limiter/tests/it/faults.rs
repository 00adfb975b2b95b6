//! An engine that fails at any of its calls: limits are taken from together, or not at all.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use loomwork_core::{Clock, Kind, RawId};
use loomwork_rate_limiter::{HoldRow, Limit, MINUTE, hold, limit_all, settle, value};
use loomwork_store::engine::{
    Changes, Engine, Entry, Lane, Logged, Others, Outcome, Profile, Role, Scan, Seq, Session, Shape, Stop,
    TableNo, TxKind,
};
use loomwork_store::{Memory, Result, Store, Table as _, Tx};

use crate::memory::desk::START;

const ONE: Limit = Limit::token_bucket("one", 0, MINUTE).capacity(10);
const TWO: Limit = Limit::fixed_window("two", 0, MINUTE).capacity(10);
const THREE: Limit = Limit::token_bucket("three", 0, MINUTE).capacity(10);
const TERM: Duration = Duration::from_secs(600);

/// How many calls of a mutation still succeed before one fails; the following ones succeed again.
#[derive(Clone, Debug)]
struct Fuse(Arc<AtomicI64>);

impl Fuse {
    /// Longer than any history.
    const NEVER: i64 = i64::MAX;

    fn burn(&self, what: &'static str) -> Outcome<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(Stop::failed("faulty", what, Kind::Unavailable, "the disk is gone"));
        }
        Ok(())
    }

    /// Whether it has burnt down since it was set.
    fn has_burnt(&self) -> bool {
        self.0.swap(Self::NEVER, Ordering::SeqCst) < 0
    }
}

#[derive(Debug)]
struct Faulty(Memory, Fuse);

impl Engine for Faulty {
    fn profile(&self) -> Profile {
        self.0.profile()
    }

    fn define(&self, tables: &[Shape]) -> Result<()> {
        self.0.define(tables)
    }

    fn hear_others(&self, others: Others) {
        self.0.hear_others(others);
    }

    fn session(&self, role: Role) -> Result<Box<dyn Session>> {
        Ok(Box::new(FaultySession(self.0.session(role)?, self.1.clone())))
    }
}

struct FaultySession(Box<dyn Session>, Fuse);

impl Session for FaultySession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        self.1.burn("begin")?;
        self.0.begin(kind, lane)
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        self.1.burn("read a row")?;
        self.0.get(table, id, visit)
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        self.1.burn("read a range")?;
        self.0.scan(scan, visit)
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        self.1.burn("write")?;
        self.0.apply(changes)
    }

    fn commit(&mut self) -> Outcome<Seq> {
        self.1.burn("commit")?;
        self.0.commit()
    }

    fn rollback(&mut self) {
        self.0.rollback();
    }

    fn log(&self, after: Seq, visit: &mut dyn FnMut(Logged) -> ControlFlow<()>) -> Outcome<()> {
        self.0.log(after, visit)
    }

    fn log_bounds(&self) -> Outcome<(Seq, Seq)> {
        self.0.log_bounds()
    }
}

async fn open() -> (Store, Fuse) {
    let fuse = Fuse(Arc::new(AtomicI64::new(Fuse::NEVER)));
    let builder = Store::builder(Faulty(Memory::new(), fuse.clone())).clock(Clock::manual(START).clock());
    let store = builder.tables(loomwork_rate_limiter::tables()).open().await.expect("the store opens");
    (store, fuse)
}

/// What is left of each limit for a key.
async fn left(store: &Store, key: u64) -> [i64; 3] {
    let values =
        move |tx: &Tx| Ok([value(tx, &ONE, &key)?, value(tx, &TWO, &key)?, value(tx, &THREE, &key)?]);
    store.query(values).await.expect("the disk is back")
}

/// Runs a change with the first, the second and each later call failing, with a key of its own each time, and
/// checks what is left. The change swallows its errors, so that it commits whatever it has done.
async fn at_any_call<F>(prepare: Option<F>, change: F, untouched: [i64; 3], changed: [i64; 3])
where
    F: Fn(&mut Tx, u64) -> Result<()> + Copy + Send + 'static,
{
    let (store, fuse) = open().await;
    for point in 0.. {
        let key = point as u64;
        if let Some(prepare) = prepare {
            store.mutate(move |tx| prepare(tx, key)).await.expect("it is prepared");
        }
        fuse.0.store(point, Ordering::SeqCst);
        let answer = store.mutate(move |tx| Ok(change(tx, key).is_ok())).await;
        let failed = fuse.has_burnt();
        let left = left(&store, key).await;
        if !failed {
            assert!(matches!(answer, Ok(true)));
            assert_eq!(left, changed);
            assert!(point >= 6, "only {point} calls were seen");
            return;
        }
        assert!(!matches!(answer, Ok(true)), "call {point} failed, and it was said to be done");
        assert_eq!(left, untouched, "call {point} failed");
    }
}

fn take(tx: &mut Tx, key: u64) -> Result<()> {
    limit_all(tx, &[ONE.ask(&key, 1), TWO.ask(&key, 2), THREE.ask(&key, 3)]).map(drop)
}

fn place(tx: &mut Tx, key: u64) -> Result<()> {
    hold(tx, &[ONE.ask(&key, 1), TWO.ask(&key, 2), THREE.ask(&key, 3)], TERM).map(drop)
}

fn settle_latest(tx: &mut Tx, _: u64) -> Result<()> {
    let latest = tx.first(HoldRow::all().desc())?.expect("one was placed");
    settle(tx, latest.id, &[0, 1, 4]).map(drop)
}

#[tokio::test]
async fn several_limits_are_taken_from_together_whichever_call_fails() {
    at_any_call(None, take, [10, 10, 10], [9, 8, 7]).await;
}

#[tokio::test]
async fn a_hold_is_placed_whole_whichever_call_fails() {
    at_any_call(None, place, [10, 10, 10], [9, 8, 7]).await;
}

#[tokio::test]
async fn a_hold_is_settled_whole_whichever_call_fails() {
    at_any_call::<fn(&mut Tx, u64) -> Result<()>>(Some(place), settle_latest, [9, 8, 7], [10, 9, 6]).await;
}
