//! Totals are live, and equal to the sum of the events at every moment.

use loomwork_usage::{
    Account, Book, COST_BOOK, Currency, Dimension, Event, Level, MAX_QUANTITY, Sums, Unit, UsageError, ever_total,
    hours_total, lines, month_total, month_total_folded, record_all, set_account, set_book, waiting_for_totals,
};

use super::desk::{Desk, START, at, money};

#[tokio::test]
async fn each_name_of_an_event_has_its_totals() {
    let desk = Desk::priced().await;
    let mut event = desk.event("one", [(Unit::InputFresh, 10), (Unit::OutputText, 5)]);
    let levels = [Level::Org, Level::Team, Level::Project, Level::Key, Level::Agent, Level::Thread, Level::Run];
    for level in levels {
        event = event.used_by(level, level.as_str());
    }
    event.tool = Some("search".to_owned());
    desk.record(event).await;
    let moment = at(START);
    for (dimension, name) in [
        (Dimension::All, ""),
        (Dimension::Payer, "weavers"),
        (Dimension::Org, "org"),
        (Dimension::Team, "team"),
        (Dimension::Project, "project"),
        (Dimension::User, "ada"),
        (Dimension::Key, "key"),
        (Dimension::Agent, "agent"),
        (Dimension::Thread, "thread"),
        (Dimension::Provider, "acme"),
        (Dimension::Model, "small"),
        (Dimension::Tool, "search"),
    ] {
        let sums = desk.read(move |tx| month_total(tx, dimension, name, moment)).await;
        assert_eq!((sums.events, sums.tokens()), (1, 15), "{dimension:?}");
        assert_eq!(sums.charge[&Currency::USD], money("0.000009"), "{dimension:?}");
        let other = desk.read(move |tx| month_total(tx, dimension, "somebody else", moment)).await;
        assert_eq!(other, Sums::default());
    }
    for (dimension, name) in [(Dimension::Thread, "thread"), (Dimension::Run, "run")] {
        assert_eq!(desk.read(move |tx| ever_total(tx, dimension, name)).await.tokens(), 15);
    }
}

#[tokio::test]
async fn totals_are_the_same_before_and_after_the_upkeep() {
    let desk = Desk::priced().await;
    let event = |key: u64| {
        let event = desk.event(&key.to_string(), [(Unit::OutputText, key)]);
        event.used_by(Level::User, if key.is_multiple_of(3) { "ada" } else { "bob" })
    };
    let events: Vec<_> = (0..1_200).map(event).collect();
    desk.commit(move |tx| record_all(tx, events)).await;
    let moment = at(START);
    let look = move |tx: &loomwork_store::Tx| {
        let of = |dimension, name| month_total(tx, dimension, name, moment);
        Ok((of(Dimension::User, "ada")?, of(Dimension::User, "bob")?, of(Dimension::All, "")?))
    };
    let before = desk.read(look).await;
    assert_eq!(before.2.tokens(), 1_199 * 1_200 / 2);
    let mut sum = before.0.clone();
    sum.add(&before.1).expect("it succeeds");
    assert_eq!(sum, before.2);
    let tasks = desk.keep_up();
    // While some are added and some are not, a reader sees the whole.
    let seen = move |tx: &loomwork_store::Tx| Ok((waiting_for_totals(tx)?, look(tx)?));
    let after = desk.until(seen, |(waiting, sums)| { assert_eq!(*sums, before); *waiting == 0 }).await;
    assert_eq!(after.1, before);
    drop(tasks);
}

#[tokio::test]
async fn hours_add_up_to_days_of_zones_with_whole_hours() {
    let desk = Desk::priced().await;
    for (key, moment) in ["2026-08-09T21:59:59Z", "2026-08-09T22:00:00Z", "2026-08-10T11:00:00Z"].into_iter().enumerate() {
        let event = desk.event(&key.to_string(), [(Unit::OutputText, 10_u64.pow(key as u32))]);
        desk.record(Event { at: at(moment), ..event }).await;
    }
    let (from, until) = (at("2026-08-09T22:00:00Z"), at("2026-08-10T22:00:00Z"));
    let day = move |tx: &loomwork_store::Tx| hours_total(tx, Dimension::User, "ada", from, until);
    assert_eq!(desk.read(day).await.tokens(), 110, "the tenth of August in Berlin");
    let kolkata = at("2026-08-09T18:30:00Z");
    let half = desk.store.query(move |tx| hours_total(tx, Dimension::User, "ada", kolkata, until)).await;
    let refused = half.expect_err("midnight in Kolkata is within an hour of UTC");
    assert!(matches!(refused.downcast_ref(), Some(UsageError::NotWholeHour { .. })), "{refused}");
    let tasks = desk.keep_up();
    assert_eq!(desk.until(day, |sums| sums.events == 2).await.tokens(), 110);
    drop(tasks);
}

