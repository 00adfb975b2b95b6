use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use loomwork_core::{Clock, Sleep, Time};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: i64) -> Time {
    Time::from_millis(seconds * 1000)
}

fn poll(sleep: &mut Sleep) -> Poll<()> {
    poll_with(sleep, Waker::noop())
}

fn poll_with(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    Pin::new(sleep).poll(&mut Context::from_waker(waker))
}

/// Notes its name when it is woken.
struct Note {
    name: &'static str,
    notes: Arc<Mutex<Vec<&'static str>>>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.notes.lock().expect("no test panics here").push(self.name);
    }
}

#[test]
fn a_sleep_ends_when_the_clock_reaches_its_time() {
    let manual = Clock::manual(at(100));
    let mut sleep = manual.clock().sleep(10 * SECOND);
    assert_eq!(sleep.deadline(), at(110));
    assert!(poll(&mut sleep).is_pending());
    manual.advance(9 * SECOND);
    assert!(poll(&mut sleep).is_pending());
    manual.advance(SECOND);
    assert!(poll(&mut sleep).is_ready());
}

#[test]
fn a_sleep_until_the_past_is_over() {
    let manual = Clock::manual(at(100));
    assert!(poll(&mut manual.clock().sleep_until(at(99))).is_ready());
    assert!(poll(&mut manual.clock().sleep(Duration::ZERO)).is_ready());
    assert_eq!(manual.next_timer(), None);
}

#[test]
fn a_sleep_is_rounded_up_to_milliseconds() {
    let clock = Clock::manual(Time::EPOCH).clock();
    assert_eq!(clock.sleep(Duration::from_nanos(1)).deadline(), Time::from_millis(1));
    assert_eq!(clock.sleep(Duration::from_millis(1)).deadline(), Time::from_millis(1));
    assert_eq!(clock.sleep(Duration::MAX).deadline(), Time::MAX);
}

#[test]
fn due_sleeps_wake_in_the_order_of_their_times() {
    let manual = Clock::manual(Time::EPOCH);
    let clock = manual.clock();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let mut sleeps = Vec::new();
    for (name, seconds) in [("c", 3), ("a", 1), ("e", 9), ("b", 2), ("d", 3)] {
        let waker = Arc::new(Note { name, notes: notes.clone() }).into();
        let mut sleep = clock.sleep_until(at(seconds));
        assert!(poll_with(&mut sleep, &waker).is_pending());
        sleeps.push(sleep);
    }
    manual.advance(5 * SECOND);
    assert_eq!(*notes.lock().unwrap(), ["a", "b", "c", "d"]);
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let manual = Clock::manual(Time::EPOCH);
    let notes = Arc::new(Mutex::new(Vec::new()));
    let mut sleep = manual.clock().sleep(SECOND);
    for name in ["first", "last"] {
        let waker = Arc::new(Note { name, notes: notes.clone() }).into();
        assert!(poll_with(&mut sleep, &waker).is_pending());
    }
    manual.advance(SECOND);
    assert_eq!(*notes.lock().unwrap(), ["last"]);
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    let manual = Clock::manual(Time::EPOCH);
    let mut sleep = manual.clock().sleep(SECOND);
    assert_eq!(manual.next_timer(), None, "nobody waits before the first poll");
    assert!(poll(&mut sleep).is_pending());
    assert_eq!(manual.next_timer(), Some(at(1)));
    drop(sleep);
    assert_eq!(manual.next_timer(), None);
}

#[test]
fn a_sleep_that_was_due_stays_so_when_the_clock_is_set_back() {
    let manual = Clock::manual(at(100));
    let clock = manual.clock();
    let (mut due, mut waiting) = (clock.sleep_until(at(101)), clock.sleep_until(at(105)));
    assert!(poll(&mut due).is_pending() && poll(&mut waiting).is_pending());
    manual.set(at(103));
    manual.set(at(50));
    assert_eq!(clock.now(), at(50));
    assert!(poll(&mut due).is_ready());
    assert!(poll(&mut waiting).is_pending());
    manual.set(at(105));
    assert!(poll(&mut waiting).is_ready());
}

