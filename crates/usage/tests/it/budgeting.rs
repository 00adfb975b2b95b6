//! Budgets and quotas: what is over them is refused before it is spent.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_rate_limiter::{KEEP_ENDED, Limit, MINUTE, RateLimited, limit_all};
use loomwork_store::Page;
use loomwork_usage::{
    Account, Admitted, Amount, Billing, Book, Budget, BudgetExceeded, Calendar, Currency, Cycle, Event,
    Level, Measure, Price, Recorded, Standing, Unit, UsageError, admit, correct, notices, raise_budget, release, remove_budget,
    reverse, set_account, set_book, set_budget, settle_with, standing,
};

use super::desk::{Desk, START, at, money, small};

const TERM: Duration = Duration::from_secs(600);
const MILLION: u64 = 1_000_000;

impl Desk {
    async fn budget(&self, budget: Budget) {
        self.commit(move |tx| set_budget(tx, budget)).await;
    }

    /// A call that costs 1.20 a million tokens.
    fn call(&self, key: &str, tokens: u64) -> Event {
        self.event(key, [(Unit::OutputText, tokens)])
    }

    async fn admitted(&self, call: Event) -> Admitted {
        self.commit(move |tx| admit(tx, &call, TERM)).await
    }

    async fn denied(&self, call: Event) -> BudgetExceeded {
        let error = self.fail(move |tx| admit(tx, &call, TERM)).await;
        BudgetExceeded::of(&error).unwrap_or_else(|| panic!("a refusal is expected, not {error}")).clone()
    }

    async fn stands(&self, name: &'static str) -> Standing {
        self.read(move |tx| standing(tx, name)).await
    }

    async fn told(&self) -> Vec<(String, u32)> {
        let told = self.read(|tx| notices(tx, Page::first(100))).await;
        told.rows.iter().map(|row| (row.budget.clone(), row.percent)).collect()
    }
}

fn dollars(name: &str, limit: &str) -> Budget {
    Budget::money(name, Level::User, "ada", Currency::USD, money(limit))
}

#[tokio::test]
async fn a_hundred_calls_at_once_on_a_budget_for_ten_admit_ten() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "12")).await;
    let calls = (0..100).map(|key| {
        let call = desk.call(&key.to_string(), MILLION);
        desk.store.mutate(move |tx| admit(tx, &call, TERM)).into_future()
    });
    let answers = futures_util::future::join_all(calls).await;
    let admitted: Vec<_> = answers.into_iter().filter_map(Result::ok).collect();
    assert_eq!(admitted.len(), 10);
    assert_eq!(desk.stands("ada").await.held, Amount::Money(money("12")));
    for (key, admitted) in admitted.into_iter().enumerate() {
        let call = desk.call(&format!("done-{key}"), MILLION);
        desk.commit(move |tx| settle_with(tx, admitted, call)).await;
    }
    let stands = desk.stands("ada").await;
    assert_eq!((stands.spent, stands.held), (Amount::Money(money("12")), Amount::Money(money("0"))));
    assert!(!stands.allowed);
}

#[tokio::test]
async fn a_refusal_says_which_budget_and_when_it_begins_anew() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada's month", "1")).await;
    desk.admitted(desk.call("under way", MILLION / 2)).await;
    let refused = desk.denied(desk.call("one", MILLION / 2)).await;
    assert_eq!((refused.budget.as_str(), refused.level, refused.owner.as_str()), ("ada's month", Level::User, "ada"));
    assert_eq!((refused.limit, refused.spent), (Amount::Money(money("1")), Amount::Money(money("0"))));
    assert_eq!((refused.wanted, refused.resets), (Amount::Money(money("0.6")), Some(at("2026-09-01T00:00:00Z"))));
    let call = desk.call("one", MILLION / 2);
    let error = desk.fail(move |tx| admit(tx, &call, TERM)).await;
    let wait = at("2026-09-01T00:00:00Z").since(at(START));
    assert_eq!(error.kind(), Kind::Limited { wait });
    assert!(error.to_string().contains("budget \"ada's month\" of user \"ada\" allows 1 USD of cost:"), "{error}");
    let beyond = desk.call("two", MILLION);
    let error = desk.fail(move |tx| admit(tx, &beyond, TERM)).await;
    assert_eq!(error.kind(), Kind::Denied, "no waiting helps what is more than all of it: {error}");
}

