//! What is too large for a message, a chunk or a model: files, outputs of tools, and what is shown on the way.

use futures_util::StreamExt as _;
use loomwork_agent::{MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES, Outcome, Tool, ToolContext, step_count};
use loomwork_files::{Blobs, Files};
use loomwork_messages::{FILE_SCHEME, MessageStatus, UiChunk};
use loomwork_models::{Data, Extras, File, Message, MockReply, OutputItem, Part, ToolOutput};
use loomwork_testkit::soon;
use serde_json::json;

use super::desk::{Desk, text};

/// More than a chunk of a stream may hold.
const LARGE: usize = 2 << 20;

async fn with_files(replies: impl IntoIterator<Item = MockReply>) -> Desk {
    let desk = Desk::with(replies).await;
    let files = Files::new(desk.runtime.store(), Blobs::memory(), loomwork_files::Options::default());
    Desk { runtime: desk.runtime.with_files(files), ..desk }
}

fn picture() -> OutputItem {
    OutputItem::File {
        data: Data::Bytes(vec![7; LARGE].into()),
        media_type: "image/png".into(),
        filename: None,
        extras: Extras::default(),
    }
}

fn call(id: &str, tool: &str) -> MockReply {
    MockReply::default().tool_call(id, tool, json!({}))
}

fn camera() -> Tool {
    Tool::new("camera", "Takes a picture.", |_: ToolContext, (): ()| async { vec![picture()] })
}

#[tokio::test]
async fn a_file_that_a_tool_returned_reaches_the_model_in_the_next_step_of_the_same_answer() {
    let desk = with_files([call("1", "camera"), text("A picture.")]).await;
    let thread = desk.thread(&desk.agent().tool(camera()).expect("a tool").stop_when(step_count(2))).await;
    thread.generate_text("Look.").await.expect("an answer");
    let asked = desk.model.requests().pop().expect("it was asked").messages;
    let results: Vec<_> = asked.iter().flat_map(Message::tool_results).collect();
    let ToolOutput::Content(items) = &results[0].output else { panic!("{results:?}") };
    let [OutputItem::File { data: Data::Bytes(bytes), .. }] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(bytes.len(), LARGE);
    let rows = desk.rows(&thread).await;
    let stored = serde_json::to_string(&rows[2].message).expect("JSON");
    assert!(stored.contains(FILE_SCHEME) && stored.len() < 1_000, "the row has the address alone");
}

#[tokio::test]
async fn a_large_file_of_the_model_is_put_away_before_anybody_is_told_of_it() {
    let part = || {
        let data = Data::Bytes(vec![7; LARGE].into());
        Part::File(File { data, media_type: "image/png".into(), filename: None, extras: Extras::default() })
    };
    let desk = with_files([text("Here.").part(part())]).await;
    let thread = desk.thread(&desk.agent()).await;
    let stream = thread.stream_text("Draw.").await.expect("it begins");
    let chunks: Vec<UiChunk> = soon(stream.collect()).await;
    let shown = chunks.iter().find_map(|chunk| match chunk {
        UiChunk::File { url, .. } => Some(url.as_str()),
        _ => None,
    });
    assert!(shown.is_some_and(|url| url.starts_with(FILE_SCHEME)), "{shown:?}");
    let row = &desk.rows(&thread).await[1];
    assert_eq!((row.status, row.message.parts.len()), (MessageStatus::Success, 2));

    // Where there is no file store, whoever asked has the file, the thread has not, and the answer says so.
    let desk = Desk::with([text("Here.").part(part())]).await;
    let thread = desk.thread(&desk.agent()).await;
    let reply = thread.generate_text("Draw.").await.expect("an answer that was paid");
    assert!(matches!(&reply.steps[0].parts[1], Part::File(file) if file.data.bytes().is_some()));
    assert!(reply.steps[0].warnings.iter().any(|warning| warning.why.contains("no file store")));
    assert_eq!(desk.rows(&thread).await[1].message.text(), "Here.");
}

#[tokio::test]
async fn too_large_an_output_is_an_error_that_the_model_is_told() {
    let desk = Desk::with([call("1", "read"), call("2", "camera"), text("Too much.")]).await;
    let read = Tool::new("read", "Reads.", |_: ToolContext, (): ()| async { "x".repeat(LARGE) });
    let agent = desk.agent().tool(read).expect("a tool").tool(camera()).expect("a tool");
    let thread = desk.thread(&agent.stop_when(step_count(3))).await;
    let reply = thread.generate_text("Read.").await.expect("the run goes on");
    assert_eq!(reply.text, "Too much.");
    let told = |step: usize| {
        let end = &reply.steps[step].calls[0];
        assert_eq!(end.outcome, Outcome::Failed);
        end.result.as_ref().expect("a result").output.to_text()
    };
    assert!(told(0).contains(&format!("{MAX_OUTPUT_BYTES} is the most")), "{}", told(0));
    assert!(told(1).contains("there is no file store"), "{}", told(1));
    assert!(desk.model.requests()[1].messages.iter().any(|message| message.tool_results().count() == 1));
}

#[tokio::test]
async fn the_outputs_of_a_step_are_bounded_together() {
    let fit = MAX_OUTPUTS_BYTES / (MAX_OUTPUT_BYTES - 2);
    let calls = (0..=fit)
        .fold(MockReply::default(), |reply, number| reply.tool_call(number.to_string(), "read", json!({})));
    let desk = Desk::with([calls, text("Done.")]).await;
    let read =
        Tool::new("read", "Reads.", |_: ToolContext, (): ()| async { "x".repeat(MAX_OUTPUT_BYTES - 100) });
    let thread = desk.thread(&desk.agent().tool(read).expect("a tool").stop_when(step_count(2))).await;
    let reply = thread.generate_text("Read.").await.expect("the run goes on");
    let failed = reply.steps[0].calls.iter().filter(|end| end.outcome == Outcome::Failed).count();
    assert_eq!(failed, 1, "all but the last one fit");
}

#[tokio::test]
async fn too_large_a_preliminary_output_is_left_out_and_the_call_goes_on() {
    let desk = Desk::with([call("1", "read"), text("Read.")]).await;
    let read = Tool::new("read", "Reads.", |context: ToolContext, (): ()| async move {
        context.preliminary("x".repeat(LARGE)).await;
        context.preliminary("a page").await;
        "all"
    });
    let thread = desk.thread(&desk.agent().tool(read).expect("a tool").stop_when(step_count(2))).await;
    let stream = thread.stream_text("Read.").await.expect("it begins");
    let chunks: Vec<UiChunk> = soon(stream.collect()).await;
    let shown = chunks.iter().filter_map(|chunk| match chunk {
        UiChunk::ToolOutputAvailable { output, preliminary, .. } => Some((output.clone(), *preliminary)),
        _ => None,
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(shown, [(json!("a page"), true), (json!("all"), false)]);
}
