//! Who lets an agent begin, who changes what it does next, and who stands before the model and before the user.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork_agent::{
    Admission, Agent, AgentError, Hold, InputGuard, NextStep, ObjectSpec, Options, OutputGuard, Passage,
    PlannedCall, PrepareStep, Tool, ToolContext, Verdict, estimate, journal, step_count,
};
use loomwork_core::{Fault as _, Kind};
use loomwork_messages::runs::Prompt;
use loomwork_messages::{MessageStatus, Run, RunStatus, UiChunk};
use loomwork_models::{
    Chunk, Error, ErrorKind, Gate, LanguageModel, Message, MockModel, MockReply, ObjectOptions, PartKind,
    Role, TokenCounter, ToolChoice, Usage,
};
use loomwork_rate_limiter::{self as limiter, Limit, MINUTE, RateLimited, estimated_tokens};
use loomwork_store::{Result, Table as _, Tx};
use loomwork_testkit::soon;
use serde_json::json;

use super::desk::text;
use super::ledger::{Heard, Office};

const SEND: Limit = Limit::token_bucket("send-message", 1, MINUTE).capacity(2);
const TOKENS: Limit = Limit::token_bucket("tokens", 1, MINUTE).capacity(1_000);
const TERM: Duration = Duration::from_secs(600);

/// One message a minute, two at once.
fn sends() -> Admission {
    Admission::before_run("send-message", |tx, call: &PlannedCall| {
        limiter::limit(tx, &SEND, call.user.as_deref().unwrap_or("nobody"), 1)?;
        Ok(Hold::none())
    })
}

/// Holds 300 tokens for each call.
fn tokens() -> Admission {
    Admission::before_call("tokens", |tx, call: &PlannedCall| {
        let held = limiter::hold(tx, &[TOKENS.ask(call.user.as_deref().unwrap_or("nobody"), 300)], TERM)?;
        Ok(Hold::new(move |tx, used| match used {
            Some(used) => limiter::settle(tx, held.id, &[used.total()]).map(drop),
            None => limiter::release(tx, held.id).map(drop),
        }))
    })
}

fn used(tokens: u64) -> Usage {
    Usage { input_fresh: tokens, ..Usage::default() }
}

impl Office {
    /// Returns how many tokens Alice has left.
    async fn left(&self) -> i64 {
        let left = self.runtime.store().query(|tx| limiter::value(tx, &TOKENS, "alice")).await;
        left.expect("the limit is read")
    }
}

#[tokio::test]
async fn a_limit_holds_what_a_call_may_use_and_books_what_it_used() {
    let call = MockReply::default().tool_call("1", "look", json!({})).with_usage(used(10));
    let office = Office::with([call, text("Seen.").with_usage(used(500))]).await;
    let left = Arc::new(Mutex::new(Vec::new()));
    let (seen, store) = (left.clone(), office.runtime.store().clone());
    let look = Tool::new("look", "Looks.", move |_: ToolContext, (): ()| {
        let (seen, store) = (seen.clone(), store.clone());
        async move {
            let left = store.query(|tx| limiter::value(tx, &TOKENS, "alice")).await?;
            seen.lock().expect("nothing panics").push(left);
            Ok::<_, loomwork_agent::BoxError>("seen")
        }
    });
    let agent = office.agent().tool(look).expect("a tool").stop_when(step_count(2)).admission(tokens());
    let thread = office.thread(&agent).await;
    thread.generate_text("Look.").await.expect("an answer");
    assert_eq!(*left.lock().expect("nothing panics"), [700], "the call was on hold while it was made");
    assert_eq!(office.left().await, 490, "exactly what both calls used");
}

