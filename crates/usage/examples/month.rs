//! A month of a small shop, offline: prices, answers that are paid with their messages, a budget that refuses,
//! a price change, the bill, and what comes late. It ends by itself.
//!
//! Run it with `cargo run -p loomwork-usage --example month`. With a path behind it, the invoice is written there
//! as a page to print.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_store::{Error, Page, Result, Store, Tx};
use loomwork_usage::{
    Budget, BudgetExceeded, COST_BOOK, Currency, Dimension, Event, GenerateOptions, Letterhead, Level, Money,
    Price, Unit, admit, change_price, document, generate, invoices, month_total, record, set_budget,
    set_price, settle_with,
};

/// The tenth of August, the second of September and the second of October 2026, at midnight in UTC.
const AUGUST: Time = Time::from_millis(1_786_320_000_000);
const SEPTEMBER: Time = Time::from_millis(1_788_307_200_000);
const OCTOBER: Time = Time::from_millis(1_790_899_200_000);

fn price(out: &str, from: Time) -> Result<Price> {
    let per_million = |text: &str| text.parse::<Money>()?.per_million();
    let price = Price::new(COST_BOOK, "acme", "small-1", from).unit(Unit::InputFresh, per_million("0.30")?);
    Ok(price.unit(Unit::InputCacheRead, per_million("0.15")?).unit(Unit::OutputText, per_million(out)?))
}

/// An answer to Ada, whom the weavers pay for.
fn answer(key: &str, at: Time, tokens: u64) -> Event {
    let used = [(Unit::InputFresh, 200_000), (Unit::InputCacheRead, 800_000), (Unit::OutputText, tokens)];
    let event = Event::new("chat", key, at).paid_by("weavers").used_by(Level::User, "ada");
    event.model("acme", "small-1").used(used)
}

/// Asks for what a call may use, and records what it used: in a program, the model is called between the two.
async fn ask(store: &Store, key: &'static str, at_most: u64, used: u64) -> Result<()> {
    let term = Duration::from_secs(600);
    let held = store.mutate(move |tx: &mut Tx| admit(tx, &answer(key, tx.now(), at_most), term)).await?;
    store.mutate(move |tx: &mut Tx| settle_with(tx, held, answer(key, tx.now(), used))).await?;
    Ok(())
}

async fn bill(store: &Store, due: Time) -> Result<()> {
    let report = generate(store, due, GenerateOptions::default()).await?;
    println!("billed: {}, failed: {}", report.invoiced, report.failed);
    for row in store.query(|tx| invoices(tx, "weavers", Page::first(10))).await?.rows {
        let number = row.number.as_deref().unwrap_or("draft");
        println!("  {number} for {}: {} {}", row.label, row.total.with_decimals(2), row.currency);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // A clock that is turned by hand, so that nobody has to wait for the end of the month.
    let clock = Clock::manual(AUGUST);
    let tables = loomwork_usage::tables().into_iter().chain(loomwork_rate_limiter::tables());
    let store =
        Store::builder(loomwork_store::Memory::new()).clock(clock.clock()).tables(tables).open().await?;

    let (first, dearer) = (price("1.20", Time::EPOCH)?, price("2.40", AUGUST + Duration::from_secs(60))?);
    let budget = Budget::money("ada", Level::User, "ada", Currency::USD, Money::whole(5));
    store
        .mutate(|tx| {
            set_price(tx, first)?;
            change_price(tx, dearer)?; // a minute from now
            set_budget(tx, budget).map(drop)
        })
        .await?;

    ask(&store, "answer-1", 2_000_000, 1_000_000).await?;
    clock.advance(Duration::from_secs(60));
    ask(&store, "answer-2", 1_000_000, 500_000).await?;
    match ask(&store, "answer-3", 1_000_000, 900_000).await {
        Err(error) if BudgetExceeded::of(&error).is_some() => println!("refused: {error}"),
        other => other?,
    }
    let sums = store.query(|tx| month_total(tx, Dimension::User, "ada", tx.now())).await?;
    println!("ada so far: {} tokens, {:?}", sums.tokens(), sums.cost);

    clock.set(SEPTEMBER);
    bill(&store, SEPTEMBER).await?;

    // The provider tells of one more answer of August: its bill is closed, so it is an adjustment of the next.
    let late = answer("answer-4", AUGUST, 1_000_000);
    store.mutate(move |tx: &mut Tx| record(tx, late)).await?;
    clock.set(OCTOBER);
    bill(&store, OCTOBER).await?;

    let newest = store.query(|tx| invoices(tx, "weavers", Page::first(1))).await?.rows.remove(0);
    let page = store.query(move |tx| document(tx, newest.id)).await?;
    print!("{}", page.to_csv());
    if let Some(path) = std::env::args().nth(1) {
        let head = Letterhead { from: vec!["The loom".to_owned()], ..Letterhead::default() };
        std::fs::write(path, page.to_html(&head))
            .map_err(|error| Error::message(loomwork_core::Kind::Unavailable, error.to_string()))?;
    }
    Ok(())
}
