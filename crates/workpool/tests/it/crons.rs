//! Crons: one run per tick, whatever happens meanwhile.

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_workpool::cron::{self, CronError, CronOptions, Misfire, Overlap, Tick};
use loomwork_workpool::{Job, JobContext, OutcomeKind, Schedule};

use super::bed::Bed;
use super::yard::{Gate, Log, START, Yard};

const RUN: Job<Tick<u32>, ()> = Job::new("run");

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A pool that logs the scheduled times of its runs, in minutes from the start.
fn pool(yard: &Yard, log: &Log, gate: Option<&Gate>) -> loomwork_workpool::Builder {
    let (log, gate) = (log.clone(), gate.cloned());
    yard.pool().on(RUN, move |_: JobContext, tick: Tick<u32>| {
        log.add(format!("{}", tick.scheduled.since(START).as_secs() / 60));
        let gate = gate.clone();
        async move {
            if let Some(gate) = gate {
                gate.pass().await;
            }
            Ok(())
        }
    })
}

/// Sets a cron of every minute.
async fn set(yard: &Yard, options: CronOptions) {
    yard.commit(move |tx| cron::set(tx, "minutely", &RUN, Schedule::every(MINUTE), 7, options)).await;
}

/// Waits until the cron's next tick is so many minutes from the start.
async fn next_is(yard: &Yard, minute: u32) {
    yard.until(
        |tx| cron::get(tx, "minutely"),
        move |cron| cron.as_ref().is_some_and(|cron| cron.next == Some(START + MINUTE * minute)),
    )
    .await;
}

#[tokio::test]
async fn each_tick_runs_once_with_its_scheduled_time() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _pools =
        [pool(&yard, &log, None).start().await.unwrap(), pool(&yard, &log, None).start().await.unwrap()];
    set(&yard, CronOptions::default()).await;
    for minute in 1..=5 {
        yard.turn_to(START + MINUTE * minute).await;
        next_is(&yard, minute + 1).await;
        let job = yard.read(|tx| cron::history(tx, "minutely", 1)).await[0].job;
        assert_eq!(yard.ends(job).await, OutcomeKind::Success);
    }
    assert_eq!(log.read(), ["1", "2", "3", "4", "5"]);
    let history = yard.read(|tx| cron::history(tx, "minutely", 9)).await;
    assert_eq!(history.len(), 5);
    assert!(history.iter().all(|run| run.status.as_ref().unwrap().outcome == Some(OutcomeKind::Success)));
}

/// Sets a cron, sleeps over its ticks, and sees what is run for them.
async fn check_outage(misfire: Misfire, minutes: u32, expected: &[&str]) {
    let (bed, log) = (Bed::new(), Log::default());
    let yard = Yard::open_over(&bed, Clock::manual(START)).await;
    set(&yard, CronOptions { misfire, overlap: Overlap::Allow, ..CronOptions::default() }).await;
    yard.store.close().await;
    let up = START + MINUTE * minutes + MINUTE / 2 * 3;
    let yard = Yard::open_over(&bed, Clock::manual(up)).await;
    // A program sets its crons at each start.
    set(&yard, CronOptions { misfire, overlap: Overlap::Allow, ..CronOptions::default() }).await;
    let _pool = pool(&yard, &log, None).start().await.expect("the pool starts");
    next_is(&yard, minutes + 2).await;
    let runs = yard.read(|tx| cron::history(tx, "minutely", 99)).await;
    for run in &runs {
        yard.ends(run.job).await;
    }
    let mut ran = log.read();
    ran.sort_by_key(|minute| minute.parse::<u32>().expect("a minute"));
    assert_eq!(ran, expected, "{misfire:?}");
}

#[tokio::test]
async fn missed_ticks_are_run_as_the_cron_says() {
    check_outage(Misfire::Once, 4, &["5"]).await;
    check_outage(Misfire::Skip, 4, &["5"]).await;
    check_outage(Misfire::All, 4, &["1", "2", "3", "4", "5"]).await;
    check_outage(Misfire::Once, 600_000, &["600001"]).await;
}

