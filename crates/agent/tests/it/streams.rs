//! Answers as they come: where they are stored, who reads them and how fast, and what tools report on the way.

use futures_util::StreamExt as _;
use loomwork_agent::{AgentError, PROGRESS_CHUNK, Tool, ToolContext, UNREAD_CHUNKS, step_count};
use loomwork_messages::{MessageStatus, Run, RunStatus, UiChunk};
use loomwork_models::{Error, ErrorKind, Gate, MockReply};
use loomwork_store::Table as _;
use loomwork_testkit::soon;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, text};

fn call(tool: &str) -> MockReply {
    MockReply::default().tool_call("1", tool, json!({}))
}

#[tokio::test]
async fn an_answer_says_where_it_is_stored_as_soon_as_it_has_begun() {
    let gate = Gate::new();
    let desk = Desk::with([text("half").gate(&gate).text(" of it")]).await;
    let thread = desk.thread(&desk.agent()).await;
    let stream = soon(thread.stream_text("Go.")).await.expect("it begins");
    let stored = stream.stored().cloned().expect("it is stored");
    let rows = desk.rows(&thread).await;
    assert_eq!(stored.messages, rows.iter().map(|row| row.id).collect::<Vec<_>>());
    assert_eq!((stored.thread, stored.prompt, stored.order), (thread.id(), Some(rows[0].id), 0));
    assert_eq!((rows.len(), rows[1].status), (2, MessageStatus::Pending));
    gate.open();
    let reply = soon(stream.finish()).await.expect("an answer");
    assert_eq!(reply.stored.map(|stored| stored.run), Some(stored.run));

    desk.model.push(text("Hello."));
    let stream = desk.agent().stream_answer(&desk.runtime, None, "Hi.").await.expect("it begins");
    assert_eq!(stream.stored(), None, "outside of threads it is nowhere");
}

#[tokio::test]
async fn an_answer_that_cannot_begin_is_an_error_at_once() {
    let desk = Desk::with([]).await;
    let nowhere = desk
        .agent()
        .in_thread(&desk.runtime, loomwork_store::Id::from_raw(loomwork_core::RawId::from_bytes([1; 16])));
    let error = soon(nowhere.stream_text("Go.")).await.expect_err("there is no such thread");
    assert!(matches!(error, AgentError::Context { .. }), "{error}");
    soon(nowhere.stream_object::<Vec<u32>>("Go.")).await.expect_err("there is no such thread");
    // What goes wrong later is told at the end.
    let refused = Error::new(ErrorKind::Auth, "mock", "mock", "no key");
    desk.model.push(MockReply::default().fail(refused));
    let thread = desk.thread(&desk.agent()).await;
    let stream = soon(thread.stream_text("Go.")).await.expect("it begins");
    soon(stream.finish()).await.expect_err("the model refuses");
}

#[tokio::test]
async fn an_answer_whose_beginning_nobody_waits_for_is_called_off() {
    let gate = Gate::new();
    let desk = Desk::with([text("half").gate(&gate)]).await;
    let thread = desk.thread(&desk.agent()).await;
    let mut beginning = Box::pin(thread.stream_text("Go."));
    assert!(futures_util::poll!(&mut beginning).is_pending());
    drop(beginning);
    let asked = async { desk.runtime.shutdown(std::time::Duration::from_secs(20)).await };
    soon(asked).await.expect("nothing is left that waits at the gate");
}

