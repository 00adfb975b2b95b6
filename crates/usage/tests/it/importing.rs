//! Reading public price lists.

use loomwork_core::{Clock, Time};
use loomwork_store::{Result, Store, Tx};
use loomwork_usage::{
    COST_BOOK, Imported, Money, Price, PriceList, Tier, Unit, end_price, import_prices, price_at,
    price_history, set_price,
};

const LIST: &str = r#"{
    "sample_spec": { "input_cost_per_token": 0.0, "litellm_provider": "one of them" },
    "acme/large": {
        "litellm_provider": "acme", "mode": "chat", "max_tokens": 4096, "supports_vision": true,
        "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
        "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
        "cache_read_input_token_cost": 3e-07, "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06,
        "input_cost_per_token_batches": 1.5e-06, "output_cost_per_token_batches": 7.5e-06,
        "input_cost_per_token_priority": 4e-06, "input_cost_per_token_above_200k_tokens_priority": 8e-06
    },
    "small-embed": { "litellm_provider": "acme", "mode": "embedding", "input_cost_per_token": 2e-08 },
    "painter": { "litellm_provider": "acme", "mode": "image_generation", "output_cost_per_image": 0.04 },
    "odd": { "litellm_provider": "acme", "input_cost_per_token": 2.9999999999999997e-07 },
    "nobody": { "input_cost_per_token": 1e-06 },
    "broken": { "litellm_provider": "acme", "input_cost_per_token": "free" },
    "unknown": { "litellm_provider": "acme", "mode": "chat", "cost_per_smile": 1 }
}"#;

fn money(text: &str) -> Money {
    text.parse().expect("the text is an amount")
}

fn found<'a>(prices: &'a [Price], model: &str, tier: Tier) -> &'a Price {
    prices.iter().find(|price| price.model == model && price.tier == tier).expect("it is listed")
}

#[test]
fn numbers_are_read_digit_by_digit_with_tiers_and_long_inputs() {
    let list = PriceList::parse(LIST).expect("it is a list");
    let prices = list.prices(COST_BOOK, Time::EPOCH);
    let large = found(&prices, "large", Tier::Standard);
    assert_eq!(large.rates[&Unit::InputFresh], money("0.000003"));
    assert_eq!(large.rates[&Unit::InputCacheRead], money("3e-7"));
    assert_eq!(large.rates[&Unit::InputCacheWrite], money("3.75e-6"));
    assert_eq!(large.rates[&Unit::InputCacheWriteHour], money("6e-6"));
    let long = large.long.as_ref().expect("long inputs cost more");
    assert_eq!((long.above, long.rates[&Unit::OutputText]), (200_000, money("2.25e-5")));
    let batch = found(&prices, "large", Tier::Batch);
    assert_eq!((batch.rates[&Unit::OutputText], &batch.long), (money("7.5e-6"), &None));
    assert_eq!(
        batch.rates[&Unit::InputCacheRead],
        money("3e-7"),
        "what a tier does not name costs what it usually does"
    );
    let priority = found(&prices, "large", Tier::Priority);
    let long = priority.long.as_ref().expect("long inputs cost more there");
    assert_eq!(long.rates[&Unit::InputFresh], money("8e-6"));
    assert_eq!(long.rates[&Unit::OutputText], money("2.25e-5"), "as it usually does, with long inputs too");
    assert_eq!(found(&prices, "small-embed", Tier::Standard).rates[&Unit::Embedding], money("2e-8"));
    assert_eq!(found(&prices, "painter", Tier::Standard).rates[&Unit::Images], money("0.04"));
}

#[test]
fn what_cannot_be_used_is_named_with_the_reason() {
    let list = PriceList::parse(LIST).expect("it is a list");
    let left_out: Vec<_> = list.left_out.iter().map(|(model, _)| model.as_str()).collect();
    assert_eq!(left_out, ["broken", "nobody", "unknown"]);
    assert_eq!(list.rounded, [("odd".to_owned(), "input_cost_per_token".to_owned())]);
    let prices = list.prices(COST_BOOK, Time::EPOCH);
    assert_eq!(found(&prices, "odd", Tier::Standard).rates[&Unit::InputFresh], money("3e-7"));
    let refused = PriceList::parse("[1, 2]").expect_err("it is no object");
    assert!(refused.to_string().contains("JSON object of models"), "{refused}");
}

