//! Who hears what models used, and what was sent and came: once, and whatever handlers do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use loomwork_agent::context::{ContextOptions, SearchOptions};
use loomwork_agent::{
    Agent, AgentError, Exchange, OnExchange, OnUsage, Options, StepEnd, Tool, ToolContext, UsageEvent,
    UsageKind, journal, outbox, step_count,
};
use loomwork_messages::runs::abort_all;
use loomwork_messages::{Failure, find};
use loomwork_models::{
    Error, ErrorKind, Gate, HttpOptions, LanguageModel, MockModel, MockReply, OfflineEmbedder, OpenAi,
    OpenAiOptions, Proxy, Usage,
};
use loomwork_search::Search;
use loomwork_testkit::provider::{FakeProvider, Reply};
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::desk::text;
use super::ledger::{Heard, Office, billing, failing};

fn usage(tokens: u64) -> Usage {
    Usage { input_fresh: tokens, output_text: 1, ..Usage::default() }
}

fn look() -> Tool {
    Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" })
}

fn call() -> MockReply {
    MockReply::default().tool_call("1", "look", json!({})).with_usage(usage(10))
}

#[tokio::test]
async fn usage_is_told_once_a_step_in_its_commit() {
    let office = Office::with([call(), text("Seen.").with_usage(usage(20))]).await;
    let heard = Heard::default();
    let agent = office.agent().tool(look()).expect("a tool").stop_when(step_count(3));
    let agent = agent.on_usage(heard.handler());
    let thread = office.thread(&agent).await;
    let stored = thread.generate_text("Look.").await.expect("an answer").stored.expect("it is stored");
    let events = heard.events();
    let told: Vec<_> = events.iter().map(|event| (event.step, event.attempt, event.usage.total())).collect();
    assert_eq!(told, [(0, 1, 11), (1, 1, 21)]);
    assert_eq!(events[0].key, format!("{}:0:1", stored.run));
    for event in &events {
        assert_eq!((event.run, event.root, event.thread), (stored.run, stored.run, Some(thread.id())));
        assert_eq!((event.user.as_deref(), event.agent.as_str()), (Some("alice"), "clerk"));
        assert_eq!(
            (event.model.as_str(), event.kind, event.end),
            ("mock", UsageKind::Chat, StepEnd::Success)
        );
    }
    let run = stored.run;
    let steps = office.runtime.store().query(move |tx| journal::steps(tx, run)).await.expect("read");
    let kept: Vec<_> = steps.iter().map(|row| row.usage.as_ref().map(Usage::total)).collect();
    assert_eq!(kept, [Some(11), Some(21)], "the rows of the steps have it too");
}

#[tokio::test]
async fn what_a_handler_writes_is_stored_with_the_step() {
    let office = Office::with([text("Done.").with_usage(usage(4))]).await;
    let agent = office.agent().on_usage(billing());
    let thread = office.thread(&agent).await;
    thread.generate_text("Go.").await.expect("an answer");
    let bills = office.bills().await;
    assert_eq!((bills.len(), bills[0].tokens, bills[0].user.as_deref()), (1, 5, Some("alice")));
}

#[tokio::test]
async fn the_nearest_handler_is_told() {
    let office = Office::with([text("one"), text("two"), text("three")]).await;
    let (of_agent, of_handle, of_call) = (Heard::default(), Heard::default(), Heard::default());
    let agent = office.agent().on_usage(of_agent.handler());
    let thread = office.thread(&agent).await;
    thread.generate_text("1").await.expect("an answer");
    let with = |heard: &Heard| Options { on_usage: Some(heard.handler()), ..Options::default() };
    let thread = thread.with(with(&of_handle));
    thread.generate_text("2").await.expect("an answer");
    thread.generate_text_with("3", with(&of_call)).await.expect("an answer");
    let told = [&of_agent, &of_handle, &of_call].map(|heard| heard.events().len());
    assert_eq!(told, [1, 1, 1]);
}

