//! Answers whose end is not written as it should be: by a store that is away, or because others were quicker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use loomwork_agent::{
    Admission, Agent, AgentError, Hold, ObjectSpec, OnExchange, Options, OutputGuard, Runtime, StepEnd, Tool,
    ToolContext, Verdict, journal, step_count, tables,
};
use loomwork_core::{Clock, Random, Time};
use loomwork_files::{Blobs, Files};
use loomwork_messages::runs::{self, abort_all};
use loomwork_messages::threads::NewThread;
use loomwork_messages::{Failure, MessageStatus, Run, RunStatus};
use loomwork_models::{
    Data, Gate, ImageModel, LanguageModel, MockImages, MockModel, MockReply, SchemaSupport, Usage,
};
use loomwork_store::{Store, Table as _};
use loomwork_testkit::soon;
use serde_json::json;
use tokio::sync::mpsc;

use super::desk::{Desk, text};
use super::ledger::{Bill, Heard, Office, billing};
use super::moody::Moody;

/// Counts what is on hold, and what was booked.
#[derive(Clone, Debug, Default)]
struct Till {
    held: Arc<AtomicI64>,
    booked: Arc<AtomicI64>,
}

impl Till {
    fn hold(&self) -> Hold {
        let till = self.clone();
        till.held.fetch_add(1, Ordering::SeqCst);
        Hold::new(move |_, used| {
            till.held.fetch_sub(1, Ordering::SeqCst);
            let tokens = used.map_or(0, Usage::total);
            till.booked.fetch_add(i64::try_from(tokens).expect("few"), Ordering::SeqCst);
            Ok(())
        })
    }

    fn before_call(&self) -> Admission {
        let till = self.clone();
        Admission::before_call("till", move |_, _| Ok(till.hold()))
    }

    fn seen(&self) -> (i64, i64) {
        (self.held.load(Ordering::SeqCst), self.booked.load(Ordering::SeqCst))
    }
}

/// Waits until all runs have ended, and returns how.
async fn ended(store: &Store) -> Vec<RunStatus> {
    let mut runs =
        store.watch(|tx| Ok(tx.scan(Run::all())?.iter().map(|run| run.status).collect::<Vec<_>>()));
    loop {
        let seen = soon(runs.next()).await.expect("open").expect("read");
        if seen.iter().all(|status| status.has_ended()) {
            return seen;
        }
    }
}

#[tokio::test]
async fn an_end_that_the_store_does_not_take_is_written_when_it_does() {
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let (engine, mood) = Moody::new();
    let store = Store::builder(engine).clock(clock.clock()).random(Random::seeded(7)).tables(tables());
    let store = store.tables([Bill::table()]).open().await.expect("the store opens");
    let runtime = Runtime::start(&store).await.expect("it starts");
    let hangs = Gate::new();
    let model = Arc::new(MockModel::new([MockReply::default().gate(&hangs).text("never kept")]));
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).on_usage(billing());
    let agent = agent.admission(Admission::before_call("call", |_, _| Ok(settled_as("call"))));
    let agent = agent.admission(Admission::before_run("run", |_, _| Ok(settled_as("run"))));
    let thread = agent.create_thread(&runtime, NewThread::for_user("alice")).await.expect("a thread");
    let stream = thread.stream_text("Go.").await.expect("it begins");
    soon(hangs.reached()).await;
    mood.refuse(true);
    hangs.open();
    let error = soon(stream.finish()).await.expect_err("nothing is stored");
    assert!(matches!(error, AgentError::Store(_)), "{error}");
    mood.refuse(false);
    let statuses = soon(async {
        let turning = async {
            loop {
                clock.advance(Duration::from_millis(250));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            statuses = ended(&store) => statuses,
            () = turning => unreachable!("it turns for ever"),
        }
    })
    .await;
    assert_eq!(statuses, [RunStatus::Failed]);
    let bills = store.query(|tx| tx.scan(Bill::all())).await.expect("read");
    let booked: Vec<_> = bills.iter().map(|bill| bill.tokens).collect();
    assert_eq!(booked, [13, 13, 13], "of the call's hold, of the run's, and told: each once");
}

/// A hold that writes what it is settled with.
fn settled_as(key: &'static str) -> Hold {
    Hold::new(move |tx, used| {
        let tokens = used.map_or(0, Usage::total);
        tx.insert(Bill { key: key.to_owned(), user: None, tokens }).map(drop)
    })
}

