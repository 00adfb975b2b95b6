//! What the store makes of an engine that stops: in any call, by a conflict, a failure or a panic.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use loomwork_core::{Kind, RawId};
use loomwork_store::engine::{
    Changes, Engine, Entry, Lane, Logged, Outcome, Profile, Role, Scan, Seq, Session, Shape, Stop, TableNo,
    TxKind,
};
use loomwork_store::{Error, Id, MUTATION_ATTEMPTS, Memory, Problem, Result, Store, Table as _, Tx};
use loomwork_testkit::soon;
use loomwork_testkit::store::Note;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Begin,
    Get,
    Scan,
    Apply,
    Commit,
}

const CALLS: [Call; 5] = [Call::Begin, Call::Get, Call::Scan, Call::Apply, Call::Commit];

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Conflict,
    Failure,
    Panic,
}

/// How the next calls of one kind end.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<Option<(Call, End, u32)>>>);

impl Fault {
    /// Has the next `times` calls end so.
    fn plan(&self, call: Call, end: End, times: u32) {
        *self.planned() = Some((call, end, times));
    }

    fn planned(&self) -> MutexGuard<'_, Option<(Call, End, u32)>> {
        self.0.lock().expect("nothing panics while it holds the plan")
    }

    fn strike(&self, called: Call) -> Outcome<()> {
        let end = match &mut *self.planned() {
            Some((call, end, times)) if *call == called && *times > 0 => {
                *times -= 1;
                *end
            }
            _ => return Ok(()),
        };
        match end {
            End::Conflict => Err(Stop::Conflict),
            End::Failure => Err(Stop::failed("faulty", "go on", Kind::Unavailable, "the disk is gone")),
            End::Panic => panic!("the engine panicked"),
        }
    }
}

/// A memory engine whose calls end as planned.
struct Faulty {
    memory: Memory,
    fault: Fault,
}

impl Engine for Faulty {
    fn profile(&self) -> Profile {
        Profile { conflicts: true, ..self.memory.profile() }
    }

    fn define(&self, tables: &[Shape]) -> Result<()> {
        self.memory.define(tables)
    }

    fn session(&self, role: Role) -> Result<Box<dyn Session>> {
        Ok(Box::new(FaultySession { session: self.memory.session(role)?, fault: self.fault.clone() }))
    }
}

struct FaultySession {
    session: Box<dyn Session>,
    fault: Fault,
}

impl Session for FaultySession {
    fn begin(&mut self, kind: TxKind, lane: Lane) -> Outcome<()> {
        self.fault.strike(Call::Begin)?;
        self.session.begin(kind, lane)
    }