#[tokio::test]
async fn a_handler_that_fails_harms_no_answer_and_is_told_again() {
    let office = Office::with([text("Done.").with_usage(usage(4))]).await;
    let agent = office.agent().on_usage(failing(3));
    let thread = office.thread(&agent).await;
    assert_eq!(thread.generate_text("Go.").await.expect("an answer").text, "Done.");
    assert_eq!(office.bills().await, [], "what it wrote before it failed is undone");
    let waiting = office.waiting().await;
    assert_eq!((waiting.len(), waiting[0].tries), (1, 1));
    assert_eq!(waiting[0].last_error.as_deref(), Some("the ledger is closed"));
    office.told().await;
    assert_eq!(office.bills().await.len(), 1, "once, however often it failed");
    assert!(office.dead().await.is_empty());
}

#[tokio::test]
async fn a_handler_that_panics_harms_no_answer() {
    let office = Office::with([text("Done.")]).await;
    let agent = office.agent().on_usage(OnUsage::new("broken", |_, _| panic!("a bug")));
    let thread = office.thread(&agent).await;
    assert_eq!(thread.generate_text("Go.").await.expect("an answer").text, "Done.");
    assert_eq!(office.waiting().await.len(), 1);
}

#[tokio::test]
async fn a_handler_that_panics_before_it_waits_is_told_again_and_stops_no_other() {
    let office = Office::with([text("Done.")]).await;
    let panicked = AtomicU32::new(0);
    let agent = office.agent().on_usage(OnUsage::later("remote", move |_| {
        assert!(panicked.fetch_add(1, Ordering::Relaxed) > 0, "the first time it panics");
        async { Ok::<_, std::io::Error>(()) }
    }));
    let thread = office.thread(&agent).await;
    thread.generate_text("Go.").await.expect("an answer");
    office.told().await;
    assert_eq!((office.waiting().await.len(), office.dead().await.len()), (0, 0));
}

#[tokio::test]
async fn what_fails_too_often_is_put_aside_where_people_see_it_and_can_be_told_again() {
    let office = Office::with([text("Done.")]).await;
    let agent = office.agent().on_usage(failing(outbox::ATTEMPTS));
    let thread = office.thread(&agent).await;
    thread.generate_text("Go.").await.expect("an answer");
    office.told().await;
    let dead = office.dead().await;
    assert_eq!((dead.len(), dead[0].tries, dead[0].handler.as_str()), (1, outbox::ATTEMPTS, "usage billing"));
    let id = dead[0].id;
    assert!(office.runtime.store().mutate(move |tx| outbox::retry(tx, id)).await.expect("written"));
    office.told().await;
    assert_eq!((office.bills().await.len(), office.dead().await.len()), (1, 0));
    assert!(!office.runtime.store().mutate(move |tx| outbox::forget(tx, id)).await.expect("written"));
}

#[tokio::test]
async fn failed_and_aborted_attempts_are_told_too() {
    let overloaded = Error::new(ErrorKind::Overloaded, "mock", "mock", "no room").with_usage(usage(6));
    let refused = Error::new(ErrorKind::Auth, "mock", "mock", "no key");
    let hangs = Gate::new();
    let replies = [
        text("half").fail(overloaded),
        MockReply::default().fail(refused),
        text("half of it").gate(&hangs).text("never"),
    ];
    let office = Office::with(replies).await;
    let heard = Heard::default();
    let agent = office.agent().on_usage(heard.handler());
    let thread = office.thread(&agent).await;
    thread.generate_text("1").await.expect_err("it fails half way");
    thread.generate_text("2").await.expect_err("it is refused");
    let stream = thread.stream_text("3").await.expect("it begins");
    soon(hangs.reached()).await;
    let (id, stopped) = (thread.id(), Failure::new("stopped", "the user pressed stop"));
    office.runtime.store().mutate(move |tx| abort_all(tx, id, None, &stopped)).await.expect("aborted");
    let error = soon(stream.finish()).await.expect_err("it was stopped");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
    let events = heard.events();
    let ends: Vec<_> = events.iter().map(|event| event.end).collect();
    assert_eq!(ends, [StepEnd::Failed, StepEnd::Failed, StepEnd::Aborted]);
    assert_eq!(events[0].usage.total(), 7, "what the provider said");
    assert!(events[1].usage.is_empty(), "a call that was refused has used nothing");
    let aborted = &events[2].usage;
    assert!(aborted.estimated && aborted.input() > 0 && aborted.output() > 0, "{aborted:?}");
}

