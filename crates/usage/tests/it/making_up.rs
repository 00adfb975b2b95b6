//! What is taken back of bills that are final: never more than was charged, never less than was paid.

use loomwork_store::{Id, Page};
use loomwork_usage::{
    Account, Calendar, Closed, Currency, Cycle, Event, GenerateOptions, InvoiceRow, InvoiceState, Money, Payment, Price,
    Rounding, Tax, Unit, amended_lines, balance, correct, credit_note, draft, finalise, generate, give_up, invoices,
    is_intact, record_payment, reverse, set_account, void,
};

use super::desk::{Desk, START, at, money, small};

/// So many tokens of the small model cost 6.
const SIX: u64 = 5_000_000;

const SEPTEMBER: &str = "2026-09-02T00:00:00Z";
const OCTOBER: &str = "2026-10-02T00:00:00Z";
const NOVEMBER: &str = "2026-11-02T00:00:00Z";

impl Desk {
    async fn owed(&self) -> Money {
        self.read(|tx| balance(tx, "weavers", Currency::USD)).await
    }

    async fn takes_back(&self, key: &'static str) {
        self.commit(move |tx| reverse(tx, "agent", key)).await;
    }

    async fn paid(&self, invoice: Id<InvoiceRow>) {
        self.commit(move |tx| record_payment(tx, invoice, "p", Payment::Paid)).await;
    }

    /// Bills the weavers' month that ended, and returns what is to be paid for it.
    async fn asks(&self, now: &str, of: &str) -> String {
        self.now(now).await;
        let invoice = self.invoice(of).await;
        assert!(self.read(move |tx| is_intact(tx, invoice)).await);
        self.document(invoice).await.invoice.to_be_paid().to_string()
    }
}

#[tokio::test]
async fn an_invoice_that_ends_takes_back_what_was_given_back_of_it() {
    for is_void in [true, false] {
        let desk = Desk::priced().await;
        desk.output("one", SIX).await;
        desk.output("two", SIX).await;
        desk.now(SEPTEMBER).await;
        let august = desk.invoice(START).await;
        desk.takes_back("one").await;
        assert_eq!(desk.owed().await, money("-6"));
        let ended = desk
            .commit(move |tx| if is_void { void(tx, august, "a mistake") } else { give_up(tx, august, "gone") })
            .await;
        assert_eq!((ended.credited, ended.to_be_paid()), (money("12"), money("0")));
        assert!(desk.owed().await.is_zero(), "nothing was paid, so nothing is given back");
        desk.output("three", 3 * SIX).await;
        assert_eq!(desk.asks(OCTOBER, "2026-09-10T00:00:00Z").await, "18");
    }
}

#[tokio::test]
async fn what_was_given_back_already_is_charged_again_when_its_invoice_is_void() {
    let desk = Desk::priced().await;
    desk.output("one", 2 * SIX).await;
    desk.now(SEPTEMBER).await;
    let august = desk.invoice(START).await;
    desk.takes_back("one").await;
    desk.output("two", 3 * SIX).await;
    assert_eq!(desk.asks(OCTOBER, "2026-09-10T00:00:00Z").await, "6");
    desk.commit(move |tx| void(tx, august, "a mistake")).await;
    assert_eq!(desk.owed().await, money("12"));
    assert_eq!(desk.asks(NOVEMBER, "2026-10-10T00:00:00Z").await, "12", "without any usage");
}

