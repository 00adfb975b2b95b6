//! Upkeep: loops of mutations that wake when what they read changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use loomwork_core::{Kind, Tasks};
use loomwork_store::{Error, Next, Result, Table, Tx, Upkeep};

use crate::soon;
use crate::store::probe::{add, remove, together};
use crate::store::{Account, Bench, Note, Place, START};

/// Enters that a step has run and what it saw, in a row that no other run reads or writes.
fn enter_run(tx: &mut Tx, saw: usize) -> Result<()> {
    let owner = format!("run {}", tx.new_id::<Account>());
    tx.insert(Account { owner, balance: saw as i64 }).map(drop)
}

/// What each run of a step has seen so far.
fn runs(tx: &Tx) -> Result<Vec<i64>> {
    Ok(tx.scan(Account::by_owner.all())?.iter().map(|account| account.balance).collect())
}

fn count(tx: &Tx) -> Result<usize> {
    tx.count(Note::by_author.eq(None))
}

/// A store whose upkeeps can be watched.
struct Keeping {
    bench: Bench,
    tasks: Tasks,
}

impl Keeping {
    async fn start(
        place: &dyn Place,
        step: impl Fn(&mut Tx) -> Result<Next> + Send + Sync + 'static,
    ) -> Self {
        Self::start_this(place, Upkeep::new("keeper", step)).await
    }

    async fn start_this(place: &dyn Place, upkeep: Upkeep) -> Self {
        let keeping = Self { bench: Bench::open(place).await, tasks: Tasks::new() };
        keeping.bench.store.start_upkeep(&keeping.tasks, upkeep);
        keeping
    }

    async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.bench.store.mutate(change).await.expect("the mutation commits")
    }

    /// Waits until the runs have seen just this.
    async fn sees(&self, expected: &[i64]) {
        let mut seen = self.bench.store.watch(runs);
        soon(async {
            loop {
                let runs = seen.next().await.expect("the store is open").expect("the query succeeds");
                assert!(expected.starts_with(&runs), "the runs saw {runs:?} on the way to {expected:?}");
                if runs == expected {
                    return;
                }
            }
        })
        .await;
        self.rests_at(expected).await;
    }

    /// Sees that no further run comes although it is given every chance to.
    async fn rests_at(&self, expected: &[i64]) {
        for _ in 0..3 {
            self.commit(|_| Ok(())).await;
        }
        assert_eq!(self.bench.store.query(runs).await.expect("the query succeeds"), expected);
    }

    async fn ends(self) {
        self.tasks.shutdown(Duration::from_secs(5)).await.expect("the upkeep ends");
        assert_eq!(self.bench.store.live_queries(), 0);
    }
}

/// A step runs when it is started, and again when a commit touches what it read; other commits
/// do not wake it.
pub async fn a_step_runs_when_it_is_concerned(place: &dyn Place) {
    let keeping = Keeping::start(place, |tx| {
        let saw = count(tx)?;
        enter_run(tx, saw)?;
        Ok(Next::Idle)
    })
    .await;
    keeping.sees(&[0]).await;
    keeping.commit(|tx| tx.insert(Note { author: Some("ada".into()), ..Note::new("elsewhere") })).await;
    keeping.commit(|tx| tx.insert(Account { owner: "a bystander".into(), balance: -1 })).await;
    keeping
        .commit(|tx| {
            let bystander = tx.first(Account::by_owner.eq("a bystander"))?.expect("it was inserted");
            tx.delete(bystander.id)
        })
        .await;
    keeping.rests_at(&[0]).await;
    keeping.commit(|tx| add(tx, "a", 1)).await;
    keeping.sees(&[0, 1]).await;
    keeping.commit(|tx| remove(tx, "a")).await;
    keeping.sees(&[0, 1, 0]).await;
    keeping.ends().await;
}

/// A step's own writes do not wake it, also where it has read.
pub async fn own_writes_do_not_wake_a_step(place: &dyn Place) {
    let keeping = Keeping::start(place, |tx| {
        let saw = count(tx)?;
        add(tx, &format!("written behind {saw}"), 1)?;
        enter_run(tx, saw)?;
        Ok(Next::Idle)
    })
    .await;
    keeping.sees(&[0]).await;
    keeping.commit(|tx| add(tx, "a", 1)).await;
    keeping.sees(&[0, 2]).await;
    keeping.ends().await;
}

