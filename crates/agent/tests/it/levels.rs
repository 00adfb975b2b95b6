//! Options and tools at three levels: the agent, the thread's handle, the call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use loomwork_agent::context::{ContextHandler, ContextOptions, ContextValues, EditsRule, Piece};
use loomwork_agent::{
    Admission, Agent, AgentError, BoxError, Compaction, Field, Hold, InputGuard, LIST_TIMEOUT, OnExchange,
    OnUsage, Options, OutputGuard, ParentRun, PrepareStep, Runtime, Storage, Tool, ToolContext, ToolInfo,
    ToolMount, ToolSource, Tools, Values, Verdict, step_count, tables,
};
use loomwork_core::{Clock, Fault, Kind, RawId, Time};
use loomwork_messages::RunId;
use loomwork_messages::threads::NewThread;
use loomwork_models::{
    Data, Estimator, ImageModel, LanguageModel, Message, MockImages, MockModel, MockReply, ProviderData,
    ReasoningEffort, Settings, ToolChoice, ToolOutput, ToolSpec,
};
use loomwork_store::Store;
use loomwork_testkit::soon;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, text};
use super::logs::Warnings;

fn named(name: &str) -> Tool {
    Tool::new(name, format!("Does {name}."), |_: ToolContext, (): ()| async { "done" })
}

fn tools<const N: usize>(names: [&str; N]) -> Tools {
    Tools::of(names.map(named)).expect("they can be used together")
}

fn with(tools: Tools) -> Options {
    Options { tools: Some(tools), ..Options::default() }
}

/// Returns the tools that the model was last offered.
fn offered(model: &MockModel) -> Vec<String> {
    let specs = model.requests().pop().expect("it was asked").tools;
    let name = |spec: &ToolSpec| match spec {
        ToolSpec::Function { name, .. } => name.clone(),
        other => panic!("{other:?} is no function"),
    };
    specs.iter().map(name).collect()
}

async fn desk() -> Desk {
    let desk = Desk::with([]).await;
    Desk { model: Arc::new(MockModel::always(text("Done."))), ..desk }
}

#[tokio::test]
async fn tools_of_the_call_replace_those_of_the_handle_and_those_the_agents() {
    let desk = desk().await;
    let agent = desk.agent().tool(named("agent")).expect("a tool");
    let thread = desk.thread(&agent).await;
    thread.generate_text("Go.").await.expect("an answer");
    assert_eq!(offered(&desk.model), ["agent"]);
    let thread = thread.with(with(tools(["thread"])));
    thread.generate_text("Go.").await.expect("an answer");
    assert_eq!(offered(&desk.model), ["thread"]);
    thread.generate_text_with("Go.", with(tools(["call"]))).await.expect("an answer");
    assert_eq!(offered(&desk.model), ["call"]);
    thread.generate_text_with("Go.", with(Tools::new())).await.expect("an answer");
    assert!(offered(&desk.model).is_empty(), "none replace those of the levels above too");
    let unset = Options { unset: vec![Field::Tools], ..Options::default() };
    thread.generate_text_with("Go.", unset).await.expect("an answer");
    assert!(offered(&desk.model).is_empty());
}

#[tokio::test]
async fn tools_come_and_go_where_a_level_says_so() {
    let desk = desk().await;
    let agent = desk.agent().tool(named("a")).expect("a tool").tool(named("b")).expect("a tool");
    let handle = Options::default().add_tools(tools(["c"])).without_tool("a");
    let thread = desk.thread(&agent).await.with(handle);
    thread.generate_text("Go.").await.expect("an answer");
    assert_eq!(offered(&desk.model), ["b", "c"]);
    let call = Options::default().without_tool("c").add_tools(tools(["a", "d"]));
    thread.generate_text_with("Go.", call).await.expect("an answer");
    assert_eq!(offered(&desk.model), ["b", "a", "d"]);
    // What replaces the tools of the levels above replaces what they changed too.
    let call = with(tools(["e"])).add_tools(tools(["f"]));
    thread.generate_text_with("Go.", call).await.expect("an answer");
    assert_eq!(offered(&desk.model), ["e", "f"]);
}

