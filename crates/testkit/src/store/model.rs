//! A store against a plain model of it, by random programs.

mod plain;

use std::collections::BTreeMap;
use std::time::Duration;

use loomwork_core::RawId;
use loomwork_store::engine::{Op as Logged, Seq};
use loomwork_store::{Follow, Id, Result, Watch, feed};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::probe::together;
use super::script::{Answer, Mutation, Over, Read, Subject, Tile, entry, mutation, read};
use super::{Bench, Note, Place};
use crate::soon;
use plain::Plain;

/// How many programs a property runs; each opens a store of its own.
const CASES: u32 = 150;

/// How many changes the follower reads at once: few, so that it has to go on by itself.
const FOLLOWED: usize = 3;

/// Runs random programs on stores and, step by step, on a plain model, and compares all answers,
/// all scans, what live queries have delivered, and a copy that is kept by following the feed.
///
/// # Panics
/// When they differ; with the shortest program found that makes them.
pub fn model_property<P: Place>(place: impl Fn() -> P) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&program(), |program| {
        runtime.block_on(async {
            if program.clustered {
                check::<Tile>(&place(), &program).await
            } else {
                check::<Note>(&place(), &program).await
            }
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// What a case does.
#[derive(Clone, Debug)]
struct Program {
    clustered: bool,
    watched: Vec<Read>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Mutations that are handed in together; any order of them may be the one they take effect in.
    Mutate(Vec<Mutation>),
    Read(Read),
    Reopen,
}

fn program() -> impl Strategy<Value = Program> {
    let step = prop_oneof![
        12 => mutation().prop_map(|mutation| Step::Mutate(vec![mutation])),
        2 => vec(mutation(), 2..4).prop_map(Step::Mutate),
        3 => read().prop_map(Step::Read),
        1 => Just(Step::Reopen),
    ];
    (any::<bool>(), vec(read(), 0..5), vec(step, 1..20)).prop_map(|(clustered, watched, steps)| Program {
        clustered,
        watched,
        steps,
    })
}

async fn check<T: Subject>(place: &dyn Place, program: &Program) -> TestCaseResult {
    let mut trial = Trial::<T>::open(place, Plain::new(T::NAME, T::ID), Seq(0)).await;
    for read in &program.watched {
        trial.watch(read.clone()).await?;
    }
    for step in &program.steps {
        match step {
            Step::Mutate(mutations) => trial.mutate(mutations).await?,
            Step::Read(read) => trial.read(read).await?,
            Step::Reopen => trial = trial.reopen(place).await?,
        }
    }
    trial.reopen(place).await?;
    Ok(())
}

type Changes = Vec<(Seq, Logged, RawId, Option<Note>)>;

/// A store, and what it should be.
struct Trial<T: Subject> {
    bench: Bench,
    plain: Plain,
    watchers: Vec<Watcher>,
    follower: Follow<Changes, Seq>,
    /// What the follower has made of the changes.
    copy: BTreeMap<RawId, Note>,
    subject: std::marker::PhantomData<T>,
}

/// A live query and what it delivered last.
struct Watcher {
    read: Read,
    /// The rows that were known when it began.
    known: Vec<RawId>,
    watch: Watch<Answer>,
    last: Answer,
}

impl<T: Subject> Trial<T> {
    async fn open(place: &dyn Place, plain: Plain, position: Seq) -> Self {
        let bench = Bench::open_with(place, |builder| builder.tables([T::table()])).await;
        if let Some(newest) = plain.known.iter().max() {
            // Time has gone on since the last opening, so new ids are greater than all before.
            bench.clock.set(newest.time() + Duration::from_millis(1));
        }
        let follower = bench.store.follow(position, |tx, at| {
            let changes = feed::changes(tx, *at, FOLLOWED)?;
            let end = changes.last().map_or(*at, |change| change.seq);
            let rows = changes.into_iter().map(|change| {
                let row = tx.get(change.of::<T>().unwrap_or(Id::from_raw(change.id)))?;
                Ok((change.seq, change.op, change.id, row.map(|row| entry(row).1)))
            });
            Ok((rows.collect::<Result<_>>()?, end))
        });
        let copy = plain.rows.clone();
        Self { bench, plain, watchers: Vec::new(), follower, copy, subject: std::marker::PhantomData }
    }

    /// Closes the store and opens it again, with the same watchers and the follower where it was.
    async fn reopen(mut self, place: &dyn Place) -> Result<Self, TestCaseError> {
        let report = self.bench.store.check().await.map_err(fail)?;
        prop_assert!(report.is_clean(), "{:?}", report.mismatches);
        prop_assert_eq!(self.bench.store.live_queries(), self.watchers.len() + 1);
        soon(self.bench.store.close()).await;
        for watcher in &mut self.watchers {
            prop_assert!(soon(watcher.watch.next()).await.is_none());
        }
        let position = *self.follower.cursor();
        let mut next = Self::open(place, self.plain, position).await;
        next.check_scans().await?;
        for watcher in self.watchers {
            next.watch(watcher.read).await?;
        }
        Ok(next)
    }

    async fn watch(&mut self, read: Read) -> TestCaseResult {
        let known = self.plain.known.clone();
        let (watched, from) = (read.clone(), known.clone());
        let mut watch = self.bench.store.watch(move |tx| watched.run::<T>(tx, &from));
        let last = soon(watch.next()).await.expect("the store is open").map_err(fail)?;
        prop_assert_eq!(&last, &self.plain.answer(&read, &known));
        self.watchers.push(Watcher { read, known, watch, last });
        Ok(())
    }

    async fn read(&self, read: &Read) -> TestCaseResult {
        let expected = self.plain.answer(read, &self.plain.known);
        let (asked, known) = (read.clone(), self.plain.known.clone());
        let answer = self.bench.store.query(move |tx| asked.run::<T>(tx, &known)).await;
        prop_assert_eq!(answer.map_err(fail)?, expected, "{:?}", read);
        Ok(())
    }

    async fn mutate(&mut self, mutations: &[Mutation]) -> TestCaseResult {
        let known = &self.plain.known;
        let run = |mutation: &Mutation| mutation.clone().run::<T>(self.bench.store.clone(), known.clone());
        let ran = together(mutations.iter().map(run)).await;
        let after = *self.follower.cursor();
        let found = self.bench.store.query(move |tx| {
            let changes = feed::changes(tx, after, usize::MAX)?.into_iter();
            let rows = tx.scan(T::all())?.into_iter().map(entry);
            Ok((changes.map(|change| (change.op, change.id)).collect(), rows.collect()))
        });
        let (changes, rows): (Vec<_>, BTreeMap<_, _>) = found.await.map_err(fail)?;
        let outcomes: Vec<_> = mutations.iter().zip(&ran).collect();
        self.plain = self.plain.after(&outcomes, &changes, &rows).map_err(TestCaseError::fail)?;
        self.check_scans().await?;
        self.check_watchers().await?;
        self.check_follower(&changes).await
    }

    async fn check_scans(&self) -> TestCaseResult {
        use std::ops::Bound::Unbounded;
        for over in [
            Over::Ids((Unbounded, Unbounded)),
            Over::Authors((Unbounded, Unbounded)),
            Over::Slugs((Unbounded, Unbounded)),
            Over::Starred((Unbounded, Unbounded)),
        ] {
            self.read(&Read::all(over)).await?;
        }
        Ok(())
    }

    /// Sees that each watcher delivers what is news to it, and nothing else before that.
    async fn check_watchers(&mut self) -> TestCaseResult {
        for watcher in &mut self.watchers {
            let expected = self.plain.answer(&watcher.read, &watcher.known);
            if expected != watcher.last {
                let next = soon(watcher.watch.next()).await.expect("the store is open").map_err(fail)?;
                prop_assert_eq!(&next, &expected, "live {:?}", watcher.read);
                watcher.last = next;
            }
        }
        Ok(())
    }

    async fn check_follower(&mut self, changes: &[(Logged, RawId)]) -> TestCaseResult {
        let mut followed = Vec::new();
        while followed.len() < changes.len() {
            let batch = soon(self.follower.next()).await.expect("the store is open").map_err(fail)?;
            prop_assert!(batch.len() <= FOLLOWED);
            for (_, op, id, note) in batch {
                followed.push((op, id));
                match note {
                    Some(note) => self.copy.insert(id, note),
                    None => self.copy.remove(&id),
                };
            }
        }
        prop_assert_eq!(&*followed, changes);
        prop_assert_eq!(&self.copy, &self.plain.rows, "a copy that follows the feed");
        Ok(())
    }
}

fn fail(error: loomwork_store::Error) -> TestCaseError {
    TestCaseError::fail(format!("{error:?}"))
}