#[tokio::test]
async fn what_was_carried_and_taken_back_stays_so_when_the_draft_is_void() {
    let desk = Desk::priced().await;
    desk.commit(|tx| set_account(tx, Account { minimum: money("20"), ..Account::new("weavers") })).await;
    desk.output("one", 2 * SIX).await;
    desk.output("stays", SIX).await;
    desk.now(SEPTEMBER).await;
    let august = desk.period(START).await.id;
    let closed = desk.commit(move |tx| finalise(tx, august, None)).await;
    let Closed::Carried(september) = closed else { panic!("{closed:?}") };
    desk.takes_back("one").await;
    desk.output("september", SIX).await;
    let late = Event { at: at(START), ..desk.event("late", [(Unit::OutputText, SIX)]) };
    desk.record(late).await;
    let drafted = desk.commit(move |tx| draft(tx, september)).await;
    assert_eq!(drafted.total, money("18"));
    desk.commit(move |tx| void(tx, drafted.id, "a friend")).await;
    desk.commit(|tx| set_account(tx, Account::new("weavers"))).await;
    desk.now("2026-10-01T00:00:00Z").await;
    desk.output("october", SIX).await;
    assert_eq!(desk.asks(NOVEMBER, "2026-10-01T00:00:00Z").await, "18", "October, and what was of August");
    // What was late is on October's bill, and is taken off that.
    desk.takes_back("late").await;
    assert_eq!(desk.owed().await, money("-6"));
    desk.takes_back("september").await;
    assert_eq!(desk.owed().await, money("-6"), "the void draft charged nothing");
}

#[tokio::test]
async fn what_is_given_back_outlives_the_bill_that_was_to_have_it() {
    for is_draft in [true, false] {
        let desk = Desk::priced().await;
        desk.output("one", 2 * SIX).await;
        desk.now(SEPTEMBER).await;
        let august = desk.invoice(START).await;
        desk.paid(august).await;
        desk.takes_back("one").await;
        desk.output("two", 3 * SIX).await;
        if is_draft {
            let period = desk.period("2026-09-10T00:00:00Z").await.id;
            let drafted = desk.commit(move |tx| draft(tx, period)).await;
            assert_eq!((drafted.adjustments, drafted.total), (money("-12"), money("6")));
            desk.commit(move |tx| void(tx, drafted.id, "a friend")).await;
            desk.now(OCTOBER).await;
        } else {
            desk.now(OCTOBER).await;
            let september = desk.invoice("2026-09-10T00:00:00Z").await;
            let row = desk.commit(move |tx| void(tx, september, "a mistake")).await;
            assert_eq!(row.credited, money("6"));
            assert!(desk.read(move |tx| is_intact(tx, september)).await);
        }
        assert_eq!(desk.owed().await, money("-12"));
        desk.output("three", 3 * SIX).await;
        assert_eq!(desk.asks(NOVEMBER, "2026-10-10T00:00:00Z").await, "6");
    }
}

#[tokio::test]
async fn what_the_balance_paid_of_a_bill_stays_paid_when_the_rest_is_given_up() {
    let desk = Desk::priced().await;
    desk.output("one", 2 * SIX).await;
    desk.now(SEPTEMBER).await;
    let august = desk.invoice(START).await;
    desk.paid(august).await;
    desk.takes_back("one").await;
    desk.output("two", 3 * SIX).await;
    desk.now(OCTOBER).await;
    let september = desk.invoice("2026-09-10T00:00:00Z").await;
    desk.commit(move |tx| give_up(tx, september, "gone")).await;
    assert!(desk.owed().await.is_zero(), "12 of the 18 were paid");
    desk.takes_back("two").await;
    assert_eq!(desk.owed().await, money("-12"), "and are given back with their usage, no more");
}

#[tokio::test]
async fn a_debt_is_written_off_with_the_bill_that_is_given_up_and_outlives_one_that_is_void() {
    for is_void in [true, false] {
        let desk = Desk::priced().await;
        desk.output("one", SIX).await;
        desk.now(SEPTEMBER).await;
        let august = desk.invoice(START).await;
        desk.paid(august).await;
        let right = Event { at: at(START), ..desk.event("right", [(Unit::OutputText, 2 * SIX)]) };
        desk.commit(move |tx| correct(tx, "agent", "one", right)).await;
        desk.output("two", SIX).await;
        desk.now(OCTOBER).await;
        let september = desk.invoice("2026-09-10T00:00:00Z").await;
        assert_eq!(desk.document(september).await.invoice.total, money("12"));
        desk.commit(move |tx| if is_void { void(tx, september, "a mistake") } else { give_up(tx, september, "gone") })
            .await;
        assert_eq!(desk.owed().await, money(if is_void { "6" } else { "0" }));
        desk.takes_back("two").await;
        assert_eq!(desk.owed().await, money(if is_void { "6" } else { "0" }));
    }
}

