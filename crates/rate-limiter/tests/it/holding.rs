//! Holds: kept until they are settled, released, or over.

use std::time::Duration;

use loomwork_core::{Clock, Kind};
use loomwork_rate_limiter::{
    HoldRow, HoldState, Limit, LimitError, HoldLine, MAX_AMOUNT, MAX_TERM, MINUTE, SECOND, Settlement, credit,
    extend, held, hold, hold_accounts, release, reset, settle,
};
use loomwork_store::{Error, Result, Table as _, Tx};
use loomwork_testkit::GUARD;
use proptest::prelude::*;

use super::Bed;
use super::desk::{Desk, START, refusal};

/// Nothing is refilled, so every token can be accounted for.
const STOCK: Limit = Limit::token_bucket("stock", 0, SECOND).capacity(100);
const TOKENS: Limit = Limit::token_bucket("tokens", 10, MINUTE).capacity(100);
const TERM: Duration = Duration::from_secs(600);

fn fault(error: &Error) -> LimitError {
    error.downcast_ref::<LimitError>().unwrap_or_else(|| panic!("{error}")).clone()
}

#[tokio::test]
async fn what_was_not_used_comes_back() {
    let desk = Desk::open().await;
    let of = desk.commit(|tx| hold(tx, &[STOCK.ask("ada", 10)], TERM)).await;
    assert_eq!((of.wait, desk.value(&STOCK, "ada").await), (Duration::ZERO, 90));
    assert_eq!(desk.commit(move |tx| settle(tx, of.id, &[4])).await, Settlement::Booked);
    assert_eq!(desk.value(&STOCK, "ada").await, 96);
}

#[tokio::test]
async fn what_was_used_beyond_the_hold_is_owed_whatever_the_largest_debt() {
    let desk = Desk::open().await;
    let strict = TOKENS.max_debt(0);
    let of = desk.commit(move |tx| hold(tx, &[strict.ask("ada", 10)], TERM)).await.id;
    desk.commit(move |tx| settle(tx, of, &[150])).await;
    assert_eq!(desk.value(&TOKENS, "ada").await, -50);
    desk.waits(&TOKENS, "ada", 1, 306_000).await;
}

#[tokio::test]
async fn a_hold_of_several_takes_all_or_none_and_is_settled_line_by_line() {
    let desk = Desk::open().await;
    desk.take(&STOCK, (), 95).await;
    let error = desk.fail(|tx| hold(tx, &[TOKENS.ask("ada", 50), STOCK.ask(&(), 6)], TERM)).await;
    assert_eq!(refusal(&error).limit(), "stock");
    assert_eq!(desk.rows(&TOKENS).await, []);
    let of = desk.commit(|tx| hold(tx, &[TOKENS.ask("ada", 50), STOCK.ask(&(), 5)], TERM)).await.id;
    desk.commit(move |tx| settle(tx, of, &[60, 1])).await;
    assert_eq!((desk.value(&TOKENS, "ada").await, desk.value(&STOCK, ()).await), (40, 4));
}

#[tokio::test]
async fn a_hold_tells_on_what_it_is() {
    let desk = Desk::open().await;
    let (of, accounts) = desk
        .commit(|tx| {
            let of = hold(tx, &[TOKENS.ask("ada", 50), STOCK.ask(&(), 5)], TERM)?.id;
            Ok((of, hold_accounts(tx, &[("budget", 7)], TERM)?))
        })
        .await;
    let rules = TOKENS.rules("ada").expect("the limit works");
    let tokens = HoldLine::Limit { name: "tokens".into(), key: Some("ada".into()), rules, amount: 50 };
    let rules = STOCK.rules(&()).expect("the limit works");
    let stock = HoldLine::Limit { name: "stock".into(), key: None, rules, amount: 5 };
    assert_eq!(desk.read(move |tx| tx.require(of)).await.lines(), [tokens, stock]);
    let budget = HoldLine::Account { account: "budget".into(), amount: 7 };
    assert_eq!(desk.read(move |tx| tx.require(accounts)).await.lines(), [budget]);
}

