//! The spans of an answer, as OpenTelemetry's conventions for generative AI want them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard};

use loomwork_agent::context::{ContextOptions, SearchOptions};
use loomwork_agent::{ObjectSpec, Options, Tool, ToolContext, step_count};
use loomwork_files::{Blobs, Files};
use loomwork_messages::Failure;
use loomwork_messages::find;
use loomwork_messages::runs::abort_all;
use loomwork_models::{
    Data, Error, ErrorKind, Gate, ImageModel, MockImages, MockReply, OfflineEmbedder, Settings, Usage,
};
use loomwork_search::Search;
use loomwork_testkit::soon;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::desk::text;
use super::ledger::Office;

const NAMES: [&str; 5] = ["invoke_agent", "chat", "generate_content", "execute_tool", "embeddings"];

#[derive(Clone, Debug, Default)]
struct Noted {
    fields: BTreeMap<&'static str, String>,
    /// The span that it lies in, among those that are listened for.
    parent: Option<usize>,
}

impl Noted {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

impl Visit for Noted {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Writes down spans, what is noted in them, and which lies in which.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    spans: Vec<Noted>,
    entered: Vec<usize>,
}

impl Listener {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().expect("nothing panics while it listens")
    }

    fn named(&self, name: &str) -> Vec<(usize, Noted)> {
        let heard = self.heard();
        let spans = heard.spans.iter().cloned().enumerate();
        spans.filter(|(_, span)| span.get("gen_ai.operation.name") == name).collect()
    }
}

fn number(id: &span::Id) -> usize {
    usize::try_from(id.into_u64()).expect("a number that we gave") - 1
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && NAMES.contains(&metadata.name())
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut heard = self.heard();
        let mut noted = Noted { parent: heard.entered.last().copied(), ..Noted::default() };
        attributes.record(&mut noted);
        heard.spans.push(noted);
        span::Id::from_u64(heard.spans.len() as u64)
    }

    fn record(&self, id: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.heard().spans[number(id)]);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &span::Id) {
        self.heard().entered.push(number(id));
    }

    fn exit(&self, id: &span::Id) {
        let mut heard = self.heard();
        let last = heard.entered.iter().rposition(|entered| *entered == number(id));
        last.map(|last| heard.entered.remove(last));
    }
}

#[tokio::test]
async fn an_answer_is_a_trace_of_its_calls_and_tools_without_content() {
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let usage = Usage { input_fresh: 7, input_cache_read: 3, output_text: 2, ..Usage::default() };
    let call = MockReply::default().tool_call("1", "look", json!({ "for": "tulip" })).with_usage(usage);
    let office = Office::with([call, text("It is a tulip.")]).await;
    let look = |_: ToolContext, _| async { "a tulip" };
    let look = Tool::dynamic("look", "Looks.", json!({ "type": "object" }), look);
    let settings = Settings { max_output_tokens: Some(200), temperature: Some(0.5), ..Settings::default() };
    let agent = office.agent().tool(look).expect("a tool").stop_when(step_count(2)).settings(settings);
    let thread = office.thread(&agent).await;
    thread.generate_text("Where is the tulip?").await.expect("an answer");

    let runs = listener.named("invoke_agent");
    let [(run, agent)] = runs.as_slice() else { panic!("{runs:?}") };
    assert_eq!((agent.get("otel.name"), agent.get("otel.kind")), ("invoke_agent clerk", "internal"));
    assert_eq!(agent.get("gen_ai.agent.name"), "clerk");
    assert_eq!(agent.get("gen_ai.conversation.id"), thread.id().to_string());
    assert_eq!(agent.get("gen_ai.provider.name"), "mock");
    assert_eq!(agent.get("error.type"), "");
    let (chats, tools) = (listener.named("chat"), listener.named("execute_tool"));
    assert_eq!((chats.len(), tools.len()), (2, 1));
    assert!(chats.iter().chain(&tools).all(|(_, span)| span.parent == Some(*run)), "one trace");
    let expected = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "mock"),
        ("gen_ai.request.max_tokens", "200"),
        ("gen_ai.request.model", "mock"),
        ("gen_ai.request.stream", "true"),
        ("gen_ai.request.temperature", "0.5"),
        ("gen_ai.response.finish_reasons", "[\"tool_call\"]"),
        ("gen_ai.response.model", "mock"),
        ("gen_ai.response.time_to_first_chunk", "0.0"),
        ("gen_ai.usage.cache_read.input_tokens", "3"),
        ("gen_ai.usage.input_tokens", "10"),
        ("gen_ai.usage.output_tokens", "2"),
        ("otel.kind", "internal"),
        ("otel.name", "chat mock"),
    ];
    assert_eq!(chats[0].1.fields, expected.map(|(name, value)| (name, value.to_owned())).into());
    let content = listener.heard().spans.iter().any(|span| format!("{span:?}").contains("tulip"));
    assert!(!content, "no content is in a span");
}

