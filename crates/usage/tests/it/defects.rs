//! What goes wrong in the example that users know, row by row, and does not here.

use loomwork_models::Usage;
use loomwork_store::Page;
use loomwork_usage::{
    Account, Billing, Budget, BudgetExceeded, COST_BOOK, Calendar, Currency, Cycle, Dimension, Event,
    GenerateOptions, InvoiceState, Level, Payment, Price, Quantities, Recorded, Unit, change_price, correct,
    generate, invoices, month_total, record_or_set_aside, record_payment, set_account, set_budget, unattributed,
};

use super::desk::{Desk, START, at, money, per_million, small};

impl Desk {
    async fn charged(&self, event: Event) -> String {
        let id = self.record(event).await.id();
        self.row(id).await.charge.as_ref().map_or("nothing".to_owned(), |charge| charge.amount.to_string())
    }

    async fn bill(&self, due: &str) -> loomwork_usage::Report {
        generate(&self.store, at(due), GenerateOptions::default()).await.expect("the store answers")
    }

    async fn billed(&self, payer: &'static str) -> Vec<(String, String)> {
        let found = self.read(move |tx| invoices(tx, payer, Page::first(10))).await.rows;
        found.iter().map(|row| (row.label.clone(), row.total.to_string())).collect()
    }
}

#[tokio::test]
async fn d_01_cached_tokens_are_counted_once_and_no_bill_is_negative() {
    let desk = Desk::priced().await;
    let used = [(Unit::InputFresh, 200), (Unit::InputCacheRead, 800), (Unit::OutputText, 100)];
    assert_eq!(desk.charged(desk.event("one", used)).await, "0.0003");
    let fully_cached = [(Unit::InputCacheRead, 1_000), (Unit::OutputText, 1)];
    assert_eq!(desk.charged(desk.event("two", fully_cached)).await, "0.0001512");
}

#[tokio::test]
async fn d_02_the_discount_of_cached_tokens_comes_from_normalised_usage() {
    let desk = Desk::priced().await;
    // As a model reports it, with whatever the provider says beside it.
    let raw = Some(serde_json::json!({ "prompt_tokens": 1_000, "prompt_tokens_details": { "cached_tokens": 800 } }));
    let usage = Usage { input_fresh: 200, input_cache_read: 800, output_text: 100, raw, ..Usage::default() };
    let report = serde_json::to_value(&usage).expect("it is written");
    let event = Event { quantities: Quantities::of_report(&report), ..desk.event("one", []) };
    assert_eq!(desk.charged(event).await, "0.0003");
}

#[tokio::test]
async fn d_03_two_models_and_an_embedding_without_a_price_are_billed() {
    let desk = Desk::priced().await;
    desk.price(Price { model: "large".to_owned(), ..small().unit(Unit::OutputText, per_million("15")) }).await;
    desk.output("one", 1_000_000).await;
    desk.record(desk.event("two", [(Unit::OutputText, 1_000_000)]).model("acme", "large")).await;
    desk.record(desk.event("three", [(Unit::Embedding, 500)]).model("acme", "embedder")).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let report = desk.bill("2026-09-02T00:00:00Z").await;
    assert_eq!((report.invoiced, report.failed), (1, 0));
    assert_eq!(desk.billed("weavers").await, [("2026-08".to_owned(), "16.2".to_owned())]);
}

#[tokio::test]
async fn d_04_one_unknown_model_concerns_nobody_else() {
    let desk = Desk::priced().await;
    let unknown = desk.event("odd", [(Unit::OutputText, 1)]).model("acme", "unknown").paid_by("dyers");
    desk.record(unknown).await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let report = desk.bill("2026-09-02T00:00:00Z").await;
    assert_eq!((report.invoiced, report.skipped, report.failed), (1, 1, 0));
}

#[tokio::test]
async fn d_05_a_step_that_is_tried_again_counts_once() {
    let desk = Desk::priced().await;
    let step = desk.event("thread-1/message-2/step-0/1", [(Unit::OutputText, 1_000_000)]);
    desk.record(step.clone()).await;
    for _ in 0..2 {
        // The step makes its event anew, with the time of the new try.
        desk.clock.advance(std::time::Duration::from_secs(3_600));
        let again = desk.event("thread-1/message-2/step-0/1", [(Unit::OutputText, 1_000_000)]);
        assert_ne!(again.at, step.at);
        desk.record(again).await;
    }
    desk.now("2026-09-02T00:00:00Z").await;
    desk.bill("2026-09-02T00:00:00Z").await;
    assert_eq!(desk.billed("weavers").await, [("2026-08".to_owned(), "1.2".to_owned())]);
}

