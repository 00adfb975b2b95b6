//! The workflows of the simulation: each does several things at once, and ends as if nothing had ever gone wrong.

use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::{Error, Result, Table, Tx};
use loomwork_workpool::Job;
use serde::{Deserialize, Serialize};

use crate::combine::First;
use crate::flow::Flow;
use crate::workflow::{Event, Workflow};

pub(super) const JOB: Job<u64, u64> = Job::new("double");
pub(super) const WORK: Workflow<Plan, u64> = Workflow::new("work");
pub(super) const GO: Event<u64> = Event::new("go");

/// How many events each run takes.
pub(super) const EVENTS: u64 = 3;

/// What a run does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Plan {
    /// One step after the other.
    Straight(u64),
    /// Takes events, and gives each wait up after a while.
    Patient { taken: u64, sum: u64 },
    /// Several things at once.
    Wide(u64),
    /// Goes on anew after each event.
    Endless { taken: u64, sum: u64 },
    /// Undoes what it did, and then does it again.
    Sorry(u64),
}

/// What a mutation of a run has left: each just once.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "traces", id = "trace")]
#[index(by_text(text))]
pub(super) struct Trace {
    pub(super) text: String,
}

async fn trace(wf: &Flow, what: &str) -> Result<()> {
    let text = format!("{} {what}", wf.id());
    wf.mutation(what, move |tx: &mut Tx| tx.insert(Trace { text }).map(drop)).await
}

/// A job that is run until it succeeds.
async fn double(wf: Flow, number: u64) -> Result<u64> {
    loop {
        match wf.run(&JOB, number).await {
            Ok(doubled) => return Ok(doubled),
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Err(_) => {}
        }
    }
}

const MOMENT: Duration = Duration::from_secs(10);

pub(super) async fn work(wf: Flow, plan: Plan) -> Result<u64> {
    match plan {
        Plan::Straight(number) => {
            trace(&wf, "first").await?;
            let doubled = double(wf.clone(), number).await?;
            wf.sleep(MOMENT).await;
            trace(&wf, "last").await?;
            Ok(doubled)
        }
        Plan::Patient { mut taken, mut sum } => {
            while taken < EVENTS {
                let both = wf.select(wf.event(GO), wf.sleep(MOMENT));
                if let First::Left(event) = both.await {
                    sum += event?;
                    taken += 1;
                    trace(&wf, &format!("taken {taken}")).await?;
                }
            }
            Ok(sum)
        }
        Plan::Wide(number) => {
            let branch = async {
                let go = wf.event(GO).await?;
                trace(&wf, &format!("branch {go}")).await?;
                Ok(go)
            };
            let child = async { wf.child(&WORK, Plan::Straight(number + 1)).await };
            let (doubled, child, _) = wf.join3(double(wf.clone(), number), child, branch).await?;
            let rest = wf.for_each(0..3, 2, |wf, number| async move {
                let acted = wf.effect(format!("act {number}"), move || async move { Ok(number) }).await?;
                Ok(acted + double(wf, number).await?)
            });
            let rest: u64 = rest.await?.into_iter().sum();
            let mut others = 0;
            while others < EVENTS - 1 {
                others += 1;
                wf.event(GO).await?;
            }
            Ok(doubled + child + rest)
        }
        Plan::Endless { taken, sum } => {
            // Two waits for one name: what the loser has got is for the next chapter.
            let event = match wf.select(wf.event(GO), wf.event(GO)).await {
                First::Left(event) | First::Right(event) => event?,
            };
            let (taken, sum) = (taken + 1, sum + event);
            trace(&wf, &format!("taken {taken}")).await?;
            if taken == EVENTS { Ok(sum) } else { Err(wf.continue_with(Plan::Endless { taken, sum })) }
        }
        Plan::Sorry(number) => {
            let tried = wf
                .saga(|wf, saga| async move {
                    trace(&wf, "done").await?;
                    saga.undo("it", |wf| async move { trace(&wf, "undone").await });
                    double(wf, number).await?;
                    Err::<u64, _>(Error::message(Kind::Invalid, "on purpose"))
                })
                .await;
            assert!(tried.is_err(), "it fails on purpose");
            trace(&wf, "done again").await?;
            for _ in 0..EVENTS {
                wf.event(GO).await?;
            }
            double(wf, number).await
        }
    }
}

/// What a run returns that was given these events.
pub(super) fn right(plan: Plan, events: &[u64]) -> u64 {
    let sum: u64 = events.iter().sum();
    match plan {
        Plan::Straight(number) | Plan::Sorry(number) => 2 * number,
        Plan::Patient { .. } | Plan::Endless { .. } => sum,
        Plan::Wide(number) => 2 * number + 2 * (number + 1) + 3 * (1 + 2),
    }
}

/// How many traces a run leaves that ends well.
pub(super) fn traces(plan: Plan) -> usize {
    match plan {
        Plan::Straight(_) => 2,
        Plan::Patient { .. } | Plan::Endless { .. } => EVENTS as usize,
        Plan::Wide(_) => 1,
        Plan::Sorry(_) => 3,
    }
}

/// Whether a run takes events at all.
pub(super) fn takes_events(plan: Plan) -> bool {
    !matches!(plan, Plan::Straight(_))
}