#[tokio::test]
async fn an_answer_that_is_dropped_is_told_too() {
    let hangs = Gate::new();
    let office = Office::with([text("half").gate(&hangs)]).await;
    let heard = Heard::default();
    let agent = office.agent().on_usage(heard.handler());
    let thread = office.thread(&agent).await;
    tokio::select! {
        _ = thread.generate_text("Go.") => panic!("the gate is closed"),
        () = hangs.reached() => {}
    }
    let mut open = office.runtime.store().watch(|tx| {
        let runs = tx.scan(<loomwork_messages::Run as loomwork_store::Table>::all())?;
        Ok(runs.iter().all(|run| run.status.has_ended()))
    });
    while !soon(open.next()).await.expect("open").expect("read") {}
    let events = heard.events();
    assert_eq!((events.len(), events[0].end), (1, StepEnd::Aborted));
}

#[tokio::test]
async fn what_is_answered_outside_of_threads_is_told() {
    let office = Office::with([text("Hello.").with_usage(usage(3))]).await;
    let heard = Heard::default();
    let agent = office.agent().on_usage(heard.handler());
    agent.answer(&office.runtime, Some("bob"), "Hi.").await.expect("an answer");
    let events = heard.events();
    assert_eq!((events.len(), events[0].usage.total(), events[0].thread), (1, 4, None));
    assert_eq!(events[0].user.as_deref(), Some("bob"));
}

#[tokio::test]
async fn what_is_embedded_for_a_search_is_told() {
    let office = Office::with([text("Found.")]).await;
    let search = Search::builder(office.runtime.store()).in_memory().index(find::messages());
    let search = search.embedder(OfflineEmbedder::default()).start().await.expect("the search starts");
    let runtime = office.runtime.clone().with_search(search);
    let heard = Heard::default();
    let options = SearchOptions { vector: true.into(), ..SearchOptions::default() };
    let context = ContextOptions { search: options, ..ContextOptions::default() };
    let agent = office.agent().context(context).on_usage(heard.handler());
    let thread = office.thread(&agent).await;
    agent.in_thread(&runtime, thread.id()).generate_text("Where is it?").await.expect("an answer");
    let kinds: Vec<_> = heard.events().iter().map(|event| (event.kind, event.usage.embedding > 0)).collect();
    assert_eq!(kinds, [(UsageKind::Embedding, true), (UsageKind::Chat, false)]);
    let events = heard.events();
    assert_eq!(events[0].run, events[1].run);
    let run = events[0].run;
    let steps = office.runtime.store().query(move |tx| journal::steps(tx, run)).await.expect("read");
    assert_eq!(steps[0].embedded.len(), 1, "the step's row has it");
    assert_eq!(steps[0].embedded[0].usage, events[0].usage);
}

#[tokio::test]
async fn what_a_sub_agent_uses_belongs_to_the_first_run() {
    let office =
        Office::with([MockReply::default().tool_call("1", "ask", json!({})), text("So it is.")]).await;
    let heard = Heard::default();
    let inner = Agent::new("expert", Arc::new(MockModel::new([text("It is so.")])) as _);
    let inner = inner.on_usage(heard.handler());
    let runtime = office.runtime.clone();
    let ask = Tool::new("ask", "Asks an expert.", move |context: ToolContext, (): ()| {
        let (inner, runtime) = (inner.clone(), runtime.clone());
        async move {
            let thread =
                inner.create_thread(&runtime, loomwork_messages::threads::NewThread::default()).await?;
            let options = Options { parent: Some(context.as_parent()), ..Options::default() };
            Ok::<_, loomwork_agent::BoxError>(thread.generate_text_with("Is it?", options).await?.text)
        }
    });
    let agent = office.agent().tool(ask).expect("a tool").stop_when(step_count(2));
    let agent = agent.on_usage(heard.handler());
    let thread = office.thread(&agent).await;
    let root = thread.generate_text("Ask.").await.expect("an answer").stored.expect("stored").run;
    let events = heard.events();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.root == root), "{events:?}");
    assert_eq!(events.iter().filter(|event| event.run != root).count(), 1);
}