#[tokio::test]
async fn d_06_what_is_recorded_after_the_run_is_billed_with_the_next() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    desk.bill("2026-09-02T00:00:00Z").await;
    desk.record(Event { at: at(START), ..desk.event("late", [(Unit::OutputText, 2_000_000)]) }).await;
    desk.now("2026-10-02T00:00:00Z").await;
    desk.bill("2026-10-02T00:00:00Z").await;
    let billed = desk.billed("weavers").await;
    assert_eq!(billed, [("2026-09".to_owned(), "2.4".to_owned()), ("2026-08".to_owned(), "1.2".to_owned())]);
}

#[tokio::test]
async fn d_07_a_period_has_the_label_and_the_moments_of_its_zone() {
    for (zone, first) in [
        ("UTC", "2026-08-01T00:00:00Z"),
        ("Europe/Berlin", "2026-07-31T22:00:00Z"),
        ("America/New_York", "2026-08-01T04:00:00Z"),
        ("Asia/Kolkata", "2026-07-31T18:30:00Z"),
        ("Australia/Lord_Howe", "2026-07-31T13:30:00Z"),
    ] {
        let desk = Desk::priced().await;
        let calendar = Calendar { cycle: Cycle::Month, zone: zone.parse().expect("a zone") };
        desk.commit(move |tx| set_account(tx, Account { calendar, ..Account::new("weavers") })).await;
        let event = Event { at: at(first), ..desk.event("first", [(Unit::OutputText, 1)]) };
        desk.record(event).await;
        let period = desk.period(first).await;
        assert_eq!((period.label.as_str(), period.start), ("2026-08", at(first)), "{zone}");
    }
}

#[tokio::test]
async fn d_08_a_run_twelve_days_late_bills_the_month_that_ended() {
    let desk = Desk::priced().await;
    let july = Event { at: at("2026-07-20T00:00:00Z"), ..desk.event("july", [(Unit::OutputText, 1_000_000)]) };
    desk.record(july).await;
    desk.output("august", 2_000_000).await;
    desk.now("2026-08-14T00:00:00Z").await;
    let report = desk.bill("2026-08-02T00:00:00Z").await;
    assert_eq!(report.invoiced, 1);
    assert_eq!(desk.billed("weavers").await, [("2026-07".to_owned(), "1.2".to_owned())]);
    // August goes on, and is billed when it has ended.
    desk.now("2026-09-02T00:00:00Z").await;
    desk.bill("2026-09-02T00:00:00Z").await;
    assert_eq!(desk.billed("weavers").await[0], ("2026-08".to_owned(), "2.4".to_owned()));
}

#[tokio::test]
async fn d_09_a_million_small_amounts_are_exact() {
    let desk = Desk::open().await;
    desk.price(small().unit(Unit::OutputText, money("0.0000003"))).await;
    let events: Vec<_> = (0..1_000).map(|key| desk.event(&key.to_string(), [(Unit::OutputText, 1)])).collect();
    desk.commit(move |tx| loomwork_usage::record_all(tx, events)).await;
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::Payer, "weavers", moment)).await;
    assert_eq!(sums.charge[&Currency::USD], money("0.0003"));
    let period = desk.period(START).await.id;
    let lines = desk.read(move |tx| loomwork_usage::lines(tx, period, Default::default())).await;
    assert_eq!(lines[0].unrounded, money("0.0003"));
}

#[tokio::test]
async fn d_10_cache_writes_and_all_other_kinds_have_prices() {
    let desk = Desk::open().await;
    let price = Price::new(COST_BOOK, "anthropic", "claude", loomwork_core::Time::EPOCH)
        .unit(Unit::InputFresh, per_million("3"))
        .unit(Unit::InputCacheWrite, per_million("3.75"))
        .unit(Unit::InputCacheWriteHour, per_million("6"))
        .unit(Unit::OutputText, per_million("15"))
        .unit(Unit::InputAudio, per_million("32"))
        .unit(Unit::Images, money("0.04"))
        .unit(Unit::Tool("web_search".to_owned()), money("0.01"));
    desk.price(price).await;
    let used = [(Unit::InputFresh, 337), (Unit::InputCacheWrite, 46_209), (Unit::OutputText, 342)];
    assert_eq!(desk.charged(desk.event("one", used).model("anthropic", "claude")).await, "0.17942475");
    let used = [
        (Unit::InputCacheWriteHour, 1_000_000),
        (Unit::OutputReasoning, 1_000_000),
        (Unit::InputAudio, 1_000_000),
        (Unit::Images, 3),
        (Unit::Tool("web_search".to_owned()), 2),
    ];
    assert_eq!(desk.charged(desk.event("two", used).model("anthropic", "claude")).await, "53.14");
}

