//! What has to hold when the world has come to rest.

use std::time::Duration;

use loomwork_store::Table as _;

use super::code::{EVENTS, Plan, Trace, WORK, right, takes_events, traces};
use super::world::World;
use crate::clean::sweep;
use crate::outcome::{Outcome, outcome};
use crate::status::{status, unread};
use crate::tables::{LeftoverRow, MailRow, StepRow, StoredOutcome, WorkflowId, WorkflowRow};

impl World {
    /// Checks that each run ended as it should, and that all it did was done once.
    pub(super) async fn check(self) {
        for (id, plan) in &self.plans {
            self.check_run(*id, plan).await;
        }
        // Half a year on, all that anybody has left behind is swept away.
        self.clock.advance(Duration::from_secs(15_000_000));
        self.sweep_all().await;
        let open = self.commit(|tx| tx.count(WorkflowRow::open.all())).await;
        assert_eq!(open, 0, "no child is left\n{}", self.told());
        let strays = self.commit(|tx| {
            let mut strays = Vec::new();
            for step in tx.scan(StepRow::all())? {
                if tx.get(step.run)?.is_none_or(|run| step.chapter != run.chapter) {
                    strays.push(format!("{step:?}"));
                }
            }
            for mail in tx.scan(MailRow::all())? {
                if tx.get(mail.run)?.is_none() {
                    strays.push(format!("{mail:?}"));
                }
            }
            Ok(strays)
        });
        assert_eq!(strays.await, [""; 0], "nothing is left of what is forgotten\n{}", self.told());
        let report = self.store.check().await.expect("the store is checked");
        assert!(report.is_clean(), "{report:?}\n{}", self.told());
    }

    /// Checks that each event that was sent was heard of by the code in some life, or is there still.
    async fn check_events(&self, id: WorkflowId, sent: usize) {
        let unread = self.commit(move |tx| tx.scan(MailRow::by_name.eq(id))).await;
        let is_unread = |number: u64| {
            unread.iter().any(|mail| matches!(&mail.value, StoredOutcome::Success(json) if json.get() == number.to_string()))
        };
        let lost: Vec<_> =
            (0..sent as u64).filter(|number| !self.heard.has(id, *number) && !is_unread(*number)).collect();
        assert_eq!(lost, [0; 0], "events are lost\n{}", self.told());
    }

    async fn sweep_all(&self) {
        while self
            .commit(|tx| {
                sweep(tx)?;
                tx.count(LeftoverRow::all())
            })
            .await
            > 0
        {}
    }

    async fn check_run(&self, id: WorkflowId, plan: &Plan) {
        let (ended, left, unread, is_there) = self
            .commit(move |tx| {
                let own = format!("{id} ");
                let left = tx.scan(Trace::by_text.all())?.into_iter().map(|row| row.record.text);
                let left: Vec<_> = left.filter(|text| text.starts_with(&own)).collect();
                Ok((outcome(tx, &WORK, id)?, left, unread(tx, id)?, tx.get(id)?.is_some()))
            })
            .await;
        let mut once = left.clone();
        once.dedup();
        assert_eq!(once, left, "a mutation took effect twice\n{}", self.told());
        let (told, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|text| text.contains(" told of "));
        assert!(!told.is_empty(), "{plan:?} was never told of\n{}", self.told());
        if !is_there {
            return;
        }
        if self.cancelled.contains(&id) {
            assert_eq!(ended, Some(Outcome::Cancelled), "{plan:?}\n{}", self.told());
            return;
        }
        let Some(Outcome::Success(taken)) = ended else {
            panic!("{plan:?} ended as {ended:?}\n{}", self.told())
        };
        let sent = self.sent.get(&id).copied().unwrap_or(0);
        if self.restarted.contains(&id) {
            assert!(taken.is_sorted_by(|one, next| one < next), "out of order: {taken:?}\n{}", self.told());
            assert!(!takes_events(plan) || taken.len() == EVENTS, "{taken:?}\n{}", self.told());
            self.check_events(id, sent).await;
        } else {
            let events: Vec<_> = (0..sent as u64).collect();
            assert_eq!(taken, right(plan, &events), "{plan:?}\n{}", self.told());
            assert_eq!(unread, 0, "{plan:?} took all\n{}", self.told());
            assert_eq!(left.len(), traces(plan), "{plan:?} left {left:?}\n{}", self.told());
        }
        let still = self.commit(move |tx| Ok(status(tx, id)?.map(|status| status.running.len()))).await;
        assert_eq!(still, Some(0), "an ended run waits for nothing\n{}", self.told());
    }
}
