//! Calling runs off, at every moment and from anywhere.

use loomwork_agent::{OnUsage, StepEnd, Tool, ToolContext, journal};
use loomwork_messages::{Failure, MessageStatus, RunId, RunStatus, runs};
use loomwork_models::{Gate, MockReply};
use loomwork_store::Table as _;
use loomwork_testkit::soon;
use loomwork_workpool::{JobId, JobRow, State, cancel, status};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::house::{END, House, agent, model};
use crate::desk::text;
use crate::ledger::Heard;

impl House {
    /// Returns the only job.
    async fn job(&self) -> JobId {
        let jobs = self.store.query(|tx| tx.scan(JobRow::all())).await.expect("read");
        jobs[0].id
    }

    /// Aborts a run, as any process may.
    async fn abort(&self, run: RunId) {
        let failure = Failure::new("aborted", "the user said stop");
        self.store.mutate(move |tx| runs::abort(tx, run, failure)).await.expect("aborted");
    }

    /// Checks that a run was aborted, that its message is settled with what came, and its usage told once.
    async fn was_aborted(&self, run: RunId, came: &str, heard: &Heard) {
        assert_eq!(self.ended(run).await, RunStatus::Aborted);
        let mut ends = self.store.watch(move |tx| {
            Ok(journal::steps(tx, run)?.into_iter().map(|step| step.end).collect::<Vec<_>>())
        });
        while soon(ends.next()).await.expect("open").expect("read").iter().any(Option::is_none) {}
        let said = self.said().await;
        let (_, _, last, status) =
            said.iter().rfind(|(_, role, _, _)| *role == "assistant").expect("its message");
        assert_eq!((last.as_str(), *status), (came, MessageStatus::Aborted));
        let told: Vec<_> = heard.events().iter().map(|event| event.end).collect();
        assert_eq!(told, [StepEnd::Aborted]);
    }
}

fn told(heard: &Heard) -> OnUsage {
    heard.handler()
}

#[tokio::test]
async fn before_the_first_word() {
    let (house, hangs, heard) = (House::open().await, Gate::new(), Heard::default());
    let clerk = agent(&model([MockReply::default().gate(&hangs).text("never")])).on_usage(told(&heard));
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Go.").await;
    soon(hangs.reached()).await;
    house.abort(run).await;
    house.was_aborted(run, "", &heard).await;
    process.end(END).await;
}

#[tokio::test]
async fn while_words_are_written() {
    let (house, hangs, heard) = (House::open().await, Gate::new(), Heard::default());
    let clerk = agent(&model([text("half an").gate(&hangs).text(" answer")])).on_usage(told(&heard));
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Go.").await;
    soon(hangs.reached()).await;
    house.abort(run).await;
    house.was_aborted(run, "half an", &heard).await;
    process.end(END).await;
}

#[tokio::test]
async fn while_a_tool_runs() {
    let (house, heard, runs) = (House::open().await, Heard::default(), CancellationToken::new());
    let (begins, stopped) = (runs.clone(), CancellationToken::new());
    let hears = stopped.clone();
    let hang = Tool::new("hang", "Hangs.", move |_: ToolContext, (): ()| {
        let (begins, dropped) = (begins.clone(), hears.clone().drop_guard());
        async move {
            begins.cancel();
            std::future::pending::<()>().await;
            drop(dropped);
        }
    });
    let call = text("I look. ").tool_call("1", "hang", json!({}));
    let clerk = agent(&model([call])).tool(hang).expect("a tool").on_usage(told(&heard));
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Go.").await;
    soon(runs.cancelled()).await;
    house.abort(run).await;
    soon(stopped.cancelled()).await;
    house.was_aborted(run, "I look. ", &heard).await;
    process.end(END).await;
}

#[tokio::test]
async fn behind_the_last_word() {
    let (house, heard) = (House::open().await, Heard::default());
    let clerk = agent(&model([text("All of it.")])).on_usage(told(&heard));
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Go.").await;
    assert_eq!(house.ended(run).await, RunStatus::Success);
    house.abort(run).await;
    assert_eq!(house.ended(run).await, RunStatus::Success, "what has ended stays as it is");
    let told: Vec<_> = heard.events().iter().map(|event| event.end).collect();
    assert_eq!(told, [StepEnd::Success]);
    process.end(END).await;
}

#[tokio::test]
async fn a_run_that_nobody_has_taken_up() {
    let house = House::open().await;
    let model = model([text("never")]);
    let clerk = agent(&model);
    let run = house.run(&clerk, "Go.").await;
    house.abort(run).await;
    let process = house.process(&clerk).await;
    let job = house.job().await;
    let mut jobs =
        house.store.watch(move |tx| Ok(status(tx, job)?.is_some_and(|status| status.state == State::Ended)));
    while !soon(jobs.next()).await.expect("open").expect("read") {}
    assert!(model.requests().is_empty());
    assert_eq!(house.ended(run).await, RunStatus::Aborted);
    process.end(END).await;
}

#[tokio::test]
async fn by_its_job() {
    let (house, hangs) = (House::open().await, Gate::new());
    let clerk = agent(&model([text("half").gate(&hangs)]));
    let process = house.process(&clerk).await;
    let run = house.run(&clerk, "Go.").await;
    soon(hangs.reached()).await;
    let job = house.job().await;
    house.store.mutate(move |tx| cancel(tx, job)).await.expect("cancelled");
    let row = house.until(run, |run| run.status.has_ended()).await;
    assert_eq!(
        (row.status, row.record.error.expect("a reason").code),
        (RunStatus::Aborted, "cancelled".into())
    );
    process.end(END).await;
}
