//! Which durability a batch of mutations gets.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork_core::RawId;
use loomwork_store::engine::{
    Changes, Engine, Entry, Lane, Logged, Outcome, Profile, Role, Scan, Seq, Session, Shape, TableNo, TxKind,
};
use loomwork_store::{Result, Store, Tx};
use loomwork_store_sqlite::{Sqlite, SqliteOptions};

use crate::gate::{Gate, Queued, hold, queued};
use crate::place::{self, TempFile};
use crate::tables::{add, sound};

/// The lanes of the transactions that wrote, in their order.
type Lanes = Arc<Mutex<Vec<Lane>>>;

/// The engine, and what it was asked for.
struct Watched {
    file: Sqlite,
    lanes: Lanes,
}

struct WatchedSession {
    inner: Box<dyn Session>,
    lanes: Lanes,
}

impl Engine for Watched {
    fn profile(&self) -> Profile {
        self.file.profile()
    }

    fn define(&self, tables: &[Shape]) -> Result<()> {
        self.file.define(tables)
    }

    fn session(&self, role: Role) -> Result<Box<dyn Session>> {
        Ok(Box::new(WatchedSession { inner: self.file.session(role)?, lanes: self.lanes.clone() }))
    }
}

impl Session for WatchedSession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        if kind != TxKind::Read {
            self.lanes.lock().unwrap().push(lane);
        }
        self.inner.begin(kind, lane)
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        self.inner.get(table, id, visit)
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        self.inner.scan(scan, visit)
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        self.inner.apply(changes)
    }

    fn commit(&mut self) -> Outcome<Seq> {
        self.inner.commit()
    }

    fn rollback(&mut self) {
        self.inner.rollback();
    }

    fn log(&self, after: Seq, visit: &mut dyn FnMut(Logged) -> ControlFlow<()>) -> Outcome<()> {
        self.inner.log(after, visit)
    }

    fn log_bounds(&self) -> Outcome<(Seq, Seq)> {
        self.inner.log_bounds()
    }
}

/// A store that writes down the lanes of its transactions, and whose batches end by count only.
async fn watched(file: &TempFile) -> (Store, Lanes) {
    let options = SqliteOptions { batch_time: Duration::from_secs(60), ..SqliteOptions::default() };
    let lanes = Lanes::default();
    let watched = Watched { file: Sqlite::open_with(file.path(), options).unwrap(), lanes: lanes.clone() };
    let store = place::opened(Store::builder(watched)).await;
    lanes.lock().unwrap().clear();
    (store, lanes)
}

/// Hands a mutation in, in this lane.
fn handed_in(
    store: &Store,
    lane: Lane,
    closure: impl FnOnce(&mut Tx) -> Result<()> + Clone + Send + 'static,
) -> Queued<Result<()>> {
    let mutation = store.mutate(closure);
    queued(if lane == Lane::Relaxed { mutation.relaxed() } else { mutation })
}

/// Hands in mutations of these lanes at once; returns the lanes of the transactions that ran them.
async fn lanes_of(batch: &[Lane]) -> Vec<Lane> {
    let file = TempFile::new();
    let (store, lanes) = watched(&file).await;
    let (gate, held) = hold(&store).await;
    lanes.lock().unwrap().clear();
    let waiting: Vec<_> = batch.iter().map(|lane| handed_in(&store, *lane, |tx| add(tx).map(drop))).collect();
    gate.open();
    held.await.unwrap();
    for answer in waiting {
        answer.await.unwrap();
    }
    sound(&store, batch.len() as u64).await;
    lanes.lock().unwrap().clone()
}

#[tokio::test]
async fn a_batch_is_as_durable_as_its_strictest_mutation() {
    use Lane::{Durable, Relaxed};
    assert_eq!(lanes_of(&[Relaxed, Relaxed, Relaxed]).await, [Relaxed]);
    assert_eq!(lanes_of(&[Durable, Durable]).await, [Durable]);
    assert_eq!(lanes_of(&[Relaxed, Durable, Relaxed]).await, [Durable]);
    assert_eq!(lanes_of(&[Relaxed, Relaxed, Durable]).await, [Durable]);
}

/// Hands in mutations of these lanes, one after the other, while one of the lane `running` runs;
/// returns the lanes of their transactions.
async fn lanes_behind(running: Lane, later: &[Lane]) -> Vec<Lane> {
    let file = TempFile::new();
    let (store, lanes) = watched(&file).await;
    let gate = Gate::default();
    let inside = gate.clone();
    let held = handed_in(&store, running, move |tx| {
        inside.pass();
        add(tx).map(drop)
    });
    gate.reached().await;
    let later: Vec<_> = later.iter().map(|lane| handed_in(&store, *lane, |tx| add(tx).map(drop))).collect();
    let count = 1 + later.len() as u64;
    gate.open();
    held.await.unwrap();
    for answer in later {
        answer.await.unwrap();
    }
    sound(&store, count).await;
    lanes.lock().unwrap().clone()
}

#[tokio::test]
async fn a_running_batch_takes_along_what_its_lane_serves() {
    use Lane::{Durable, Relaxed};
    assert_eq!(lanes_behind(Durable, &[Relaxed, Durable]).await, [Durable]);
    assert_eq!(lanes_behind(Relaxed, &[Relaxed, Relaxed]).await, [Relaxed]);
    assert_eq!(lanes_behind(Relaxed, &[Durable]).await, [Relaxed, Durable]);
    assert_eq!(lanes_behind(Relaxed, &[Relaxed, Durable, Relaxed]).await, [Relaxed, Durable]);
}
