//! Which price an event has.

use loomwork_core::{Kind, Time};
use loomwork_store::Page;
use loomwork_usage::{
    Account, Book, COST_BOOK, Currency, Event, EventRow, LongContext, Price, Rated, Tax, Tier, Unit, UsageError,
    change_price, end_price, price_at, price_history, set_account, set_alias, set_book, set_price, unpriced,
};

use super::desk::{Desk, at, money, per_million, small};

impl Desk {
    async fn rated(&self, event: Event) -> Option<Rated> {
        let id = self.record(event).await.id();
        self.row(id).await.charge.clone()
    }

    async fn amount(&self, event: Event) -> String {
        self.rated(event).await.map_or("none".to_owned(), |rated| rated.amount.to_string())
    }
}

#[tokio::test]
async fn the_price_is_that_of_when_it_occurred() {
    let desk = Desk::priced().await;
    let noon = "2026-08-10T11:30:00Z";
    let dearer = Price { from: at(noon), ..small().unit(Unit::OutputText, per_million("2")) };
    desk.commit(move |tx| change_price(tx, dearer)).await;
    for (moment, amount) in [("2026-08-10T11:29:59.999Z", "1.2"), ("2026-08-10T11:30:00Z", "2")] {
        let event = Event { at: at(moment), ..desk.event(moment, [(Unit::OutputText, 1_000_000)]) };
        assert_eq!(desk.amount(event).await, amount);
    }
}

#[tokio::test]
async fn a_change_in_mid_month_splits_the_lines_at_that_instant() {
    let desk = Desk::priced().await;
    let dearer = Price { from: at("2026-08-10T11:30:00Z"), ..small().unit(Unit::OutputText, per_million("2")) };
    desk.commit(move |tx| change_price(tx, dearer)).await;
    for (key, moment) in [("1", "2026-08-10T10:00:00Z"), ("2", "2026-08-10T11:30:00Z"), ("3", "2026-08-10T11:31:00Z")] {
        let event = Event { at: at(moment), ..desk.event(key, [(Unit::OutputText, 1_000_000)]) };
        desk.record(event).await;
    }
    let period = desk.period("2026-08-10T12:00:00Z").await.id;
    let mut lines: Vec<_> = desk
        .read(move |tx| loomwork_usage::lines(tx, period, Default::default()))
        .await
        .into_iter()
        .map(|line| (line.quantity, line.amount))
        .collect();
    lines.sort();
    assert_eq!(lines, [(1_000_000, money("1.2")), (2_000_000, money("4"))]);
}

#[tokio::test]
async fn overlapping_prices_are_refused_and_neighbours_are_not() {
    let desk = Desk::open().await;
    let price = |from: i64, until: Option<i64>| Price {
        from: Time::from_millis(from),
        until: until.map(Time::from_millis),
        ..small()
    };
    desk.price(price(100, Some(200))).await;
    for (from, until) in [(0, None), (100, Some(200)), (150, Some(160)), (199, None), (0, Some(101))] {
        let refused = desk.refused(move |tx| set_price(tx, price(from, until))).await;
        assert!(matches!(refused, UsageError::Overlap { .. }), "{from} to {until:?}: {refused}");
    }
    desk.price(price(200, None)).await;
    desk.price(price(0, Some(100))).await;
    desk.price(Price { tier: Tier::Batch, ..price(0, None) }).await;
}