#[tokio::test]
async fn a_step_that_cannot_be_stored_is_a_failed_answer_that_counts() {
    // No row takes it, and there is no file store.
    let huge = "words ".repeat(400_000);
    let desk = Desk::with([text(&huge)]).await;
    let (heard, till) = (Heard::default(), Till::default());
    let agent = desk.agent().on_usage(heard.handler()).admission(till.before_call());
    let thread = desk.thread(&agent).await;
    let error = thread.generate_text("Go on and on.").await.expect_err("it is not stored");
    assert!(matches!(error, AgentError::Store(_)), "{error}");
    let rows = desk.rows(&thread).await;
    assert_eq!(rows.last().map(|row| row.status), Some(MessageStatus::Failed));
    let told: Vec<_> = heard.events().iter().map(|event| (event.end, event.usage.total())).collect();
    assert_eq!(told, [(StepEnd::Failed, 13)]);
    assert_eq!(till.seen(), (0, 13));
}

#[tokio::test]
async fn what_was_kept_back_is_settled_though_others_have_ended_the_step() {
    let office = Office::with([]).await;
    let hangs = Gate::new();
    let model = Arc::new(MockModel::new([text("half").gate(&hangs)]));
    let (heard, till) = (Heard::default(), Till::default());
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).on_usage(heard.handler());
    let agent = agent.admission(till.before_call());
    let thread = office.thread(&agent).await;
    let stream = thread.stream_text("Go.").await.expect("it begins");
    soon(hangs.reached()).await;
    // Somebody takes the process for dead, ends its run, and tells what its step may have used.
    let id = thread.id();
    let store = office.runtime.store().clone();
    let told = store.mutate(move |tx| {
        let run = tx.first(Run::all())?.expect("it is there");
        let step = journal::steps(tx, run.id)?.pop().expect("it is there");
        tx.update(step.id, |row| row.end = Some(StepEnd::Cut))?;
        abort_all(tx, id, None, &Failure::new("interrupted", "the process is gone")).map(drop)
    });
    told.await.expect("written");
    soon(stream.finish()).await.expect_err("it was ended");
    assert_eq!(till.seen().0, 0, "nothing stays on hold");
    assert_eq!(heard.events().len(), 0, "others have told it");
}

#[tokio::test]
async fn a_call_that_is_admitted_for_nobody_keeps_nothing_back() {
    let desk = Desk::with([MockReply::default().tool_call("1", "look", json!({})), text("never")]).await;
    let till = Till::default();
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let agent = desk.agent().tool(look).expect("a tool").stop_when(step_count(3));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let (left, counting) = (Arc::new(std::sync::Mutex::new(left)), till.clone());
    let agent = agent.admission(Admission::before_call("till", move |_, call| {
        if call.step == 1 {
            arrived.send(()).map_err(|error| {
                loomwork_store::Error::message(loomwork_core::Kind::Internal, error.to_string())
            })?;
            let _ = left.lock().expect("nothing panics").recv();
        }
        Ok(counting.hold())
    }));
    let thread = desk.thread(&agent).await;
    tokio::select! {
        _ = thread.generate_text("Look.") => panic!("it waits to be admitted"),
        _ = arrivals.recv() => {}
    }
    leave.send(()).expect("it waits");
    assert_eq!(ended(desk.runtime.store()).await, [RunStatus::Aborted]);
    let released = async {
        while till.seen().0 != 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(released).await;
}

#[tokio::test]
async fn a_cut_run_that_is_aborted_later_is_settled_at_once() {
    let office = Office::with([]).await;
    let hangs = Gate::new();
    let call = MockReply::default().tool_call("1", "hang", json!({}));
    let model = Arc::new(MockModel::new([call]));
    let waits = hangs.clone();
    let hang = Tool::new("hang", "Hangs.", move |_: ToolContext, (): ()| {
        let waits = waits.clone();
        async move {
            waits.open();
            std::future::pending::<String>().await
        }
    });
    let heard = Heard::default();
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).on_usage(heard.handler()).durable();
    let agent = agent.tool(hang).expect("a tool");
    // Another process, which goes away while its tool runs.
    let other = Runtime::start(office.runtime.store()).await.expect("it starts");
    let thread = agent.create_thread(&other, NewThread::for_user("alice")).await.expect("a thread");
    let _stream = thread.stream_text("Go.").await.expect("it begins");
    let store = office.runtime.store().clone();
    let mut answered = store.watch(|tx| {
        let Some(run) = tx.first(Run::all())? else { return Ok(false) };
        Ok(journal::steps(tx, run.id)?.iter().any(|step| step.answered.is_some()))
    });
    while !soon(answered.next()).await.expect("open").expect("read") {}
    other.shutdown(Duration::from_secs(20)).await.expect("it ends");
    let mut queued = store.watch(|tx| Ok(runs::queued(tx, 1)?.first().map(|run| run.id)));
    let run = loop {
        if let Some(run) = soon(queued.next()).await.expect("open").expect("read") {
            break run;
        }
    };
    // Its rows are gone, and what the model has said waits for whoever goes on.
    let mut hosts = store.watch(|tx| tx.count(loomwork_messages::HostRow::all()));
    while soon(hosts.next()).await.expect("open").expect("read") > 1 {}
    let steps = store.query(move |tx| journal::steps(tx, run)).await.expect("read");
    assert_eq!(steps[0].end, None);
    let failure = Failure::new("aborted", "nobody wants it any more");
    store.mutate(move |tx| runs::abort(tx, run, failure)).await.expect("aborted");
    let mut steps = store.watch(move |tx| Ok(journal::steps(tx, run)?.pop().and_then(|step| step.end)));
    while soon(steps.next()).await.expect("open").expect("read") != Some(StepEnd::Cut) {}
    let _knowing = office.runtime.clone().with_handlers([heard.handler().into()]);
    office.told().await;
    let told: Vec<_> = heard.events().iter().map(|event| (event.end, event.usage.estimated)).collect();
    assert_eq!(told, [(StepEnd::Cut, false)]);
}

