//! Usage of nobody finds its payer.

use loomwork_store::{Page, Table};
use loomwork_usage::{
    ASSIGN_STEP, AssignmentRow, Dimension, Event, Level, Recorded, Unit, assign, month_total, unattributed,
};

use super::desk::{Desk, START, at, money};

impl Desk {
    fn anonymous(&self, key: &str, thread: &str) -> Event {
        let event = self.event(key, [(Unit::OutputText, 1_000_000)]);
        Event { payer: None, ..event }.used_by(Level::Thread, thread)
    }
}

#[tokio::test]
async fn a_session_that_is_linked_to_a_payer_is_billed_with_an_entry_for_the_audit() {
    let desk = Desk::priced().await;
    let first = desk.anonymous("one", "t1");
    desk.record(first.clone()).await;
    desk.record(desk.anonymous("other", "t2")).await;
    assert_eq!(desk.commit(|tx| assign(tx, Level::Thread, "t1", "weavers", "support")).await, 1);
    assert_eq!(desk.commit(|tx| assign(tx, Level::Thread, "t1", "weavers", "support")).await, 0);

    let moment = at(START);
    let of = |payer: &'static str| desk.read(move |tx| month_total(tx, Dimension::Payer, payer, moment));
    assert_eq!((of("weavers").await.events, of("").await.events), (1, 1));
    let all = desk.read(move |tx| month_total(tx, Dimension::All, "", moment)).await;
    assert_eq!(all.events, 2, "nothing is counted twice");
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    assert_eq!(desk.document(invoice).await.invoice.total, money("1.2"));
    let audit = desk.read(|tx| tx.scan(AssignmentRow::all())).await;
    let told: Vec<_> = audit.iter().map(|row| (row.level, row.name.as_str(), row.by.as_str(), row.events)).collect();
    assert_eq!(told, [(Level::Thread, "t1", "support", 1)]);
    // The step that recorded it may be tried again: it still has no payer there.
    assert!(matches!(desk.record(first).await, Recorded::Repeated(_)));
}

#[tokio::test]
async fn a_long_thread_is_assigned_in_steps() {
    let desk = Desk::priced().await;
    for key in 0..=ASSIGN_STEP {
        desk.record(desk.anonymous(&key.to_string(), "t1")).await;
    }
    let steps = [desk.commit(|tx| assign(tx, Level::Thread, "t1", "weavers", "me")).await, desk.commit(|tx| assign(tx, Level::Thread, "t1", "weavers", "me")).await];
    assert_eq!(steps, [ASSIGN_STEP, 1]);
    let left = desk.read(|tx| unattributed(tx, Some((Level::Thread, "t1")), Page::first(10))).await;
    assert!(left.rows.is_empty());
}

#[tokio::test]
async fn usage_of_a_closed_month_is_assigned_to_the_next() {
    let desk = Desk::priced().await;
    desk.output("own", 1_000_000).await;
    desk.record(desk.anonymous("one", "t1")).await;
    desk.now("2026-09-02T00:00:00Z").await;
    desk.invoice(START).await;
    desk.commit(|tx| assign(tx, Level::Thread, "t1", "weavers", "me")).await;
    let period = desk.period("2026-09-02T00:00:00Z").await.id;
    let lines = desk.read(move |tx| loomwork_usage::lines(tx, period, Default::default())).await;
    assert_eq!(lines[0].adjusts.as_deref(), Some("2026-08"));
}

#[tokio::test]
async fn one_request_of_a_user_is_one_question() {
    let desk = Desk::priced().await;
    for (key, agent) in [("one", "writer"), ("two", "searcher"), ("three", "writer")] {
        let event = desk.event(key, [(Unit::OutputText, 100)]);
        desk.record(event.used_by(Level::Agent, agent).used_by(Level::Run, "r1")).await;
    }
    let sums = desk.read(|tx| loomwork_usage::ever_total(tx, Dimension::Run, "r1")).await;
    assert_eq!((sums.events, sums.tokens()), (3, 300));
}

#[tokio::test]
async fn usage_without_a_thread_is_found_by_its_user() {
    let desk = Desk::priced().await;
    let event = Event { payer: None, ..desk.event("one", [(Unit::OutputText, 1_000_000)]) };
    let id = desk.record(event.used_by(Level::Team, "looms")).await.id();
    let found = desk.read(|tx| unattributed(tx, Some((Level::User, "ada")), Page::first(10))).await;
    assert_eq!(found.rows.len(), 1);
    assert_eq!(desk.commit(|tx| assign(tx, Level::User, "ada", "weavers", "support")).await, 1);
    assert_eq!(desk.commit(|tx| assign(tx, Level::Team, "looms", "dyers", "support")).await, 0, "it is paid for");
    assert_eq!(desk.row(id).await.event.payer.as_deref(), Some("weavers"));
}