#[tokio::test]
async fn what_was_not_used_comes_back_and_what_was_used_beyond_counts() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "12")).await;
    let hold = desk.admitted(desk.call("estimate", 5 * MILLION)).await;
    assert_eq!(desk.stands("ada").await.held, Amount::Money(money("6")));
    let used = desk.call("one", MILLION);
    let again = used.clone();
    let first = desk.commit(move |tx| settle_with(tx, hold, used)).await;
    assert_eq!(desk.commit(move |tx| settle_with(tx, hold, again)).await, Recorded::Repeated(first.id()));
    let stands = desk.stands("ada").await;
    assert_eq!((stands.spent, stands.held), (Amount::Money(money("1.2")), Amount::Money(money("0"))));

    let hold = desk.admitted(desk.call("estimate", 9 * MILLION)).await;
    let used = desk.call("two", 11 * MILLION);
    desk.commit(move |tx| settle_with(tx, hold, used)).await;
    let stands = desk.stands("ada").await;
    assert_eq!((stands.spent, stands.allowed), (Amount::Money(money("14.4")), false));
    let hold = desk.commit(|tx| raise_budget(tx, "ada", Amount::Money(money("10")), at("2026-08-11T00:00:00Z"))).await;
    assert_eq!(hold, ());
    let hold = desk.admitted(desk.call("three", MILLION)).await;
    assert!(desk.commit(move |tx| release(tx, hold)).await);
    assert!(!desk.commit(move |tx| release(tx, hold)).await);
    assert_eq!(desk.stands("ada").await.held, Amount::Money(money("0")));
}

#[tokio::test]
async fn a_hold_whose_owner_died_ends_with_its_term_and_late_usage_still_counts() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "6")).await;
    let hold = desk.admitted(desk.call("estimate", 5 * MILLION)).await;
    desk.denied(desk.call("other", MILLION)).await;
    let tasks = desk.keep_up();
    for upkeep in loomwork_rate_limiter::upkeep() {
        desk.store.start_upkeep(&tasks, upkeep);
    }
    desk.clock.advance(TERM);
    let free = Amount::Money(money("0"));
    desk.until(|tx| Ok(standing(tx, "ada")?.held), |held| *held == free).await;
    drop(tasks);
    let used = desk.call("late", 2 * MILLION);
    desk.commit(move |tx| settle_with(tx, hold, used)).await;
    assert_eq!(desk.stands("ada").await.spent, Amount::Money(money("2.4")));
}

#[tokio::test]
async fn all_levels_have_to_allow_a_call_and_a_refusal_holds_nothing() {
    let desk = Desk::priced().await;
    let levels = [Level::Org, Level::Team, Level::Project, Level::User, Level::Key, Level::Agent, Level::Thread, Level::Run];
    for level in levels {
        let limit = if level == Level::Agent { "1" } else { "100" };
        desk.budget(Budget::money(level.as_str(), level, "x", Currency::USD, money(limit))).await;
    }
    let call = levels.into_iter().fold(desk.call("one", MILLION), |call, level| call.used_by(level, "x"));
    let refused = desk.denied(call.clone()).await;
    assert_eq!(refused.level, Level::Agent);
    assert_eq!(desk.stands("org").await.held, Amount::Money(money("0")));
    desk.commit(|tx| remove_budget(tx, "agent")).await;
    let hold = desk.admitted(call.clone()).await;
    for level in levels.into_iter().filter(|level| *level != Level::Agent) {
        assert_eq!(desk.stands(level.as_str()).await.held, Amount::Money(money("1.2")));
    }
    desk.commit(move |tx| settle_with(tx, hold, call)).await;
    assert_eq!(desk.stands("thread").await.spent, Amount::Money(money("1.2")));
}

#[tokio::test]
async fn thresholds_are_told_of_once_in_each_period() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "12").soft()).await;
    for key in 0..12 {
        desk.record(desk.call(&key.to_string(), MILLION)).await;
    }
    let ada = |percent| ("ada".to_owned(), percent);
    assert_eq!(desk.told().await, [ada(50), ada(80), ada(100)]);
    desk.commit(|tx| reverse(tx, "agent", "11")).await;
    desk.commit(|tx| reverse(tx, "agent", "10")).await;
    desk.record(desk.call("again", 2 * MILLION)).await;
    assert_eq!(desk.told().await.len(), 3, "a threshold that is passed again is not told of again");
    let stands = desk.stands("ada").await;
    assert!(stands.allowed, "a soft budget refuses nothing");
    desk.admitted(desk.call("beyond", 100 * MILLION)).await;
    desk.now("2026-09-01T00:00:00Z").await;
    desk.record(desk.call("september", 50 * MILLION)).await;
    assert_eq!(desk.told().await[3..], [ada(50), ada(80), ada(100)]);
}