#[tokio::test]
async fn a_hold_that_ends_under_changed_rules_goes_by_those() {
    let desk = Desk::open().await;
    let placed = desk.commit(|tx| {
        Ok((hold(tx, &[TOKENS.ask("ada", 10)], TERM)?.id, hold(tx, &[TOKENS.ask("ada", 10)], TERM)?.id))
    });
    let (less, more) = placed.await;
    let raised = Limit::token_bucket("tokens", 10, SECOND).capacity(1_000);
    desk.commit(move |tx| credit(tx, &raised, "ada", 500)).await;
    assert_eq!(desk.value(&raised, "ada").await, 580);
    desk.commit(move |tx| settle(tx, less, &[4])).await;
    assert_eq!(desk.value(&raised, "ada").await, 586, "not cut to what the hold knew as the capacity");
    desk.pass(2 * SECOND);
    desk.commit(move |tx| settle(tx, more, &[15])).await;
    assert_eq!(desk.value(&raised, "ada").await, 586 + 20 - 5, "and it grew as it does now");
}

#[tokio::test]
async fn a_hold_outlives_the_reset_of_its_limit() {
    let desk = Desk::open().await;
    let of = desk.commit(|tx| hold(tx, &[STOCK.ask("ada", 10)], TERM)).await.id;
    desk.commit(|tx| reset(tx, &STOCK, "ada")).await;
    assert_eq!(desk.value(&STOCK, "ada").await, 100);
    desk.take(&STOCK, "ada", 4).await;
    desk.commit(move |tx| settle(tx, of, &[3])).await;
    assert_eq!(desk.value(&STOCK, "ada").await, 100, "never beyond the capacity");
}

#[tokio::test]
async fn a_hold_that_cannot_be_placed_takes_nothing_though_the_mutation_goes_on() {
    let desk = Desk::open().await;
    let error = desk.commit(|tx| {
        // Each line is more than a kilobyte of text, and a record has its bounds.
        let (of, key) = (STOCK.capacity(4_000), "\0".repeat(200));
        let asks: Vec<_> = (0..4_000).map(|_| of.ask(&key, 1)).collect();
        Ok(hold(tx, &asks, TERM).expect_err("it is too large"))
    });
    assert_eq!(error.await.kind(), Kind::Invalid);
    assert_eq!(desk.rows(&STOCK).await, []);
}

#[tokio::test]
async fn a_hold_that_may_owe_says_how_long_to_wait() {
    let desk = Desk::open().await;
    let of = desk.commit(|tx| hold(tx, &[TOKENS.ask("ada", 110).or_owe()], TERM)).await;
    assert_eq!(of.wait, MINUTE);
}

#[tokio::test]
async fn the_first_end_of_a_hold_counts() {
    let desk = Desk::open().await;
    let of = desk.commit(|tx| hold(tx, &[STOCK.ask("ada", 10)], TERM)).await.id;
    desk.commit(move |tx| settle(tx, of, &[4])).await;
    for _ in 0..2 {
        assert_eq!(desk.commit(move |tx| settle(tx, of, &[9])).await, Settlement::Repeated);
        assert!(!desk.commit(move |tx| release(tx, of)).await);
    }
    let other = desk.commit(|tx| hold(tx, &[STOCK.ask("ada", 10)], TERM)).await.id;
    assert!(desk.commit(move |tx| release(tx, other)).await);
    assert_eq!(desk.commit(move |tx| settle(tx, other, &[9])).await, Settlement::Repeated);
    assert_eq!(desk.value(&STOCK, "ada").await, 96);
}

#[tokio::test]
async fn a_hold_that_is_rolled_back_never_was() {
    let desk = Desk::open().await;
    let nested = desk.commit(|tx| {
        let undone: Result<()> = tx.nested(|tx| {
            hold(tx, &[STOCK.ask("ada", 10)], TERM)?;
            hold_accounts(tx, &[("budget", 5)], TERM)?;
            Err(Error::message(Kind::Internal, "something else went wrong"))
        });
        Ok(undone.is_err())
    });
    assert!(nested.await);
    assert_eq!(desk.rows(&STOCK).await, []);
    assert_eq!(desk.read(|tx| held(tx, "budget")).await, 0);
}

