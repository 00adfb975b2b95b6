use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::{Step, call, ping, tools};

type Fields = BTreeMap<&'static str, String>;

/// Writes down the spans of tools and what is noted in them.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<Fields>>>);

struct Noted<'a>(&'a mut Fields);

impl Visit for Noted<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "execute_tool"
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut spans = self.0.lock().expect("nothing panics while it listens");
        let mut fields = Fields::new();
        attributes.record(&mut Noted(&mut fields));
        spans.push(fields);
        span::Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &span::Id, values: &span::Record<'_>) {
        let mut spans = self.0.lock().expect("nothing panics while it listens");
        values.record(&mut Noted(&mut spans[id.into_u64() as usize - 1]));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_call_has_the_span_that_the_conventions_want() {
    let listener = Listener::default();
    let _listening = tracing::subscriber::set_default(listener.clone());
    let step = Step::new().await;
    let secret = json!({ "secret": "of the user" });
    step.ends(&tools([ping()]), [call("1", "ping", secret), call("2", "pong", json!({}))]).await;

    let spans = listener.0.lock().unwrap().clone();
    let expected = [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.call.id", "1"),
        ("gen_ai.tool.description", "Answers."),
        ("gen_ai.tool.name", "ping"),
        ("gen_ai.tool.type", "function"),
        ("otel.kind", "internal"),
        ("otel.name", "execute_tool ping"),
    ];
    assert_eq!(spans[0], expected.map(|(name, value)| (name, value.to_owned())).into());
    let failed = &spans[1];
    assert_eq!(
        (failed["otel.status_code"].as_str(), failed["error.type"].as_str()),
        ("ERROR", "tool_failed")
    );
}