#[tokio::test]
async fn failures_are_errors_and_what_was_called_off_is_none() {
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let hangs = Gate::new();
    let broken = Error::new(ErrorKind::Overloaded, "mock", "mock", "no room");
    let office = Office::with([text("half").fail(broken), text("half").gate(&hangs)]).await;
    let agent = office.agent();
    let thread = office.thread(&agent).await;
    thread.generate_text("1").await.expect_err("it fails");
    let stream = thread.stream_text("2").await.expect("it begins");
    soon(hangs.reached()).await;
    let (id, stopped) = (thread.id(), Failure::new("stopped", "the user pressed stop"));
    office.runtime.store().mutate(move |tx| abort_all(tx, id, None, &stopped)).await.expect("aborted");
    soon(stream.finish()).await.expect_err("it was stopped");
    for name in ["invoke_agent", "chat"] {
        let spans = listener.named(name);
        let told =
            |number: usize| (spans[number].1.get("error.type"), spans[number].1.get("otel.status_code"));
        assert_eq!(told(0), ("overloaded", "ERROR"));
        assert_eq!(told(1), ("", ""));
    }
}

#[tokio::test]
async fn what_is_embedded_to_be_searched_for_has_a_span() {
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let office = Office::with([text("Found.")]).await;
    let search = Search::builder(office.runtime.store()).in_memory().index(find::messages());
    let search = search.embedder(OfflineEmbedder::default()).start().await.expect("the search starts");
    let runtime = office.runtime.clone().with_search(search);
    let options = SearchOptions { vector: true.into(), ..SearchOptions::default() };
    let agent = office.agent().context(ContextOptions { search: options, ..ContextOptions::default() });
    let thread = office.thread(&agent).await;
    agent.in_thread(&runtime, thread.id()).generate_text("Where is it?").await.expect("an answer");
    let spans = listener.named("embeddings");
    let [(_, embeddings)] = spans.as_slice() else { panic!("{spans:?}") };
    let model = embeddings.get("gen_ai.request.model");
    assert_eq!(embeddings.get("otel.name"), format!("embeddings {model}"));
    assert!(!model.is_empty() && !embeddings.get("gen_ai.provider.name").is_empty());
    assert!(
        embeddings.get("gen_ai.embeddings.dimension.count").parse::<usize>().is_ok_and(|count| count > 0)
    );
    assert_eq!(embeddings.parent, listener.named("invoke_agent").first().map(|(number, _)| *number));
}

#[tokio::test]
async fn values_and_images_have_their_spans_as_texts_have() {
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let office = Office::with([text("none of it"), text("\"tulip\""), text("A text.")]).await;
    let files = Files::new(office.runtime.store(), Blobs::memory(), loomwork_files::Options::default());
    let runtime = office.runtime.clone().with_files(files);
    let images = Arc::new(MockImages::new(Data::Bytes(b"pixels".as_slice().into())));
    let agent = office.agent().images(images.clone() as Arc<dyn ImageModel>);
    let thread = agent.in_thread(&runtime, office.thread(&agent).await.id());
    let flower = ObjectSpec::choice(["tulip", "rose"]);
    let value = thread.generate_object_with("Which?", flower, Options::default()).await.expect("a value");
    assert_eq!(value.calls, 2);
    thread.generate_text("Say it.").await.expect("an answer");
    thread.generate_image("a cat").await.expect("an image");
    images.fail_next(Error::new(ErrorKind::Overloaded, "mock", "mock", "too much"));
    thread.generate_image("a dog").await.expect_err("it fails");

    let runs = listener.named("invoke_agent");
    assert_eq!(runs.len(), 4);
    let below = |run: usize, name: &str| {
        let spans = listener.named(name);
        spans
            .into_iter()
            .filter(|(_, span)| span.parent == Some(run))
            .map(|(_, span)| span)
            .collect::<Vec<_>>()
    };
    let calls = below(runs[0].0, "chat");
    assert_eq!(calls.len(), 2, "one for each call of the model");
    assert!(calls.iter().all(|call| call.get("gen_ai.usage.output_tokens") == "10"));
    assert_eq!(runs[0].1.get("gen_ai.usage.output_tokens"), "20");
    assert_eq!(below(runs[1].0, "chat").len(), 1);
    for (run, kind) in [(2, ""), (3, "overloaded")] {
        let calls = below(runs[run].0, "generate_content");
        let [call] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!((call.get("otel.name"), call.get("error.type")), ("generate_content mock", kind));
        assert_eq!(runs[run].1.get("error.type"), kind);
    }
    let content = listener.heard().spans.iter().any(|span| {
        let shown = format!("{span:?}");
        shown.contains("tulip") || shown.contains("cat\"")
    });
    assert!(!content, "no content is in a span");
}