#[tokio::test]
async fn a_hold_whose_owner_died_ends_with_its_term() {
    let bed = Bed::new();
    let of = {
        let desk = Desk::open_over(&bed, Clock::manual(START)).await;
        let of = desk.commit(|tx| hold(tx, &[STOCK.ask("ada", 10)], TERM)).await.id;
        desk.commit(|tx| hold_accounts(tx, &[("budget", 5)], TERM + SECOND)).await;
        desk.store.close().await;
        of
    };
    let desk = Desk::open_over(&bed, Clock::manual(START)).await;
    let tasks = desk.keep_up();
    desk.clock.timers_waiting(2).await;
    desk.pass(TERM - Duration::from_millis(1));
    assert_eq!(desk.value(&STOCK, "ada").await, 90);
    desk.pass(Duration::from_millis(1));
    desk.until(|tx| loomwork_rate_limiter::value(tx, &STOCK, "ada"), |value| *value == 100).await;
    assert_eq!(desk.read(|tx| held(tx, "budget")).await, 5);
    assert_eq!(desk.read(move |tx| Ok(tx.require(of)?.state())).await, HoldState::Expired);
    // The work was only slow after all: what it used is booked in full.
    assert_eq!(desk.commit(move |tx| settle(tx, of, &[30])).await, Settlement::Late);
    assert_eq!(desk.commit(move |tx| settle(tx, of, &[30])).await, Settlement::Repeated);
    assert_eq!(desk.value(&STOCK, "ada").await, 70);
    desk.clock.timers_waiting(2).await;
    desk.pass(SECOND);
    desk.until(|tx| held(tx, "budget"), |amount| *amount == 0).await;
    tasks.shutdown(GUARD).await.expect("the upkeep ends");
}

#[tokio::test]
async fn an_extended_hold_lasts_for_another_term() {
    let desk = Desk::open().await;
    let of = desk.commit(|tx| hold(tx, &[STOCK.ask("ada", 10)], TERM)).await.id;
    desk.pass(TERM / 2);
    desk.commit(move |tx| extend(tx, of, TERM)).await;
    let row = desk.read(move |tx| tx.require(of)).await;
    assert_eq!((row.state(), row.expires()), (HoldState::Open, START + TERM / 2 + TERM));
    desk.commit(move |tx| release(tx, of)).await;
    let error = desk.fail(move |tx| extend(tx, of, TERM)).await;
    assert_eq!((fault(&error), error.kind()), (LimitError::HoldEnded { hold: of }, Kind::NotFound));
}

#[tokio::test]
async fn a_refilled_bucket_is_not_filled_beyond_its_capacity() {
    let desk = Desk::open().await;
    let of = desk.commit(|tx| hold(tx, &[TOKENS.ask("ada", 50)], TERM)).await.id;
    desk.pass(TERM);
    desk.commit(move |tx| settle(tx, of, &[10])).await;
    assert_eq!(desk.value(&TOKENS, "ada").await, 100);
}

#[tokio::test]
async fn holds_that_make_no_sense_are_refused_and_write_nothing() {
    let desk = Desk::open().await;
    assert_eq!(fault(&desk.fail(|tx| hold(tx, &[], TERM)).await), LimitError::EmptyHold);
    assert_eq!(fault(&desk.fail(|tx| hold_accounts(tx, &[], TERM)).await), LimitError::EmptyHold);
    for term in [Duration::ZERO, Duration::from_micros(999), MAX_TERM + SECOND, Duration::MAX] {
        let error = desk.fail(move |tx| hold(tx, &[STOCK.ask("ada", 1)], term)).await;
        assert_eq!(fault(&error), LimitError::BadTerm { term });
    }
    for account in [String::new(), "x".repeat(201)] {
        let bytes = account.len();
        let refused = desk.commit(move |tx| Ok(hold_accounts(tx, &[("good", 1), (&account, 1)], TERM)));
        let error = refused.await.expect_err("that is no account");
        assert_eq!(fault(&error), LimitError::BadAccount { bytes });
    }
    let refused = desk.commit(|tx| Ok(hold_accounts(tx, &[("good", MAX_AMOUNT), ("good", 1)], TERM)));
    let error = refused.await.expect_err("that is more than is counted");
    assert_eq!(fault(&error), LimitError::AmountTooLarge { what: "good".into(), amount: MAX_AMOUNT + 1 });
    assert_eq!(desk.read(|tx| held(tx, "good")).await, 0);

    let of = desk.commit(|tx| hold(tx, &[STOCK.ask("ada", 10)], TERM)).await.id;
    for actual in [vec![], vec![1, 2]] {
        let amounts = actual.len();
        let error = desk.fail(move |tx| settle(tx, of, &actual)).await;
        assert_eq!(fault(&error), LimitError::WrongLines { hold: of, lines: 1, amounts });
    }
    let error = desk.fail(move |tx| settle(tx, of, &[u64::MAX])).await;
    assert_eq!(error.kind(), Kind::Invalid);
    let unknown = desk.fail(move |tx| {
        tx.delete(of)?;
        settle(tx, of, &[1])
    });
    assert_eq!(fault(&unknown.await), LimitError::UnknownHold { hold: of });
}

