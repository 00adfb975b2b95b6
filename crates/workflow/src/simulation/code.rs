//! The workflows of the simulation: each does several things at once, and ends as if nothing had ever gone wrong.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork_core::Kind;
use loomwork_store::{Error, Result, Table, Tx};
use loomwork_workpool::Job;
use serde::{Deserialize, Serialize};

use crate::cancel::cancel;
use crate::combine::First;
use crate::error::{Failure, StepError};
use crate::event::send;
use crate::flow::Flow;
use crate::steps::Wait;
use crate::tables::WorkflowId;
use crate::workflow::{Completion, Event, Workflow};

pub(super) const JOB: Job<u64, u64> = Job::new("double");
pub(super) const WORK: Workflow<Plan, Vec<u64>> = Workflow::new("work");
pub(super) const GO: Event<u64> = Event::new("go");
pub(super) const TOLD: Completion<bool, Vec<u64>> = Completion::new("told");

/// How many events each run takes.
pub(super) const EVENTS: usize = 3;

/// What a run does. Where it takes events, it returns them in the order in which it took them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Plan {
    /// One step after the other.
    Straight(u64),
    /// Takes events, and gives each wait up after a while.
    Patient,
    /// The same with time-outs, and a mark of a patch between.
    Timed,
    /// Several things at once.
    Wide(u64),
    /// Goes on anew after each event.
    Endless(Vec<u64>),
    /// Gives waits up, and goes on anew as soon as it has an event.
    Turns(Vec<u64>),
    /// Undoes what it did, and then does it again.
    Sorry(u64),
    /// Its mutations settle its own steps.
    Own,
    /// Starts what may start once, and drops what is under way.
    Careful,
    /// Makes steps long before it awaits them.
    Early,
    /// Waits for ever: a child that is to be cancelled.
    Stuck,
}

/// What a mutation of a run has left: each just once in each of its lives.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "traces", id = "trace")]
#[index(by_text(text))]
pub(super) struct Trace {
    pub(super) text: String,
}

/// Which events the code of runs has heard of, in whatever life.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<BTreeSet<(WorkflowId, u64)>>>);

impl Heard {
    pub(super) fn has(&self, run: WorkflowId, event: u64) -> bool {
        self.0.lock().expect("nobody panics").contains(&(run, event))
    }
}

/// A run as the code here sees it: it remembers of which events it has heard.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) wf: Flow,
    pub(super) heard: Heard,
}

impl Deref for Run {
    type Target = Flow;

    fn deref(&self) -> &Flow {
        &self.wf
    }
}

impl Run {
    /// Waits for the next event.
    fn go(&self) -> impl Future<Output = Result<u64>> + Send + use<> {
        self.hears(self.wf.event(GO))
    }

    fn hears(&self, wait: Wait<u64>) -> impl Future<Output = Result<u64>> + Send + use<> {
        let (id, heard, wait) = (self.wf.id(), self.heard.clone(), wait.into_future());
        async move {
            let event = wait.await?;
            heard.0.lock().expect("nobody panics").insert((id, event));
            Ok(event)
        }
    }
}

/// Which life of a run does something: a restart means to do it again.
fn life(wf: &Flow) -> String {
    format!("{} {}.{}", wf.id(), wf.chapter(), wf.desk.about.restarts)
}

async fn trace(wf: &Flow, what: &str) -> Result<()> {
    let text = format!("{} {what}", life(wf));
    wf.mutation(what, move |tx: &mut Tx| tx.insert(Trace { text }).map(drop)).await
}

/// A job that is run until it succeeds.
async fn double(wf: &Flow, number: u64) -> Result<u64> {
    loop {
        match wf.run(&JOB, number).await {
            Ok(doubled) => return Ok(doubled),
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Err(_) => {}
        }
    }
}

const MOMENT: Duration = Duration::from_secs(10);