#[tokio::test]
async fn tools_of_one_name_are_an_error_that_shows_both_and_stores_nothing() {
    let desk = desk().await;
    let agent = desk.agent().tool(named("a")).expect("a tool");
    let thread = desk.thread(&agent).await;
    let other = Tool::new("a", "Does something else.", |_: ToolContext, (): ()| async {});
    let call = Options::default().add_tools(Tools::of([other]).expect("a tool"));
    let error = thread.generate_text_with("Go.", call).await.expect_err("they clash");
    assert!(matches!(&error, AgentError::Tools { agent, .. } if agent == "support"), "{error}");
    let told = error.to_string();
    assert!(told.contains("\"Does a.\"") && told.contains("\"Does something else.\""), "{told}");
    assert_eq!(error.kind(), Kind::Invalid);
    let gone = thread.generate_text_with("Go.", Options::default().without_tool("b")).await;
    assert!(gone.expect_err("there is no b").to_string().contains("there is no tool `b`; there is `a`"));
    assert!(desk.model.requests().is_empty() && desk.rows(&thread).await.is_empty());
}

/// A server whose tools change.
struct Server {
    tools: Mutex<Vec<&'static str>>,
    is_down: AtomicBool,
}

impl Server {
    fn of(tools: impl Into<Vec<&'static str>>) -> Arc<Self> {
        Arc::new(Self { tools: Mutex::new(tools.into()), is_down: AtomicBool::new(false) })
    }
}

#[async_trait]
impl ToolSource for Server {
    fn name(&self) -> &str {
        "docs"
    }

    async fn list(&self) -> Result<Vec<ToolInfo>, BoxError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err("it is down".into());
        }
        let tools = self.tools.lock().expect("nobody panics").clone();
        Ok(tools
            .into_iter()
            .map(|name| ToolInfo::new(name, "Finds pages.", json!({ "type": "object" })))
            .collect())
    }

    async fn call(&self, tool: &str, ctx: ToolContext, _: Value) -> Result<ToolOutput, BoxError> {
        Ok(ToolOutput::Text(format!("{tool} for {}", ctx.agent())))
    }
}

#[tokio::test]
async fn a_source_is_asked_for_its_tools_whenever_something_is_generated() {
    let desk = Desk::with([
        MockReply::default().tool_call("1", "docs_find", json!({})),
        text("Found."),
        text("Nothing."),
    ])
    .await;
    let server = Server::of(["find"]);
    let mount = ToolMount::new(server.clone()).with_prefix("docs");
    let agent = desk.agent().tool(named("own")).expect("a tool").tool_source(mount).stop_when(step_count(3));
    let thread = desk.thread(&agent).await;
    let reply = thread.generate_text("Find it.").await.expect("an answer");
    assert_eq!(offered(&desk.model), ["own", "docs_find"]);
    let result = reply.steps[0].calls[0].result.as_ref().expect("a result");
    assert_eq!(result.output, ToolOutput::Text("find for support".into()));
    *server.tools.lock().expect("nobody panics") = vec!["read", "write"];
    thread.generate_text("Again.").await.expect("an answer");
    assert_eq!(offered(&desk.model), ["own", "docs_read", "docs_write"]);
}

#[tokio::test]
async fn a_source_of_any_level_is_heard_and_its_tools_can_be_taken_away() {
    let desk = desk().await;
    let thread = desk.thread(&desk.agent().tool_source(Server::of(["a"]))).await;
    let thread = thread.with(Options::default().tool_source(Server::of(["b", "c"])).without_tool("b"));
    let call = Options::default().tool_source(Server::of(["d"])).without_tool("a");
    thread.generate_text_with("Go.", call).await.expect("an answer");
    assert_eq!(offered(&desk.model), ["c", "d"]);
    let error = thread.generate_text_with("Go.", Options::default().tool_source(Server::of(["c"]))).await;
    let told = error.expect_err("they clash").to_string();
    assert!(told.contains("`c`") && told.contains("of `docs`"), "{told}");
}

