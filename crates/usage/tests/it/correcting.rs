//! What was recorded is never changed: it is taken back, and recorded anew.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::Page;
use loomwork_usage::{
    Account, Adjustment, Currency, Dimension, Event, GenerateOptions, InvoiceState, Letterhead, Recorded, Unit,
    UsageError, amended_lines, balance, correct, generate, invoices, is_intact, month_total, reverse, set_account,
};

use super::desk::{Desk, START, at, money};

#[tokio::test]
async fn a_reversal_takes_back_exactly_what_was_charged() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000).await;
    desk.output("two", 500).await;
    let reversal = desk.commit(|tx| reverse(tx, "agent", "one")).await;
    assert_eq!(desk.commit(|tx| reverse(tx, "agent", "one")).await, Recorded::Repeated(reversal.id()));
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::User, "ada", moment)).await;
    assert_eq!((sums.events, sums.tokens(), sums.charge[&Currency::USD]), (1, 500, money("0.0006")));
    let period = desk.period(START).await.id;
    let lines = desk.read(move |tx| loomwork_usage::lines(tx, period, Default::default())).await;
    assert_eq!(lines.iter().map(|line| line.quantity).collect::<Vec<_>>(), [500]);
}

#[tokio::test]
async fn a_reversal_cannot_be_reversed_and_nothing_unknown_either() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000).await;
    desk.commit(|tx| reverse(tx, "agent", "one")).await;
    let refused = desk.refused(|tx| reverse(tx, "agent", "reversal:one")).await;
    assert!(matches!(refused, UsageError::NotReversible { .. }), "{refused}");
    let error = desk.fail(|tx| reverse(tx, "agent", "two")).await;
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_estimate_is_replaced_when_the_numbers_come() {
    let desk = Desk::priced().await;
    let guess = Event { estimated: true, ..desk.event("step-1", [(Unit::OutputText, 900)]) };
    desk.record(guess).await;
    let right = desk.event("step-1/right", [(Unit::OutputText, 1_000)]);
    let again = right.clone();
    let first = desk.commit(move |tx| correct(tx, "agent", "step-1", right)).await;
    let second = desk.commit(move |tx| correct(tx, "agent", "step-1", again)).await;
    assert_eq!(second, Recorded::Repeated(first.id()));
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::All, "", moment)).await;
    assert_eq!((sums.events, sums.tokens()), (1, 1_000));
}