#[tokio::test]
async fn a_correction_tells_of_no_threshold_that_is_not_reached() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "12")).await;
    desk.record(desk.call("other", MILLION)).await;
    desk.record(Event { estimated: true, ..desk.call("guess", 5 * MILLION) }).await;
    let ada = |percent| ("ada".to_owned(), percent);
    assert_eq!(desk.told().await, [ada(50)]);
    let right = desk.call("right", 5 * MILLION + 100);
    desk.commit(move |tx| correct(tx, "agent", "guess", right)).await;
    assert_eq!(desk.told().await, [ada(50)], "it counts in the place of the estimate, and not beside it");
    desk.record(desk.call("more", 2 * MILLION)).await;
    assert_eq!(desk.told().await, [ada(50), ada(80)]);
}

#[tokio::test]
async fn a_limit_that_is_changed_is_told_of_anew_and_keeps_its_raise() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "12").renewed(None)).await;
    desk.record(desk.call("one", 10 * MILLION)).await;
    let until = at("2026-08-20T00:00:00Z");
    desk.commit(move |tx| raise_budget(tx, "ada", Amount::Money(money("12")), until)).await;
    desk.budget(dollars("ada", "108").renewed(None)).await;
    assert_eq!(desk.stands("ada").await.limit, Amount::Money(money("120")), "it is still raised");
    desk.record(desk.call("two", 40 * MILLION)).await;
    let percents: Vec<_> = desk.told().await.into_iter().map(|(_, percent)| percent).collect();
    assert_eq!(percents, [50, 80, 100, 50], "60 of 120");
    // Without the raise it is 60 of 108, and half of that was told of already.
    desk.now("2026-08-20T00:00:00Z").await;
    desk.record(desk.call("three", 1)).await;
    assert_eq!(desk.told().await.len(), 4);
}

#[tokio::test]
async fn an_answer_without_a_price_counts_for_a_budget_of_money_once_it_has_one() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "12")).await;
    let hold = desk.admitted(desk.call("one", MILLION)).await;
    let answer = desk.call("one", MILLION).model("acme", "another");
    desk.commit(move |tx| settle_with(tx, hold, answer)).await;
    assert_eq!(desk.stands("ada").await.spent, Amount::Money(money("0")));
    let tasks = desk.keep_up();
    desk.price(Price { model: "another".to_owned(), ..small() }).await;
    desk.until(|tx| Ok(standing(tx, "ada")?.spent), |spent| *spent == Amount::Money(money("1.2"))).await;
    drop(tasks);
}

#[tokio::test]
async fn quotas_count_tokens_units_and_calls() {
    let desk = Desk::open().await;
    let quota = |name: &str, measure, limit| Budget::units(name, Level::User, "ada", measure, limit);
    desk.budget(quota("tokens", Measure::Tokens, 1_000)).await;
    desk.budget(quota("images", Measure::Units(Unit::Images), 2)).await;
    // The calls of one run, which never begin anew.
    let calls = Budget::units("calls", Level::Run, "r1", Measure::Calls, 3).renewed(None);
    desk.budget(calls).await;
    let used = [(Unit::InputFresh, 300), (Unit::OutputText, 100), (Unit::Images, 1)];
    for key in ["one", "two"] {
        let call = desk.event(key, used.clone()).used_by(Level::Run, "r1");
        let hold = desk.admitted(call.clone()).await;
        desk.commit(move |tx| settle_with(tx, hold, call)).await;
    }
    let spent = [desk.stands("tokens").await.spent, desk.stands("images").await.spent, desk.stands("calls").await.spent];
    assert_eq!(spent, [Amount::Units(800), Amount::Units(2), Amount::Units(2)]);
    let call = |units: [(Unit, u64); 1]| desk.event("three", units).used_by(Level::Run, "r1");
    assert_eq!(desk.denied(call([(Unit::Images, 1)])).await.budget, "images");
    assert_eq!(desk.denied(call([(Unit::OutputText, 201)])).await.budget, "tokens");
    let last = call([(Unit::OutputText, 200)]);
    let hold = desk.admitted(last.clone()).await;
    desk.commit(move |tx| settle_with(tx, hold, last)).await;
    let refused = desk.denied(desk.event("four", []).used_by(Level::Run, "r1")).await;
    assert_eq!((refused.budget.as_str(), refused.resets), ("calls", None));
    desk.commit(|tx| remove_budget(tx, "calls")).await;
    desk.now("2026-09-01T00:00:00Z").await;
    assert_eq!(desk.stands("tokens").await.spent, Amount::Units(0));
}

