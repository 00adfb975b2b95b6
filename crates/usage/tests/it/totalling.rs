//! Totals are live, and equal to the sum of the events at every moment.

use loomwork_usage::{
    Account, Book, COST_BOOK, Currency, Dimension, Event, Level, Sums, Unit, ever_total, hours_total, month_total,
    record_all, set_account, set_book, waiting_for_totals,
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
async fn hours_add_up_to_days_of_any_zone() {
    let desk = Desk::priced().await;
    for (key, moment) in ["2026-08-09T21:59:59Z", "2026-08-09T22:00:00Z", "2026-08-10T11:00:00Z"].into_iter().enumerate() {
        let event = desk.event(&key.to_string(), [(Unit::OutputText, 10_u64.pow(key as u32))]);
        desk.record(Event { at: at(moment), ..event }).await;
    }
    let (from, until) = (at("2026-08-09T22:00:00Z"), at("2026-08-10T22:00:00Z"));
    let day = move |tx: &loomwork_store::Tx| hours_total(tx, Dimension::User, "ada", from, until);
    assert_eq!(desk.read(day).await.tokens(), 110, "the tenth of August in Berlin");
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
