//! A period is closed once, with an invoice that agrees with its events.

use loomwork_usage::{
    Account, Calendar, Closed, Currency, Cycle, Event, GenerateOptions, InvoiceState, Report, Tax, Unit, Unpriced,
    UsageError, ZeroTotal, draft, finalise, generate, invoice_by_number, is_intact, periods, reverse, set_account,
};

use super::desk::{Desk, START, at, money, small};

#[tokio::test]
async fn an_invoice_has_a_line_for_each_unit_rounded_once() {
    let desk = Desk::priced().await;
    for key in 0..3 {
        let used = [(Unit::InputFresh, 12_345), (Unit::OutputText, 1_000_001)];
        desk.record(desk.event(&key.to_string(), used)).await;
    }
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    let document = desk.document(invoice).await;
    let lines: Vec<_> = document
        .lines
        .iter()
        .map(|line| (line.unit.to_string(), line.quantity, line.unrounded.to_string(), line.amount.to_string()))
        .collect();
    assert_eq!(
        lines,
        [
            ("inputFresh".to_owned(), 37_035, "0.0111105".to_owned(), "0.01".to_owned()),
            ("outputText".to_owned(), 3_000_003, "3.6000036".to_owned(), "3.6".to_owned()),
        ]
    );
    let row = document.invoice.record;
    assert_eq!((row.subtotal, row.total, row.state), (money("3.61"), money("3.61"), InvoiceState::Open));
    assert_eq!((row.number.as_deref(), row.label.as_str()), (Some("INV-000001"), "2026-08"));
    let found = desk.read(|tx| invoice_by_number(tx, "INV-000001")).await;
    assert_eq!(found.map(|row| row.id), Some(invoice));
}

#[tokio::test]
async fn a_period_that_has_not_ended_is_not_billed() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    let period = desk.period(START).await.id;
    desk.now("2026-08-31T23:59:59.999Z").await;
    let refused = desk.refused(move |tx| finalise(tx, period, None)).await;
    assert!(matches!(refused, UsageError::NotOver { .. }), "{refused}");
    desk.now("2026-09-01T00:00:00Z").await;
    desk.commit(move |tx| finalise(tx, period, None)).await;
}

#[tokio::test]
async fn closing_twice_gives_the_same_invoice() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let first = desk.invoice(START).await;
    let before = desk.document(first).await;
    assert_eq!(desk.invoice(START).await, first);
    assert_eq!(desk.document(first).await, before);
}

#[tokio::test]
async fn a_draft_follows_its_usage_and_is_written_only_when_that_changes() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    let period = desk.period(START).await.id;
    let first = desk.commit(move |tx| draft(tx, period)).await;
    desk.now("2026-08-11T00:00:00Z").await;
    let again = desk.commit(move |tx| draft(tx, period)).await;
    assert_eq!(again, first, "nothing has changed, not even a time");
    desk.output("two", 1_000_000).await;
    let grown = desk.commit(move |tx| draft(tx, period)).await;
    assert_eq!((grown.id, grown.total, grown.state), (first.id, money("2.4"), InvoiceState::Draft));
    assert_ne!(grown.hash, first.hash);
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    assert_eq!(invoice, first.id, "the draft becomes the invoice");
    assert_eq!(desk.document(invoice).await.invoice.hash, grown.hash);
    let refused = desk.refused(move |tx| draft(tx, period)).await;
    assert!(matches!(refused, UsageError::IllegalMove { from: "open", .. }), "{refused}");
}

#[tokio::test]
async fn usage_of_the_days_of_grace_is_in_and_later_usage_is_an_adjustment() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-01T20:00:00Z").await;
    let late = Event { at: at("2026-08-31T23:59:59Z"), ..desk.event("late", [(Unit::OutputText, 1_000_000)]) };
    desk.record(late).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    assert_eq!(desk.document(invoice).await.invoice.total, money("2.4"));
    let later = Event { at: at("2026-08-31T23:59:59Z"), ..desk.event("later", [(Unit::OutputText, 1_000_000)]) };
    let id = desk.record(later).await.id();
    let row = desk.row(id).await;
    assert_eq!(row.adjusts.as_deref(), Some("2026-08"));
    assert_eq!(row.period, Some(desk.period("2026-09-02T00:00:00Z").await.id));
}

#[tokio::test]
async fn a_payer_without_usage_in_a_month_gets_late_usage_of_it_billed_still() {
    let desk = Desk::priced().await;
    desk.now("2026-09-10T00:00:00Z").await;
    let late = Event { at: at("2026-08-20T00:00:00Z"), ..desk.event("late", [(Unit::OutputText, 1_000_000)]) };
    desk.record(late).await;
    let invoice = desk.invoice(START).await;
    assert_eq!(desk.document(invoice).await.invoice.label, "2026-08");
}