/// A step that has more to do runs again at once.
pub async fn more_is_done_at_once(place: &dyn Place) {
    let keeping = Keeping::start(place, |tx| {
        let note = tx.first(Note::by_author.eq(None))?;
        let Some(note) = note else { return Ok(Next::Idle) };
        enter_run(tx, note.stars as usize)?;
        tx.delete(note.id)?;
        Ok(Next::More)
    })
    .await;
    let add_many = |range: std::ops::RangeInclusive<i64>| {
        move |tx: &mut Tx| {
            range.into_iter().try_for_each(|stars| add(tx, &stars.to_string(), stars).map(drop))
        }
    };
    keeping.commit(add_many(1..=5)).await;
    keeping.sees(&[1, 2, 3, 4, 5]).await;
    keeping.commit(add_many(6..=7)).await;
    keeping.sees(&[1, 2, 3, 4, 5, 6, 7]).await;
    keeping.ends().await;
}

/// What follows a step up runs once for each commit, however often the step was run for it.
pub async fn a_step_is_followed_up_once(place: &dyn Place) {
    let followed_up = Arc::new(AtomicUsize::new(0));
    let counter = followed_up.clone();
    let upkeep = Upkeep::followed_up("keeper", move |tx| {
        enter_run(tx, count(tx)?)?;
        let counter = counter.clone();
        let follow_up = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        Ok((Next::Idle, Box::new(follow_up)))
    });
    let keeping = Keeping::start_this(place, upkeep).await;
    for (round, seen) in [[0].as_slice(), &[0, 1], &[0, 1, 2]].into_iter().enumerate() {
        keeping.sees(seen).await;
        soon(async {
            while followed_up.load(Ordering::Relaxed) < seen.len() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        keeping.commit(move |tx| add(tx, &round.to_string(), 1)).await;
    }
    keeping.sees(&[0, 1, 2, 3]).await;
    keeping.ends().await;
    assert!((3..=4).contains(&followed_up.load(Ordering::Relaxed)), "the last one may have been cut off");
}

/// A step that named a time runs then, or earlier when it is concerned.
pub async fn a_step_runs_at_its_time(place: &dyn Place) {
    const PAUSE: Duration = Duration::from_secs(60);
    let keeping = Keeping::start(place, |tx| {
        let saw = count(tx)?;
        enter_run(tx, saw)?;
        Ok(Next::At(tx.now() + PAUSE))
    })
    .await;
    let clock = &keeping.bench.clock;
    keeping.sees(&[0]).await;
    soon(clock.timers_waiting(1)).await;
    clock.advance(PAUSE - Duration::from_millis(1));
    keeping.rests_at(&[0]).await;
    assert_eq!(clock.advance_to_next_timer(), Some(START + PAUSE));
    keeping.sees(&[0, 0]).await;
    soon(clock.timers_waiting(1)).await;
    assert_eq!(clock.next_timer(), Some(START + PAUSE * 2));
    clock.advance(PAUSE / 2);
    keeping.commit(|tx| add(tx, "a", 1)).await;
    keeping.sees(&[0, 0, 1]).await;
    keeping.ends().await;
}

/// Every commit is seen by some run, those too that come while a step is running.
pub async fn commits_during_a_run_are_not_missed(place: &dyn Place) {
    const ROUNDS: usize = 250;
    const COMMITS: usize = 8;
    let keeping = Keeping::start(place, |tx| {
        let saw = count(tx)? as i64;
        // Only the newest run is kept: what counts is how the last one ends.
        match tx.first(Account::by_owner.eq("newest"))? {
            Some(newest) => tx.update(newest.id, |account| account.balance = saw)?,
            None => tx.insert(Account { owner: "newest".into(), balance: saw })?,
        };
        Ok(Next::Idle)
    })
    .await;
    let mut newest = keeping.bench.store.watch(|tx| Ok(runs(tx)?.first().copied().unwrap_or(0)));
    for round in 1..=ROUNDS {
        let writes = (0..COMMITS).map(|number| {
            let (store, slug) = (keeping.bench.store.clone(), format!("{round}.{number}"));
            async move { store.mutate(move |tx| add(tx, &slug, 1)).await.expect("the mutation commits") }
        });
        together(writes).await;
        let target = (round * COMMITS) as i64;
        soon(async {
            while newest.next().await.expect("the store is open").expect("the query succeeds") < target {}
        })
        .await;
    }
    drop(newest);
    keeping.ends().await;
}

/// A store with a note, and a step over it that fails while `broken` is set.
async fn delicate(place: &dyn Place, fail: fn() -> Result<Next>) -> (Keeping, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let keeping = Keeping::start(place, move |tx| {
        let saw = count(tx)?;
        enter_run(tx, saw)?;
        if is_broken.load(Ordering::Relaxed) { fail() } else { Ok(Next::Idle) }
    })
    .await;
    (keeping, broken)
}

/// A step fails, and fails again after a pause, and then works.
async fn check_recovers(place: &dyn Place, fail: fn() -> Result<Next>) {
    let (keeping, broken) = delicate(place, fail).await;
    let clock = &keeping.bench.clock;
    for _ in 0..2 {
        soon(clock.timers_waiting(1)).await;
        keeping.rests_at(&[]).await;
        let now = clock.clock().now();
        assert!(clock.advance_to_next_timer() > Some(now), "it pauses before it tries again");
    }
    soon(clock.timers_waiting(1)).await;
    broken.store(false, Ordering::Relaxed);
    keeping.rests_at(&[]).await;
    clock.advance_to_next_timer();
    keeping.sees(&[0]).await;
    keeping.commit(|tx| add(tx, "a", 1)).await;
    keeping.sees(&[0, 1]).await;
    keeping.ends().await;
}

fn fail() -> Result<Next> {
    Err(Error::message(Kind::Internal, "the step fails"))
}

/// A step that failed changed nothing, and is tried again after a pause.
pub async fn a_failed_step_is_tried_again(place: &dyn Place) {
    check_recovers(place, fail).await;
}

/// So is a step that panicked.
pub async fn a_panicked_step_is_tried_again(place: &dyn Place) {
    check_recovers(place, || panic!("the step panics")).await;
}

/// What a step may be waiting for: a commit, a time, another attempt.
const WAITS: [fn() -> Result<Next>; 3] =
    [|| Ok(Next::Idle), || Ok(Next::At(START + Duration::from_secs(9))), fail];

/// Removes what an earlier upkeep has left behind.
async fn clear(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let cleared = bench.store.mutate(|tx| {
        tx.scan(Note::all())?.into_iter().try_for_each(|note| tx.delete(note.id).map(drop))?;
        tx.scan(Account::all())?.into_iter().try_for_each(|account| tx.delete(account.id).map(drop))
    });
    cleared.await.expect("the mutation commits");
    bench.store.close().await;
}

/// An upkeep whose step has run once and waits, and what its runs have seen.
async fn waiting(place: &dyn Place, wait: fn() -> Result<Next>) -> (Keeping, &'static [i64]) {
    clear(place).await;
    let keeping = Keeping::start(place, move |tx| {
        let saw = count(tx)?;
        enter_run(tx, saw)?;
        wait()
    })
    .await;
    if wait().is_ok() {
        keeping.sees(&[0]).await;
        return (keeping, &[0]);
    }
    soon(keeping.bench.clock.timers_waiting(1)).await;
    (keeping, &[])
}

/// An upkeep ends with its tasks, whatever it waits for, and then runs no more.
pub async fn an_upkeep_ends_with_its_tasks(place: &dyn Place) {
    for wait in WAITS {
        let (keeping, seen) = waiting(place, wait).await;
        assert_eq!(keeping.tasks.running(), ["keeper"]);
        keeping.tasks.shutdown(Duration::from_secs(5)).await.expect("the upkeep ends");
        assert_eq!(keeping.bench.store.live_queries(), 0);
        keeping.commit(|tx| add(tx, "a", 1)).await;
        keeping.bench.clock.advance(Duration::from_secs(3600));
        keeping.rests_at(seen).await;
        keeping.bench.store.close().await;
    }
}

/// An upkeep ends with its store, whatever it waits for.
pub async fn an_upkeep_ends_with_its_store(place: &dyn Place) {
    for wait in WAITS {
        let (keeping, _) = waiting(place, wait).await;
        keeping.bench.store.close().await;
        soon(async {
            while !keeping.tasks.running().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(keeping.bench.store.live_queries(), 0);
    }
}
