//! Random histories through the store: against a model that counts milliseconds, and the promise about waiting.

use std::cell::Cell;
use std::time::Duration;

use loomwork_core::{Kind, Time};
use loomwork_rate_limiter::{
    Algorithm, Limit, LimitError, MAX_AMOUNT, check, check_all, credit, limit, limit_all, reserve,
};
use loomwork_store::{Result, Tx};
use proptest::prelude::*;

use crate::exact::limits;

use crate::memory::desk::{Desk, START};

#[derive(Clone, Debug)]
enum Act {
    Take(u64),
    Reserve(u64),
    Credit(u64),
    /// The clock goes on by so many milliseconds, or back.
    Pass(i64),
    /// The mutation fails behind it.
    Fail(u64),
}

#[derive(Clone, Debug)]
struct Plan {
    bucket: bool,
    rate: u64,
    period: u64,
    capacity: u64,
    max_debt: Option<u64>,
    start: i64,
    acts: Vec<Act>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let act = prop_oneof![
        4 => (0..12_u64).prop_map(Act::Take),
        2 => (0..20_u64).prop_map(Act::Reserve),
        1 => (0..10_u64).prop_map(Act::Credit),
        4 => (-20..60_i64).prop_map(Act::Pass),
        1 => (0..5_u64).prop_map(Act::Fail),
    ];
    let acts = proptest::collection::vec(act, 1..60);
    let rules = (any::<bool>(), 0..8_u64, 1..40_u64, 0..12_u64, prop::option::of(0..10_u64), 0..50_i64);
    (rules, acts).prop_map(|((bucket, rate, period, capacity, max_debt, start), acts)| Plan {
        bucket,
        rate,
        period,
        capacity,
        max_debt,
        start,
        acts,
    })
}

/// What a person with a pencil would keep.
#[derive(Clone, Copy)]
struct Model {
    algorithm: Algorithm,
    rate: i64,
    period: i64,
    capacity: i64,
    start: i64,
    units: i64,
    /// The latest time that it was looked at.
    seen: i64,
}

impl Model {
    fn reach(&mut self, now: i64) {
        while self.seen < now {
            self.seen += 1;
            let begins = (self.seen - self.start).rem_euclid(self.period) == 0;
            self.units += match self.algorithm {
                Algorithm::TokenBucket => self.rate,
                Algorithm::FixedWindow => self.rate * self.period * i64::from(begins),
            };
            self.units = self.units.min(self.capacity * self.period);
        }
    }