#[tokio::test]
async fn usage_without_a_price_is_left_out_or_holds_up_its_own_payer() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    desk.record(desk.event("two", [(Unit::OutputText, 500)]).model("acme", "unknown")).await;
    let waits = Account { unpriced: Unpriced::Block, ..Account::new("weavers") };
    desk.commit(move |tx| set_account(tx, waits)).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let period = desk.period(START).await.id;
    let refused = desk.refused(move |tx| finalise(tx, period, None)).await;
    assert!(matches!(&refused, UsageError::Unpriced { model, .. } if model == "unknown"), "{refused}");

    desk.commit(|tx| set_account(tx, Account::new("weavers"))).await;
    let invoice = desk.invoice(START).await;
    let document = desk.document(invoice).await;
    assert_eq!(document.invoice.total, money("1.2"));
    let left_out: Vec<_> = document.lines.iter().filter(|line| line.price.is_none()).collect();
    assert_eq!(left_out.iter().map(|line| line.quantity).collect::<Vec<_>>(), [500], "it is shown");

    // Once it has a price, it is billed with the next month.
    let tasks = desk.keep_up();
    desk.price(loomwork_usage::Price { model: "unknown".to_owned(), ..small() }).await;
    desk.until(|tx| tx.count(loomwork_usage::EventRow::unpriced.all()), |left| *left == 0).await;
    drop(tasks);
    assert_eq!(desk.document(invoice).await, document);
    let row = desk.read(|tx| loomwork_usage::event_by_key(tx, "agent", "two")).await;
    let row = row.expect("it was recorded");
    assert_eq!(row.adjusts.as_deref(), Some("2026-08"));
    assert_eq!(row.period, Some(desk.period("2026-09-02T00:00:00Z").await.id));
}

#[tokio::test]
async fn nothing_to_pay_gives_no_invoice_or_one_that_is_paid() {
    let desk = Desk::priced().await;
    desk.output("one", 1).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let august = desk.period(START).await.id;
    assert_eq!(desk.commit(move |tx| finalise(tx, august, None)).await, Closed::Skipped);
    assert_eq!(desk.commit(move |tx| finalise(tx, august, None)).await, Closed::Skipped);
    desk.commit(|tx| set_account(tx, Account { zero: ZeroTotal::Paid, ..Account::new("weavers") })).await;
    desk.output("two", 1).await;
    desk.now("2026-10-02T00:00:00Z").await;
    let invoice = desk.invoice("2026-09-10T00:00:00Z").await;
    let row = desk.document(invoice).await.invoice;
    assert_eq!((row.state, row.number.as_deref()), (InvoiceState::Paid, Some("INV-000001")), "no number was lost");
}

#[tokio::test]
async fn small_amounts_are_carried_on_until_they_are_worth_an_invoice() {
    let desk = Desk::priced().await;
    desk.commit(|tx| set_account(tx, Account { minimum: money("3"), ..Account::new("weavers") })).await;
    for (month, next) in [("2026-08-10T12:00:00Z", "2026-09-02T00:00:00Z"), ("2026-09-10T00:00:00Z", "2026-10-02T00:00:00Z")] {
        desk.output(month, 1_000_000).await;
        desk.now(next).await;
        let period = desk.period(month).await.id;
        let closed = desk.commit(move |tx| finalise(tx, period, None)).await;
        assert!(matches!(closed, Closed::Carried(_)), "{closed:?}");
    }
    desk.output("last", 1_000_000).await;
    desk.now("2026-11-02T00:00:00Z").await;
    let invoice = desk.invoice("2026-10-10T00:00:00Z").await;
    let document = desk.document(invoice).await;
    assert_eq!(document.invoice.total, money("3.6"));
    let mut labels: Vec<_> = document.lines.iter().map(|line| line.adjusts.as_deref()).collect();
    labels.sort_unstable();
    assert_eq!(labels, [None, Some("2026-08"), Some("2026-09")]);
    assert!(desk.read(move |tx| is_intact(tx, invoice)).await);
}

#[tokio::test]
async fn tax_is_rounded_once_and_currencies_have_their_own_decimals() {
    let desk = Desk::priced().await;
    let tax = Some(Tax { name: "VAT 19 %".to_owned(), share: 190_000 });
    desk.commit(move |tx| set_account(tx, Account { tax, ..Account::new("weavers") })).await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    let row = desk.document(invoice).await.invoice;
    assert_eq!((row.subtotal, row.tax_amount, row.total), (money("1.2"), money("0.23"), money("1.43")));
}

#[tokio::test]
async fn a_payers_months_are_those_of_its_zone() {
    let desk = Desk::priced().await;
    let zone = "America/New_York".parse().unwrap_or_default();
    let calendar = Calendar { cycle: Cycle::Month, zone };
    desk.commit(move |tx| set_account(tx, Account { calendar, ..Account::new("weavers") })).await;
    for (key, moment) in [("july", "2026-08-01T03:59:59.999Z"), ("august", "2026-08-01T04:00:00Z")] {
        desk.record(Event { at: at(moment), ..desk.event(key, [(Unit::OutputText, 1)]) }).await;
    }
    let labels = desk.read(|tx| periods(tx, "weavers", Currency::USD)).await;
    let labels: Vec<_> = labels.iter().map(|row| (row.label.clone(), row.due.to_string())).collect();
    assert_eq!(
        labels,
        [
            ("2026-07".to_owned(), "2026-08-02T04:00:00.000Z".to_owned()),
            ("2026-08".to_owned(), "2026-09-02T04:00:00.000Z".to_owned()),
        ]
    );
}

