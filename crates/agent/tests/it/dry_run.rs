//! What would be sent.

use std::sync::Arc;

use loomwork_agent::context::{ContextOptions, Origin};
use loomwork_agent::{
    Admission, Agent, AgentError, Field, Hold, InputGuard, NextStep, OnUsage, Options, OutputGuard,
    PrepareStep, Tool, ToolContext, Verdict, step_count,
};
use loomwork_models::{LanguageModel, Message, MockModel, Role, Settings, ToolChoice};
use loomwork_store::Id;

use super::desk::{Desk, text};

#[tokio::test]
async fn a_dry_run_shows_what_would_be_sent_and_does_nothing() {
    let desk = Desk::with([text("On its way.")]).await;
    let look = Tool::new("look", "Looks.", |_: ToolContext, (): ()| async { "seen" });
    let headers = [("x-key".to_owned(), "top secret".to_owned())].into();
    let settings = Settings { temperature: Some(0.1), headers, ..Settings::default() };
    let agent = desk.agent().tool(look).expect("a tool").settings(settings).stop_when(step_count(2));
    let thread = desk.thread(&agent).await;
    thread.generate_text("Where is my parcel?").await.expect("an answer");
    let (rows, asked) = (desk.rows(&thread).await.len(), desk.model.requests().len());

    let call = Options {
        settings: Settings { seed: Some(7), ..Settings::default() },
        tool_choice: Some(ToolChoice::Required),
        context: ContextOptions { max_tokens: 1_000.into(), ..ContextOptions::default() },
        unset: vec![Field::StopWhen],
        ..Options::default()
    };
    let dry = thread.dry_run("And when?", call.clone()).await.expect("a dry run");
    let told: Vec<_> =
        dry.context.pieces.iter().map(|piece| (piece.origin.name(), piece.message.text())).collect();
    let told: Vec<_> = told.iter().map(|(origin, text)| (*origin, text.as_str())).collect();
    assert_eq!(
        told,
        [
            ("instructions", "Be helpful."),
            ("recent", "Where is my parcel?"),
            ("recent", "On its way."),
            ("prompt", "And when?"),
        ]
    );
    assert!(dry.context.pieces[1].id.is_some() && matches!(dry.context.pieces[1].origin, Origin::Recent));
    assert_eq!((dry.settings.temperature, dry.settings.seed), (Some(0.1), Some(7)));
    assert_eq!((dry.tools.len(), dry.tool_choice.clone()), (1, ToolChoice::Required));
    assert_eq!((dry.values.max_tokens, dry.goes_on), (Some(1_000), false));
    let shown = dry.to_string();
    for words in [
        "\"support\" asks mock/mock in thread_",
        "tools: look",
        "Required",
        "one step",
        "And when?",
        "of 1000",
    ] {
        assert!(shown.contains(words), "{words:?} in {shown}");
    }
    assert!(!shown.contains("top secret"), "{shown}");
    assert_eq!((desk.rows(&thread).await.len(), desk.model.requests().len()), (rows, asked));

    // It is what is sent.
    desk.model.push(text("Tomorrow."));
    thread.generate_text_with("And when?", call).await.expect("an answer");
    let sent = desk.model.requests().pop().expect("it was asked");
    assert_eq!((sent.messages, sent.tools, sent.settings), (dry.context.messages(), dry.tools, dry.settings));
}

#[tokio::test]
async fn what_would_fail_before_anything_is_stored_fails_in_a_dry_run() {
    let desk = Desk::with([]).await;
    let thread = desk.thread(&desk.agent()).await;
    let unset = Options { unset: vec![Field::Model], ..Options::default() };
    let refused = thread.dry_run("Go.", unset.clone()).await;
    assert!(matches!(refused, Err(AgentError::NoModel { agent }) if agent == "support"));
    assert!(matches!(thread.generate_text_with("Go.", unset).await, Err(AgentError::NoModel { .. })));
    let missing =
        loomwork_messages::runs::Prompt::Message(Id::from_raw(loomwork_core::RawId::from_bytes([1; 16])));
    let refused = thread.dry_run(missing, Options::default()).await;
    assert!(matches!(refused, Err(AgentError::Context { .. })), "{refused:?}");
    let refused = thread.dry_run("Go.", Options::default().without_tool("gone")).await;
    assert!(matches!(refused, Err(AgentError::Tools { .. })), "{refused:?}");
    let model = Arc::new(MockModel::always(text("never"))) as Arc<dyn LanguageModel>;
    assert_eq!(Agent::new("other", model).name(), "other");
    assert!(desk.rows(&thread).await.is_empty());
}

#[tokio::test]
async fn a_dry_run_goes_by_guards_and_by_whoever_prepares_the_step_and_lists_all_hooks() {
    let desk = Desk::with([text("Seen.")]).await;
    let other = Arc::new(MockModel::new([text("Seen by another.")]).with_name("mock", "other"));
    let asked = other.clone();
    let guard = InputGuard::new("words", |messages: Vec<Message>| async move {
        let redacted = messages.into_iter().map(|message| match message.role {
            Role::User => Message::user(message.text().replace("tulip", "...")),
            _ => message,
        });
        Ok(Verdict::Replace(redacted.collect()))
    });
    let prepare = PrepareStep::new(move |mut next: NextStep| {
        let other = other.clone();
        async move {
            next.model = other as Arc<dyn LanguageModel>;
            next.settings.seed = Some(3);
            Ok(next)
        }
    });
    let silent = OutputGuard::new("silence", |_: String| async { Ok(Verdict::Pass) });
    let agent = desk.agent().input_guard(guard).prepare_step(prepare).output_guard(silent);
    let agent = agent.admission(Admission::before_call("tokens", |_, _| Ok(Hold::none())));
    let agent = agent.on_usage(OnUsage::new("bill", |_, _| Ok(())));
    let thread = desk.thread(&agent).await;
    let dry = thread.dry_run("Where is the tulip?", Options::default()).await.expect("a dry run");
    assert_eq!(dry.model.model, "other");
    assert_eq!(dry.messages.last().map(Message::text).as_deref(), Some("Where is the ...?"));
    let context = dry.context.messages();
    assert_eq!(context.last().map(Message::text).as_deref(), Some("Where is the tulip?"));
    assert_eq!(
        dry.hooks,
        [
            "input guard words",
            "prepare step",
            "admission tokens",
            "output guard silence",
            "usage handler bill"
        ]
    );
    assert!(dry.to_string().contains("hooks: input guard words, prepare step"), "{dry}");
    thread.generate_text("Where is the tulip?").await.expect("an answer");
    let sent = asked.requests().pop().expect("it was asked");
    assert_eq!((sent.messages, sent.settings), (dry.messages, dry.settings));

    let blocks = InputGuard::new("no", |_| async { Ok(Verdict::Block("not this".into())) });
    let options = Options { input_guards: Some(vec![blocks]), ..Options::default() };
    let error = thread.dry_run("Go.", options).await.expect_err("it is blocked");
    assert!(matches!(error, AgentError::Blocked { guard: "no", .. }), "{error}");
}
