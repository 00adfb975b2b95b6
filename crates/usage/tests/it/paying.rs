//! Where an invoice goes once it is finalised.

use loomwork_store::Id;
use loomwork_usage::{
    InvoiceRow, InvoiceState, MAX_ATTEMPTS, Payment, UsageError, credit_note, credit_notes, draft, give_up, record_payment,
    reopen, void,
};

use super::desk::{Desk, START, money};

impl Desk {
    /// An open invoice of 1.20.
    async fn open_invoice(&self) -> Id<InvoiceRow> {
        self.output("one", 1_000_000).await;
        self.now("2026-09-02T00:00:00Z").await;
        self.invoice(START).await
    }

    async fn pay(&self, invoice: Id<InvoiceRow>, payment: &'static str, went: Payment) -> InvoiceState {
        self.commit(move |tx| record_payment(tx, invoice, payment, went)).await.state
    }

    async fn moves(&self, invoice: Id<InvoiceRow>) -> [bool; 4] {
        let paid = self.store.mutate(move |tx| record_payment(tx, invoice, "probe", Payment::Paid)).await.is_ok();
        let open = self.store.mutate(move |tx| reopen(tx, invoice)).await.is_ok();
        let gone = self.store.mutate(move |tx| void(tx, invoice, "probe")).await.is_ok();
        let given_up = self.store.mutate(move |tx| give_up(tx, invoice, "probe")).await.is_ok();
        [paid, open, gone, given_up]
    }
}

fn failed(why: &str) -> Payment {
    Payment::Failed(why.to_owned())
}

#[tokio::test]
async fn a_failed_payment_is_followed_by_another_of_the_same_invoice() {
    let desk = Desk::priced().await;
    let invoice = desk.open_invoice().await;
    assert_eq!(desk.pay(invoice, "p1", failed("card declined")).await, InvoiceState::Failed);
    assert_eq!(desk.commit(move |tx| reopen(tx, invoice)).await.state, InvoiceState::Open);
    assert_eq!(desk.pay(invoice, "p2", failed("card declined")).await, InvoiceState::Failed);
    assert_eq!(desk.pay(invoice, "p3", Payment::Paid).await, InvoiceState::Paid);
    let attempts = desk.document(invoice).await.invoice.record.attempts;
    let told: Vec<_> = attempts.iter().map(|one| (one.payment.as_str(), one.failure.as_deref())).collect();
    assert_eq!(told, [("p1", Some("card declined")), ("p2", Some("card declined")), ("p3", None)]);
}

#[tokio::test]
async fn a_payment_counts_once() {
    let desk = Desk::priced().await;
    let invoice = desk.open_invoice().await;
    for _ in 0..3 {
        assert_eq!(desk.pay(invoice, "p1", Payment::Paid).await, InvoiceState::Paid);
    }
    assert_eq!(desk.document(invoice).await.invoice.attempts.len(), 1);
    let refused = desk.refused(move |tx| record_payment(tx, invoice, "p1", failed("no"))).await;
    assert!(matches!(refused, UsageError::KeyReused { .. }), "{refused}");
}

#[tokio::test]
async fn payments_that_fail_for_ever_come_to_an_end() {
    let desk = Desk::priced().await;
    let invoice = desk.open_invoice().await;
    for attempt in 0..MAX_ATTEMPTS {
        let payment = attempt.to_string();
        desk.commit(move |tx| record_payment(tx, invoice, &payment, failed("no"))).await;
    }
    let refused = desk.refused(move |tx| record_payment(tx, invoice, "more", failed("no"))).await;
    assert!(matches!(refused, UsageError::TooManyAttempts { .. }), "{refused}");
    assert_eq!(desk.pay(invoice, "the last", Payment::Paid).await, InvoiceState::Paid);
}

#[tokio::test]
async fn only_the_moves_of_the_state_machine_are_possible() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    let period = desk.period(START).await.id;
    let invoice = desk.commit(move |tx| draft(tx, period)).await.id;
    let refused = desk.refused(move |tx| record_payment(tx, invoice, "p", Payment::Paid)).await;
    assert!(matches!(refused, UsageError::IllegalMove { from: "draft", to: "paid", .. }), "{refused}");
    let refused = desk.refused(move |tx| give_up(tx, invoice, "no")).await;
    assert!(matches!(refused, UsageError::IllegalMove { from: "draft", to: "uncollectible", .. }), "{refused}");

    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    assert_eq!(desk.moves(invoice).await, [true, false, false, false], "what is paid stays paid");
}

#[tokio::test]
async fn what_is_void_or_given_up_is_credited_and_moves_no_more() {
    for (end, to) in [(true, InvoiceState::Void), (false, InvoiceState::Uncollectible)] {
        let desk = Desk::priced().await;
        let invoice = desk.open_invoice().await;
        desk.commit(move |tx| credit_note(tx, invoice, "part", money("0.20"), "a slow day")).await;
        desk.pay(invoice, "p1", failed("card declined")).await;
        let ended = desk
            .commit(move |tx| if end { void(tx, invoice, "a mistake") } else { give_up(tx, invoice, "gone") })
            .await;
        assert_eq!((ended.state, ended.credited), (to, money("1.20")));
        let notes = desk.read(move |tx| credit_notes(tx, invoice)).await;
        let mut told: Vec<_> = notes.iter().map(|note| (note.number.as_str(), note.amount)).collect();
        told.sort();
        assert_eq!(told, [("INV-CN-000001", money("0.20")), ("INV-CN-000002", money("1"))]);
        assert_eq!(desk.moves(invoice).await, [false; 4]);
    }
}

#[tokio::test]
async fn a_draft_that_is_void_leaves_its_period_unbilled() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    let period = desk.period(START).await.id;
    let invoice = desk.commit(move |tx| draft(tx, period)).await.id;
    let row = desk.commit(move |tx| void(tx, invoice, "a friend")).await;
    assert_eq!((row.state, row.number.as_deref(), row.credited.is_zero()), (InvoiceState::Void, None, true));
    // What is used from then on is billed in the next period.
    let id = desk.output("two", 1_000_000).await.id();
    let row = desk.row(id).await;
    assert_eq!(row.period, Some(desk.period("2026-09-10T00:00:00Z").await.id));
}

#[tokio::test]
async fn credit_is_bounded_by_the_invoice_and_counts_once() {
    let desk = Desk::priced().await;
    let invoice = desk.open_invoice().await;
    desk.pay(invoice, "p1", Payment::Paid).await;
    for _ in 0..2 {
        let note = desk.commit(move |tx| credit_note(tx, invoice, "outage", money("1"), "an outage")).await;
        assert_eq!(note.number, "INV-CN-000001");
    }
    for (key, amount) in [("more", "0.21"), ("less", "-0.1"), ("none", "0")] {
        let refused = desk.refused(move |tx| credit_note(tx, invoice, key, money(amount), "no")).await;
        assert!(matches!(refused, UsageError::TooMuchCredit { .. }), "{refused}");
    }
    let refused = desk.refused(move |tx| credit_note(tx, invoice, "outage", money("0.1"), "no")).await;
    assert!(matches!(refused, UsageError::KeyReused { .. }), "{refused}");
    let refused = desk.refused(move |tx| credit_note(tx, invoice, "fine", money("0.001"), "no")).await;
    assert!(matches!(refused, UsageError::FinerThanCoin { .. }), "{refused}");
    desk.commit(move |tx| credit_note(tx, invoice, "rest", money("0.20"), "the rest")).await;
    assert_eq!(desk.document(invoice).await.invoice.credited, money("1.20"));
}