fn words() -> ObjectSpec<BTreeMap<String, String>> {
    ObjectSpec::of()
}

#[tokio::test]
async fn what_values_used_that_were_blocked_or_broke_off_is_counted() {
    let hangs = Gate::new();
    let desk = Desk::with([]).await;
    let replies = [text(r#"{"a": "1"}"#), text(r#"{"a": "one two three four"#).gate(&hangs).text("\"}")];
    let model = Arc::new(MockModel::new(replies).with_schema_support(SchemaSupport::Native));
    let guard = OutputGuard::new("luck", |_: String| async { Ok(Verdict::Block("no luck".into())) });
    let heard = Heard::default();
    let (sender, mut exchanges) = mpsc::unbounded_channel();
    let log = OnExchange::new("log", move |exchange| {
        let sent = sender.send(exchange).map_err(|error| error.to_string());
        async { sent }
    });
    let agent =
        Agent::new("clerk", model as Arc<dyn LanguageModel>).on_usage(heard.handler()).on_exchange(log);
    let thread = desk.thread(&agent).await;
    let blocking = Options { output_guards: Some(vec![guard]), ..Options::default() };
    thread.generate_object_with("Count.", words(), blocking).await.expect_err("it is blocked");
    let exchange = soon(exchanges.recv()).await.expect("it is told");
    assert_eq!(exchange.reply.text(), r#"{"a": "1"}"#);
    let growing = thread.stream_object_with("Count.", words(), Options::default()).await.expect("it begins");
    soon(hangs.reached()).await;
    let id = thread.id();
    let abort = move |tx: &mut _| abort_all(tx, id, None, &Failure::new("aborted", "enough"));
    desk.runtime.store().mutate(abort).await.expect("aborted");
    soon(growing.finish()).await.expect_err("it was called off");
    let told: Vec<_> = heard.events().iter().map(|event| (event.end, event.usage.clone())).collect();
    assert_eq!((told[0].0, told[0].1.total()), (StepEnd::Failed, 13));
    assert_eq!((told[1].0, told[1].1.estimated, told[1].1.output() > 0), (StepEnd::Aborted, true, true));
}

#[tokio::test]
async fn what_an_image_used_that_cannot_be_kept_is_counted() {
    let desk = Desk::with([]).await;
    let limits = loomwork_files::Options { max_bytes: 2, ..loomwork_files::Options::default() };
    let files = Files::new(desk.runtime.store(), Blobs::memory(), limits);
    let desk = Desk { runtime: desk.runtime.with_files(files), ..desk };
    let images = Arc::new(MockImages::new(Data::Bytes(b"pixels".as_slice().into())));
    let heard = Heard::default();
    let agent = desk.agent().images(images as Arc<dyn ImageModel>).on_usage(heard.handler());
    desk.thread(&agent).await.generate_image("a cat").await.expect_err("it is too large");
    let told: Vec<_> = heard.events().iter().map(|event| (event.end, event.usage.images)).collect();
    assert_eq!(told, [(StepEnd::Failed, 1)]);
}

#[tokio::test]
async fn an_answer_that_begins_when_the_clock_has_leapt_is_its_new_owners() {
    let office = Office::with([text("Hello.")]).await;
    let (heard, till) = (Heard::default(), Till::default());
    let agent = office.agent().on_usage(heard.handler()).admission(till.before_call());
    let thread = office.thread(&agent).await;
    office.clock.advance(2 * runs::LEASE);
    let run = thread.generate_text("Hi.").await.expect("an answer").stored.expect("stored").run;
    let steps = office.runtime.store().query(move |tx| journal::steps(tx, run)).await.expect("read");
    assert_eq!((steps.len(), steps[0].end), (1, Some(StepEnd::Success)));
    assert_eq!((heard.events().len(), till.seen()), (1, (0, 13)));
}