#[tokio::test]
async fn lines_that_do_not_agree_with_events_are_not_billed() {
    let desk = Desk::priced().await;
    let id = desk.output("one", 1_000_000).await.id();
    // Damage by another hand: the event says less than its line.
    desk.commit(move |tx| tx.update(id, |row| row.event.quantities = [(Unit::OutputText, 999_999)].into_iter().collect()))
        .await;
    desk.now("2026-09-02T00:00:00Z").await;
    let period = desk.period(START).await.id;
    let refused = desk.refused(move |tx| finalise(tx, period, None)).await;
    assert!(matches!(&refused, UsageError::Mismatch { what, .. } if what.contains("999999")), "{refused}");
    let open = desk.period(START).await;
    assert!(!open.closed, "nothing was billed");
}

#[tokio::test]
async fn a_small_rest_is_billed_in_the_end_and_leaves_no_periods_behind() {
    let desk = Desk::priced().await;
    let calendar = Calendar { cycle: Cycle::Day, ..Calendar::MONTHS };
    desk.commit(move |tx| set_account(tx, Account { calendar, minimum: money("3"), carry: 4, ..Account::new("weavers") })).await;
    desk.output("the last", 1_000_000).await;
    let mut report = Report::default();
    for _ in 0..30 {
        desk.clock.advance(std::time::Duration::from_secs(24 * 60 * 60));
        let went = generate(&desk.store, desk.clock.clock().now(), GenerateOptions::default()).await;
        let went = went.expect("the store answers");
        report.invoiced += went.invoiced;
        report.carried += went.carried;
        assert_eq!(went.failed, 0, "{went:?}");
    }
    assert_eq!((report.invoiced, report.carried), (1, 4));
    let rows = desk.read(|tx| periods(tx, "weavers", Currency::USD)).await;
    assert_eq!(rows.len(), 5, "nobody who left has a period of each day");
}

#[tokio::test]
async fn what_a_payer_has_left_waits_for_its_next_usage() {
    let desk = Desk::priced().await;
    desk.output("one", 10_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    desk.invoice(START).await;
    desk.commit(|tx| reverse(tx, "agent", "one")).await;
    for moment in ["2026-10-02T00:00:00Z", "2026-11-02T00:00:00Z", "2026-12-02T00:00:00Z"] {
        desk.now(moment).await;
        let due = at(moment);
        generate(&desk.store, due, GenerateOptions::default()).await.expect("the store answers");
    }
    assert_eq!(desk.read(|tx| periods(tx, "weavers", Currency::USD)).await.len(), 1);
    desk.output("two", 11_000_000).await;
    desk.now("2027-01-02T00:00:00Z").await;
    let invoice = desk.invoice("2026-12-02T00:00:00Z").await;
    assert_eq!(desk.document(invoice).await.invoice.total, money("1.2"));
}

#[tokio::test]
async fn a_period_that_was_closed_without_an_invoice_has_no_draft() {
    let desk = Desk::priced().await;
    desk.commit(|tx| set_account(tx, Account { minimum: money("3"), ..Account::new("weavers") })).await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let period = desk.period(START).await.id;
    let closed = desk.commit(move |tx| finalise(tx, period, None)).await;
    let refused = desk.refused(move |tx| draft(tx, period)).await;
    assert!(matches!(refused, UsageError::NothingToDraft { .. }), "{refused}");
    assert_eq!(desk.commit(move |tx| finalise(tx, period, None)).await, closed);
}

#[tokio::test]
async fn what_was_left_out_of_an_earlier_period_holds_up_no_later_one() {
    let desk = Desk::priced().await;
    desk.commit(|tx| set_account(tx, Account { minimum: money("3"), ..Account::new("weavers") })).await;
    desk.output("august", 1_000_000).await;
    desk.record(desk.event("unknown", [(Unit::OutputText, 5)]).model("acme", "unknown")).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let august = desk.period(START).await.id;
    desk.commit(move |tx| finalise(tx, august, None)).await;
    let waits = Account { unpriced: Unpriced::Block, ..Account::new("weavers") };
    desk.commit(move |tx| set_account(tx, waits)).await;
    desk.output("september", 1_000_000).await;
    desk.now("2026-10-02T00:00:00Z").await;
    let invoice = desk.invoice("2026-09-10T00:00:00Z").await;
    assert_eq!(desk.document(invoice).await.invoice.total, money("2.4"));
}
