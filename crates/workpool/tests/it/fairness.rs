//! Whose turn it is: limits that hold, keys that take turns, priorities that starve nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use loomwork_workpool::{Job, Options, PATIENT_SHARE, PoolOptions, Priority, enqueue, enqueue_all};
use proptest::prelude::*;

use super::yard::{Log, Yard};

const WORK: Job<(usize, u32), ()> = Job::new("work");
const OTHER: Job<(usize, u32), ()> = Job::new("other work");

fn of_key(key: usize) -> Options<()> {
    Options { key: Some(format!("tenant {key}")), ..Options::default() }
}

#[tokio::test]
async fn a_small_tenant_does_not_wait_for_a_large_one() {
    let yard = Yard::open().await;
    let log = Log::default();
    let entries = log.clone();
    let jobs = yard
        .commit(|tx| {
            let mut jobs = enqueue_all(tx, &WORK, (0..100).map(|number| (0, number)), of_key(0))?;
            jobs.push(enqueue(tx, &WORK, (1, 0), of_key(1))?);
            jobs.push(enqueue(tx, &OTHER, (2, 0), of_key(2))?);
            Ok(jobs)
        })
        .await;
    let handler = move |_, (key, number): (usize, u32)| {
        entries.add(format!("{key}.{number}"));
        async { Ok(()) }
    };
    let pool = yard.pool().pool("default", 1).on(WORK, handler.clone()).on(OTHER, handler);
    let _pool = pool.start().await.unwrap();
    yard.all_end(&jobs).await;
    assert_eq!(log.read()[..5], ["0.0", "1.0", "2.0", "0.1", "0.2"]);
}

#[tokio::test]
async fn the_urgent_start_first_and_the_others_are_not_starved() {
    let yard = Yard::open().await;
    let log = Log::default();
    let entries = log.clone();
    let jobs = yard
        .commit(|tx| {
            let mut jobs = enqueue_all(tx, &WORK, (0..3).map(|number| (9, number)), Priority::Low)?;
            jobs.extend(enqueue_all(tx, &WORK, (0..100).map(|number| (1, number)), Priority::Urgent)?);
            Ok(jobs)
        })
        .await;
    let pool = yard.pool().pool("default", 1).on(WORK, move |_, (key, number)| {
        entries.add(format!("{key}.{number}"));
        async { Ok(()) }
    });
    let _pool = pool.start().await.unwrap();
    yard.all_end(&jobs).await;
    let started = log.read();
    assert!(started[..PATIENT_SHARE as usize - 1].iter().all(|entry| entry.starts_with("1.")));
    let last = started.iter().position(|entry| entry == "9.2").unwrap() as u64;
    assert!(last < 3 * 4 * PATIENT_SHARE, "the last one waited for {last} others");
}

/// How many jobs of each key run, and the most there ever were.
#[derive(Debug, Default)]
struct Flight {
    now: BTreeMap<usize, usize>,
    most: usize,
    most_of_a_key: usize,
}

impl Flight {
    fn start(&mut self, key: usize) {
        *self.now.entry(key).or_default() += 1;
        self.most = self.most.max(self.now.values().sum());
        self.most_of_a_key = self.most_of_a_key.max(self.now[&key]);
    }

    fn end(&mut self, key: usize) {
        *self.now.get_mut(&key).expect("it was started") -= 1;
    }
}

async fn check_limits(jobs: Vec<(usize, u8)>, parallel: u32, per_key: Option<u32>, pools: usize) {
    let yard = Yard::open().await;
    let flight = Arc::new(Mutex::new(Flight::default()));
    let mut started = Vec::new();
    for _ in 0..pools {
        let flight = flight.clone();
        let options = PoolOptions { parallel: Some(parallel), per_key, ..PoolOptions::default() };
        let pool = yard.pool().pool("default", options).on(WORK, move |_, (key, rest)| {
            let flight = flight.clone();
            async move {
                flight.lock().expect("nothing panics in flight").start(key);
                for _ in 0..rest {
                    tokio::task::yield_now().await;
                }
                flight.lock().expect("nothing panics in flight").end(key);
                Ok(())
            }
        });
        started.push(pool.start().await.expect("the pool starts"));
    }
    let count = jobs.len();
    let ids = yard
        .commit(move |tx| {
            jobs.into_iter()
                .map(|(key, rest)| {
                    let priority =
                        Priority::Low.min([Priority::High, Priority::Normal][usize::from(rest % 2)]);
                    enqueue(tx, &WORK, (key, rest.into()), Options { priority, ..of_key(key) })
                })
                .collect::<Result<Vec<_>, _>>()
        })
        .await;
    yard.all_end(&ids).await;
    let flight = flight.lock().expect("nothing panics in flight");
    assert!(flight.most <= parallel as usize, "{flight:?}");
    assert!(flight.most_of_a_key <= per_key.unwrap_or(parallel) as usize, "{flight:?}");
    let total: u64 = started.iter().map(|pool| pool.counters().started).sum();
    assert_eq!(total, count as u64, "each ran once");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_and_every_job_runs_once(
        jobs in prop::collection::vec((0_usize..6, 0_u8..12), 1..80),
        parallel in 1_u32..8,
        per_key in prop::option::of(1_u32..4),
        pools in 1_usize..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_limits(jobs, parallel, per_key, pools));
    }

    /// With one slot, a key that has jobs waits for at most one job of each other key.
    #[test]
    fn keys_take_turns(sizes in prop::collection::vec(1_u32..12, 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let yard = Yard::open().await;
            let log = Log::default();
            let (entries, plan) = (log.clone(), sizes.clone());
            let jobs = yard.commit(move |tx| {
                let mut jobs = Vec::new();
                for (key, size) in plan.into_iter().enumerate() {
                    jobs.extend(enqueue_all(tx, &WORK, (0..size).map(|number| (key, number)), of_key(key))?);
                }
                Ok(jobs)
            }).await;
            let pool = yard.pool().pool("default", 1).on(WORK, move |_, (key, number)| {
                entries.add(format!("{number}.{key}"));
                async { Ok(()) }
            });
            let _pool = pool.start().await.unwrap();
            yard.all_end(&jobs).await;
            let mut expected: Vec<(u32, usize)> = sizes.iter().enumerate()
                .flat_map(|(key, size)| (0..*size).map(move |number| (number, key))).collect();
            expected.sort_unstable();
            let expected: Vec<_> = expected.iter().map(|(number, key)| format!("{number}.{key}")).collect();
            assert_eq!(log.read(), expected);
        });
    }
}
