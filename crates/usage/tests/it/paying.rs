//! Where an invoice goes once it is finalised.

use loomwork_store::Id;
use loomwork_usage::{
    Account, Closed, Currency, Event, InvoiceRow, InvoiceState, MAX_ATTEMPTS, Money, Payment, Unit, UsageError, balance,
    correct, credit_note, credit_notes, draft, finalise, give_up, period_of, record_payment, reopen, reverse,
    set_account, void,
};

use super::desk::{Desk, START, at, money};

impl Desk {
    /// An open invoice of 1.20.
    async fn open_invoice(&self) -> Id<InvoiceRow> {
        self.output("one", 1_000_000).await;
        self.now("2026-09-02T00:00:00Z").await;
        self.invoice(START).await
    }

    async fn balance(&self) -> Money {
        self.read(|tx| balance(tx, "weavers", Currency::USD)).await
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
async fn a_payment_that_failed_may_succeed_under_its_id() {
    let desk = Desk::priced().await;
    let invoice = desk.open_invoice().await;
    for why in ["card declined", "card declined", "card expired"] {
        assert_eq!(desk.pay(invoice, "p1", failed(why)).await, InvoiceState::Failed);
    }
    assert_eq!(desk.pay(invoice, "p1", Payment::Paid).await, InvoiceState::Paid);
    assert_eq!(desk.document(invoice).await.invoice.attempts.len(), 3);
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
        assert_eq!(desk.moves(invoice).await, [true, false, false, false], "money that came is noted");
        let row = desk.document(invoice).await.invoice.record;
        assert_eq!((row.state, row.attempts.last().map(|one| one.surplus)), (to, Some(true)));
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

#[tokio::test]
async fn what_was_carried_into_a_draft_that_is_void_is_billed_later() {
    let desk = Desk::priced().await;
    desk.commit(|tx| set_account(tx, Account { minimum: money("2"), ..Account::new("weavers") })).await;
    desk.output("august", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let august = desk.period(START).await.id;
    let closed = desk.commit(move |tx| finalise(tx, august, None)).await;
    assert!(matches!(closed, Closed::Carried(_)), "{closed:?}");
    desk.output("september", 5_000_000).await;
    let september = desk.period("2026-09-02T00:00:00Z").await.id;
    let drafted = desk.commit(move |tx| draft(tx, september)).await;
    desk.output("more", 1_000_000).await;
    let gone = desk.commit(move |tx| void(tx, drafted.id, "a friend")).await;
    let sums = desk.document(gone.id).await;
    let of_lines = sums.lines.iter().try_fold(money("0"), |sum, line| sum.plus(line.amount));
    assert_eq!(Ok(sums.invoice.subtotal), of_lines, "what is voided is what there was");
    assert_eq!(desk.commit(move |tx| finalise(tx, september, None)).await, Closed::Skipped);

    desk.now("2026-10-01T00:00:00Z").await;
    desk.output("october", 1_000_000).await;
    desk.now("2026-11-02T00:00:00Z").await;
    let invoice = desk.invoice("2026-10-01T00:00:00Z").await;
    let labels: Vec<_> = desk.document(invoice).await.lines.iter().map(|line| line.adjusts.clone()).collect();
    assert_eq!(labels, [None, Some("2026-08".to_owned())], "August is billed, September is not");
}

#[tokio::test]
async fn what_was_taken_back_with_its_invoice_is_not_taken_back_again() {
    for ending in ["void", "give up", "credit", "draft"] {
        let desk = Desk::priced().await;
        desk.output("one", 10_000_000).await;
        if ending == "draft" {
            let period = desk.period(START).await.id;
            desk.commit(move |tx| { let drafted = draft(tx, period)?; void(tx, drafted.id, "a friend") }).await;
            desk.now("2026-09-02T00:00:00Z").await;
        } else {
            desk.now("2026-09-02T00:00:00Z").await;
            let invoice = desk.invoice(START).await;
            desk.commit(move |tx| match ending {
                "void" => void(tx, invoice, "a mistake").map(drop),
                "give up" => give_up(tx, invoice, "gone").map(drop),
                _ => {
                    record_payment(tx, invoice, "p1", Payment::Paid)?;
                    credit_note(tx, invoice, "all", money("12"), "an outage").map(drop)
                }
            })
            .await;
        }
        desk.commit(|tx| reverse(tx, "agent", "one")).await;
        assert!(desk.balance().await.is_zero(), "{ending}");
        desk.output("two", 1_000_000).await;
        desk.now("2026-10-02T00:00:00Z").await;
        let september = desk.invoice("2026-09-10T00:00:00Z").await;
        assert_eq!(desk.document(september).await.invoice.total, money("1.2"), "{ending}");
    }
}

#[tokio::test]
async fn credit_and_adjustments_together_never_take_back_more_than_was_charged() {
    let desk = Desk::priced().await;
    for (key, tokens) in [("one", 5_000_000), ("two", 5_000_000)] {
        desk.output(key, tokens).await;
    }
    desk.now("2026-09-02T00:00:00Z").await;
    let august = desk.invoice(START).await;
    desk.pay(august, "p1", Payment::Paid).await;
    desk.commit(move |tx| credit_note(tx, august, "outage", money("3"), "an outage")).await;
    desk.commit(|tx| reverse(tx, "agent", "one")).await;
    assert_eq!(desk.balance().await, money("-6"), "6 of the 9 that are left");
    let refused = desk.refused(move |tx| credit_note(tx, august, "more", money("3.01"), "no")).await;
    assert!(matches!(refused, UsageError::TooMuchCredit { .. }), "{refused}");
    desk.commit(|tx| reverse(tx, "agent", "two")).await;
    assert_eq!(desk.balance().await, money("-9"), "the 3 that are left");
    let row = desk.document(august).await.invoice.record;
    assert_eq!((row.credited, row.adjusted), (money("3"), money("9")), "all 12 are given back, by notes and on bills");
}

#[tokio::test]
async fn what_was_void_is_not_billed_when_it_is_corrected() {
    let desk = Desk::priced().await;
    desk.output("one", 10_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let august = desk.invoice(START).await;
    desk.commit(move |tx| void(tx, august, "a mistake")).await;
    let right = Event { at: at(START), ..desk.event("one/right", [(Unit::OutputText, 9_000_000)]) };
    desk.commit(move |tx| correct(tx, "agent", "one", right)).await;
    assert!(desk.balance().await.is_zero());
    let none = desk.read(|tx| period_of(tx, "weavers", Currency::USD, tx.now())).await;
    assert!(none.is_none(), "no later bill has it");
}

#[tokio::test]
async fn an_invoice_that_is_credited_in_full_waits_for_no_payment() {
    let desk = Desk::priced().await;
    let invoice = desk.open_invoice().await;
    desk.commit(move |tx| credit_note(tx, invoice, "all", money("1.20"), "an outage")).await;
    let row = desk.document(invoice).await.invoice.record;
    assert_eq!((row.state, row.reason.as_deref(), row.to_be_paid().is_zero()), (InvoiceState::Void, Some("an outage"), true));
    // Money that was on its way all the same is noted, so that somebody gives it back.
    assert_eq!(desk.pay(invoice, "p1", Payment::Paid).await, InvoiceState::Void);
    let attempts = desk.document(invoice).await.invoice.record.attempts;
    assert_eq!(attempts.iter().map(|one| one.surplus).collect::<Vec<_>>(), [true]);
}
