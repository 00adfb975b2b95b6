use std::{fmt::Debug, time::Duration};

use loomwork_core::{
    Clock, Fault, Ids, Kind, ManualClock, ParseIdError, PolicyError, Random, RawId, RetryPolicy, Secret,
    Shutdown, Sleep, StillRunning, Stopwatch, Tasks, Time, retry,
};

fn check<T: Debug + Send + Sync + Unpin + 'static>() {}

fn check_send(_: &impl Send) {}

#[test]
fn every_type_may_cross_threads_and_be_printed() {
    check::<Clock>();
    check::<ManualClock>();
    check::<Sleep>();
    check::<Time>();
    check::<Stopwatch>();
    check::<Random>();
    check::<RawId>();
    check::<Ids>();
    check::<Kind>();
    check::<Box<dyn Fault>>();
    check::<RetryPolicy>();
    check::<Secret>();
    check::<Tasks>();
    check::<Shutdown>();
    check::<ParseIdError>();
    check::<PolicyError>();
    check::<StillRunning>();
}

#[test]
fn futures_may_cross_threads() {
    let manual = Clock::manual(Time::EPOCH);
    let tasks = Tasks::new();
    check_send(&manual.timers_waiting(1));
    check_send(&tasks.shutdown(Duration::ZERO));
    let (policy, clock, random) = (RetryPolicy::none(), Clock::system(), Random::seeded(0));
    let attempt = async |_| Err::<(), _>(PolicyError::Attempts);
    check_send(&retry(&policy, &clock, &random, PolicyError::kind, attempt));
}