pub(super) async fn work(wf: Run, plan: Plan) -> Result<Vec<u64>> {
    let mut taken = Vec::new();
    match plan {
        Plan::Straight(number) => {
            trace(&wf, "first").await?;
            let doubled = double(&wf, number).await?;
            wf.sleep(MOMENT).await;
            trace(&wf, "last").await?;
            taken.push(doubled);
        }
        Plan::Patient => {
            while taken.len() < EVENTS {
                if let First::Left(event) = wf.select(wf.go(), wf.sleep(MOMENT)).await {
                    taken.push(event?);
                    trace(&wf, &format!("taken {}", taken.len())).await?;
                }
            }
        }
        Plan::Timed => {
            while taken.len() < EVENTS {
                match wf.hears(wf.event(GO).timeout(MOMENT)).await {
                    Ok(event) => taken.push(event),
                    Err(error) if is(&error, &Failure::TimedOut) => continue,
                    Err(error) => return Err(error),
                }
                if wf.patched(&format!("after {}", taken.len())) {
                    trace(&wf, &format!("taken {}", taken.len())).await?;
                }
            }
        }
        Plan::Wide(number) => {
            let branch = async {
                let go = wf.go().await?;
                trace(&wf, "branch").await?;
                Ok(go)
            };
            // Its key is free again in each life of the run.
            let key = format!("child of {}", wf.id());
            let child = async { wf.child(&WORK, Plan::Straight(number + 1)).with(key.as_str()).await };
            let (doubled, child, go) = wf.join3(double(&wf, number), child, branch).await?;
            let rest = wf.for_each(0..3, 2, |wf, number| async move {
                let acted = wf.effect(format!("act {number}"), move || async move { Ok(number) }).await?;
                Ok(acted + double(&wf, number).await?)
            });
            let rest: u64 = rest.await?.into_iter().sum();
            taken.push(go);
            while taken.len() < EVENTS {
                taken.push(wf.go().await?);
            }
            assert_eq!((doubled, child, rest), (2 * number, vec![2 * (number + 1)], 9));
        }
        Plan::Endless(before) => {
            taken = before;
            // Two waits for one name: what the loser has got is for the next chapter.
            taken.push(match wf.select(wf.go(), wf.go()).await {
                First::Left(event) | First::Right(event) => event?,
            });
            trace(&wf, "taken").await?;
            if taken.len() < EVENTS {
                return Err(wf.continue_with(Plan::Endless(taken)));
            }
        }
        Plan::Turns(before) => {
            taken = before;
            taken.push(match wf.select(wf.go(), wf.sleep(MOMENT)).await {
                First::Left(event) => event?,
                First::Right(()) => wf.go().await?,
            });
            if taken.len() < EVENTS {
                return Err(wf.continue_with(Plan::Turns(taken)));
            }
            trace(&wf, "taken").await?;
        }
        Plan::Sorry(number) => {
            let tried = wf
                .saga(|wf, saga| async move {
                    trace(&wf, "done").await?;
                    saga.undo("it", |wf| async move { trace(&wf, "undone").await });
                    double(&wf, number).await?;
                    Err::<u64, _>(Error::message(Kind::Invalid, "on purpose"))
                })
                .await;
            assert!(tried.is_err(), "it fails on purpose");
            trace(&wf, "done again").await?;
            for _ in 0..EVENTS {
                taken.push(wf.go().await?);
            }
            double(&wf, number).await?;
        }
        Plan::Own => own(&wf, &mut taken).await?,
        Plan::Careful => careful(&wf, &mut taken).await?,
        Plan::Early => early(&wf, &mut taken).await?,
        Plan::Stuck => taken.push(wf.event("never").await?),
    }
    Ok(taken)
}