#[tokio::test]
async fn a_raise_ends_by_itself_and_days_are_those_of_a_zone() {
    let desk = Desk::priced().await;
    let zone = "Asia/Kolkata".parse().unwrap_or_default();
    let daily = Some(Calendar { cycle: Cycle::Day, zone });
    desk.budget(dollars("ada", "1").renewed(daily)).await;
    let resets = desk.stands("ada").await.resets;
    assert_eq!(resets, Some(at("2026-08-10T18:30:00Z")));
    desk.commit(|tx| raise_budget(tx, "ada", Amount::Money(money("0.5")), at("2026-08-10T13:00:00Z"))).await;
    assert_eq!(desk.stands("ada").await.limit, Amount::Money(money("1.5")));
    desk.admitted(desk.call("one", MILLION)).await;
    desk.now("2026-08-10T13:00:00Z").await;
    assert_eq!(desk.stands("ada").await.limit, Amount::Money(money("1")));
}

#[tokio::test]
async fn what_has_no_price_is_not_let_past_a_hard_budget_of_money() {
    let desk = Desk::open().await;
    desk.budget(dollars("ada", "1")).await;
    let call = desk.call("one", MILLION);
    let refused = desk.refused(move |tx| admit(tx, &call, TERM)).await;
    assert!(matches!(refused, UsageError::Unpriced { .. }), "{refused}");
    let free = Event { billing: Billing::Cached, ..desk.call("one", MILLION) };
    desk.admitted(free).await;
    desk.budget(dollars("ada", "1").soft()).await;
    desk.admitted(desk.call("one", MILLION)).await;
    let nobody = desk.call("one", MILLION).used_by(Level::User, "bob");
    assert_eq!(desk.admitted(nobody).await.hold, None, "no budget is concerned");
}

#[tokio::test]
async fn limits_and_budgets_decide_together() {
    const CALLS: Limit<'_> = Limit::fixed_window("calls", 1, MINUTE);
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "1")).await;
    let both = |tokens| {
        let call = desk.call("one", tokens);
        move |tx: &mut loomwork_store::Tx| {
            limit_all(tx, &[CALLS.ask("ada", 1)])?;
            admit(tx, &call, TERM)
        }
    };
    let error = desk.fail(both(MILLION)).await;
    assert!(BudgetExceeded::of(&error).is_some());
    desk.commit(both(MILLION / 2)).await;
    let error = desk.fail(both(1)).await;
    assert!(RateLimited::of(&error).is_some(), "the refused call has taken nothing, the second one has");
    assert_eq!(desk.stands("ada").await.held, Amount::Money(money("0.6")));
}

#[tokio::test]
async fn budgets_that_cannot_be_are_refused() {
    let desk = Desk::priced().await;
    let wrong = [
        dollars("", "1"),
        dollars("negative", "-1"),
        Budget { measure: Measure::Tokens, ..dollars("mixed", "1") },
        Budget { thresholds: vec![0], ..dollars("zero", "1") },
        Budget { thresholds: (1..12).collect(), ..dollars("many", "1") },
        Budget::units("unit", Level::User, "ada", Measure::Units(Unit::Own(String::new())), 1),
        dollars("odd", "1").renewed(Some(Calendar { cycle: Cycle::MonthFrom(32), ..Calendar::MONTHS })),
    ];
    for budget in wrong {
        let error = desk.fail(move |tx| set_budget(tx, budget)).await;
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
    desk.budget(dollars("ada", "1")).await;
    let other = Budget { owner: "bob".to_owned(), ..dollars("ada", "1") };
    let refused = desk.refused(move |tx| set_budget(tx, other)).await;
    assert!(matches!(refused, UsageError::BadBudget { .. }), "{refused}");
    let refused = desk.refused(|tx| raise_budget(tx, "bob", Amount::Units(1), tx.now())).await;
    assert!(matches!(refused, UsageError::BadBudget { .. }), "{refused}");
    desk.budget(dollars("ada", "2")).await;
    assert_eq!(desk.stands("ada").await.limit, Amount::Money(money("2")));
}

#[tokio::test]
async fn a_hold_that_ended_days_ago_keeps_nobody_from_recording() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "6")).await;
    let hold = desk.admitted(desk.call("estimate", MILLION)).await;
    let tasks = desk.keep_up();
    for upkeep in loomwork_rate_limiter::upkeep() {
        desk.store.start_upkeep(&tasks, upkeep);
    }
    let row = hold.hold.expect("a budget is concerned");
    for wait in [TERM, KEEP_ENDED * 3] {
        desk.clock.advance(wait);
        desk.until(move |tx| Ok(tx.get(row)?.is_none_or(|row| row.state() != loomwork_rate_limiter::HoldState::Open)), |ended| *ended)
            .await;
    }
    desk.until(move |tx| Ok(tx.get(row)?.is_none()), |gone| *gone).await;
    drop(tasks);
    assert!(!desk.commit(move |tx| release(tx, hold)).await);
    let used = desk.call("late", MILLION);
    assert!(matches!(desk.commit(move |tx| settle_with(tx, hold, used)).await, Recorded::New(_)));
    assert_eq!(desk.stands("ada").await.spent, Amount::Money(money("1.2")));
}