#[tokio::test]
async fn a_source_that_fails_is_an_error_or_is_left_out() {
    let desk = desk().await;
    let server = Server::of(["find"]);
    server.is_down.store(true, Ordering::Relaxed);
    let thread = desk.thread(&desk.agent().tool(named("own")).expect("a tool")).await;
    let error = thread.generate_text_with("Go.", Options::default().tool_source(server.clone())).await;
    let error = error.expect_err("it is down");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("the tools of `docs` cannot be listed"), "{error}");
    assert!(desk.rows(&thread).await.is_empty());

    let (warnings, _listening) = Warnings::listen();
    let mount = ToolMount::new(server).skipped_when_failing();
    // What it would have brought can be taken away all the same.
    let call = Options::default().tool_source(mount).without_tool("find");
    thread.generate_text_with("Go.", call).await.expect("an answer");
    assert_eq!(offered(&desk.model), ["own"]);
    assert!(warnings.of("left out")[0].contains("it is down"));
}

/// A server that never answers, and says when it is asked.
#[derive(Default)]
struct Silent(CancellationToken);

#[async_trait]
impl ToolSource for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    async fn list(&self) -> Result<Vec<ToolInfo>, BoxError> {
        self.0.cancel();
        std::future::pending().await
    }

    async fn call(&self, _: &str, _: ToolContext, _: Value) -> Result<ToolOutput, BoxError> {
        Err("it has no tools".into())
    }
}

#[tokio::test]
async fn a_source_has_its_time_to_list_its_tools() {
    let hand = Clock::manual(Time::EPOCH);
    let store = Store::memory().clock(hand.clock()).tables(tables()).open().await.expect("a store");
    let runtime = Runtime::start(&store).await.expect("a runtime");
    let model = Arc::new(MockModel::always(text("never")));
    let silent = Arc::new(Silent::default());
    let agent = Agent::new("support", model as Arc<dyn LanguageModel>).tool_source(silent.clone());
    let asked = agent.for_nobody(&runtime);
    let waits = async {
        silent.0.cancelled().await;
        hand.advance(LIST_TIMEOUT + Duration::from_millis(1));
    };
    let (answered, ()) = soon(async { tokio::join!(asked.generate_text("Go."), waits) }).await;
    let error = answered.expect_err("it never lists");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("`silent`"), "{error}");
}

fn parent() -> ParentRun {
    let run = RunId::from_raw(RawId::from_bytes([9; 16]));
    ParentRun { run, thread: None, root: run, root_thread: None, depth: 1 }
}