/// What an owner of budgets does: spent, held and wanted together stay within what may be spent.
fn admit(tx: &mut Tx, budget: u64, wanted: u64) -> Result<loomwork_rate_limiter::HoldId> {
    if held(tx, "team red, November")? + wanted > budget {
        return Err(Error::message(Kind::Denied, "the budget of team red is used up"));
    }
    hold_accounts(tx, &[("team red, November", wanted)], TERM)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_for_ten_admits_ten_of_a_hundred() {
    let desk = Desk::open().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let store = desk.store.clone();
        callers.spawn(async move { store.mutate(|tx| admit(tx, 10_000, 1_000)).await });
    }
    let admitted: Vec<_> = callers.join_all().await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(admitted.len(), 10);
    assert_eq!(desk.read(|tx| held(tx, "team red, November")).await, 10_000);
    let first = admitted[0];
    assert_eq!(desk.commit(move |tx| settle(tx, first, &[400])).await, Settlement::Booked);
    assert_eq!(desk.read(|tx| held(tx, "team red, November")).await, 9_000);
}

#[derive(Clone, Debug)]
enum Act {
    Hold(u64),
    Settle(usize, u64),
    Release(usize),
    Fail(usize),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..40_u64).prop_map(Act::Hold),
        2 => (0..12_usize, 0..60_u64).prop_map(|(at, actual)| Act::Settle(at, actual)),
        1 => (0..12_usize).prop_map(Act::Release),
        1 => (0..12_usize).prop_map(Act::Fail),
        1 => (0..400_u64).prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// After any history, what is left is what there was less what was used and what is on hold.
    #[test]
    fn the_ledger_always_balances(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(balances(acts));
    }
}

async fn balances(acts: Vec<Act>) {
    let desk = Desk::open().await;
    let (mut holds, mut used) = (Vec::new(), 0);
    for act in acts {
        match act {
            Act::Hold(amount) => {
                let placed = desk.store.mutate(move |tx| {
                    let of = hold(tx, &[STOCK.ask("ada", amount)], TERM)?.id;
                    Ok((of, hold_accounts(tx, &[("all", amount), ("all", 1)], TERM)?))
                });
                holds.extend(placed.await.ok());
            }
            Act::Settle(at, actual) => {
                if let Some((of, account)) = holds.get(at).copied() {
                    let settled = desk.commit(move |tx| {
                        settle(tx, account, &[actual, 0])?;
                        settle(tx, of, &[actual])
                    });
                    used += if settled.await == Settlement::Repeated { 0 } else { actual as i64 };
                }
            }
            Act::Release(at) => {
                if let Some((of, account)) = holds.get(at).copied() {
                    let released = desk.commit(move |tx| Ok(release(tx, of)? == release(tx, account)?));
                    assert!(released.await);
                }
            }
            Act::Fail(at) => {
                if let Some((of, account)) = holds.get(at).copied() {
                    desk.fail(move |tx| {
                        settle(tx, of, &[7])?;
                        release(tx, account)?;
                        Err::<(), _>(Error::message(Kind::Internal, "the power fails"))
                    })
                    .await;
                }
            }
            Act::Pass(seconds) => {
                desk.pass(Duration::from_secs(seconds));
                let tasks = desk.keep_up();
                let now = desk.clock.clock().now();
                let is_over = move |row: &HoldRow| row.state() == HoldState::Open && row.expires() <= now;
                desk.until(move |tx| Ok(tx.scan(HoldRow::all())?.iter().any(|row| is_over(row))), |any| !any)
                    .await;
                tasks.shutdown(GUARD).await.expect("the upkeep ends");
            }
        }
        let rows = desk.read(|tx| tx.scan(HoldRow::all())).await;
        let amounts = |row: &HoldRow| row.lines().iter().map(HoldLine::amount).collect::<Vec<_>>();
        let open = rows.iter().filter(|row| row.state() == HoldState::Open).map(|row| amounts(row));
        // Those of the limit have one line, those of the account two.
        let (limits, accounts): (Vec<_>, Vec<_>) = open.partition(|amounts| amounts.len() == 1);
        let sum = |holds: Vec<Vec<u64>>| holds.iter().flatten().sum::<u64>();
        assert_eq!(desk.read(|tx| held(tx, "all")).await, sum(accounts));
        let on_hold = sum(limits);
        assert_eq!(desk.value(&STOCK, "ada").await, 100 - used - on_hold as i64);
    }
}