#[tokio::test]
async fn a_tick_that_is_long_over_is_left_out_by_skip() {
    let (bed, log) = (Bed::new(), Log::default());
    let yard = Yard::open_over(&bed, Clock::manual(START)).await;
    let daily =
        |tx: &mut loomwork_store::Tx| cron::set(tx, "daily", &RUN, Schedule::every(DAY), 7, Misfire::Skip);
    yard.commit(daily).await;
    yard.store.close().await;
    let yard = Yard::open_over(&bed, Clock::manual(START + DAY + DAY / 2)).await;
    let _pool = pool(&yard, &log, None).start().await.unwrap();
    let cron = yard.until(|tx| cron::get(tx, "daily"), |cron| cron.as_ref().unwrap().skipped == 1).await;
    let cron = cron.unwrap();
    assert_eq!((cron.next, cron.last), (Some(START + DAY * 2), None));
    assert_eq!(log.read(), <[String; 0]>::default());
}

#[tokio::test]
async fn a_tick_during_the_run_before_is_dealt_with_as_the_cron_says() {
    for (overlap, while_held, at_the_end) in [
        (Overlap::Skip, &["1"][..], &["1"][..]),
        (Overlap::Queue, &["1"][..], &["1", "2"][..]),
        (Overlap::Allow, &["1", "2"][..], &["1", "2"][..]),
    ] {
        let (yard, log, gate) = (Yard::open().await, Log::default(), Gate::closed());
        let _pool = pool(&yard, &log, Some(&gate)).start().await.unwrap();
        set(&yard, overlap.into()).await;
        for minute in 1..=2 {
            yard.turn_to(START + MINUTE * minute).await;
            if !(overlap == Overlap::Queue && minute == 2) {
                next_is(&yard, minute + 1).await;
            }
            yard.rests().await;
        }
        let runs = yard.read(|tx| cron::history(tx, "minutely", 9)).await;
        for run in runs {
            yard.reaches(run.job, loomwork_workpool::State::Running).await;
        }
        yard.rests().await;
        assert_eq!(log.read(), while_held, "{overlap:?}");
        gate.open_for(9);
        next_is(&yard, 3).await;
        let runs = yard.read(|tx| cron::history(tx, "minutely", 9)).await;
        for run in runs {
            yard.ends(run.job).await;
        }
        assert_eq!(log.read(), at_the_end, "{overlap:?}");
    }
}

#[tokio::test]
async fn a_changed_definition_keeps_the_last_run() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _pool = pool(&yard, &log, None).start().await.unwrap();
    set(&yard, CronOptions::default()).await;
    yard.turn_to(START + MINUTE).await;
    next_is(&yard, 2).await;
    yard.commit(|tx| cron::set(tx, "minutely", &RUN, Schedule::every(MINUTE * 10), 8, ())).await;
    let cron = yard.read(|tx| cron::get(tx, "minutely")).await.unwrap();
    assert_eq!((cron.last, cron.next), (Some(START + MINUTE), Some(START + MINUTE * 11)));
    assert_eq!(yard.read(|tx| cron::history(tx, "minutely", 9)).await.len(), 1);
}

#[tokio::test]
async fn a_paused_cron_fires_nothing_and_goes_on_from_now() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _pool = pool(&yard, &log, None).start().await.unwrap();
    set(&yard, CronOptions::default()).await;
    yard.commit(|tx| cron::pause(tx, "minutely")).await;
    yard.pass_to(START + MINUTE * 5 / 2).await;
    yard.commit(|tx| cron::resume(tx, "minutely")).await;
    next_is(&yard, 3).await;
    assert_eq!(log.read(), <[String; 0]>::default());
    let by_hand = yard.commit(|tx| cron::trigger(tx, "minutely")).await;
    assert_eq!(yard.ends(by_hand).await, OutcomeKind::Success);
    assert!(yard.commit(|tx| cron::remove(tx, "minutely")).await);
    assert!(!yard.commit(|tx| cron::remove(tx, "minutely")).await);
}