/// Options that say something of everything.
fn everything() -> Options {
    let settings = Settings {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.2),
        stop_sequences: vec!["END".into()],
        seed: Some(7),
        reasoning_effort: Some(ReasoningEffort::Low),
        headers: [("x-trace".to_owned(), "1".to_owned())].into(),
        timeout: Some(Duration::from_secs(5)),
        max_retries: Some(1),
        keep_request_body: true,
    };
    Options {
        instructions: Some("Be brief.".into()),
        model: Some(Arc::new(MockModel::always(text("above")))),
        image_model: Some(
            Arc::new(MockImages::new(Data::Url("https://example.com/a.png".into()))) as Arc<dyn ImageModel>
        ),
        tools: Some(tools(["a"])),
        tool_choice: Some(ToolChoice::Required),
        stop_when: Some(step_count(3)),
        compaction: Some(Compaction::by("summaries", |_| async { Ok(String::new()) })),
        context_handler: Some(ContextHandler::new(|_, pieces| pieces)),
        token_counter: Some(Arc::new(Estimator)),
        messages: Some(vec![Message::user("before")]),
        storage: Some(Storage::All),
        settings,
        provider_options: ProviderData::from_iter([("openai".to_owned(), json!({ "user": "alice" }))]),
        caller: Some("mail".into()),
        values: Values::of(&json!({ "tenant": "loom" })).expect("JSON with names"),
        parent: Some(parent()),
        durable: Some(true),
        admissions: Some(vec![Admission::before_run("all", |_, _| Ok(Hold::none()))]),
        keep_refused_prompt: Some(true),
        prepare_step: Some(PrepareStep::new(|next| async { Ok(next) })),
        input_guards: Some(vec![InputGuard::new("in", |_| async { Ok(Verdict::Block("no".into())) })]),
        output_guards: Some(vec![OutputGuard::new("out", |_| async { Ok(Verdict::Block("no".into())) })]),
        on_usage: Some(OnUsage::new("usage", |_, _| Ok(()))),
        on_exchange: Some(OnExchange::new("exchange", |_| async { Ok::<_, BoxError>(()) })),
        ..Options::default()
    }
    .without_tool("b")
}

#[test]
fn each_option_is_taken_back_alone_at_each_level_and_may_be_said_again_below() {
    for field in Field::ALL {
        assert!(everything().says(*field), "{field:?} has a value to take back");
        let taken_back = || Options { unset: vec![*field], ..Options::default() };
        let merged = [
            // Agent and thread, agent and call, thread and call.
            everything().merged(taken_back()).merged(Options::default()),
            everything().merged(Options::default()).merged(taken_back()),
            everything().merged(Options::default().merged(taken_back())),
            everything().merged(taken_back().merged(Options::default())),
            Options::default().merged(everything()).merged(taken_back()),
            Options::default().merged(everything().merged(taken_back())),
        ];
        for options in merged {
            for other in Field::ALL {
                assert_eq!(options.says(*other), other != field, "{other:?} where {field:?} is taken back");
            }
        }
        let said_again = everything().merged(taken_back().merged(everything()));
        assert!(Field::ALL.iter().all(|other| said_again.says(*other)), "{field:?} is said again");
        let said_with_it = everything().merged(Options { unset: vec![*field], ..everything() });
        assert!(said_with_it.says(*field), "what a level says holds, though it takes back what is above");
        // What nobody says is left to the level above.
        let inherited = everything().merged(Options::default());
        assert!(inherited.says(*field));
    }
}

#[tokio::test]
async fn what_is_taken_back_does_not_reach_the_model() {
    let desk = desk().await;
    let model = desk.model.clone() as Arc<dyn LanguageModel>;
    let agent = desk.agent().with(Options { model: Some(model), ..everything().without_tool("a") });
    let agent = agent.with(with(tools(["a"])));
    let thread = desk.thread(&agent).await;
    let unset = Field::ALL.iter().copied().filter(|field| *field != Field::Model).collect();
    thread.generate_text_with("Go.", Options { unset, ..Options::default() }).await.expect("an answer");
    let asked = desk.model.requests().pop().expect("it was asked");
    assert_eq!(asked.settings, Settings::default());
    assert!(asked.tools.is_empty() && asked.provider_options.is_empty());
    assert_eq!((asked.tool_choice, asked.messages), (ToolChoice::Auto, vec![Message::user("Go.")]));
}

/// Each option of the context with a value that is not its default.
fn context_options() -> Vec<(&'static str, Value)> {
    vec![
        ("recent", json!(7)),
        ("maxTurn", json!(9)),
        ("excludeTools", json!(true)),
        ("otherThreads", json!(true)),
        ("edits", json!({ "last": 2 })),
        ("maxTokens", json!(500)),
        ("dropFirst", json!(["edits"])),
    ]
}