#[tokio::test]
async fn a_correction_leaves_goodwill_as_it_was() {
    let desk = Desk::priced().await;
    desk.output("one", SIX).await;
    desk.output("two", SIX).await;
    desk.now(SEPTEMBER).await;
    let august = desk.invoice(START).await;
    desk.paid(august).await;
    desk.commit(move |tx| credit_note(tx, august, "outage", money("8"), "an outage")).await;
    let right = |key: &str, tokens| Event { at: at(START), ..desk.event(key, [(Unit::OutputText, tokens)]) };
    let first = right("right", 5_100_000);
    desk.commit(move |tx| correct(tx, "agent", "one", first)).await;
    assert_eq!(desk.owed().await, money("0.12"), "12.12 less 8, of which 4 are paid");
    let second = right("again", 100_000);
    desk.commit(move |tx| correct(tx, "agent", "right", second)).await;
    assert_eq!(desk.owed().await, money("-4"), "6.12 were used, and 8 are credited: nothing is owed");
    desk.takes_back("two").await;
    desk.takes_back("again").await;
    assert_eq!(desk.owed().await, money("-4"));
}

#[tokio::test]
async fn it_does_not_matter_how_usage_is_cut_into_events() {
    for keys in [&["one", "two"][..], &["both"]] {
        let desk = Desk::priced().await;
        for key in keys {
            desk.output(key, 2 * SIX / keys.len() as u64).await;
        }
        desk.now(SEPTEMBER).await;
        let august = desk.invoice(START).await;
        desk.paid(august).await;
        desk.commit(move |tx| credit_note(tx, august, "outage", money("6"), "an outage")).await;
        for key in keys {
            desk.takes_back(key).await;
        }
        assert_eq!(desk.owed().await, money("-6"), "{keys:?}");
    }
}

#[tokio::test]
async fn what_is_taken_back_has_the_tax_that_was_paid() {
    let tax = |share| Some(Tax { name: "VAT".to_owned(), share });
    for (before, after, total) in [(tax(190_000), None, "14.28"), (None, tax(190_000), "12"), (tax(190_000), tax(160_000), "14.28")] {
        let desk = Desk::priced().await;
        desk.commit(move |tx| set_account(tx, Account { tax: before, ..Account::new("weavers") })).await;
        desk.output("one", 2 * SIX).await;
        desk.now(SEPTEMBER).await;
        let august = desk.invoice(START).await;
        desk.paid(august).await;
        assert_eq!(desk.document(august).await.invoice.total, money(total));
        desk.commit(move |tx| set_account(tx, Account { tax: after, ..Account::new("weavers") })).await;
        desk.takes_back("one").await;
        assert_eq!(desk.owed().await, money(total).negated());
    }
}

#[tokio::test]
async fn no_more_coins_are_given_back_than_were_charged() {
    for (rounding, events, price, charged) in [(Rounding::HalfEven, 2, "0.006", "0.01"), (Rounding::Up, 50, "0.0001", "0.01")] {
        let desk = Desk::open().await;
        desk.price(Price { rates: Default::default(), ..small() }.unit(Unit::OutputText, money(price))).await;
        let calendar = Calendar { cycle: Cycle::Day, ..Calendar::MONTHS };
        desk.commit(move |tx| set_account(tx, Account { calendar, rounding, ..Account::new("weavers") })).await;
        for key in 0..events {
            desk.output(&key.to_string(), 1).await;
        }
        desk.now("2026-08-12T00:00:00Z").await;
        let first = desk.invoice(START).await;
        assert_eq!(desk.document(first).await.invoice.total, money(charged));
        for key in 0..events {
            desk.commit(move |tx| reverse(tx, "agent", &key.to_string())).await;
            desk.clock.advance(std::time::Duration::from_secs(24 * 60 * 60));
        }
        assert_eq!(desk.owed().await, money(charged).negated(), "{rounding:?}");
    }
}

