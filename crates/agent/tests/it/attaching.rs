//! What an application attaches to a generation, and whom it reaches.

use std::sync::{Arc, Mutex};

use loomwork_agent::{
    Admission, Agent, Hold, InputGuard, NextStep, Options, OutputGuard, PrepareStep, Tool, ToolContext,
    Values, Verdict, step_count,
};
use loomwork_messages::Run;
use loomwork_models::{LanguageModel, Message, MockModel, MockReply};
use loomwork_store::Table as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::desk::text;
use super::ledger::{Heard, Office};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Desk {
    tenant: String,
    room: u32,
}

/// Notes who was told of which room.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(&'static str, u32)>>>);

impl Told {
    fn note(&self, who: &'static str, values: &Values) {
        let desk: Desk = values.read().expect("what was attached");
        assert_eq!(desk.tenant, "loom");
        self.0.lock().expect("nothing panics").push((who, desk.room));
    }
}

#[tokio::test]
async fn what_is_attached_reaches_all_that_hangs_on_the_agent() {
    let below = Arc::new(MockModel::new([MockReply::default().tool_call("1", "look", json!({}))]));
    let office =
        Office::with([MockReply::default().tool_call("1", "ask", json!({ "task": "Look." })), text("Seen.")])
            .await;
    let (told, heard) = (Told::default(), Heard::default());
    let (of_tool, of_input, of_output, of_step, of_admission) =
        (told.clone(), told.clone(), told.clone(), told.clone(), told.clone());
    let look = Tool::new("look", "Looks.", move |context: ToolContext, (): ()| {
        of_tool.note("tool below", context.values());
        async { "seen" }
    });
    let below = Agent::new("below", below as Arc<dyn LanguageModel>).tool(look).expect("a tool");
    let input = InputGuard::knowing("in", move |occasion, _: Vec<Message>| {
        of_input.note("input guard", &occasion.values);
        assert_eq!((occasion.agent.as_str(), occasion.thread.is_some()), ("clerk", true));
        async { Ok(Verdict::Pass) }
    });
    let output = OutputGuard::knowing("out", move |occasion, _: String| {
        of_output.note("output guard", &occasion.values);
        async { Ok(Verdict::Pass) }
    });
    let prepare = PrepareStep::new(move |next: NextStep| {
        of_step.note("step", &next.values);
        async { Ok(next) }
    });
    let admission = Admission::before_run("run", move |_, call| {
        of_admission.note("admission", &call.values);
        Ok(Hold::none())
    });
    let agent = office.agent().tool(below.as_tool("ask", "")).expect("a tool").stop_when(step_count(2));
    let agent = agent.input_guard(input).output_guard(output).prepare_step(prepare).admission(admission);
    let values = Values::of(&Desk { tenant: "loom".into(), room: 1 }).expect("JSON with names");
    let agent = agent.on_usage(heard.handler()).with(Options { values, ..Options::default() });
    let thread = office.thread(&agent).await;
    let values = Values::of(&json!({ "room": 12 })).expect("JSON with names");
    thread.generate_text_with("Look.", Options { values, ..Options::default() }).await.expect("an answer");

    let told = told.0.lock().expect("nothing panics").clone();
    let expected = [
        ("input guard", 12),
        ("step", 12),
        ("admission", 12),
        ("admission", 12),
        ("tool below", 12),
        ("input guard", 12),
        ("step", 12),
        ("output guard", 12),
    ];
    assert_eq!(told, expected);
    let events = heard.events();
    assert!(events.iter().all(|event| event.values.get("room") == Some(&json!(12))), "{events:?}");
    let run = office.runtime.store().query(|tx| tx.first(Run::all())).await.expect("read").expect("a run");
    assert_eq!((&run.values["tenant"], &run.values["room"]), (&json!("loom"), &json!(12)));
    let requests = format!("{:?}", office.model.requests());
    assert!(!requests.contains("loom"), "no model is told of it");
}
