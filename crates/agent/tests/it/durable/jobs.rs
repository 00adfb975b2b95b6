//! Agents as jobs that anybody can name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use loomwork_agent::durable::{AgentJob, Busy, ObjectAnswer, StartOptions, TextAnswer};
use loomwork_agent::{Agent, ObjectSpec, Runtime};
use loomwork_messages::{Run, RunStatus};
use loomwork_models::{Error, ErrorKind, Gate, LanguageModel, MockModel, MockReply, SchemaSupport};
use loomwork_store::Table as _;
use loomwork_testkit::soon;
use loomwork_workpool::{Job, JobContext, JobError, JobId, Outcome, Workpool, enqueue, outcome};

use super::house::{END, House, agent, model};
use crate::desk::text;

const ANSWER: Job<AgentJob, TextAnswer> = Job::new("answer");
const VALUE: Job<AgentJob, ObjectAnswer<BTreeMap<String, u32>>> = Job::new("value");

impl House {
    async fn text_jobs(&self, agent: &Agent) -> (Runtime, Workpool) {
        let runtime = Runtime::start(&self.store).await.expect("it starts");
        let pool = Workpool::builder(&self.store).on(ANSWER, agent.as_text_job(&runtime));
        (runtime, pool.start().await.expect("the pool starts"))
    }

    async fn ask(&self, options: StartOptions) -> JobId {
        let asked = AgentJob { options, ..AgentJob::new(self.thread, "Go.") };
        self.store.mutate(move |tx| enqueue(tx, &ANSWER, asked, ())).await.expect("enqueued")
    }

    async fn answered(&self, job: JobId) -> Outcome<TextAnswer> {
        let mut seen = self.store.watch(move |tx| outcome(tx, &ANSWER, job));
        soon(async {
            loop {
                if let Some(outcome) = seen.next().await.expect("open").expect("read") {
                    return outcome;
                }
            }
        })
        .await
    }

    async fn runs(&self) -> usize {
        self.store.query(|tx| tx.count(Run::all())).await.expect("counted")
    }
}

#[tokio::test]
async fn a_job_is_answered_with_text_once_whoever_goes_on_with_it() {
    let (house, hangs) = (House::open().await, Gate::new());
    let clerk = agent(&model([text("half").gate(&hangs), text("All of it.")]));
    let (runtime, pool) = house.text_jobs(&clerk).await;
    let job = house.ask(StartOptions::default()).await;
    soon(hangs.reached()).await;
    pool.shutdown(Duration::ZERO).await.expect("it ends");
    runtime.shutdown(END).await.expect("it ends");
    let (runtime, pool) = house.text_jobs(&clerk).await;
    let Outcome::Success(answer) = house.answered(job).await else { panic!("it is answered") };
    assert_eq!(answer.text, "All of it.");
    assert!(
        answer.usage.estimated && answer.usage.output() >= 10,
        "what was cut counts too: {:?}",
        answer.usage
    );
    assert_eq!(house.runs().await, 1, "another attempt finds the run");
    let said = house.said().await;
    assert_eq!(said.len(), 2);
    pool.shutdown(END).await.expect("it ends");
    runtime.shutdown(END).await.expect("it ends");
}

#[tokio::test]
async fn a_job_whose_run_fails_says_why() {
    let house = House::open().await;
    let broken = Error::new(ErrorKind::Auth, "mock", "mock", "no key");
    let clerk = agent(&model([MockReply::default().fail(broken)]));
    let (runtime, pool) = house.text_jobs(&clerk).await;
    let job = house.ask(StartOptions { busy: Busy::Queue, ..StartOptions::default() }).await;
    let Outcome::Failed(why) = house.answered(job).await else { panic!("it fails") };
    assert!(why.contains("refuses the account"), "{why}");
    assert_eq!(house.runs().await, 1, "it is not asked again");
    pool.shutdown(END).await.expect("it ends");
    runtime.shutdown(END).await.expect("it ends");
}

#[tokio::test]
async fn a_job_is_answered_with_a_value() {
    let house = House::open().await;
    let away = Error::new(ErrorKind::Overloaded, "mock", "mock", "no room");
    let fails = || MockReply::default().fail(away.clone());
    let replies = [fails(), fails(), fails(), text(r#"{"a": 1}"#)];
    let model = Arc::new(MockModel::new(replies).with_schema_support(SchemaSupport::Native));
    let clerk = Agent::new("clerk", model as Arc<dyn LanguageModel>);
    let runtime = Runtime::start(&house.store).await.expect("it starts");
    let spec = ObjectSpec::<BTreeMap<String, u32>>::of();
    let pool = Workpool::builder(&house.store).on(VALUE, clerk.as_object_job(&runtime, spec));
    let pool = pool.start().await.expect("the pool starts");
    let asked = AgentJob::new(house.thread, "Count.");
    let job = house.store.mutate(move |tx| enqueue(tx, &VALUE, asked, ())).await.expect("enqueued");
    let mut seen = house.store.watch(move |tx| outcome(tx, &VALUE, job));
    let answer = loop {
        if let Some(Outcome::Success(answer)) = soon(seen.next()).await.expect("open").expect("read") {
            break answer;
        }
    };
    assert_eq!(answer.object, BTreeMap::from([("a".to_owned(), 1)]));
    let said = house.said().await;
    assert_eq!(
        said.iter().filter(|(_, role, _, _)| *role == "user").count(),
        1,
        "it is asked once: {said:?}"
    );
    let row = house.until(answer.run, |_| true).await;
    assert_eq!(row.status, RunStatus::Success);
    pool.shutdown(END).await.expect("it ends");
    runtime.shutdown(END).await.expect("it ends");
}

#[tokio::test]
async fn a_value_that_is_complete_is_not_asked_for_again_though_its_job_did_not_end() {
    let house = House::open().await;
    let model = model([text(r#"{"a": 1}"#), text(r#"{"a": 2}"#)]);
    let clerk = Agent::new("clerk", model.clone() as Arc<dyn LanguageModel>);
    let runtime = Runtime::start(&house.store).await.expect("it starts");
    let value = clerk.as_object_job(&runtime, ObjectSpec::<BTreeMap<String, u32>>::of());
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = attempts.clone();
    // As if the process had died behind the value.
    let dies_once = move |job: JobContext, asked: AgentJob| {
        let (made, attempt) = (value(job, asked), counted.fetch_add(1, Ordering::Relaxed));
        async move {
            let answer = made.await?;
            if attempt == 0 { Err(JobError::retry("it is lost on its way").into()) } else { Ok(answer) }
        }
    };
    let pool = Workpool::builder(&house.store).on(VALUE, dies_once).start().await.expect("the pool starts");
    let asked = AgentJob::new(house.thread, "Count.");
    let job = house.store.mutate(move |tx| enqueue(tx, &VALUE, asked, ())).await.expect("enqueued");
    let mut seen = house.store.watch(move |tx| outcome(tx, &VALUE, job));
    let answer = loop {
        if let Some(Outcome::Success(answer)) = soon(seen.next()).await.expect("open").expect("read") {
            break answer;
        }
    };
    assert_eq!((answer.object["a"], attempts.load(Ordering::Relaxed)), (1, 2));
    assert_eq!((model.requests().len(), house.runs().await), (1, 1), "it is asked once");
    assert!(answer.usage.total() > 0);
    pool.shutdown(END).await.expect("it ends");
    runtime.shutdown(END).await.expect("it ends");
}
