//! Runs whose process goes away, in order or not: others go on with them where they stopped.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork_agent::durable::Registry;
use loomwork_agent::{
    Approval, Runtime, StepEnd, StepRow, Tool, ToolContext, ToolPolicy, approvals, journal, tables,
};
use loomwork_core::{Clock, Random, Time};
use loomwork_messages::runs::LEASE;
use loomwork_messages::streams::FLUSH_EVERY;
use loomwork_messages::{DeltaRow, MessageRow, MessageStatus, Run, RunStatus, StreamRow};
use loomwork_models::{Gate, MockReply};
use loomwork_store::{Store, Table as _};
use loomwork_store_sqlite::Sqlite;
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::house::{END, House, agent, look, model};
use crate::desk::text;
use crate::ledger::Heard;

/// A tool that hangs the first time that it is called, and says by which keys it was.
fn hangs_once(runs: &CancellationToken, keys: &Arc<Mutex<Vec<String>>>) -> Tool {
    let (runs, keys) = (runs.clone(), keys.clone());
    Tool::new("pay", "Pays.", move |context: ToolContext, (): ()| {
        let is_first = {
            let mut keys = keys.lock().expect("nothing panics");
            keys.push(context.idempotency_key());
            keys.len() == 1
        };
        runs.cancel();
        async move {
            if is_first {
                std::future::pending::<()>().await;
            }
            "paid"
        }
    })
}

#[tokio::test]
async fn a_process_that_ends_gives_its_runs_to_others() {
    let (house, heard) = (House::open().await, Heard::default());
    let (runs, keys) = (CancellationToken::new(), Arc::default());
    let call = text("I pay. ").tool_call("1", "look", json!({})).tool_call("2", "pay", json!({}));
    let model = model([call, text("It is paid.")]);
    let clerk = agent(&model).tool(look()).expect("a tool").tool(hangs_once(&runs, &keys)).expect("a tool");
    let clerk = clerk.on_usage(heard.handler());
    let leaving = house.process(&clerk).await;
    let run = house.run(&clerk, "Pay.").await;
    soon(runs.cancelled()).await;
    let mut calls = house.store.watch(move |tx| Ok(journal::calls(tx, run)?.len()));
    while soon(calls.next()).await.expect("open").expect("read") == 0 {}
    leaving.end(Duration::ZERO).await;
    let row = house.until(run, |run| run.status == RunStatus::Queued).await;
    let pending = row.pending;
    let staying = house.process(&clerk).await;
    assert_eq!(house.ended(run).await, RunStatus::Success);
    assert_eq!(model.requests().len(), 2, "the model is not asked again for what it has said");
    let keys = keys.lock().expect("nothing panics").clone();
    assert_eq!((keys.len(), keys.first() == keys.last()), (2, true), "{keys:?}");
    let rows = house.rows().await;
    assert_eq!(Some(rows[1].id), pending, "the message is the same");
    let said: Vec<_> = rows.iter().map(|row| (row.message.text(), row.status)).collect();
    assert!(said.iter().all(|(_, status)| *status == MessageStatus::Success), "{said:?}");
    assert_eq!((rows.len(), said[3].0.as_str()), (4, "It is paid."));
    let told: Vec<_> = heard.events().iter().map(|event| (event.step, event.end)).collect();
    assert_eq!(told, [(0, StepEnd::Success), (1, StepEnd::Success)]);
    staying.end(END).await;
}

#[tokio::test]
async fn a_call_that_is_cut_is_made_again_and_told_as_estimated() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || async {
        let engine = Sqlite::open(folder.path().join("runs.db")).expect("a file");
        Store::builder(engine).tables(tables()).open().await.expect("the store opens")
    };
    let (hangs, heard) = (Gate::new(), Heard::default());
    let model = model([text("half of").gate(&hangs), text("All of it.")]);
    let clerk = agent(&model).on_usage(heard.handler());
    let house = House::over(open().await).await;
    let dying = house.process(&clerk).await;
    let run = house.run(&clerk, "Go.").await;
    soon(hangs.reached()).await;
    // Nothing can be written any more: so the process dies.
    house.store.close().await;
    drop(dying);
    let house = House { store: open().await, thread: house.thread };
    let runtime = Runtime::start(&house.store).await.expect("it starts");
    let runtime = runtime.with_handlers([heard.handler().into()]);
    let pool = Registry::new().agent(clerk).expect("one").start(&runtime).await.expect("it starts");
    assert_eq!(house.ended(run).await, RunStatus::Success);
    let said = house.said().await;
    assert_eq!((said.len(), said[1].2.as_str()), (2, "All of it."), "its text began anew");
    let mut waiting = house.store.watch(|tx| Ok(loomwork_agent::outbox::waiting(tx, 1)?.len()));
    while soon(waiting.next()).await.expect("open").expect("read") > 0 {}
    let mut told: Vec<_> =
        heard.events().iter().map(|event| (event.attempt, event.end, event.usage.estimated)).collect();
    told.sort_by_key(|told| told.0);
    assert_eq!(told, [(1, StepEnd::Cut, true), (2, StepEnd::Success, false)]);
    pool.shutdown(END).await.expect("it ends");
    runtime.shutdown(END).await.expect("it ends");
}