#[tokio::test]
async fn a_failure_books_what_was_used_and_releases_the_rest() {
    let overloaded = || Error::new(ErrorKind::Overloaded, "mock", "mock", "no room");
    let office = Office::with([
        MockReply::default().fail(overloaded()),
        text("half").fail(overloaded().with_usage(used(40))),
    ])
    .await;
    let agent = office.agent().admission(tokens());
    let thread = office.thread(&agent).await;
    thread.generate_text("1").await.expect_err("it fails at once");
    assert_eq!(office.left().await, 1_000);
    thread.generate_text("2").await.expect_err("it fails half way");
    assert_eq!(office.left().await, 960);
}

#[tokio::test]
async fn what_a_limit_refuses_names_it_and_when_to_come_back_and_leaves_nothing() {
    let office = Office::with([text("1"), text("2"), text("never")]).await;
    let agent = office.agent().admission(sends()).admission(tokens());
    let thread = office.thread(&agent).await;
    thread.generate_text("1").await.expect("an answer");
    thread.generate_text("2").await.expect("an answer");
    let before = office.left().await;
    let error = thread.generate_text("3").await.expect_err("it is refused");
    let AgentError::Refused { admission, retry_after, prompt, source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*admission, *prompt), ("send-message", None));
    assert_eq!(*retry_after, Some(MINUTE));
    assert!(matches!(error.kind(), Kind::Limited { wait } if wait == MINUTE));
    let limited = RateLimited::of(source).expect("what the limiter says is there as its own type");
    assert_eq!(limited.retry_after(), Some(MINUTE));
    assert_eq!(office.model.requests().len(), 2, "no model was asked");
    assert_eq!(office.left().await, before, "nothing is on hold");
    let runs = office.runtime.store().query(|tx| tx.count(Run::all())).await.expect("counted");
    assert_eq!(runs, 2);
}

#[tokio::test]
async fn the_prompt_of_a_refused_run_is_kept_if_that_is_wanted_and_answered_later() {
    let office = Office::with([text("1"), text("2"), text("3")]).await;
    let agent = office.agent().admission(sends());
    let options = Options { keep_refused_prompt: Some(true), ..Options::default() };
    let thread = office.thread(&agent).await.with(options).by_user("bob");
    thread.generate_text("one").await.expect("an answer");
    thread.generate_text("two").await.expect("an answer");
    let error = thread.generate_text("three").await.expect_err("it is refused");
    let AgentError::Refused { prompt: Some(prompt), .. } = error else { panic!("{error}") };
    let kept = office.runtime.store().query(move |tx| tx.require(prompt)).await.expect("it is stored");
    assert_eq!(kept.user.as_deref(), Some("bob"), "it is whose it was");
    office.clock.advance(MINUTE);
    let reply = thread.generate_text(Prompt::Message(prompt)).await.expect("an answer");
    assert_eq!(reply.text, "3");
    let asked = office.model.requests().pop().expect("asked").messages;
    assert_eq!(asked.last().map(Message::text).as_deref(), Some("three"));
}

#[tokio::test]
async fn a_call_that_is_refused_later_ends_the_run_and_keeps_its_steps() {
    let call = MockReply::default().tool_call("1", "look", json!({})).with_usage(used(900));
    let office = Office::with([call, text("never")]).await;
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let agent = office.agent().tool(look).expect("a tool").stop_when(step_count(2)).admission(tokens());
    let thread = office.thread(&agent).await;
    let error = thread.generate_text("Look.").await.expect_err("the second call is refused");
    assert!(matches!(error, AgentError::Refused { admission: "tokens", .. }), "{error}");
    assert_eq!(office.left().await, 100, "nothing is on hold");
    let run = office.runtime.store().query(|tx| tx.first(Run::all())).await.expect("read").expect("a run");
    assert_eq!((run.status, run.steps), (RunStatus::Failed, 1));
    assert_eq!(run.error.as_ref().map(|error| error.code.as_str()), Some("refused"));
    let id = run.id;
    let steps = office.runtime.store().query(move |tx| journal::steps(tx, id)).await.expect("read");
    assert!(steps[1].usage.as_ref().is_some_and(Usage::is_empty), "what was not asked has used nothing");
}