#[tokio::test]
async fn an_import_adds_changes_and_leaves_alone_what_is_yours() -> Result<()> {
    let clock = Clock::manual(Time::from_millis(1_000_000));
    let builder = Store::builder(loomwork_store::Memory::new()).clock(clock.clock());
    let store = builder.tables(loomwork_usage::tables()).open().await?;
    let own = Price::new(COST_BOOK, "acme", "painter", Time::EPOCH).unit(Unit::Images, Money::whole(1));
    store.mutate(|tx| set_price(tx, own)).await?;

    let import = |text: &str, from: i64| {
        let prices = PriceList::parse(text).expect("it is a list").prices(COST_BOOK, Time::from_millis(from));
        store.mutate(move |tx: &mut Tx| import_prices(tx, prices))
    };
    let first = import(LIST, 0).await?;
    assert_eq!(first, Imported { added: 5, kept: 1, ..Imported::default() });
    let again = import(LIST, 500).await?;
    assert_eq!(again, Imported { unchanged: 5, kept: 1, ..Imported::default() });
    let late = LIST.replace("\"input_cost_per_token\": 2e-08", "\"input_cost_per_token\": 4e-08");
    let ignored = import(&late, 0).await?;
    assert_eq!(
        ignored,
        Imported { not_later: 1, unchanged: 4, kept: 1, ..Imported::default() },
        "it says so"
    );
    let dearer = LIST.replace("\"input_cost_per_token\": 2e-08", "\"input_cost_per_token\": 3e-08");
    let changed = import(&dearer, 500).await?;
    assert_eq!(changed, Imported { changed: 1, unchanged: 4, kept: 1, ..Imported::default() });

    let at = |millis| {
        store.query(move |tx| {
            let at = Time::from_millis(millis);
            let price = price_at(tx, COST_BOOK, "acme", "small-embed", Tier::Standard, at)?;
            Ok(price.expect("it has one").rates[&Unit::Embedding])
        })
    };
    assert_eq!((at(499).await?, at(500).await?), (money("2e-8"), money("3e-8")));
    let history =
        store.query(|tx| price_history(tx, COST_BOOK, "acme", "small-embed", Tier::Standard)).await?;
    assert_eq!(history.len(), 2);

    // A price that was ended is not there any more when a list says it again.
    let (last, until) = (history[1].id, Time::from_millis(900));
    store.mutate(move |tx| end_price(tx, last, until)).await?;
    assert_eq!(import(&dearer, 800).await?.unchanged, 5, "it holds until then");
    assert_eq!(
        import(&dearer, 1_000).await?,
        Imported { changed: 1, unchanged: 4, kept: 1, ..Imported::default() }
    );
    assert_eq!(at(1_000).await?, money("3e-8"));
    Ok(())
}

#[test]
fn one_model_that_cannot_be_priced_concerns_no_other() {
    let long = "x".repeat(201);
    let text = format!(
        r#"{{
            "twice": {{ "litellm_provider": "acme", "input_cost_per_token": 1e-06,
                "input_cost_per_token_above_128k_tokens": 2e-06, "input_cost_per_token_above_200k_tokens": 3e-06 }},
            "negative": {{ "litellm_provider": "acme", "input_cost_per_token": -1e-06 }},
            "{long}": {{ "litellm_provider": "acme", "input_cost_per_token": 1e-06 }},
            "fine": {{ "litellm_provider": "acme", "input_cost_per_token": 1e-06 }}
        }}"#
    );
    let list = PriceList::parse(&text).expect("it is a list");
    let left_out: Vec<_> = list.left_out.iter().map(|(model, _)| model.as_str()).collect();
    assert_eq!(left_out, ["negative", "twice", &long]);
    assert_eq!(list.prices(COST_BOOK, Time::EPOCH).len(), 1);
}