#[tokio::test]
async fn prices_that_cannot_be_are_refused() {
    let desk = Desk::open().await;
    let empty = Price::new(COST_BOOK, "acme", "small", Time::EPOCH);
    for price in [
        empty.clone(),
        empty.clone().unit(Unit::OutputText, money("-1")),
        empty.unit(Unit::OutputText, money("100000.1")),
        Price { until: Some(Time::EPOCH), ..small() },
        Price { book: "nowhere".to_owned(), ..small() },
        Price { regions: [("moon".to_owned(), u64::MAX)].into(), ..small() },
        small().unit(Unit::Own(String::new()), money("1")),
        small().unit(Unit::Tool("x".repeat(61)), money("1")),
    ] {
        let error = desk.fail(move |tx| set_price(tx, price)).await;
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn an_exact_name_counts_before_an_alias_and_the_longest_beginning() {
    let desk = Desk::open().await;
    for (model, price) in [("gpt*", "1"), ("gpt-5*", "2"), ("gpt-5-mini*", "3"), ("gpt-5-mini-tuned", "4"), ("other", "5")] {
        desk.price(Price::new(COST_BOOK, "acme", model, Time::EPOCH).unit(Unit::OutputText, money(price))).await;
    }
    desk.commit(|tx| set_alias(tx, "acme", "gpt-latest", "other")).await;
    let find = |provider: &'static str, model: &'static str| {
        desk.read(move |tx| {
            let found = price_at(tx, COST_BOOK, provider, model, Tier::Standard, tx.now())?;
            Ok(found.map(|price| price.rates[&Unit::OutputText].to_string()))
        })
    };
    for (model, price) in [
        ("gpt-5-mini-tuned", "4"),
        ("gpt-5-mini-2026", "3"),
        ("gpt-5-mini", "3"),
        ("gpt-5-max", "2"),
        ("gpt-5", "2"),
        ("gpt-4", "1"),
        ("gpt-latest", "5"),
        ("gpt", "1"),
        ("gpt-5-minä", "2"),
    ] {
        assert_eq!(find("acme", model).await.as_deref(), Some(price), "{model}");
    }
    assert_eq!(find("acme", "gp").await, None);
    assert_eq!(find("acme", "claude").await, None);
    assert_eq!(find("other", "gpt-5").await, None);
}

#[tokio::test]
async fn a_long_input_has_the_whole_request_at_the_higher_price() {
    let desk = Desk::open().await;
    let above = [(Unit::InputFresh, per_million("6")), (Unit::OutputText, per_million("22.5"))];
    let price = Price::new(COST_BOOK, "acme", "small", Time::EPOCH)
        .unit(Unit::InputFresh, per_million("3"))
        .unit(Unit::InputCacheRead, per_million("0.3"))
        .unit(Unit::OutputText, per_million("15"));
    desk.price(Price { long: Some(LongContext { above: 200_000, rates: above.into() }), ..price }).await;
    let event = |key: &str, fresh, cached, text| {
        desk.event(key, [(Unit::InputFresh, fresh), (Unit::InputCacheRead, cached), (Unit::OutputText, text)])
    };
    assert_eq!(desk.amount(event("long", 250_000, 0, 1_000)).await, "1.5225");
    assert_eq!(desk.amount(event("at the threshold", 200_000, 0, 0)).await, "0.6");
    // All kinds of input count, and what has no price of its own above costs what it costs below.
    assert_eq!(desk.amount(event("cached", 1, 200_000, 0)).await, "0.060006");
}

#[tokio::test]
async fn tiers_and_regions_have_prices_of_their_own() {
    let desk = Desk::priced().await;
    desk.price(Price { tier: Tier::Batch, ..small().unit(Unit::OutputText, per_million("0.60")) }).await;
    let event = |key: &str| desk.event(key, [(Unit::OutputText, 1_000_000)]);
    assert_eq!(desk.amount(Event { tier: Tier::Batch, ..event("batch") }).await, "0.6");
    assert_eq!(desk.amount(Event { tier: Tier::Flex, ..event("flex") }).await, "none", "nobody guesses a price");
    let regional = Price { regions: [("eu".to_owned(), 1_100_000)].into(), model: "local".to_owned(), ..small() };
    desk.price(regional).await;
    let in_region = |region: &str| Event { region: Some(region.to_owned()), ..event(region).model("acme", "local") };
    assert_eq!(desk.amount(in_region("eu")).await, "1.32");
    assert_eq!(desk.amount(in_region("us")).await, "1.2");
}

#[tokio::test]
async fn thoughts_cost_what_text_costs_unless_the_book_says_otherwise() {
    let desk = Desk::priced().await;
    let event = |key: &str| desk.event(key, [(Unit::OutputReasoning, 1_000_000)]);
    assert_eq!(desk.amount(event("one")).await, "1.2");
    desk.price(Price { model: "thinker".to_owned(), ..small().unit(Unit::OutputReasoning, per_million("9")) }).await;
    assert_eq!(desk.amount(event("two").model("acme", "thinker")).await, "9");
    // Nothing else is guessed.
    assert_eq!(desk.amount(desk.event("three", [(Unit::InputCacheWrite, 1)])).await, "none");
}

#[tokio::test]
async fn a_book_is_marked_up_or_lists_prices_of_its_own() {
    let desk = Desk::priced().await;
    desk.commit(|tx| {
        set_book(tx, Book::marked_up("sell", Currency::USD, COST_BOOK, 1_250_000))?;
        set_price(tx, Price { book: "sell".to_owned(), model: "own".to_owned(), ..small() })?;
        set_account(tx, Account { book: "sell".to_owned(), ..Account::new("weavers") })
    })
    .await;
    let id = desk.output("one", 1_000_000).await.id();
    let row = desk.row(id).await;
    let amounts = [&row.cost, &row.charge].map(|rated| rated.as_ref().map(|rated| rated.amount.to_string()));
    assert_eq!(amounts, [Some("1.2".to_owned()), Some("1.5".to_owned())]);
    let own = desk.event("two", [(Unit::OutputText, 1_000_000)]).model("acme", "own");
    let row = desk.record(own).await.id();
    let row = desk.row(row).await;
    assert_eq!((row.cost.as_ref(), row.unpriced), (None, true), "what it costs is not known yet");
    assert_eq!(row.charge.as_ref().map(|charge| charge.amount), Some(money("1.2")));
}

#[tokio::test]
async fn books_that_cannot_be_are_refused() {
    let desk = Desk::open().await;
    desk.commit(|tx| set_book(tx, Book::marked_up("sell", Currency::USD, COST_BOOK, 2_000_000))).await;
    for book in [
        Book::marked_up("euro", Currency::EUR, COST_BOOK, 1_000_000),
        Book::marked_up("chain", Currency::USD, "sell", 1_000_000),
        Book::marked_up("lost", Currency::USD, "nowhere", 1_000_000),
        Book::marked_up("greedy", Currency::USD, COST_BOOK, u64::MAX),
        Book::listed("sell", Currency::EUR),
        Book::listed("", Currency::EUR),
    ] {
        let error = desk.fail(move |tx| set_book(tx, book)).await;
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
    let lost = Account { book: "nowhere".to_owned(), ..Account::new("weavers") };
    assert!(matches!(desk.refused(move |tx| set_account(tx, lost)).await, UsageError::BadBook { .. }));
}

#[tokio::test]
async fn what_has_no_price_is_kept_and_rated_when_it_gets_one() {
    let desk = Desk::open().await;
    let id = desk.output("one", 1_000_000).await.id();
    let row = desk.row(id).await;
    assert!(row.unpriced && row.period.is_some());
    let found = desk.read(|tx| unpriced(tx, Page::first(10))).await;
    assert_eq!(found.rows.len(), 1);

    let tasks = desk.keep_up();
    desk.price(small()).await;
    desk.until(move |tx| Ok(tx.require(id)?.unpriced), |unpriced| !unpriced).await;
    assert_eq!(desk.row(id).await.charge.as_ref().map(|charge| charge.amount), Some(money("1.2")));
    let period = desk.period("2026-08-10T12:00:00Z").await.id;
    let lines = desk.read(move |tx| loomwork_usage::lines(tx, period, Default::default())).await;
    assert_eq!(lines.len(), 1, "the line without a price is gone");
    assert_eq!(lines[0].amount, money("1.2"));
    assert!(desk.read(|tx| unpriced(tx, Page::first(10))).await.rows.is_empty());
    drop(tasks);
}

#[tokio::test]
async fn an_amount_beyond_what_can_be_counted_is_an_error() {
    let desk = Desk::open().await;
    let shares = [("moon".to_owned(), 1_000_000_000)];
    let price = Price { regions: shares.into(), ..small().unit(Unit::OutputText, money("100000")) };
    desk.price(price).await;
    let event = desk.event("one", [(Unit::OutputText, loomwork_usage::MAX_QUANTITY)]);
    let event = Event { region: Some("moon".to_owned()), ..event };
    let refused = desk.refused(move |tx| loomwork_usage::record(tx, event)).await;
    assert!(matches!(refused, UsageError::Money(_)), "{refused}");
}

#[tokio::test]
async fn a_marked_up_book_charges_what_it_does_not_list_itself() {
    let desk = Desk::priced().await;
    // The guide's own: a quarter more, and the output of some models at another price.
    desk.commit(|tx| {
        set_book(tx, Book::marked_up("sell", Currency::USD, COST_BOOK, 1_250_000))?;
        let own = Price::new("sell", "acme", "small*", Time::EPOCH).unit(Unit::OutputText, per_million("2.00"));
        set_price(tx, own)?;
        set_account(tx, Account { book: "sell".to_owned(), ..Account::new("weavers") })
    })
    .await;
    let used = [(Unit::InputFresh, 1_000_000), (Unit::InputCacheRead, 1_000_000), (Unit::OutputText, 1_000_000)];
    let rated = desk.rated(desk.event("one", used)).await.expect("it has a price");
    assert_eq!(rated.amount, money("2.5625"), "0.375 in, 0.1875 cached, 2.00 out");
    assert!(rated.version.contains(" + ") && rated.version.ends_with(" x 1250000"), "{}", rated.version);
    let text = desk.rated(desk.event("two", [(Unit::OutputText, 1_000_000)])).await.expect("it has a price");
    assert_eq!((text.amount, text.version.contains('+')), (money("2"), false), "its own prices alone were used");
    let nowhere = [(Unit::OutputText, 1), (Unit::Images, 1)];
    assert_eq!(desk.rated(desk.event("three", nowhere)).await, None, "no book has a price for images");
}

#[tokio::test]
async fn what_uses_nothing_needs_no_price() {
    let desk = Desk::open().await;
    let id = desk.record(desk.event("a call", [])).await.id();
    assert!(!desk.row(id).await.unpriced);
}

#[tokio::test]
async fn a_wrong_price_is_replaced_until_an_event_was_rated_by_it() {
    let desk = Desk::priced().await;
    let again = |price: &'static str| small().unit(Unit::OutputText, per_million(price));
    desk.commit(move |tx| change_price(tx, again("1.30"))).await;
    desk.output("one", 1_000_000).await;
    let refused = desk.refused(move |tx| change_price(tx, again("1.40"))).await;
    assert!(matches!(refused, UsageError::Overlap { .. }), "{refused}");
    let history = desk.read(|tx| price_history(tx, COST_BOOK, "acme", "small", Tier::Standard)).await;
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].rates[&Unit::OutputText], history[0].used), (per_million("1.30"), true));
    let id = history[0].id;
    let refused = desk.refused(move |tx| end_price(tx, id, Time::EPOCH)).await;
    assert!(matches!(refused, UsageError::BadPrice { .. }), "{refused}");
    desk.commit(move |tx| end_price(tx, id, at("2026-08-10T13:00:00Z"))).await;
    desk.now("2026-08-10T13:00:00Z").await;
    assert_eq!(desk.amount(desk.event("two", [(Unit::OutputText, 1)])).await, "none");
    let next = desk.commit(move |tx| set_price(tx, Price { from: tx.now(), ..again("1.40") })).await;
    desk.commit(move |tx| end_price(tx, next, at("2026-08-10T13:00:00Z"))).await;
    assert_eq!(desk.read(move |tx| tx.get(next)).await, None, "nothing was rated by it, so it is gone");
}