#[test]
fn a_sleep_lasts_no_longer_when_the_clock_is_set_back() {
    let manual = Clock::manual(at(100));
    let clock = manual.clock();
    let (mut lasting, mut until) = (clock.sleep(5 * SECOND), clock.sleep_until(at(105)));
    assert!(poll(&mut lasting).is_pending() && poll(&mut until).is_pending());
    manual.advance(2 * SECOND);
    manual.set(at(50));
    assert_eq!(manual.next_timer(), Some(at(53)));
    manual.advance(2 * SECOND);
    assert!(poll(&mut lasting).is_pending());
    manual.advance(SECOND);
    assert!(poll(&mut lasting).is_ready());
    assert!(poll(&mut until).is_pending(), "a time of the clock is waited for, however it is set");
    manual.set(at(105));
    assert!(poll(&mut until).is_ready());
}

#[test]
fn a_clock_that_is_set_forward_ends_a_sleep() {
    let manual = Clock::manual(at(100));
    let mut sleep = manual.clock().sleep(5 * SECOND);
    assert!(poll(&mut sleep).is_pending());
    manual.set(at(50));
    manual.set(at(105));
    assert!(poll(&mut sleep).is_ready());
}

#[test]
fn a_test_steps_from_timer_to_timer() {
    let manual = Clock::manual(Time::EPOCH);
    let clock = manual.clock();
    let mut sleeps = [5, 2, 2].map(|seconds| clock.sleep_until(at(seconds)));
    assert!(sleeps.iter_mut().all(|sleep| poll(sleep).is_pending()));
    assert_eq!(manual.advance_to_next_timer(), Some(at(2)));
    assert_eq!(manual.advance_to_next_timer(), Some(at(5)));
    assert_eq!(manual.advance_to_next_timer(), None);
    assert_eq!(clock.now(), at(5));
}

#[test]
fn clones_show_and_turn_one_clock() {
    let manual = Clock::manual(Time::EPOCH);
    let clock = manual.clock();
    manual.clone().advance(SECOND);
    assert_eq!(clock.clone().now(), at(1));
    assert_eq!(format!("{clock:?}"), "Clock::Manual(Time(1000, 1970-01-01T00:00:01.000Z))");
}

/// A waker that owns a sleep, as an executor's waker owns its task.
struct Holds(#[expect(dead_code, reason = "only its drop matters")] Sleep);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_own_a_sleep() {
    let manual = Clock::manual(Time::EPOCH);
    let holding = || {
        let mut inner = manual.clock().sleep(5 * SECOND);
        assert!(poll(&mut inner).is_pending());
        Waker::from(Arc::new(Holds(inner)))
    };
    let mut woken = manual.clock().sleep(SECOND);
    let mut dropped = manual.clock().sleep(2 * SECOND);
    assert!(poll_with(&mut woken, &holding()).is_pending());
    assert!(poll_with(&mut dropped, &holding()).is_pending());
    assert!(poll(&mut dropped).is_pending());
    drop(dropped);
    manual.advance(SECOND);
    assert_eq!(manual.next_timer(), None, "every sleep that a waker owned is gone");
}

#[tokio::test]
async fn timers_waiting_ends_once_enough_are_there() {
    let manual = Clock::manual(Time::EPOCH);
    let clock = manual.clock();
    manual.timers_waiting(0).await;
    let test = async {
        manual.timers_waiting(3).await;
        assert_eq!(manual.next_timer(), Some(at(1)));
        manual.advance(3 * SECOND);
    };
    tokio::join!(biased; test, clock.sleep(SECOND), clock.sleep(2 * SECOND), clock.sleep(3 * SECOND));
}

#[tokio::test]
async fn timers_waiting_hears_of_timers_from_other_threads() {
    let manual = Clock::manual(Time::EPOCH);
    let clock = manual.clock();
    let sleeper = tokio::task::spawn_blocking(move || {
        let mut sleep = clock.sleep(SECOND);
        assert!(poll(&mut sleep).is_pending());
        sleep
    });
    manual.timers_waiting(1).await;
    assert_eq!(sleeper.await.unwrap().deadline(), at(1));
}

#[tokio::test]
async fn a_sleep_on_the_system_clock_is_never_too_short() {
    let clock = Clock::system();
    let start = clock.now();
    clock.sleep(Duration::from_millis(3)).await;
    assert!(clock.now().since(start) >= Duration::from_millis(3));
}

#[test]
fn a_sleep_on_the_system_clock_needs_a_runtime_only_to_wait() {
    let clock = Clock::system();
    assert!(clock.now() > at(1_700_000_000));
    drop(clock.sleep(SECOND));
    assert!(poll(&mut clock.sleep_until(Time::EPOCH)).is_ready());
}