#[tokio::test]
async fn a_bad_cron_is_refused() {
    let yard = Yard::open().await;
    let check = async |name: &'static str, schedule: Schedule| {
        let refused = yard.store.mutate(move |tx| cron::set(tx, name, &RUN, schedule, 1, ()));
        refused.await.unwrap_err().downcast::<CronError>().unwrap()
    };
    assert!(matches!(check("", Schedule::every(MINUTE)).await, CronError::BadName { .. }));
    assert!(matches!(check("a", Schedule::every(Duration::ZERO)).await, CronError::BadSchedule { .. }));
    assert!(matches!(check("a", Schedule::at(Time::EPOCH)).await, CronError::NeverFires { .. }));
    let unknown = yard.store.mutate(|tx| cron::trigger(tx, "nobody")).await.unwrap_err();
    assert!(matches!(unknown.downcast::<CronError>().unwrap(), CronError::Unknown { .. }));
}

#[tokio::test]
async fn jitter_moves_the_start_and_not_the_scheduled_time() {
    let (yard, log) = (Yard::open().await, Log::default());
    let _pool = pool(&yard, &log, None).start().await.unwrap();
    let jitter = Duration::from_secs(30);
    set(&yard, CronOptions { jitter, overlap: Overlap::Allow, ..CronOptions::default() }).await;
    let mut delays = Vec::new();
    for minute in 1..=5 {
        let tick = START + MINUTE * minute;
        yard.turn_to(tick).await;
        next_is(&yard, minute + 1).await;
        let run = yard.read(|tx| cron::history(tx, "minutely", 1)).await.remove(0);
        assert_eq!(run.scheduled, tick);
        let delay = run.status.unwrap().due.since(tick);
        assert!(delay < jitter, "{delay:?}");
        delays.push(delay);
        yard.pass_to(tick + jitter).await;
        assert_eq!(yard.ends(run.job).await, OutcomeKind::Success);
    }
    delays.dedup();
    assert!(delays.len() > 1, "they are spread: {delays:?}");
    assert_eq!(log.read(), ["1", "2", "3", "4", "5"]);
}

/// Turns thirty days of a daily and an hourly cron in a zone, over a change of its clocks.
async fn check_month(zone: &str, start: &str, expected_hourly: usize) {
    let from = crate::moments::time(start);
    let (yard, log) = (Yard::open_over(&Bed::new(), Clock::manual(from)).await, Log::default());
    let entries = log.clone();
    let pool = yard.pool().on(RUN, move |_: JobContext, tick: Tick<u32>| {
        entries.add(format!("{} {}", tick.args, tick.scheduled));
        async { Ok(()) }
    });
    let _pool = pool.start().await.expect("the pool starts");
    let (daily, hourly) = (
        Schedule::daily(2, 30).in_zone(zone).expect("the zone is known"),
        Schedule::hourly(0).in_zone(zone).expect("the zone is known"),
    );
    let expected = std::iter::successors(daily.next_after(from, from), |tick| daily.next_after(*tick, from));
    let expected: Vec<Time> = expected.take_while(|tick| *tick <= from + DAY * 30).collect();
    yard.commit(move |tx| {
        // Longer than the pause between two runs, which is more than a day where a clock is put back.
        let options = CronOptions { keep: Some(DAY * 2), ..CronOptions::default() };
        cron::set(tx, "daily", &RUN, daily, 0, options)?;
        cron::set(tx, "hourly", &RUN, hourly, 1, options)
    })
    .await;
    for hour in 1..=30 * 24 {
        let now = from + Duration::from_secs(3600) * hour;
        yard.clock.set(now);
        yard.until(cron::list, move |crons| crons.iter().all(|cron| cron.next > Some(now))).await;
        for name in ["daily", "hourly"] {
            for run in yard.read(move |tx| cron::history(tx, name, 1)).await {
                yard.ends(run.job).await;
            }
        }
    }
    let ran = log.read();
    let of = |cron: &str| ran.iter().filter_map(|entry| entry.strip_prefix(cron)).collect::<Vec<_>>();
    let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(of("0 "), expected, "{zone}: one run a day, also where its time is skipped or doubled");
    assert_eq!(of("1 ").len(), expected_hourly, "{zone}: one run in each real hour");
}

#[tokio::test]
async fn a_month_of_ticks_runs_over_changes_of_clocks_in_two_zones() {
    check_month("Europe/Berlin", "2026-03-15 00:00", 720).await;
    check_month("America/New_York", "2026-10-15 00:00", 720).await;
}