#[tokio::test]
async fn a_correction_of_a_closed_month_is_an_adjustment_of_the_next() {
    let desk = Desk::priced().await;
    desk.output("one", 10_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let august = desk.invoice(START).await;
    let before = desk.document(august).await;

    desk.commit(|tx| reverse(tx, "agent", "one")).await;
    let right = Event { at: at(START), ..desk.event("one/right", [(Unit::OutputText, 9_000_000)]) };
    desk.record(right).await;
    desk.output("two", 5_000_000).await;
    let mut after = desk.document(august).await;
    assert_eq!(std::mem::take(&mut after.invoice.record.adjusted), money("12"));
    assert_eq!(after, before, "what an invoice that is finalised says never changes");
    assert_eq!(desk.read(|tx| balance(tx, "weavers", Currency::USD)).await, money("-12"));
    assert!(desk.read(move |tx| is_intact(tx, august)).await);

    desk.now("2026-10-02T00:00:00Z").await;
    let september = desk.invoice("2026-09-10T00:00:00Z").await;
    let bill = desk.document(september).await;
    let lines: Vec<_> =
        bill.lines.iter().map(|line| (line.adjusts.as_deref(), line.quantity, line.amount.to_string())).collect();
    assert_eq!(lines, [(None, 5_000_000, "6".to_owned()), (Some("2026-08"), 9_000_000, "10.8".to_owned())]);
    let adjusts = Adjustment { number: "INV-000001".to_owned(), label: "2026-08".to_owned(), amount: money("-12") };
    assert_eq!((&bill.adjustments, bill.invoice.total), (&vec![adjusts], money("4.8")));
    assert!(bill.to_html(&Letterhead::default()).contains("Adjustment of INV-000001 for 2026-08"));
    assert!(bill.to_csv().contains("INV-000002,weavers,2026-09,2026-08,,,,INV-000001,,,-12,-12.00,USD,"));
    assert!(desk.read(move |tx| is_intact(tx, september)).await);
}

#[tokio::test]
async fn a_correction_of_a_billed_event_makes_up_for_the_difference() {
    for (tokens, made_up) in [(9_000_000, "-1.2"), (11_000_000, "1.2")] {
        let desk = Desk::priced().await;
        desk.output("one", 10_000_000).await;
        desk.now("2026-09-02T00:00:00Z").await;
        let august = desk.invoice(START).await;
        let right = Event { at: at(START), ..desk.event("one/right", [(Unit::OutputText, tokens)]) };
        let id = desk.commit(move |tx| correct(tx, "agent", "one", right)).await.id();
        let period = desk.period(START).await.id;
        assert_eq!(desk.row(id).await.period, Some(period), "it stands where the wrong one was");
        let lines = desk.read(move |tx| amended_lines(tx, period, Default::default())).await;
        assert_eq!(lines.iter().map(|line| line.quantity).collect::<Vec<_>>(), [tokens as i64]);
        assert_eq!(desk.read(|tx| balance(tx, "weavers", Currency::USD)).await, money(made_up));
        assert!(desk.read(move |tx| is_intact(tx, august)).await);
    }
}

#[tokio::test]
async fn what_is_charged_later_is_billed_without_any_usage() {
    let desk = Desk::priced().await;
    desk.commit(|tx| set_account(tx, Account { minimum: money("2"), carry: 2, ..Account::new("weavers") })).await;
    desk.output("one", 10_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    desk.invoice(START).await;
    let right = Event { at: at(START), ..desk.event("one/right", [(Unit::OutputText, 11_000_000)]) };
    desk.commit(move |tx| correct(tx, "agent", "one", right)).await;
    let mut totals = Vec::new();
    for moment in ["2026-10-02T00:00:00Z", "2026-11-02T00:00:00Z", "2026-12-02T00:00:00Z", "2027-01-02T00:00:00Z"] {
        desk.now(moment).await;
        generate(&desk.store, at(moment), GenerateOptions::default()).await.expect("the store answers");
        let all = desk.read(|tx| invoices(tx, "weavers", Page::first(10))).await.rows;
        totals.push(all.iter().map(|row| row.total.to_string()).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(totals, ["12", "12", "1.2 12", "1.2 12"], "it is carried on as any small amount is");
    assert!(desk.read(|tx| balance(tx, "weavers", Currency::USD)).await.is_zero());
}

#[tokio::test]
async fn what_one_bill_has_no_room_for_is_given_back_on_the_next() {
    let desk = Desk::priced().await;
    desk.output("one", 10_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    desk.invoice(START).await;
    desk.commit(|tx| reverse(tx, "agent", "one")).await;
    desk.output("two", 2_000_000).await;
    desk.now("2026-10-02T00:00:00Z").await;
    let september = desk.invoice("2026-09-10T00:00:00Z").await;
    let row = desk.document(september).await.invoice.record;
    assert_eq!((row.state, row.subtotal, row.total), (InvoiceState::Paid, money("2.4"), money("0")));
    assert_eq!(desk.read(|tx| balance(tx, "weavers", Currency::USD)).await, money("-9.6"));
    desk.output("three", 20_000_000).await;
    desk.now("2026-11-02T00:00:00Z").await;
    let invoice = desk.invoice("2026-10-10T00:00:00Z").await;
    assert_eq!(desk.document(invoice).await.invoice.total, money("14.4"));
    for invoice in [september, invoice] {
        assert!(desk.read(move |tx| is_intact(tx, invoice)).await);
    }
}

#[tokio::test]
async fn an_event_has_one_correction_and_that_may_be_corrected() {
    let desk = Desk::priced().await;
    desk.output("guess", 900).await;
    let right = |key: &str, tokens| desk.event(key, [(Unit::OutputText, tokens)]);
    let (first, again) = (right("right", 1_000), right("right", 1_000));
    let id = desk.commit(move |tx| correct(tx, "agent", "guess", first)).await.id();
    for wrong in [right("other", 1_100), right("guess", 900)] {
        let refused = desk.refused(move |tx| correct(tx, "agent", "guess", wrong)).await;
        assert!(matches!(refused, UsageError::NotReversible { .. }), "{refused}");
    }
    let better = right("better", 1_050);
    desk.commit(move |tx| correct(tx, "agent", "right", better)).await;
    // Whoever tries the first correction again is told that it was made.
    assert_eq!(desk.commit(move |tx| correct(tx, "agent", "guess", again)).await, Recorded::Repeated(id));
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::All, "", moment)).await;
    assert_eq!((sums.events, sums.tokens()), (1, 1_050));
}

#[tokio::test]
async fn what_was_taken_back_neither_is_corrected_nor_corrects() {
    let desk = Desk::priced().await;
    desk.output("gone", 900).await;
    desk.output("stands", 800).await;
    desk.commit(|tx| reverse(tx, "agent", "gone")).await;
    let new = desk.event("new", [(Unit::OutputText, 1)]);
    let gone = desk.event("gone", [(Unit::OutputText, 900)]);
    for (key, right) in [("gone", new), ("stands", gone)] {
        let refused = desk.refused(move |tx| correct(tx, "agent", key, right)).await;
        assert!(matches!(refused, UsageError::NotReversible { .. }), "{refused}");
    }
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::All, "", moment)).await;
    assert_eq!((sums.events, sums.tokens()), (1, 800), "a correction that is refused takes nothing back");
}

#[tokio::test]
async fn a_correction_is_as_old_as_its_original_at_most() {
    let desk = Desk::priced().await;
    desk.output("guess", 900).await;
    desk.clock.advance(Duration::from_secs(60 * 24 * 60 * 60));
    for moment in ["1970-01-01T00:00:00Z", "2026-08-10T11:59:59Z", "2100-01-01T00:00:00Z"] {
        let wrong = Event { at: at(moment), ..desk.event("right", [(Unit::OutputText, 1_000)]) };
        let refused = desk.refused(move |tx| correct(tx, "agent", "guess", wrong)).await;
        assert!(matches!(refused, UsageError::OutOfWindow { .. }), "{refused}");
    }
    let right = Event { at: at(START), ..desk.event("right", [(Unit::OutputText, 1_000)]) };
    desk.commit(move |tx| correct(tx, "agent", "guess", right)).await;
}