    fn get(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Outcome<bool> {
        self.fault.strike(Call::Get)?;
        self.session.get(table, id, visit)
    }

    fn scan(&self, scan: &Scan<'_>, visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>) -> Outcome<()> {
        self.fault.strike(Call::Scan)?;
        self.session.scan(scan, visit)
    }

    fn apply(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        self.fault.strike(Call::Apply)?;
        self.session.apply(changes)
    }

    fn commit(&mut self) -> Outcome<Seq> {
        self.fault.strike(Call::Commit)?;
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

/// A store with one note, over an engine that is still sound.
async fn open() -> (Store, Fault, Id<Note>) {
    let fault = Fault::default();
    let engine = Faulty { memory: Memory::new(), fault: fault.clone() };
    let store = Store::builder(engine).tables([Note::table()]).open().await.expect("the store opens");
    let id = store.mutate(|tx| Ok(tx.insert(Note::new("first"))?.id)).await.expect("it commits");
    (store, fault, id)
}

/// Reads in two ways and swallows what goes wrong; says how many notes it believes to have seen.
fn read_carelessly(tx: &Tx, id: Id<Note>) -> usize {
    let found = tx.get(id).ok().flatten();
    let listed = tx.scan(Note::by_author.all()).unwrap_or_default();
    found.iter().count() + listed.len()
}

async fn slugs(store: &Store) -> Vec<String> {
    let notes = store.query(|tx| tx.scan(Note::all())).await.expect("the query runs");
    notes.into_iter().map(|note| note.record.slug).collect()
}

#[tokio::test]
async fn a_conflict_runs_the_mutation_again_even_if_it_is_swallowed() {
    for call in CALLS {
        let (store, fault, id) = open().await;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        fault.plan(call, End::Conflict, 2);
        let mutation = store.mutate(move |tx| {
            counted.fetch_add(1, Ordering::Relaxed);
            let seen = read_carelessly(tx, id);
            for slug in ["second", "third"] {
                // Its unique check reads, too.
                let _ = tx.insert(Note::new(slug));
            }
            Ok(seen)
        });
        assert_eq!(mutation.await.unwrap(), 2, "{call:?}");
        assert_eq!(slugs(&store).await, ["first", "second", "third"], "{call:?}");
        let expected = if call == Call::Begin { 1 } else { 3 };
        assert_eq!(runs.load(Ordering::Relaxed), expected, "{call:?}");
    }
}

#[tokio::test]
async fn a_failure_or_panic_of_the_engine_ends_the_mutation_even_if_it_is_swallowed() {
    for call in CALLS {
        for end in [End::Failure, End::Panic] {
            let (store, fault, id) = open().await;
            let write = move |tx: &mut Tx| {
                let seen = read_carelessly(tx, id);
                tx.insert(Note::new(format!("seen {seen}"))).map(|_| ())
            };
            fault.plan(call, end, 1);
            let error = store.mutate(write).await.expect_err("the engine stopped");
            check_told(&error, end);
            assert_eq!(slugs(&store).await, ["first"], "{call:?}, {end:?}");
            store.mutate(write).await.expect("the engine is sound again");
            assert_eq!(slugs(&store).await, ["first", "seen 2"], "{call:?}, {end:?}");
            assert!(store.check().await.unwrap().is_clean());
        }
    }
}

fn check_told(error: &Error, end: End) {
    match (end, error.downcast_ref()) {
        (End::Failure, Some(Problem::Engine { engine: "faulty", action: "go on", source, .. })) => {
            assert_eq!((error.kind(), source.to_string().as_str()), (Kind::Unavailable, "the disk is gone"));
        }
        (End::Panic, Some(Problem::Panicked { .. })) => assert_eq!(error.kind(), Kind::Internal),
        _ => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_query_is_read_again_after_a_conflict_and_fails_with_the_engine() {
    for call in [Call::Begin, Call::Get, Call::Scan] {
        let (store, fault, id) = open().await;
        let query = move |tx: &Tx| Ok(read_carelessly(tx, id));
        fault.plan(call, End::Conflict, 2);
        assert_eq!(store.query(query).await.unwrap(), 2, "{call:?}");
        fault.plan(call, End::Conflict, u32::MAX);
        let error = store.query(query).await.expect_err("it conflicts for ever");
        assert!(matches!(error.downcast_ref(), Some(Problem::GaveUp { .. })), "{error:?}");
        fault.plan(call, End::Failure, 1);
        check_told(&store.query(query).await.expect_err("the engine stopped"), End::Failure);
        assert_eq!(store.query(query).await.unwrap(), 2, "{call:?}");
    }
}

#[tokio::test]
async fn a_mutation_that_conflicts_for_ever_is_given_up() {
    let (store, fault, _) = open().await;
    fault.plan(Call::Commit, End::Conflict, u32::MAX);
    let error = store.mutate(|tx| tx.insert(Note::new("second"))).await.expect_err("it conflicts for ever");
    let problem = error.downcast_ref();
    assert!(
        matches!(problem, Some(Problem::GaveUp { what: "mutation", attempts: MUTATION_ATTEMPTS })),
        "{error:?}"
    );
    assert_eq!(error.kind(), Kind::Conflict);
    fault.plan(Call::Commit, End::Conflict, 0);
    assert_eq!(slugs(&store).await, ["first"]);
}

#[tokio::test]
async fn an_opening_runs_again_after_conflicts_and_is_given_up_if_they_do_not_end() {
    let (memory, fault) = (Memory::new(), Fault::default());
    let open = || {
        let engine = Faulty { memory: memory.clone(), fault: fault.clone() };
        Store::builder(engine).tables([Note::table()]).open()
    };
    fault.plan(Call::Commit, End::Conflict, 5);
    open().await.expect("the conflicts end").close().await;
    fault.plan(Call::Commit, End::Conflict, u32::MAX);
    let error = open().await.expect_err("it conflicts for ever");
    assert!(
        matches!(error.downcast_ref(), Some(Problem::GaveUp { what: "opening of the store", .. })),
        "{error:?}"
    );
    assert_eq!(error.kind(), Kind::Conflict);
}

/// What an error was made from may have been overtaken: it is an answer like any other.
#[tokio::test]
async fn an_error_is_an_answer_only_once_its_commit_succeeds() {
    let (store, fault, id) = open().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    fault.plan(Call::Commit, End::Conflict, 2);
    let refused = store.mutate(move |tx| -> Result<()> {
        let stars = tx.require(id)?.stars;
        let run = counted.fetch_add(1, Ordering::Relaxed) + 1;
        Err(Error::message(Kind::Denied, format!("run {run} found {stars} stars")))
    });
    let error = refused.await.expect_err("the closure refuses");
    assert_eq!(error.to_string(), "run 3 found 0 stars");
    assert_eq!(runs.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn all_who_share_a_failed_commit_are_told() {
    let (store, fault, _) = open().await;
    fault.plan(Call::Commit, End::Failure, 1);
    let mutations = (0..50).map(|number| {
        let mutation = store.mutate(move |tx| tx.insert(Note::new(format!("{number:02}"))));
        async move { (format!("{number:02}"), mutation.await) }
    });
    let ended = JoinSet::from_iter(mutations).join_all().await;
    let (kept, failed): (Vec<_>, Vec<_>) = ended.into_iter().partition(|(_, ended)| ended.is_ok());
    assert!(!failed.is_empty(), "one commit failed");
    failed.iter().for_each(|(_, ended)| check_told(ended.as_ref().unwrap_err(), End::Failure));
    let mut expected: Vec<_> = kept.into_iter().map(|(slug, _)| slug).chain(["first".to_owned()]).collect();
    expected.sort();
    let mut found = slugs(&store).await;
    found.sort();
    assert_eq!(found, expected);
}

/// Polls a future once, which is what hands a mutation in.
async fn is_waiting(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(pin!(&mut *future).poll(cx).is_pending())).await
}

fn starred(slug: &'static str) -> Note {
    Note { stars: 1, ..Note::new(slug) }
}

#[tokio::test]
async fn a_live_query_hears_again_after_the_engine_has_failed() {
    for call in [Call::Begin, Call::Scan] {
        let (store, fault, _) = open().await;
        let mut live = store.watch(|tx| tx.count(Note::starred.all()));
        soon(live.next()).await.expect("the store is open").expect("the query runs");
        store.mutate(|tx| tx.insert(starred("one"))).await.expect("the mutation commits");
        fault.plan(call, End::Failure, 1);
        soon(live.next()).await.expect("the store is open").expect_err("the engine fails");
        store.mutate(|tx| tx.insert(starred("two"))).await.expect("the mutation commits");
        soon(live.next()).await.expect("the store is open").expect("the query runs again");
    }
}

#[tokio::test]
async fn a_read_that_fails_concerns_its_closure_alone() {
    let (store, fault, id) = open().await;
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let first = store.clone();
    let blocked = JoinSet::from_iter([async move {
        let wait = move |_: &mut Tx| {
            let _ = gate.lock().expect("nothing panics here").recv();
            Ok(())
        };
        first.mutate(wait).await
    }]);
    // Both wait behind the gate, so they share a batch.
    let mut reads = store.mutate(move |tx| tx.get(id)).into_future();
    let mut writes = store.mutate(|tx| tx.insert(Note::new("neighbour"))).into_future();
    fault.plan(Call::Get, End::Failure, 1);
    assert!(is_waiting(&mut reads).await && is_waiting(&mut writes).await);
    drop(go);
    soon(reads).await.expect_err("the engine could not read the row");
    soon(writes).await.expect("its neighbour commits");
    soon(blocked.join_all()).await.remove(0).expect("it commits");
}

/// A result whose caller has gone away panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped on purpose");
    }
}

#[tokio::test]
async fn a_panic_while_answering_loses_no_wake_up() {
    let (store, _, _) = open().await;
    let mut live = store.watch(|tx| tx.count(Note::starred.all()));
    soon(live.next()).await.expect("the store is open").expect("the query runs");
    let (runs, running) = std::sync::mpsc::channel::<()>();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let caller = store.clone();
    let mut abandoned = JoinSet::new();
    abandoned.spawn(async move {
        let explode = move |tx: &mut Tx| {
            tx.insert(starred("one"))?;
            let _ = runs.send(());
            let _ = gate.lock().expect("nothing panics here").recv();
            Ok(Bomb)
        };
        caller.mutate(explode).await.map(std::mem::forget)
    });
    let started = tokio::task::spawn_blocking(move || running.recv());
    soon(started).await.expect("it is joined").expect("the closure runs");
    abandoned.shutdown().await;
    drop(go);
    soon(live.next()).await.expect("the store is open").expect("the query runs");
    store.mutate(|tx| tx.insert(starred("two"))).await.expect("the writer goes on");
    soon(live.next()).await.expect("the store is open").expect("the query runs");
}