/// As above, of the search.
fn search_options() -> Vec<(&'static str, Value)> {
    let recency = json!({ "halfLife": { "secs": 60, "nanos": 0 }, "weight": 0.5 });
    vec![
        ("limit", json!(3)),
        ("text", json!(true)),
        ("vector", json!(true)),
        ("threshold", json!(0.25)),
        ("before", json!(0)),
        ("after", json!(0)),
        ("recency", recency),
    ]
}

fn read(options: Value) -> ContextOptions {
    serde_json::from_value(options).expect("they are options")
}

#[test]
fn each_option_of_the_context_is_taken_back_alone() {
    let (plain, search) = (context_options(), search_options());
    let all = |leave_out: &str| {
        let object = |options: &[(&'static str, Value)]| -> serde_json::Map<String, Value> {
            let kept = options.iter().filter(|(name, _)| *name != leave_out);
            kept.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let mut whole = object(&plain);
        whole.insert("search".to_owned(), Value::Object(object(&search)));
        read(Value::Object(whole))
    };
    let names = serde_json::to_value(all("")).expect("they are written");
    assert_eq!(names.as_object().map(serde_json::Map::len), Some(plain.len() + 1));
    for (name, _) in plain.iter().chain(&search) {
        let is_of_search = search.iter().any(|(of_search, _)| of_search == name);
        let taken_back = match is_of_search {
            true => json!({ "search": { *name: null } }),
            false => json!({ *name: null }),
        };
        let taken_back = || read(taken_back.clone());
        let resolve = |options: ContextOptions| options.resolve().expect("they make sense");
        let without = resolve(all(name));
        assert_ne!(resolve(all("")), without, "{name} makes a difference");
        assert_eq!(resolve(all("").merged(taken_back())), without, "{name}");
        assert_eq!(
            resolve(all("").merged(taken_back().merged(ContextOptions::default()))),
            without,
            "{name}"
        );
        assert_eq!(
            resolve(ContextOptions::default().merged(all("")).merged(taken_back())),
            without,
            "{name}"
        );
        assert_eq!(
            resolve(all("").merged(taken_back()).merged(all(""))),
            resolve(all("")),
            "{name} said again"
        );
    }
    assert_eq!(ContextOptions::default().resolve().expect("they make sense"), ContextValues::default());
    assert_eq!(ContextValues::default().edits, EditsRule::Last(5));
}

#[tokio::test]
async fn the_nearest_context_handler_has_the_last_word() {
    let desk = desk().await;
    let says = |word: &'static str| {
        ContextHandler::new(move |_, mut pieces| {
            pieces.push(Piece::added(Message::user(word)));
            pieces
        })
    };
    let last = || desk.model.requests().pop().and_then(|asked| asked.messages.last().map(Message::text));
    let agent = desk.agent().context_handler(says("agent"));
    let thread = desk.thread(&agent).await;
    thread.generate_text("Go.").await.expect("an answer");
    assert_eq!(last().as_deref(), Some("agent"));
    let handler = |word| Options { context_handler: Some(says(word)), ..Options::default() };
    let thread = thread.with(handler("thread"));
    thread.generate_text("Go.").await.expect("an answer");
    assert_eq!(last().as_deref(), Some("thread"));
    thread.generate_text_with("Go.", handler("call")).await.expect("an answer");
    assert_eq!(last().as_deref(), Some("call"));
    let unset = Options { unset: vec![Field::ContextHandler], ..Options::default() };
    thread.generate_text_with("Go.", unset).await.expect("an answer");
    assert_eq!(last().as_deref(), Some("Go."));
}

#[tokio::test]
async fn messages_of_the_caller_go_before_the_prompt_and_are_not_stored() {
    let desk = desk().await;
    let thread = desk.thread(&desk.agent()).await;
    let call = Options { messages: Some(vec![Message::user("The shop is closed.")]), ..Options::default() };
    thread.generate_text_with("Is it open?", call).await.expect("an answer");
    let told: Vec<_> = desk.model.requests()[0].messages.iter().map(Message::text).collect();
    assert_eq!(told, ["Be helpful.", "The shop is closed.", "Is it open?"]);
    assert_eq!(desk.rows(&thread).await.len(), 2);
}

#[tokio::test]
async fn what_is_stored_is_said_by_an_option() {
    let desk = desk().await;
    let thread = desk.thread(&desk.agent()).await;
    let asked = |storage| Options {
        storage: Some(storage),
        messages: Some(vec![Message::user("before")]),
        ..Options::default()
    };
    let texts = async || desk.rows(&thread).await.iter().map(|row| row.message.text()).collect::<Vec<_>>();
    thread.generate_text_with("one", asked(Storage::PromptAndAnswer)).await.expect("an answer");
    assert_eq!(texts().await, ["one", "Done."]);
    thread.generate_text_with("two", asked(Storage::All)).await.expect("an answer");
    assert_eq!(texts().await, ["one", "Done.", "before", "two", "Done."]);
    let unstored = thread.generate_text_with("three", asked(Storage::Nothing)).await.expect("an answer");
    assert_eq!((texts().await.len(), unstored.stored), (5, None));
    let told: Vec<_> = desk.model.requests()[2].messages.iter().map(Message::text).collect();
    assert_eq!(told, ["Be helpful.", "one", "Done.", "before", "two", "Done.", "before", "three"]);
}

#[tokio::test]
async fn agents_share_a_thread_each_under_its_name_and_the_handle_says_who_asks() {
    let desk = desk().await;
    let thread = desk.thread(&desk.agent()).await;
    thread.generate_text("one").await.expect("an answer");
    let other = Agent::new("other", desk.model.clone() as Arc<dyn LanguageModel>);
    let handle = other.in_thread(&desk.runtime, thread.id()).by_user("bob");
    handle.generate_text("two").await.expect("an answer");
    let rows = desk.rows(&thread).await;
    let by: Vec<_> = rows.iter().map(|row| (row.agent.as_deref(), row.user.as_deref())).collect();
    let (alice, bob) = (Some("alice"), Some("bob"));
    assert_eq!(by, [(None, alice), (Some("support"), alice), (None, bob), (Some("other"), bob)]);
    assert_eq!(desk.model.requests()[1].messages.len(), 3, "the one is told what the other said");
}

#[test]
fn what_is_said_of_a_provider_merges_field_by_field() {
    let said = |fields: Value| Options::<()> {
        provider_options: ProviderData::from_iter([("openai".to_owned(), fields)]),
        ..Options::default()
    };
    let merged = said(json!({ "user": "alice", "store": true })).merged(said(json!({ "store": false })));
    assert_eq!(merged.provider_options["openai"], json!({ "user": "alice", "store": false }));
}

#[tokio::test]
async fn an_agent_that_stops_before_results_are_read_says_so_once() {
    let desk = desk().await;
    let call = || Arc::new(MockModel::always(MockReply::default().tool_call("1", "a", json!({}))));
    let agent = Agent::new("hasty", call() as Arc<dyn LanguageModel>).tool(named("a")).expect("a tool");
    let thread = desk.thread(&agent).await;
    let (warnings, _listening) = Warnings::listen();
    for _ in 0..3 {
        thread.generate_text("Go.").await.expect("an answer");
    }
    let told = warnings.of("has not read");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("hasty") && told[0].contains("step_count(5)"), "{told:?}");
    // Whoever says when to stop means it.
    let agent = Agent::new("careful", call() as Arc<dyn LanguageModel>).tool(named("a")).expect("a tool");
    agent
        .stop_when(step_count(1))
        .create_thread(&desk.runtime, NewThread::for_user("alice"))
        .await
        .expect("a thread")
        .generate_text("Go.")
        .await
        .expect("an answer");
    assert_eq!(warnings.of("has not read").len(), 1);
}