#[tokio::test]
async fn what_never_was_charged_is_not_given_back() {
    let desk = Desk::priced().await;
    // Each day comes to less than half a coin, and is skipped.
    let calendar = Calendar { cycle: Cycle::Day, ..Calendar::MONTHS };
    desk.commit(move |tx| set_account(tx, Account { calendar, ..Account::new("weavers") })).await;
    for key in 0..10 {
        desk.output(&key.to_string(), 3_000).await;
        desk.clock.advance(std::time::Duration::from_secs(2 * 24 * 60 * 60));
        generate(&desk.store, desk.clock.clock().now(), GenerateOptions::default()).await.expect("the store answers");
    }
    for key in 0..10 {
        desk.commit(move |tx| reverse(tx, "agent", &key.to_string())).await;
    }
    assert!(desk.owed().await.is_zero());
    assert!(desk.read(|tx| invoices(tx, "weavers", Page::first(10))).await.rows.is_empty());
    // What was skipped and is worth something when it is corrected is billed.
    let right = Event { at: at(START), ..desk.event("right", [(Unit::OutputText, SIX)]) };
    desk.output("guess", 3_000).await;
    desk.clock.advance(std::time::Duration::from_secs(2 * 24 * 60 * 60));
    generate(&desk.store, desk.clock.clock().now(), GenerateOptions::default()).await.expect("the store answers");
    let right = Event { at: desk.clock.clock().now() - std::time::Duration::from_secs(24 * 60 * 60), ..right };
    desk.commit(move |tx| correct(tx, "agent", "guess", right)).await;
    desk.clock.advance(std::time::Duration::from_secs(2 * 24 * 60 * 60));
    generate(&desk.store, desk.clock.clock().now(), GenerateOptions::default()).await.expect("the store answers");
    let all = desk.read(|tx| invoices(tx, "weavers", Page::first(10))).await.rows;
    assert_eq!(all.iter().map(|row| row.total).collect::<Vec<_>>(), [money("6")]);
}

#[tokio::test]
async fn usage_of_a_draft_that_is_void_is_not_billed_when_it_gets_a_price() {
    let desk = Desk::priced().await;
    desk.record(desk.event("one", [(Unit::OutputText, SIX)]).model("acme", "unknown")).await;
    let period = desk.period(START).await.id;
    desk.commit(move |tx| {
        let drafted = draft(tx, period)?;
        void(tx, drafted.id, "a friend")
    })
    .await;
    let tasks = desk.keep_up();
    desk.price(Price { model: "unknown".to_owned(), ..small() }).await;
    desk.until(|tx| tx.count(loomwork_usage::EventRow::unpriced.all()), |left| *left == 0).await;
    drop(tasks);
    assert!(desk.owed().await.is_zero());
    let row = desk.read(|tx| loomwork_usage::event_by_key(tx, "agent", "one")).await.expect("it is there");
    assert_eq!((row.period, row.charge.as_ref().map(|charge| charge.amount)), (Some(period), Some(money("6"))));
    let lines = desk.read(move |tx| amended_lines(tx, period, Default::default())).await;
    assert_eq!(lines.iter().map(|line| (line.quantity, line.amount)).collect::<Vec<_>>(), [(SIX as i64, money("6"))]);
}

#[tokio::test]
async fn a_bill_that_credit_and_balance_paid_together_is_paid() {
    let desk = Desk::priced().await;
    desk.output("one", 2 * SIX).await;
    desk.now(SEPTEMBER).await;
    let august = desk.invoice(START).await;
    desk.paid(august).await;
    desk.takes_back("one").await;
    desk.output("two", 3 * SIX).await;
    desk.now(OCTOBER).await;
    let september = desk.invoice("2026-09-10T00:00:00Z").await;
    desk.commit(move |tx| credit_note(tx, september, "all", money("6"), "an outage")).await;
    assert_eq!(desk.document(september).await.invoice.state, InvoiceState::Paid);
    desk.takes_back("two").await;
    assert_eq!(desk.owed().await, money("-12"), "what the balance paid is given back, the credit is not");
}