    /// Counts how many milliseconds behind `now` so many units will have become as many others, if ever.
    fn wait(&self, now: i64, from: i64, to: i64) -> Option<u64> {
        let mut later = Self { units: from, ..*self };
        (self.rate > 0).then(|| {
            while later.units < to {
                later.reach(later.seen + 1);
            }
            (later.seen - now) as u64
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_history_goes_as_the_model_says(plan in plans()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(plan));
    }
}

async fn run(plan: Plan) {
    let desk = Desk::open().await;
    let period = Duration::from_millis(plan.period);
    let of = if plan.bucket {
        Limit::token_bucket("any", plan.rate, period)
    } else {
        Limit::fixed_window("any", plan.rate, period).starting_at(Time::from_millis(plan.start))
    };
    let of = of.capacity(plan.capacity);
    let of = plan.max_debt.map_or(of, |debt| of.max_debt(debt));
    let mut model = Model {
        algorithm: if plan.bucket { Algorithm::TokenBucket } else { Algorithm::FixedWindow },
        rate: plan.rate as i64,
        period: plan.period as i64,
        capacity: plan.capacity as i64,
        start: plan.start,
        units: (plan.capacity * plan.period) as i64,
        seen: START.millis(),
    };
    let (mut begin, mut granted_in_all, mut credited) = (None, 0, 0);
    for act in plan.acts {
        let now = desk.clock.clock().now().millis();
        // The balance begins with the first request that is granted.
        if begin.is_none() {
            model.seen = now;
        }
        match act {
            Act::Pass(millis) => desk.clock.set(Time::from_millis(now + millis)),
            Act::Take(amount) | Act::Reserve(amount) => {
                let owes = matches!(act, Act::Reserve(_));
                let answer: Result<_> = desk
                    .store
                    .mutate(move |tx| {
                        if owes { reserve(tx, &of, "ada", amount) } else { limit(tx, &of, "ada", amount) }
                    })
                    .await;
                let debt = if owes { plan.max_debt.map_or(1_000_000, |debt| debt as i64) } else { 0 };
                let wanted = amount as i64 * model.period;
                if amount as i64 > model.capacity + debt {
                    let error = answer.expect_err("it is beyond the capacity");
                    assert!(
                        matches!(error.downcast_ref(), Some(LimitError::ExceedsCapacity { .. })),
                        "{error}"
                    );
                    continue;
                }
                // Only what is granted is written, so only that moves the balance on.
                let mut seen = model;
                seen.reach(now);
                let left = seen.units - wanted;
                let pays = left >= 0 || model.rate > 0;
                match answer {
                    Ok(granted) => {
                        assert!(left >= -debt * model.period && pays, "{left} units are left");
                        let wait = if left >= 0 { Some(0) } else { seen.wait(now, left, 0) };
                        assert_eq!(Some(granted.wait.as_millis() as u64), wait);
                        assert_eq!(granted.remaining as i64, (left / model.period).max(0));
                        granted_in_all += amount as i64;
                        if amount > 0 {
                            begin.get_or_insert(now);
                            model = Model { units: left, ..seen };
                        }
                    }
                    Err(error) => {
                        let (lowest, kind) = (-debt * model.period, error.kind());
                        assert!(left < lowest || !pays, "{left} units would be left: {error}");
                        match seen.wait(now, seen.units, wanted + lowest) {
                            Some(wait) => {
                                assert_eq!(kind, Kind::Limited { wait: Duration::from_millis(wait) });
                            }
                            None => assert_eq!(kind, Kind::Denied),
                        }
                    }
                }
                // Never more than there was, what came since, and what may be owed.
                let came = (seen.seen - begin.unwrap_or(now)) * model.rate / model.period + model.rate;
                let owed = plan.max_debt.map_or(1_000_000, |debt| debt as i64);
                assert!(granted_in_all <= model.capacity + came + owed + credited);
            }
            Act::Credit(amount) => {
                // Nothing is given back to who has all.
                desk.commit(move |tx| credit(tx, &of, "ada", amount)).await;
                if begin.is_some() && amount > 0 {
                    model.reach(now);
                    model.units =
                        (model.units + amount as i64 * model.period).min(model.capacity * model.period);
                }
                credited += amount as i64;
            }
            Act::Fail(amount) => {
                let failed = desk.store.mutate(move |tx| {
                    reserve(tx, &of, "ada", amount)?;
                    Err::<(), _>(loomwork_store::Error::message(Kind::Internal, "the power fails"))
                });
                failed.await.expect_err("it fails in any case");
            }
        }
    }
}

/// One request for a share that may be in debt, and perhaps ahead of the clock.
#[derive(Clone, Debug)]
struct Request {
    of: Limit<'static>,
    key: u64,
    /// What was reserved, where that was possible.
    before: u64,
    /// How far the clock was set from there, in milliseconds.
    set: i64,
    amount: u64,
    may_owe: bool,
}

/// What the store says of a request at a time, taking nothing.
async fn asked(desk: &Desk, Request { of, key, amount, may_owe, .. }: Request, at: Time) -> Result<Duration> {
    desk.clock.set(at);
    let looks = move |tx: &Tx| {
        let ask = of.ask(&key, amount);
        Ok(check_all(tx, &[if may_owe { ask.or_owe() } else { ask }])?[0].wait)
    };
    desk.store.query(looks).await
}

/// Returns whether there was a wait to look at.
async fn waits_exactly(desk: &Desk, request: Request) -> bool {
    let Request { of, key, before, set, amount, may_owe } = request;
    desk.clock.set(START);
    let _ = desk.store.mutate(move |tx| reserve(tx, &of, &key, before)).await;
    let now = Time::from_millis(START.millis() + set);
    let (earlier, later) = (Duration::from_millis(1), |wait| now + wait);
    match asked(desk, request.clone(), now).await {
        Err(error) => match error.kind() {
            Kind::Limited { wait } => {
                assert!(asked(desk, request.clone(), later(wait)).await.is_ok(), "{request:?}");
                assert!(asked(desk, request.clone(), later(wait) - earlier).await.is_err(), "{request:?}");
                return true;
            }
            // Never: not even at the end of time.
            Kind::Denied => assert!(asked(desk, request.clone(), Time::MAX).await.is_err(), "{request:?}"),
            kind => assert_eq!(kind, Kind::Invalid),
        },
        Ok(wait) if !wait.is_zero() => {
            // It is paid for when it may be used: then nothing is owed any more, and a millisecond earlier there is.
            assert!(may_owe);
            desk.clock.set(now);
            desk.commit(move |tx| limit_all(tx, &[of.ask(&key, amount).or_owe()]).map(drop)).await;
            let owes_nothing = move |tx: &Tx| check(tx, &of, &key, 0).map(drop);
            desk.clock.set(later(wait));
            desk.read(owes_nothing).await;
            desk.clock.set(later(wait) - earlier);
            assert!(desk.store.query(owes_nothing).await.is_err(), "{request:?}");
            return true;
        }
        Ok(_) => {}
    }
    false
}

#[test]
fn the_wait_that_the_store_names_is_exact_under_debts_and_clocks_that_are_set() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let desk = runtime.block_on(Desk::open());
    let (keys, waits) = (Cell::new(0), Cell::new(0));
    let amounts = || prop_oneof![0..60_u64, 0..1_000_000_u64, 0..=MAX_AMOUNT];
    let debts = prop::option::of(amounts());
    let requests = (limits(), debts, amounts(), -3_000_000..3_000_000_i64, amounts(), any::<bool>());
    proptest!(ProptestConfig::with_cases(1_500), |((of, debt, before, set, amount, may_owe) in requests)| {
        let of = debt.map_or(of, |debt| of.max_debt(debt));
        keys.set(keys.get() + 1);
        let request = Request { of, key: keys.get(), before, set, amount, may_owe };
        waits.set(waits.get() + u32::from(runtime.block_on(waits_exactly(&desk, request))));
    });
    assert!(waits.get() > 300, "only {} of 1,500 had to wait", waits.get());
}
