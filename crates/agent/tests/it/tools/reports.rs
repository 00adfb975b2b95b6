use std::sync::{Arc, Mutex};

use loomwork_agent::{Tool, ToolContext, ToolEvent, UNREAD_EVENTS};
use loomwork_models::ToolOutput;
use serde_json::json;

use super::{Step, call, tools};

#[tokio::test]
async fn preliminary_outputs_and_progress_come_before_the_result() {
    let search = Tool::new("search", "Searches.", |ctx: ToolContext, (): ()| async move {
        ctx.progress(0.5, "half of it");
        ctx.preliminary("one hit").await;
        ctx.progress(None, "");
        "two hits"
    });
    let step = Step::new().await;
    let events = step.events(&tools([search]), [call("1", "search", json!({}))]).await;
    let [ToolEvent::Progress { call, fraction, text }, preliminary, ToolEvent::Progress { .. }, last] =
        events.as_slice()
    else {
        panic!("there are two reports of progress around an output: {events:?}")
    };
    assert_eq!((call.as_str(), *fraction, text.as_str()), ("1", Some(0.5), "half of it"));
    let (call, tool, output) = ("1".into(), "search".into(), ToolOutput::from("one hit"));
    assert_eq!(preliminary, &ToolEvent::Preliminary { call, tool, output });
    assert!(matches!(last, ToolEvent::Ended(end) if super::output(end) == &ToolOutput::from("two hits")));
}

#[tokio::test]
async fn preliminary_outputs_are_never_lost_and_progress_that_nobody_reads_is() {
    let many = UNREAD_EVENTS * 2;
    let loud = Tool::new("loud", "Says much.", move |ctx: ToolContext, (): ()| async move {
        for number in 0..many {
            ctx.preliminary(number.to_string()).await;
        }
    });
    let hasty = Tool::new("hasty", "Tells all at once.", move |ctx: ToolContext, (): ()| async move {
        for _ in 0..many {
            ctx.progress(2.0, "more than all of it");
        }
    });
    let (loud, hasty) = (tools([loud]), tools([hasty]));
    let step = Step::new().await;
    let outputs = step.events(&loud, [call("1", "loud", json!({}))]).await;
    let is_output = |event: &&ToolEvent| matches!(event, ToolEvent::Preliminary { .. });
    assert_eq!(outputs.iter().filter(is_output).count(), many);
    let told = step.events(&hasty, [call("1", "hasty", json!({}))]).await;
    let is_whole = |event: &&ToolEvent| matches!(event, ToolEvent::Progress { fraction: Some(1.0), .. });
    assert_eq!(told.iter().filter(is_whole).count(), UNREAD_EVENTS);
}

#[tokio::test]
async fn nothing_comes_of_a_call_behind_its_end() {
    let left_behind: Arc<Mutex<Option<ToolContext>>> = Arc::default();
    let found = left_behind.clone();
    let leaky = Tool::new("leaky", "Gives its context away.", move |ctx: ToolContext, (): ()| {
        *left_behind.lock().unwrap() = Some(ctx);
        async {}
    });
    let late = Tool::new("late", "Speaks for the other.", move |_: ToolContext, (): ()| {
        let other = found.lock().unwrap().take().expect("the other call came first");
        async move { other.preliminary("too late").await }
    });
    let step = Step::new().await;
    let calls = [call("1", "leaky", json!({})), call("2", "late", json!({}))];
    let events = step.events(&tools([leaky, late]), calls).await;
    assert_eq!(events.len(), 2, "{events:?}");
}
