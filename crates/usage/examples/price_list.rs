//! Reads a price list in the public form, offline, and prices usage that was there before it. It ends by itself.
//!
//! Run it with `cargo run -p loomwork-usage --example price_list`, or with the path of a list behind it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use loomwork_core::{Kind, Tasks, Time};
use loomwork_store::{Error, Page, Result, Store, Tx};
use loomwork_usage::{
    COST_BOOK, Dimension, Event, EventRow, PriceList, Unit, import_prices, month_total, record, unpriced,
};

const LIST: &str = r#"{
    "acme/large-1": {
        "litellm_provider": "acme", "mode": "chat",
        "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
        "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05
    },
    "acme/embed-1": { "litellm_provider": "acme", "mode": "embedding", "input_cost_per_token": 2e-08 },
    "acme/talk-1": { "litellm_provider": "acme", "mode": "chat", "cost_per_smile": 1 }
}"#;

/// How many prices are entered in one transaction.
const CHUNK: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Error::message(Kind::Unavailable, error.to_string()))?,
        None => LIST.to_owned(),
    };
    let tables = loomwork_usage::tables().into_iter().chain(loomwork_rate_limiter::tables());
    let store = Store::memory().tables(tables).open().await?;
    let tasks = Tasks::new();
    for upkeep in loomwork_usage::upkeep() {
        store.start_upkeep(&tasks, upkeep);
    }

    // Nobody knows yet what this costs: it is kept.
    let used = |tx: &mut Tx| {
        let event = Event::new("chat", "answer-1", tx.now()).paid_by("weavers").model("acme", "large-1");
        record(tx, event.used([(Unit::InputFresh, 250_000), (Unit::OutputText, 1_000)]))
    };
    store.mutate(used).await?;
    let waiting = store.query(|tx| unpriced(tx, Page::first(10))).await?.rows.len();
    println!("without a price: {waiting}");

    let list = PriceList::parse(&text)?;
    for (model, why) in list.left_out.iter().take(10) {
        println!("left out {model}: {why}");
    }
    // The first list holds for all that was used before; a later one is entered from `tx.now()` on.
    let prices = list.prices(COST_BOOK, Time::EPOCH);
    for chunk in prices.chunks(CHUNK) {
        let chunk = chunk.to_vec();
        let done = store.mutate(|tx| import_prices(tx, chunk)).await?;
        println!("added {}, changed {}, unchanged {}", done.added, done.changed, done.unchanged);
    }

    let mut left = store.watch(|tx| tx.count(EventRow::unpriced.all()));
    while left.next().await.transpose()?.is_some_and(|left| left > 0 && list_has(&prices)) {}
    let sums = store.query(|tx| month_total(tx, Dimension::Payer, "weavers", tx.now())).await?;
    println!("the weavers owe {:?}", sums.charge);
    Ok(())
}

/// Whether the model is in the list at all; one's own list may not have it.
fn list_has(prices: &[loomwork_usage::Price]) -> bool {
    prices.iter().any(|price| price.model == "large-1")
}