/// Sends itself an event, cancels its own child, and calls a child off that it has dropped.
async fn own(wf: &Run, taken: &mut Vec<u64>) -> Result<()> {
    let id = wf.id();
    let sends = wf.mutation("sends", move |tx: &mut Tx| send::<u64>(tx, id, "own", &7));
    let (seven, ()) = wf.join(wf.event::<u64>("own"), sends).await?;
    assert_eq!(seven, 7);
    let child = wf.child(&WORK, Plan::Stuck);
    let cancels = wf.mutation("cancels", move |tx: &mut Tx| {
        let steps = tx.scan(crate::tables::StepRow::all())?;
        let children = steps.iter().filter(|step| step.run == id).filter_map(|step| step.child);
        children.collect::<Vec<WorkflowId>>().into_iter().try_for_each(|child| cancel(tx, child).map(drop))
    });
    let both = async {
        // The child is on record before the mutation looks for it.
        let (child, cancels) = (child.into_future(), async {
            wf.sleep(MOMENT).await;
            cancels.await
        });
        let (child, cancels) = tokio::join!(child, cancels);
        cancels?;
        Ok::<_, Error>(child)
    };
    let ended = both.await?.expect_err("it is cancelled");
    assert!(is(&ended, &Failure::Cancelled), "{ended}");
    for _ in 0..EVENTS {
        let next = wf.select(wf.go(), wf.child(&WORK, Plan::Stuck)).await;
        let First::Left(event) = next else {
            return Err(Error::message(Kind::Cancelled, "its child was cancelled"));
        };
        taken.push(event?);
    }
    Ok(())
}

/// Starts what may start once, drops effects and jobs for events that have come, and waits for more.
async fn careful(wf: &Run, taken: &mut Vec<u64>) -> Result<()> {
    match wf.effect("once", || async { Ok(1_u64) }).once().await {
        Ok(one) => assert_eq!(one, 1),
        Err(error) => assert!(is(&error, &Failure::Interrupted), "{error}"),
    }
    let work = async {
        loop {
            // Two branches end by the same outcome or by the next one; what is left is dropped.
            let act = wf.effect("act", || async { Ok(0_u64) });
            let event = tokio::select! {
                biased;
                event = wf.go() => event?,
                done = async { act.await?; double(wf, 1).await } => {
                    done?;
                    continue;
                }
            };
            taken.push(event);
            if taken.len() == EVENTS {
                return Ok::<_, Error>(());
            }
        }
    };
    work.await?;
    trace(wf, "taken all").await
}

/// Numbers steps in another order than it begins them.
async fn early(wf: &Run, taken: &mut Vec<u64>) -> Result<()> {
    let (nap, first) = (wf.sleep(MOMENT), wf.go());
    trace(wf, "begun").await?;
    let deadline = wf.sleep(MOMENT);
    assert_eq!(wf.effect("quote", || async { Ok(1_u64) }).await?, 1);
    nap.await;
    taken.push(first.await?);
    trace(wf, "between").await?;
    if let First::Left(event) = wf.select(wf.go(), deadline).await {
        taken.push(event?);
    }
    while taken.len() < EVENTS {
        taken.push(wf.go().await?);
    }
    Ok(())
}

fn is(error: &Error, failure: &Failure) -> bool {
    error.downcast_ref::<StepError>().is_some_and(|error| error.failure == *failure)
}

/// What a run returns that was given these events, where it returns anything else.
pub(super) fn right(plan: &Plan, events: &[u64]) -> Vec<u64> {
    match plan {
        Plan::Straight(number) => vec![2 * number],
        _ => events.to_vec(),
    }
}

/// How many traces a run leaves that ends well and was not restarted.
pub(super) fn traces(plan: &Plan) -> usize {
    match plan {
        Plan::Straight(_) => 2,
        Plan::Patient | Plan::Timed | Plan::Endless(_) => EVENTS,
        Plan::Wide(_) | Plan::Turns(_) | Plan::Careful => 1,
        Plan::Early => 2,
        Plan::Sorry(_) => 3,
        Plan::Own | Plan::Stuck => 0,
    }
}

/// Whether a run takes events at all.
pub(super) fn takes_events(plan: &Plan) -> bool {
    !matches!(plan, Plan::Straight(_))
}