#[tokio::test]
async fn the_margin_is_what_is_charged_less_what_it_costs() {
    let desk = Desk::priced().await;
    desk.commit(|tx| {
        set_book(tx, Book::marked_up("sell", Currency::USD, COST_BOOK, 1_500_000))?;
        set_account(tx, Account { book: "sell".to_owned(), ..Account::new("weavers") })
    })
    .await;
    desk.output("one", 1_000_000).await;
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::Model, "small", moment)).await;
    assert_eq!(sums.margin(Currency::USD).map(|margin| margin.to_string()), Ok("0.6".to_owned()));
}

#[tokio::test]
async fn a_total_is_live() {
    let desk = Desk::priced().await;
    let moment = at(START);
    let mut live = desk.store.watch(move |tx| Ok(month_total(tx, Dimension::User, "ada", moment)?.tokens()));
    let mut next = async || loomwork_testkit::soon(live.next()).await.map(Result::ok);
    assert_eq!(next().await, Some(Some(0)));
    desk.output("one", 100).await;
    assert_eq!(next().await, Some(Some(100)));
}

#[tokio::test]
async fn what_cannot_be_added_up_concerns_its_own_total_only() {
    let desk = Desk::priced().await;
    let bytes = |payer: u64, key: u64| {
        let event = desk.event(&format!("{payer}-{key}"), [(Unit::StorageByteHours, MAX_QUANTITY)]);
        event.paid_by(format!("payer-{payer}"))
    };
    // Either payer's bytes can be counted, those of both cannot.
    for payer in 0..2 {
        for first in (0..20_000).step_by(1_000) {
            let events: Vec<_> = (first..first + 1_000).map(|key| bytes(payer, key)).collect();
            desk.commit(move |tx| record_all(tx, events)).await;
        }
    }
    let tasks = desk.keep_up();
    desk.until(waiting_for_totals, |waiting| *waiting == 0).await;
    let moment = at(START);
    let own = desk.read(move |tx| month_total(tx, Dimension::Payer, "payer-1", moment)).await;
    assert_eq!(own.quantities[&Unit::StorageByteHours], 20_000 << 48);
    let all = desk.store.query(move |tx| month_total(tx, Dimension::All, "", moment)).await;
    let refused = all.expect_err("nobody is shown a wrong sum");
    assert!(matches!(refused.downcast_ref(), Some(UsageError::Overflow { .. })), "{refused}");
    drop(tasks);
}

#[tokio::test]
async fn a_folded_total_runs_again_for_its_own_name_alone() {
    let desk = Desk::priced().await;
    let moment = at(START);
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = runs.clone();
    let mut ada = desk.store.watch(move |tx| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        month_total_folded(tx, Dimension::User, "ada", moment)
    });
    let mut next = async || loomwork_testkit::soon(ada.next()).await.and_then(Result::ok).map(|sums| sums.tokens());
    assert_eq!(next().await, Some(0));
    desk.record(desk.event("bob's", [(Unit::OutputText, 7)]).used_by(Level::User, "bob")).await;
    let tasks = desk.keep_up();
    let bob = move |tx: &loomwork_store::Tx| Ok(month_total_folded(tx, Dimension::User, "bob", moment)?.tokens());
    desk.until(bob, |tokens| *tokens == 7).await;
    desk.output("ada's", 5).await;
    desk.folded().await;
    assert_eq!(next().await, Some(5));
    assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 2, "what bob used is none of its concern");
    drop(tasks);
}

#[tokio::test]
async fn lines_are_the_same_before_and_after_the_upkeep() {
    let desk = Desk::priced().await;
    for key in 0..20_u64 {
        let model = ["small", "unknown", "other"][usize::try_from(key % 3).expect("it is small")];
        let used = [(Unit::InputFresh, key), (Unit::OutputText, 1)];
        desk.record(desk.event(&key.to_string(), used).model("acme", model)).await;
    }
    desk.commit(|tx| loomwork_usage::reverse(tx, "agent", "4")).await;
    let period = desk.period(START).await.id;
    let look = move |tx: &loomwork_store::Tx| lines(tx, period, Default::default());
    let before = desk.read(look).await;
    assert_eq!(before.iter().map(|line| line.quantity).sum::<i64>(), 19 * 20 / 2 + 20 - 5);
    let tasks = desk.keep_up();
    desk.until(waiting_for_totals, |waiting| *waiting == 0).await;
    drop(tasks);
    assert_eq!(desk.read(look).await, before);
}