#[tokio::test]
async fn an_answer_is_a_stream_of_its_chunks() {
    let desk = Desk::with([text("one two three")]).await;
    let thread = desk.thread(&desk.agent()).await;
    let stream = thread.stream_text("Count.").await.expect("it begins");
    let chunks: Vec<UiChunk> = soon(stream.collect()).await;
    let kinds: Vec<_> = chunks.iter().map(UiChunk::kind).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"start-step"), Some(&"finish-step")));
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_nothing_up_and_misses_nothing() {
    let words = UNREAD_CHUNKS * 4;
    let long: String = (0..words).map(|number| format!("{number} ")).collect();
    let desk = Desk::with([text(&long)]).await;
    let thread = desk.thread(&desk.agent()).await;
    let mut stream = thread.stream_text("Count.").await.expect("it begins");
    let mut runs = desk.runtime.store().watch(|tx| Ok(tx.scan(Run::all())?.first().map(|run| run.status)));
    while soon(runs.next()).await.expect("open").expect("read") != Some(RunStatus::Success) {}
    let (mut chunks, mut read) = (0, String::new());
    while let Some(delta) = soon(stream.next_text()).await {
        chunks += 1;
        read.push_str(&delta);
    }
    assert_eq!(read, long);
    assert!(chunks <= UNREAD_CHUNKS, "what a reader has not read is put together: {chunks} chunks");
    soon(stream.finish()).await.expect("an answer");
}

#[tokio::test]
async fn a_reader_that_stands_still_keeps_no_abort_from_being_heard() {
    let desk = Desk::with([text(&"word ".repeat(UNREAD_CHUNKS * 4)).hang()]).await;
    let thread = desk.thread(&desk.agent()).await;
    let stream = thread.stream_text("Go.").await.expect("it begins");
    stream.abort();
    let error = soon(stream.finish()).await.expect_err("it was called off");
    assert!(matches!(error, AgentError::Ended(_)), "{error}");
}

#[tokio::test]
async fn the_progress_of_tools_passes_by_and_is_no_part_of_the_message() {
    let desk = Desk::with([call("dig"), text("Done.")]).await;
    let dig = Tool::new("dig", "Digs.", |context: ToolContext, (): ()| async move {
        context.progress(0.5, "half way");
        tokio::task::yield_now().await;
        "deep"
    });
    let thread = desk.thread(&desk.agent().tool(dig).expect("a tool").stop_when(step_count(2))).await;
    let stream = thread.stream_text("Dig.").await.expect("it begins");
    let chunks: Vec<UiChunk> = soon(stream.collect()).await;
    let told = chunks.iter().filter_map(|chunk| match chunk {
        UiChunk::Data(data) => Some((data.kind(), data.id.as_deref(), data.transient, data.data.clone())),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let kind = format!("data-{PROGRESS_CHUNK}");
    let data = json!({ "fraction": 0.5, "text": "half way" });
    assert_eq!(told, [(kind.as_str(), Some("1"), true, data)]);
    let rows = desk.rows(&thread).await;
    let stored = serde_json::to_string(&rows.iter().map(|row| &row.message).collect::<Vec<_>>());
    assert!(!stored.expect("JSON").contains("half way"));
}

#[tokio::test]
async fn progress_is_told_no_faster_than_anybody_reads_and_the_newest_is_not_lost() {
    let office = super::ledger::Office::with([call("dig"), text("Done.")]).await;
    let (passes, dug) = (CancellationToken::new(), CancellationToken::new());
    let (opens, digs) = (passes.clone(), dug.clone());
    let dig = Tool::new("dig", "Digs.", move |context: ToolContext, (): ()| {
        let (passes, dug) = (passes.clone(), digs.clone());
        async move {
            for metre in 0..10 {
                context.progress(f64::from(metre) / 10.0, format!("{metre} m"));
                tokio::task::yield_now().await;
            }
            dug.cancel();
            passes.cancelled().await;
            "deep"
        }
    });
    let agent = office.agent().tool(dig).expect("a tool").stop_when(step_count(2));
    let thread = office.thread(&agent).await;
    let mut stream = thread.stream_text("Dig.").await.expect("it begins");
    let mut told = Vec::new();
    soon(dug.cancelled()).await;
    while told.len() < 2 {
        if told.len() == 1 {
            office.clock.advance(loomwork_agent::PROGRESS_EVERY);
        }
        if let UiChunk::Data(data) = soon(stream.next()).await.expect("more comes") {
            told.push(data.data["text"].as_str().expect("a text").to_owned());
        }
    }
    assert_eq!(told, ["0 m", "9 m"]);
    opens.cancel();
    soon(stream.finish()).await.expect("an answer");
}