#[tokio::test]
async fn d_11_a_new_price_leaves_the_past_alone() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    let dearer = Price { from: at("2026-08-20T00:00:00Z"), ..small().unit(Unit::OutputText, per_million("100")) };
    desk.commit(move |tx| change_price(tx, dearer)).await;
    desk.now("2026-09-02T00:00:00Z").await;
    desk.bill("2026-09-02T00:00:00Z").await;
    assert_eq!(desk.billed("weavers").await, [("2026-08".to_owned(), "1.2".to_owned())]);
}

#[tokio::test]
async fn d_12_anonymous_usage_is_kept_and_counted() {
    let desk = Desk::priced().await;
    let event = Event { payer: None, ..desk.event("one", [(Unit::OutputText, 1_000_000)]) };
    desk.record(event).await;
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::Payer, "", moment)).await;
    assert_eq!((sums.tokens(), sums.cost[&Currency::USD]), (1_000_000, money("1.2")));
    assert_eq!(desk.read(|tx| unattributed(tx, None, Page::first(10))).await.rows.len(), 1);
}

#[tokio::test]
async fn d_13_an_aborted_answer_is_estimated_flagged_and_put_right() {
    let desk = Desk::priced().await;
    let guess = Event { estimated: true, ..desk.event("step", [(Unit::OutputText, 900_000)]) };
    let id = desk.record(guess).await.id();
    assert!(desk.row(id).await.event.estimated);
    let right = desk.event("step/reported", [(Unit::OutputText, 1_000_000)]);
    desk.commit(move |tx| correct(tx, "agent", "step", right)).await;
    desk.now("2026-09-02T00:00:00Z").await;
    desk.bill("2026-09-02T00:00:00Z").await;
    assert_eq!(desk.billed("weavers").await, [("2026-08".to_owned(), "1.2".to_owned())]);
}

#[tokio::test]
async fn d_14_an_event_that_cannot_be_recorded_fails_no_answer() {
    let desk = Desk::priced().await;
    let wrong = desk.event("one", [(Unit::OutputText, u64::MAX)]);
    assert_eq!(desk.commit(move |tx| record_or_set_aside(tx, wrong)).await, None);
    let free = Event { billing: Billing::Cached, ..desk.event("one", [(Unit::OutputText, 1)]) };
    assert!(matches!(desk.record(free).await, Recorded::New(_)), "the refused one has not taken its key");
}

#[tokio::test]
async fn d_15_a_failed_payment_is_an_attempt_of_one_invoice() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    let declined = Payment::Failed("card declined".to_owned());
    let row = desk.commit(move |tx| record_payment(tx, invoice, "p1", declined)).await;
    assert_eq!(row.state, InvoiceState::Failed);
    let again = desk.bill("2026-09-02T00:00:00Z").await;
    assert_eq!(again, loomwork_usage::Report::default());
    desk.commit(move |tx| record_payment(tx, invoice, "p2", Payment::Paid)).await;
    assert_eq!(desk.billed("weavers").await.len(), 1);
}

#[tokio::test]
async fn d_16_totals_are_known_now_and_a_budget_stops_in_mid_month() {
    let desk = Desk::priced().await;
    let budget = Budget::money("ada", Level::User, "ada", Currency::USD, money("2"));
    desk.commit(move |tx| set_budget(tx, budget)).await;
    desk.output("one", 1_000_000).await;
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::User, "ada", moment)).await;
    assert_eq!(sums.charge[&Currency::USD], money("1.2"));
    let next = desk.event("two", [(Unit::OutputText, 1_000_000)]);
    let term = std::time::Duration::from_secs(60);
    let error = desk.fail(move |tx| loomwork_usage::admit(tx, &next, term)).await;
    assert!(BudgetExceeded::of(&error).is_some(), "{error}");
}