#[tokio::test]
async fn a_foreground_answer_is_settled_as_interrupted_and_never_gone_on_with() {
    let house = House::open().await;
    let hangs = Gate::new();
    let model = model([text("half of").gate(&hangs), text("never")]);
    let clerk = agent(&model);
    let dying = Runtime::start(&house.store).await.expect("it starts");
    let thread = clerk.in_thread(&dying, house.thread);
    let stream = thread.stream_text("Go.").await.expect("it begins");
    soon(hangs.reached()).await;
    // Its tasks are aborted, and its lease is given back.
    let _ = dying.shutdown(END).await;
    drop(stream);
    let process = house.process(&clerk).await;
    let run = house.store.query(|tx| tx.first(Run::all()));
    let run = run.await.expect("read").expect("it is there").id;
    assert_eq!(house.ended(run).await, RunStatus::Aborted);
    let said = house.said().await;
    assert_eq!((said[1].2.as_str(), said[1].3), ("half of", MessageStatus::Aborted));
    assert_eq!(model.requests().len(), 1);
    process.end(END).await;
}

/// Two processes over one store, one of which stands still for longer than its lease lasts.
#[test]
fn a_paused_owner_writes_nothing_once_another_has_its_run() {
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let (awake, paused) = (threads(), threads());
    let (hangs, again) = (Gate::new(), Gate::new());
    let zombies = model([text("What the dead say").gate(&hangs).text(", and more of it.")]);
    let livings = model([text("What the living").gate(&again).text(" say.")]);
    let (house, first) = awake.block_on(async {
        let store = Store::memory().clock(clock.clock()).random(Random::seeded(7)).tables(tables());
        let house = House::over(store.open().await.expect("the store opens")).await;
        let run = house.run(&agent(&zombies), "Go.").await;
        (house, run)
    });
    let heard = Heard::default();
    let sleeper = paused.block_on(async {
        let process = house.process(&agent(&zombies).on_usage(heard.handler())).await;
        soon(hangs.reached()).await;
        process
    });
    // From here on nobody polls what the sleeper does.
    let waker = awake.block_on(async {
        let process = house.process(&agent(&livings).on_usage(heard.handler())).await;
        soon(async {
            let turning = async {
                loop {
                    // Whoever is awake has the time to renew its own lease.
                    clock.advance(LEASE / 15);
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                }
            };
            tokio::select! {
                () = again.reached() => {}
                () = turning => unreachable!("it turns for ever"),
            }
        })
        .await;
        process
    });
    let (before, fence) =
        awake.block_on(async { (house.written().await, house.until(first, |_| true).await.fence) });
    assert_eq!(fence, 2, "another has taken it");
    // The sleeper wakes, and its model speaks on.
    hangs.open();
    paused.block_on(soon(async {
        while sleeper.runtime.live().writing() > 0 {
            tokio::task::yield_now().await;
            // It goes on to its next slice; the other one's lease lasts far longer.
            let due = clock.clock().now() + FLUSH_EVERY;
            if clock.next_timer().is_some_and(|timer| timer <= due) {
                clock.advance(FLUSH_EVERY);
            }
        }
    }));
    // Nobody polls the other one meanwhile, which would write on.
    assert_eq!(paused.block_on(house.written()), before, "not one byte is written");
    again.open();
    awake.block_on(async {
        assert_eq!(house.ended(first).await, RunStatus::Success);
        let said = house.said().await;
        assert_eq!((said.len(), said[1].2.as_str()), (2, "What the living say."));
        let steps = house.store.query(move |tx| journal::steps(tx, first)).await.expect("read");
        let ends: Vec<_> = steps.iter().map(|step| step.end).collect();
        assert_eq!(ends, [Some(StepEnd::Cut), Some(StepEnd::Success)]);
    });
    paused.block_on(async { drop(sleeper) });
    awake.block_on(waker.end(END));
}

impl House {
    /// Returns all that an owner writes of a run.
    async fn written(&self) -> String {
        let written = self.store.query(|tx| {
            let messages = tx.scan(MessageRow::all())?;
            let (runs, steps) = (tx.scan(Run::all())?, tx.scan(StepRow::all())?);
            let (streams, deltas) = (tx.scan(StreamRow::all())?, tx.scan(DeltaRow::all())?);
            Ok(format!("{messages:?} {runs:?} {steps:?} {streams:?} {deltas:?}"))
        });
        written.await.expect("it is read")
    }
}

fn threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[tokio::test]
async fn the_last_answer_of_a_person_has_a_run_go_on_by_itself() {
    let house = House::open().await;
    let model = model([MockReply::default().tool_call("1", "look", json!({})), text("Seen.")]);
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    let clerk = agent(&model).tool(look().with_policy(policy)).expect("a tool");
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Look.").await;
    house.until(run, |run| run.status == RunStatus::Waiting).await;
    let asked = house.store.query(move |tx| approvals::of_run(tx, run)).await.expect("it is read");
    let [asked] = &asked[..] else { panic!("one call waits: {asked:?}") };
    let id = asked.id;
    house.store.mutate(move |tx| approvals::approve(tx, id, "bob")).await.expect("it is approved");
    assert_eq!(house.ended(run).await, RunStatus::Success);
    assert_eq!(model.requests().len(), 2);
    process.end(END).await;
}