#[tokio::test]
async fn a_price_goes_on_behind_an_offer() {
    let desk = Desk::priced().await;
    let offer = Price {
        from: at("2026-08-10T13:00:00Z"),
        until: Some(at("2026-08-10T14:00:00Z")),
        ..small().unit(Unit::OutputText, per_million("1"))
    };
    desk.commit(move |tx| change_price(tx, offer)).await;
    desk.now("2026-08-10T15:00:00Z").await;
    for (moment, amount) in [("2026-08-10T12:59:59Z", "1.2"), ("2026-08-10T13:00:00Z", "1"), ("2026-08-10T14:00:00Z", "1.2")] {
        let event = Event { at: at(moment), ..desk.event(moment, [(Unit::OutputText, 1_000_000)]) };
        assert_eq!(desk.amount(event).await, amount, "{moment}");
    }
}

#[tokio::test]
async fn another_book_rates_what_had_no_price_in_the_one_before() {
    let desk = Desk::priced().await;
    desk.commit(|tx| {
        set_book(tx, Book::listed("empty", Currency::USD))?;
        set_account(tx, Account { book: "empty".to_owned(), ..Account::new("weavers") })
    })
    .await;
    let id = desk.output("one", 1_000_000).await.id();
    assert!(desk.row(id).await.unpriced);
    let tasks = desk.keep_up();
    desk.commit(|tx| set_account(tx, Account::new("weavers"))).await;
    desk.until(|tx| tx.count(EventRow::unpriced.all()), |left| *left == 0).await;
    drop(tasks);
    assert_eq!(desk.row(id).await.charge.as_ref().map(|charge| charge.amount), Some(money("1.2")));
}

#[tokio::test]
async fn accounts_that_cannot_be_are_refused() {
    let desk = Desk::open().await;
    let of = || Account::new("weavers");
    let tax = |name: &str, share| Some(Tax { name: name.to_owned(), share });
    for account in [
        Account { series: "INV-CN".to_owned(), ..of() },
        Account { tax: tax("VAT", u64::MAX), ..of() },
        Account { tax: tax("", 190_000), ..of() },
        Account { minimum: money("-1"), ..of() },
    ] {
        let error = desk.fail(move |tx| set_account(tx, account)).await;
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
}