#[tokio::test]
async fn limits_hold_outside_of_threads_too() {
    let office = Office::with([text("Hello.").with_usage(used(30))]).await;
    let agent = office.agent().admission(tokens());
    agent.answer(&office.runtime, Some("alice"), "Hi.").await.expect("an answer");
    assert_eq!(office.left().await, 970);
}

#[tokio::test]
async fn a_hold_that_cannot_be_settled_harms_no_answer() {
    let office = Office::with([text("Done.")]).await;
    let broken = Admission::before_run("broken", |_, _| {
        Ok(Hold::new(|_, _| Err(loomwork_store::Error::message(Kind::Internal, "a bug"))))
    });
    let agent = office.agent().admission(broken);
    let thread = office.thread(&agent).await;
    assert_eq!(thread.generate_text("Go.").await.expect("an answer").text, "Done.");
}

#[tokio::test]
async fn an_estimate_is_that_of_the_limiter() {
    let office = Office::with([text("Done.").with_usage(used(37))]).await;
    let agent = office.agent();
    let thread = office.thread(&agent).await;
    let id = thread.id();
    let ask = move |tx: &Tx| -> Result<u64> { estimate(tx, id, "Wo ist es, bitte schön?") };
    let first = office.runtime.store().query(ask).await.expect("estimated");
    assert_eq!(first, estimated_tokens("Wo ist es, bitte schön?", None));
    thread.generate_text("Go.").await.expect("an answer");
    let next = office.runtime.store().query(ask).await.expect("estimated");
    assert_eq!(next, estimated_tokens("Wo ist es, bitte schön?", Some(37)));
}

#[tokio::test]
async fn a_step_is_changed_before_it_is_made() {
    let office = Office::with([MockReply::default().tool_call("1", "look", json!({}))]).await;
    let other = Arc::new(MockModel::new([text("Seen by another.")]).with_name("mock", "other"));
    let asked = other.clone();
    let prepare = PrepareStep::new(move |mut next: NextStep| {
        let other = other.clone();
        async move {
            if next.number == 1 {
                assert_eq!(next.steps.len(), 1);
                next.model = other as Arc<dyn LanguageModel>;
                next.tool_choice = ToolChoice::None;
                next.messages.push(Message::user("Be brief."));
            }
            Ok(next)
        }
    });
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let agent = office.agent().tool(look).expect("a tool").stop_when(step_count(3)).prepare_step(prepare);
    let thread = office.thread(&agent).await;
    let reply = thread.generate_text("Look.").await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.steps[1].model.as_str()), ("Seen by another.", "other"));
    let request = asked.requests().pop().expect("it was asked");
    assert_eq!(request.tool_choice, ToolChoice::None);
    assert_eq!(request.messages.last().map(Message::text).as_deref(), Some("Be brief."));
}

#[tokio::test]
async fn a_step_that_cannot_be_prepared_ends_the_answer() {
    let office = Office::with([text("never")]).await;
    let prepare = PrepareStep::new(|_: NextStep| async move { Err("nobody is there".into()) });
    let agent = office.agent().prepare_step(prepare);
    let thread = office.thread(&agent).await;
    let error = thread.generate_text("Go.").await.expect_err("it is not prepared");
    assert!(matches!(&error, AgentError::Prepare { step: 0, .. }), "{error}");
    assert!(error.to_string().contains("nobody is there"), "{error}");
}

/// Puts three dots in place of a word.
fn without(word: &'static str) -> OutputGuard {
    OutputGuard::new("words", move |said: String| async move {
        Ok(if said.contains(word) { Verdict::Replace(said.replace(word, "...")) } else { Verdict::Pass })
    })
}