#[tokio::test]
async fn a_reversal_gives_back_what_a_budget_has_counted_and_no_more() {
    let desk = Desk::priced().await;
    desk.record(desk.call("before", 100 * MILLION)).await;
    desk.budget(dollars("ada", "6")).await;
    desk.record(desk.call("counted", MILLION)).await;
    desk.commit(|tx| reverse(tx, "agent", "before")).await;
    assert_eq!(desk.stands("ada").await.spent, Amount::Money(money("1.2")));
    desk.commit(|tx| remove_budget(tx, "ada")).await;
    desk.budget(dollars("ada", "6")).await;
    desk.commit(|tx| reverse(tx, "agent", "counted")).await;
    assert_eq!(desk.stands("ada").await.spent, Amount::Money(money("0")), "another budget of this name counted it");
    desk.denied(desk.call("beyond", 6 * MILLION)).await;
}

#[tokio::test]
async fn calls_that_are_under_way_at_midnight_leave_room_for_themselves() {
    let desk = Desk::priced().await;
    let daily = Some(Calendar { cycle: Cycle::Day, ..Calendar::MONTHS });
    desk.budget(dollars("ada", "6").renewed(daily)).await;
    desk.now("2026-08-10T23:59:00Z").await;
    let hold = desk.admitted(desk.call("estimate", 4 * MILLION)).await;
    desk.now("2026-08-11T00:01:00Z").await;
    desk.denied(desk.call("other", 2 * MILLION)).await;
    let used = desk.call("done", 4 * MILLION);
    desk.commit(move |tx| settle_with(tx, hold, used)).await;
    let stands = desk.stands("ada").await;
    assert_eq!((stands.spent, stands.held), (Amount::Money(money("4.8")), Amount::Money(money("0"))));
}

#[tokio::test]
async fn a_budget_keeps_its_periods() {
    let desk = Desk::priced().await;
    desk.budget(dollars("ada", "6")).await;
    let daily = Some(Calendar { cycle: Cycle::Day, ..Calendar::MONTHS });
    let other = dollars("ada", "6").renewed(daily);
    let refused = desk.refused(move |tx| set_budget(tx, other)).await;
    assert!(refused.to_string().contains("other periods"), "{refused}");
}

#[tokio::test]
async fn a_hard_budget_lets_nothing_past_that_it_cannot_count() {
    let desk = Desk::priced().await;
    let of = |measure| Budget { measure, ..dollars("ada", "100") };
    let euros = of(Measure::Cost(Currency::EUR));
    let refused = desk.refused(move |tx| set_budget(tx, euros)).await;
    assert!(matches!(refused, UsageError::WrongCurrency { .. }), "{refused}");

    desk.commit(|tx| {
        set_book(tx, Book::listed("euros", Currency::EUR))?;
        set_account(tx, Account { book: "euros".to_owned(), ..Account::new("weavers") })
    })
    .await;
    desk.budget(of(Measure::Charge(Currency::USD))).await;
    let call = desk.call("one", MILLION);
    let refused = desk.refused(move |tx| admit(tx, &call, TERM)).await;
    assert!(matches!(&refused, UsageError::Unpriced { book, .. } if book == "euros"), "{refused}");
    desk.price(Price { book: "euros".to_owned(), ..small() }).await;
    let call = desk.call("one", MILLION);
    let refused = desk.refused(move |tx| admit(tx, &call, TERM)).await;
    assert!(matches!(refused, UsageError::WrongCurrency { found: Currency::EUR, .. }), "{refused}");
    let nobody = Event { payer: None, ..desk.call("one", MILLION) };
    let refused = desk.refused(move |tx| admit(tx, &nobody, TERM)).await;
    assert!(matches!(refused, UsageError::NoPayer { .. }), "{refused}");
    let dyers = desk.call("one", MILLION).paid_by("dyers");
    desk.admitted(dyers).await;
}
