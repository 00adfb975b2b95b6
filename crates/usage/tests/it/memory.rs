//! Where the rows are: in memory.

use loomwork_store::Memory;
use loomwork_usage::{
    Billing, Dimension, Event, MAX_WAITING, Unit, UsageError, month_total, month_total_folded, record_all,
};

behaviour!();

/// Rows that outlive the store over them.
#[derive(Clone, Debug)]
pub(crate) struct Bed(Memory);

impl Bed {
    pub(crate) fn new() -> Self {
        Self(Memory::new())
    }

    pub(crate) fn engine(&self) -> Memory {
        self.0.clone()
    }
}

#[tokio::test]
async fn totals_are_refused_while_too_many_events_wait_for_them() {
    let desk = desk::Desk::open().await;
    let moment = desk.clock.clock().now();
    let ada = move |tx: &loomwork_store::Tx| month_total(tx, Dimension::All, "", moment);
    for first in (0..=MAX_WAITING).step_by(1_000) {
        let event = |key: usize| {
            let event = Event::new("many", key.to_string(), moment).used([(Unit::Requests, 1)]);
            Event { billing: Billing::Cached, ..event }
        };
        let count = if first == MAX_WAITING { 1 } else { 1_000 };
        let events: Vec<_> = (first..first + count).map(event).collect();
        desk.commit(move |tx| record_all(tx, events)).await;
        if first + count == MAX_WAITING {
            assert_eq!(desk.read(ada).await.events, MAX_WAITING as i64);
        }
    }
    let behind = desk.store.query(ada).await.expect_err("there is one more");
    assert!(matches!(behind.downcast_ref(), Some(UsageError::Behind)), "{behind}");
    assert_eq!(behind.kind(), loomwork_core::Kind::Unavailable);
    let folded = move |tx: &loomwork_store::Tx| month_total_folded(tx, Dimension::All, "", moment);
    assert_eq!(desk.read(folded).await.events, 0, "what is folded can be read");
}