/// Returns what a stream hands on, and the answer.
async fn streamed(
    thread: &loomwork_agent::AgentThread,
) -> (Vec<String>, std::result::Result<loomwork_agent::AgentReply, AgentError>) {
    let mut stream = thread.stream_text("Go.").await.expect("it begins");
    let mut deltas = Vec::new();
    while let Some(chunk) = soon(stream.next()).await {
        if let UiChunk::TextDelta { delta, .. } = chunk {
            deltas.push(delta);
        }
    }
    (deltas, soon(stream.finish()).await)
}

#[tokio::test]
async fn what_a_guard_redacts_is_in_no_delta_and_in_no_message() {
    let office = Office::with([text("The key is tulip. Keep it."), text("Gladly.")]).await;
    let agent = office.agent().output_guard(without("tulip"));
    let thread = office.thread(&agent).await;
    let (deltas, reply) = streamed(&thread).await;
    assert_eq!(deltas.concat(), "The key is .... Keep it.");
    assert_eq!(reply.expect("an answer").text, "The key is .... Keep it.");
    thread.generate_text("And then?").await.expect("an answer");
    let asked = office.model.requests().pop().expect("asked").messages;
    assert!(asked.iter().all(|message| !message.text().contains("tulip")), "{asked:?}");
}

#[tokio::test]
async fn a_guard_by_sentences_lets_readers_wait_less() {
    let office = Office::with([text("One is here. Two has the tulip. Three")]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let guard = OutputGuard::new("sentences", move |said: String| {
        sees.lock().expect("nothing panics").push(said.clone());
        async move { Ok(Verdict::Replace(said.replace("tulip", "..."))) }
    });
    let agent = office.agent().output_guard(guard.by(Passage::Sentence));
    let thread = office.thread(&agent).await;
    let (deltas, reply) = streamed(&thread).await;
    assert_eq!(*seen.lock().expect("nothing panics"), ["One is here.", " Two has the tulip.", " Three"]);
    assert_eq!(deltas, ["One is here.", " Two has the ....", " Three"]);
    assert_eq!(reply.expect("an answer").text, "One is here. Two has the .... Three");
}

#[tokio::test]
async fn what_a_guard_blocks_ends_the_answer_and_nothing_of_it_is_seen() {
    let office = Office::with([text("All is well. The code is 1234.")]).await;
    let guard = OutputGuard::new("codes", |said: String| async move {
        Ok(if said.contains("code") { Verdict::Block("it tells a code".into()) } else { Verdict::Pass })
    });
    let agent = office.agent().output_guard(guard.by(Passage::Sentence));
    let thread = office.thread(&agent).await;
    let (deltas, reply) = streamed(&thread).await;
    assert_eq!(deltas, ["All is well."]);
    let error = reply.expect_err("it is blocked");
    assert!(matches!(&error, AgentError::Blocked { guard: "codes", .. }), "{error}");
    let rows = office.runtime.store().query(|tx| tx.scan(loomwork_messages::MessageRow::all())).await;
    let rows = rows.expect("read");
    let answer = rows.iter().find(|row| row.role() == Role::Assistant).expect("an answer");
    assert_eq!((answer.status, answer.message.text().as_str()), (MessageStatus::Failed, "All is well."));
    assert_eq!(answer.error.as_ref().map(|error| error.code.as_str()), Some("blocked"));
}

#[tokio::test]
async fn what_an_input_guard_blocks_reaches_no_model_and_no_store() {
    let office = Office::with([text("never")]).await;
    let guard = InputGuard::new("secrets", |messages: Vec<Message>| async move {
        let has = messages.iter().any(|message| message.text().contains("secret"));
        Ok(if has { Verdict::Block("keep it to yourself".into()) } else { Verdict::Pass })
    });
    let agent = office.agent().input_guard(guard);
    let thread = office.thread(&agent).await;
    let error = thread.generate_text("My secret is tulip.").await.expect_err("it is blocked");
    assert!(matches!(&error, AgentError::Blocked { guard: "secrets", what: "the input", .. }), "{error}");
    assert!(office.model.requests().is_empty());
    let runs = office.runtime.store().query(|tx| tx.count(Run::all())).await.expect("counted");
    assert_eq!(runs, 0);
}

#[tokio::test]
async fn an_input_guard_sees_what_is_new_before_each_step_results_of_tools_too() {
    let office = Office::with([MockReply::default().tool_call("1", "look", json!({})), text("Seen.")]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let guard = InputGuard::new("words", move |messages: Vec<Message>| {
        sees.lock().expect("nothing panics").push(messages.iter().map(|message| message.role).collect());
        async move {
            let redacted = messages.into_iter().map(|message| match message.role {
                Role::User => Message::user(message.text().replace("tulip", "...")),
                _ => message,
            });
            Ok(Verdict::Replace(redacted.collect()))
        }
    });
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let agent = office.agent().tool(look).expect("a tool").stop_when(step_count(2)).input_guard(guard);
    let thread = office.thread(&agent).await;
    thread.generate_text("Where is the tulip?").await.expect("an answer");
    let seen: Vec<Vec<Role>> = seen.lock().expect("nothing panics").clone();
    assert_eq!(seen, [vec![Role::User], vec![Role::Assistant, Role::Tool]]);
    for request in office.model.requests() {
        assert_eq!(request.messages[0].text(), "Where is the ...?");
    }
    let rows = office.runtime.store().query(|tx| tx.scan(loomwork_messages::MessageRow::all())).await;
    assert_eq!(rows.expect("read")[0].message.text(), "Where is the tulip?", "what was said stays");
}

#[tokio::test]
async fn what_a_guard_holds_back_or_blocks_is_counted_too() {
    let long = "The code is 1234. ".repeat(50);
    let hangs = Gate::new();
    let (kind, provider_metadata) = (PartKind::Text, loomwork_models::ProviderData::new());
    let starts = Chunk::PartStart { part: 0, kind, provider_metadata };
    let grows = Chunk::PartDelta { part: 0, delta: long.clone() };
    let half = MockReply::default().chunk(starts).chunk(grows).gate(&hangs);
    let office = Office::with([text(&long), half]).await;
    let guard = OutputGuard::new("codes", |said: String| async move {
        Ok(if said.contains("code") { Verdict::Block("it tells a code".into()) } else { Verdict::Pass })
    });
    let heard = Heard::default();
    let whole = office.agent().on_usage(heard.handler()).output_guard(guard.clone());
    let thread = office.thread(&whole).await;
    thread.generate_text("Go.").await.expect_err("it is blocked");
    let stream = thread.stream_text("Go.").await.expect("it begins");
    soon(hangs.reached()).await;
    stream.abort();
    soon(stream.finish()).await.expect_err("it was called off");
    let events = heard.events();
    for event in &events {
        assert!(
            event.usage.estimated && event.usage.output() > 100,
            "nobody saw it, and it is paid: {event:?}"
        );
    }
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn an_error_of_a_guarded_model_says_nothing_that_no_guard_has_seen() {
    let broken = Error::new(ErrorKind::Overloaded, "mock", "mock", "no room");
    let office = Office::with([text("The tulip is blue.").fail(broken)]).await;
    let thread = office.thread(&office.agent().output_guard(without("tulip"))).await;
    let error = thread.generate_text("Go.").await.expect_err("it breaks off");
    let AgentError::Model { source, .. } = &error else { panic!("{error}") };
    assert!(source.partial().is_none(), "{error:?}");

    let model = Arc::new(MockModel::new([text("\"tulip\"").with_usage(used(8))]));
    let agent = Agent::new("clerk", model as Arc<dyn LanguageModel>).output_guard(without("tulip"));
    let thread = office.thread(&agent).await;
    let spec = ObjectSpec::choice(["rose"]);
    let spec = spec.with(ObjectOptions { max_repairs: 0, ..Default::default() });
    let error = thread.generate_object_with("Which?", spec, Options::default()).await;
    let error = error.expect_err("it is none of them");
    assert!(!format!("{error:?}").contains("tulip"), "{error:?}");
    let AgentError::Model { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.usage().map(Usage::total), Some(8));
}

#[tokio::test]
async fn what_is_planned_is_counted_by_the_agents_own_counter() {
    #[derive(Debug)]
    struct Letters;
    impl TokenCounter for Letters {
        fn count(&self, text: &str) -> u64 {
            1_000 * text.len() as u64
        }
    }
    let office = Office::with([text("Done.")]).await;
    let planned = Arc::new(Mutex::new(Vec::new()));
    let plans = planned.clone();
    let admission = Admission::before_call("plan", move |_, call| {
        plans.lock().expect("nothing panics").push(call.input_tokens);
        Ok(Hold::none())
    });
    let counter: Arc<dyn TokenCounter> = Arc::new(Letters);
    let options = Options { token_counter: Some(counter), ..Default::default() };
    let thread = office.thread(&office.agent().admission(admission).with(options)).await;
    thread.generate_text("Hello").await.expect("an answer");
    assert!(planned.lock().expect("nothing panics")[0] > 5_000);
}

#[tokio::test]
async fn guards_and_admissions_of_a_call_come_to_those_of_the_agent() {
    let office = Office::with([text("A tulip and a rose."), text("A tulip and a rose.")]).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let admission = |name: &'static str| {
        let asked = asked.clone();
        Admission::before_call(name, move |_, _| {
            asked.lock().expect("nothing panics").push(name);
            Ok(Hold::none())
        })
    };
    let agent = office.agent().output_guard(without("tulip")).admission(admission("agent"));
    let thread = office.thread(&agent).await;
    let own = || Options {
        output_guards: Some(vec![without("rose")]),
        admissions: Some(vec![admission("call")]),
        ..Options::default()
    };
    let reply = thread.generate_text_with("Go.", own()).await.expect("an answer");
    assert_eq!(reply.text, "A ... and a ....");
    assert_eq!(*asked.lock().expect("nothing panics"), ["agent", "call"]);
    let unset = vec![loomwork_agent::Field::OutputGuards, loomwork_agent::Field::Admissions];
    let reply = thread.generate_text_with("Go.", Options { unset, ..own() }).await.expect("an answer");
    assert_eq!(reply.text, "A tulip and a ....");
    assert_eq!(*asked.lock().expect("nothing panics"), ["agent", "call", "call"]);
}

#[tokio::test]
async fn an_end_of_a_sentence_is_seen_wherever_the_model_pauses() {
    let (kind, provider_metadata) = (PartKind::Text, loomwork_models::ProviderData::new());
    let starts = Chunk::PartStart { part: 0, kind, provider_metadata: provider_metadata.clone() };
    let grows = |delta: &str| Chunk::PartDelta { part: 0, delta: delta.to_owned() };
    let pieces = ["One", ".", " Tw", "o costs 1.", "5!", "\n", "Drei。Vier", "? ", "…"];
    let reply =
        pieces.iter().fold(MockReply::default().chunk(starts), |reply, piece| reply.chunk(grows(piece)));
    let office = Office::with([reply.chunk(Chunk::PartEnd { part: 0, provider_metadata })]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let guard = OutputGuard::new("sentences", move |said: String| {
        sees.lock().expect("nothing panics").push(said);
        async { Ok(Verdict::Pass) }
    });
    let thread = office.thread(&office.agent().output_guard(guard.by(Passage::Sentence))).await;
    let reply = thread.generate_text("Count.").await.expect("an answer");
    assert_eq!(reply.text, pieces.concat());
    let seen = seen.lock().expect("nothing panics").clone();
    assert_eq!(seen, ["One.", " Two costs 1.5!\n", "Drei。", "Vier?", " …"]);
}