#[tokio::test]
async fn async_handlers_are_told_from_the_outbox() {
    let office = Office::with([text("Done.").with_usage(usage(2))]).await;
    let (told, count) = (Arc::new(Mutex::new(Vec::<UsageEvent>::new())), Arc::new(AtomicU32::new(0)));
    let (keeps, counts) = (told.clone(), count.clone());
    let later = OnUsage::later("remote", move |event| {
        let first = counts.fetch_add(1, Ordering::Relaxed) == 0;
        let keeps = keeps.clone();
        async move {
            assert!(!first, "the first time it panics");
            keeps.lock().expect("nothing panics").push(event);
            Ok::<_, std::io::Error>(())
        }
    });
    let agent = office.agent().on_usage(later);
    let thread = office.thread(&agent).await;
    thread.generate_text("Go.").await.expect("an answer");
    office.told().await;
    let told = told.lock().expect("nothing panics").clone();
    assert_eq!((told.len(), told[0].usage.total()), (1, 3));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn raw_exchanges_are_told_from_the_outbox_failures_too() {
    let broken = Error::new(ErrorKind::Overloaded, "mock", "mock", "no room").with_status(529);
    let office = Office::with([text("Done."), text("half").fail(broken)]).await;
    let seen = Arc::new(Mutex::new(Vec::<Exchange>::new()));
    let keeps = seen.clone();
    let log = OnExchange::new("log", move |exchange| {
        keeps.lock().expect("nothing panics").push(exchange);
        async { Ok::<_, std::io::Error>(()) }
    });
    let agent = office.agent().on_exchange(log);
    let thread = office.thread(&agent).await;
    thread.generate_text("Go.").await.expect("an answer");
    thread.generate_text("On.").await.expect_err("it fails");
    office.told().await;
    let seen = seen.lock().expect("nothing panics").clone();
    assert_eq!((seen[0].reply.text().as_str(), seen[0].failure.is_none()), ("Done.", true));
    assert_eq!(seen[1].reply.text(), "half");
    assert_eq!(seen[1].failure.as_ref().map(|failure| failure.code.as_str()), Some("overloaded"));
    assert!(office.model.requests()[0].settings.keep_request_body, "the body of the request is asked for");
}

#[tokio::test]
async fn a_step_has_its_times() {
    let office = Office::with([call(), text("Seen.")]).await;
    let clock = office.clock.clone();
    let look = Tool::new("look", "Looks for a second.", move |_: ToolContext, (): ()| {
        clock.advance(std::time::Duration::from_secs(1));
        async { "seen" }
    });
    let agent = office.agent().tool(look).expect("a tool").stop_when(step_count(2));
    let thread = office.thread(&agent).await;
    let run = thread.generate_text("Look.").await.expect("an answer").stored.expect("stored").run;
    let store = office.runtime.store();
    let (steps, calls) = store
        .query(move |tx| Ok((journal::steps(tx, run)?, journal::calls(tx, run)?)))
        .await
        .expect("the journal is read");
    let step = &steps[0];
    let (first, answered) = (step.first.expect("it spoke"), step.answered.expect("it said all"));
    assert!(step.asked <= first && first <= answered);
    assert_eq!(step.ended.expect("it ended").since(answered).as_secs(), 1, "the tool took a second");
    assert_eq!((calls.len(), calls[0].tool.as_str()), (1, "look"));
    assert_eq!(calls[0].ended.since(calls[0].started).as_secs(), 1);
}

/// A handler that waits until it may go on, and counts who waits.
fn waiting(name: &'static str, begun: &Arc<AtomicU32>, may_go_on: &CancellationToken) -> OnUsage {
    let (begun, may_go_on) = (begun.clone(), may_go_on.clone());
    OnUsage::later(name, move |_| {
        begun.fetch_add(1, Ordering::Relaxed);
        let may_go_on = may_go_on.clone();
        async move {
            may_go_on.cancelled().await;
            Ok::<_, std::io::Error>(())
        }
    })
}

async fn reach(begun: &AtomicU32, count: u32) {
    let reached = async {
        while begun.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    };
    soon(reached).await;
}

/// Waits until nothing waits in the outbox, while the clock stands.
async fn emptied(office: &Office) {
    let mut waiting = office.runtime.store().watch(|tx| Ok(outbox::waiting(tx, 1)?.len()));
    while soon(waiting.next()).await.expect("open").expect("read") > 0 {}
}

#[tokio::test]
async fn a_row_is_claimed_when_it_is_told_and_not_before() {
    let at_a_time = u32::try_from(outbox::TOLD_AT_A_TIME).expect("a small number");
    let answers = outbox::TOLD_AT_A_TIME + 3;
    let office = Office::with((0..answers).map(|_| text("Done."))).await;
    let (begun, may_go_on) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
    let agent = office.agent().on_usage(waiting("slow", &begun, &may_go_on));
    let thread = office.thread(&agent).await;
    for _ in 0..answers {
        thread.generate_text("Go.").await.expect("an answer");
    }
    reach(&begun, at_a_time).await;
    let unclaimed = office.waiting().await.iter().filter(|row| row.tries == 0).count();
    assert_eq!((begun.load(Ordering::Relaxed), unclaimed), (at_a_time, 3));
    may_go_on.cancel();
    emptied(&office).await;
    assert_eq!(begun.load(Ordering::Relaxed) as usize, answers, "each is told once");
}

#[tokio::test]
async fn a_new_handler_cuts_none_that_is_telling_and_is_not_kept_waiting_by_it() {
    let office = Office::with([text("one"), text("two")]).await;
    let (begun, may_go_on) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
    let thread = office.thread(&office.agent().on_usage(waiting("slow", &begun, &may_go_on))).await;
    thread.generate_text("Go.").await.expect("an answer");
    reach(&begun, 1).await;
    let (quick, free) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
    free.cancel();
    let options = Options { on_usage: Some(waiting("quick", &quick, &free)), ..Options::default() };
    thread.generate_text_with("Go.", options).await.expect("an answer");
    reach(&quick, 1).await;
    may_go_on.cancel();
    emptied(&office).await;
    assert_eq!(begun.load(Ordering::Relaxed), 1, "it was told once, and to its end");
}

#[tokio::test]
async fn a_handler_in_the_place_of_another_is_told_what_that_one_has_left() {
    let office = Office::with([text("one"), text("two")]).await;
    let broken = OnUsage::later("remote", |_| async { Err::<(), _>("nobody is there") });
    let thread = office.thread(&office.agent().on_usage(broken)).await;
    thread.generate_text("Go.").await.expect("an answer");
    let mut failed = office
        .runtime
        .store()
        .watch(|tx| Ok(outbox::waiting(tx, 1)?.first().is_some_and(|row| row.last_error.is_some())));
    while !soon(failed.next()).await.expect("open").expect("read") {}
    let told = Arc::new(AtomicU32::new(0));
    let counts = told.clone();
    let mended = OnUsage::later("remote", move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, std::io::Error>(()) }
    });
    let options = Options { on_usage: Some(mended), ..Options::default() };
    thread.generate_text_with("Go.", options).await.expect("an answer");
    office.told().await;
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_exchange_has_the_body_that_was_sent_and_what_came() {
    let provider = FakeProvider::start().await;
    provider.lenient().otherwise(|_| Reply::new().text("On its way."));
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let openai = OpenAi::with(OpenAiOptions { http, ..OpenAiOptions::compatible(provider.url(), "sk-test") });
    let office = Office::with([]).await;
    let seen = Arc::new(Mutex::new(Vec::<Exchange>::new()));
    let keeps = seen.clone();
    let log = OnExchange::new("log", move |exchange| {
        keeps.lock().expect("nothing panics").push(exchange);
        async { Ok::<_, std::io::Error>(()) }
    });
    let agent = Agent::new("clerk", openai.chat("loom-1") as Arc<dyn LanguageModel>).on_exchange(log);
    let thread = office.thread(&agent).await;
    thread.generate_text("Where is my parcel?").await.expect("an answer");
    office.told().await;
    let seen = seen.lock().expect("nothing panics").clone();
    let request = seen[0].request.as_ref().expect("the body").to_string();
    assert!(request.contains("Where is my parcel?") && request.contains("loom-1"), "{request}");
    assert_eq!(seen[0].reply.text(), "On its way.");
}
