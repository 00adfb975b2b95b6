use loomwork_messages::runs::{
    self, Begun, Hold, NewRun, Prompt, RunError, Step, Then, abort, abort_all, begin, fail, held, step,
};
use loomwork_messages::streams::NewStream;
use loomwork_messages::{
    Failure, MessageStatus, NewMessage, Place, Run, RunStatus, Save, SaveError, StreamStatus, UiChunk, delete,
};
use loomwork_store::{Result, Row};
use loomwork_testkit::soon;

use super::house::{Driver, House, assistant, beside, call, fault, result, user};

async fn begun(house: &House, new: NewRun) -> Begun {
    let thread = house.thread;
    house.store.mutate(move |tx| begin(tx, thread, new)).await.expect("it begins")
}

async fn run_of(house: &House, hold: Hold) -> Row<Run> {
    house.store.query(move |tx| tx.require(hold.run)).await.expect("the run is there")
}

async fn did(house: &House, hold: Hold, messages: Vec<NewMessage>, then: Then) -> Result<runs::StepDone> {
    house.store.mutate(move |tx| step(tx, hold, Step { messages, then })).await
}

/// Streams a step's text as a model would.
async fn stream(driver: &Driver, house: &House, hold: Hold, text: &str) -> loomwork_messages::streams::StreamWriter {
    let message = run_of(house, hold).await.pending.expect("a pending message");
    let writer = driver.live.write(NewStream { hold: Some(hold), ..NewStream::of(message) });
    for chunk in said(text) {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer
}

fn said(text: &str) -> [UiChunk; 3] {
    let id = || "1".to_owned();
    [
        UiChunk::StartStep,
        UiChunk::TextStart { id: id(), provider_metadata: None },
        UiChunk::TextDelta { id: id(), delta: text.to_owned(), provider_metadata: None },
    ]
}

#[tokio::test]
async fn a_run_saves_its_prompt_and_a_pending_answer() {
    let house = House::open().await;
    let begun = begun(&house, NewRun { agent: Some("support".into()), ..NewRun::answering("hi") }).await;
    assert_eq!(begun.run.status, RunStatus::Queued);
    assert_eq!(begun.run.prompt, Some(begun.inputs[0].id));
    let answer = house.message(begun.run.first).await;
    assert_eq!((answer.order, answer.step, answer.status), (0, 1, MessageStatus::Pending));
    assert_eq!((answer.prompt, answer.agent.as_deref()), (Some(begun.inputs[0].id), Some("support")));
}

#[tokio::test]
async fn steps_are_committed_one_by_one() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let first = run_of(&house, hold).await.first;
    did(&house, hold, vec![call("1"), result("1")], Then::GoOn).await.expect("a step");
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (0, 3)]);
    assert_eq!(house.message(first).await.status, MessageStatus::Success);
    let between = run_of(&house, hold).await;
    assert_eq!((between.status, between.steps), (RunStatus::Running, 1));
    let done = did(&house, hold, vec![assistant("done")], Then::End).await.expect("the last step");
    assert_eq!((done.run.status, done.run.steps, done.run.pending), (RunStatus::Success, 2, None));
    assert!(house.all().await.iter().all(|row| row.status == MessageStatus::Success));
    driver.stop().await;
}

#[tokio::test]
async fn a_step_without_messages_leaves_nothing_pending() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    did(&house, hold, Vec::new(), Then::End).await.expect("a step");
    let said = house.said().await;
    assert_eq!(said[1], (String::new(), MessageStatus::Success));
    driver.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_is_taken_again_and_goes_on_in_its_turn() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    did(&house, hold, vec![call("1")], Then::Wait).await.expect("a step");
    house.save(user("meanwhile")).await;
    let waiting = run_of(&house, hold).await;
    assert_eq!((waiting.status, waiting.host, waiting.pending), (RunStatus::Waiting, None, None));
    let error: RunError = fault(did(&house, hold, vec![assistant("late")], Then::End).await);
    assert!(matches!(error, RunError::Lost { status: RunStatus::Waiting, .. }), "{error}");
    let again = driver.host.take(hold.run).await.expect("taken").expect("it waits");
    assert!(again.fence > hold.fence);
    did(&house, again, vec![result("1"), assistant("done")], Then::End).await.expect("the rest");
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]);
    driver.stop().await;
}

#[tokio::test]
async fn only_one_takes_a_run() {
    let house = House::open().await;
    let (one, two) = (Driver::start(&house).await, Driver::start(&house).await);
    let run = begun(&house, NewRun::answering("hi")).await.run.id;
    let (a, b) = tokio::join!(one.host.take(run), two.host.take(run));
    let taken = [a.expect("asked"), b.expect("asked")];
    assert_eq!(taken.iter().flatten().count(), 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_failed_prompt_is_refused_before_anything_is_paid() {
    let house = House::open().await;
    let failed = NewMessage {
        status: MessageStatus::Failed,
        error: Some(Failure::new("refused", "no")),
        ..user("a")
    };
    let prompt = house.save(failed).await[0].id;
    let thread = house.thread;
    let new = NewRun::answering(Prompt::Message(prompt));
    let error: RunError = fault(house.store.mutate(move |tx| begin(tx, thread, new)).await);
    assert_eq!(error, RunError::PromptFailed { message: prompt, failure: "no".into() });
    assert_eq!(house.all().await.len(), 1);
}

#[tokio::test]
async fn a_run_of_nothing_is_refused() {
    let house = House::open().await;
    let thread = house.thread;
    let new = NewRun::answering(Prompt::New(Vec::new()));
    let error: RunError = fault(house.store.mutate(move |tx| begin(tx, thread, new)).await);
    assert_eq!(error, RunError::NoPrompt { thread });
}

#[tokio::test]
async fn a_key_begins_one_run() {
    let house = House::open().await;
    let prompt = house.save(user("a")).await[0].id;
    let new = NewRun { key: Some("once".into()), ..NewRun::answering(Prompt::Message(prompt)) };
    let first = begun(&house, new.clone()).await;
    let second = begun(&house, new.clone()).await;
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.run.id, second.run.id);
    assert_eq!(house.all().await.len(), 2);
    let other = house.save(user("b")).await[0].id;
    let thread = house.thread;
    let reused = NewRun { prompt: Prompt::Message(other), ..new };
    let error: RunError = fault(house.store.mutate(move |tx| begin(tx, thread, reused)).await);
    assert_eq!(error, RunError::KeyTaken { key: "once".into(), run: first.run.id });
}

#[tokio::test]
async fn a_turn_that_is_begun_again_gives_up_its_run() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    did(&house, hold, vec![call("1"), result("1")], Then::GoOn).await.expect("a step");
    let old = run_of(&house, hold).await;
    let prompt = old.prompt.expect("a prompt");
    let again = begun(&house, NewRun::answering(Prompt::Message(prompt))).await;
    let old_answer = house.message(old.pending.expect("pending")).await;
    assert_eq!(old_answer.status, MessageStatus::Aborted);
    assert_eq!(run_of(&house, hold).await.status, RunStatus::Aborted);
    assert_eq!(house.message(again.run.first).await.step, 4);
    let error: RunError = fault(did(&house, hold, vec![assistant("zombie")], Then::End).await);
    assert!(matches!(error, RunError::Lost { .. }));
    driver.stop().await;
}

#[tokio::test]
async fn a_failure_keeps_what_was_streamed() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "half an ans").await;
    writer.flush().await.expect("stored");
    let failure = Failure::new("overloaded", "the provider is overloaded");
    let told = failure.clone();
    let run = house.store.mutate(move |tx| fail(tx, hold, MessageStatus::Failed, told)).await.expect("failed");
    assert_eq!((run.status, &run.error), (RunStatus::Failed, &Some(failure.clone())));
    let answer = house.message(run.first).await;
    assert_eq!((answer.status, answer.message.text()), (MessageStatus::Failed, "half an ans".to_owned()));
    assert_eq!(answer.error, Some(failure.clone()));
    let stream = writer.opened().expect("it was opened");
    let stream = house.store.query(move |tx| tx.require(stream)).await.expect("the stream is there");
    assert_eq!((stream.status, &stream.error, stream.length), (StreamStatus::Aborted, &Some(failure), Some(3)));
    driver.stop().await;
}

#[tokio::test]
async fn an_abort_from_elsewhere_settles_all_at_once_and_its_process_hears_of_it() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "half").await;
    writer.flush().await.expect("stored");
    let lost = beside({
        let store = house.store.clone();
        async move { runs::lost(&store, hold).await }
    });
    let failure = Failure::new("stopped", "the user pressed stop");
    let told = failure.clone();
    assert!(house.store.mutate(move |tx| abort(tx, hold.run, told)).await.expect("aborted"));
    let heard = soon(lost).await.expect("no panic");
    assert_eq!(heard, RunError::Lost { run: hold.run, status: RunStatus::Aborted, error: Some(failure.clone()) });
    let run = run_of(&house, hold).await;
    let answer = house.message(run.first).await;
    assert_eq!((answer.status, answer.message.text()), (MessageStatus::Aborted, "half".to_owned()));
    let again = house.store.mutate(move |tx| abort(tx, hold.run, failure)).await.expect("nothing to do");
    assert!(!again);
    driver.stop().await;
}

#[tokio::test]
async fn what_its_writer_had_in_hand_is_kept_when_a_run_is_aborted_from_elsewhere() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "one ").await;
    writer.flush().await.expect("stored");
    let rest = UiChunk::TextDelta { id: "1".into(), delta: "two".into(), provider_metadata: None };
    writer.push(rest.clone()).await.expect("it takes chunks");
    let failure = Failure::new("stopped", "stop");
    house.store.mutate(move |tx| abort(tx, hold.run, failure)).await.expect("aborted");
    let first = run_of(&house, hold).await.first;
    assert_eq!(house.message(first).await.message.text(), "one ");
    let error: loomwork_messages::streams::StreamError = fault(writer.flush().await);
    assert!(error.to_string().contains("stop"), "{error}");
    let answer = house.message(first).await;
    assert_eq!((answer.status, answer.message.text()), (MessageStatus::Aborted, "one two".to_owned()));
    assert!(writer.push(rest).await.is_err());
    driver.stop().await;
}

#[tokio::test]
async fn all_runs_of_a_turn_or_a_thread_are_aborted() {
    let house = House::open().await;
    for _ in 0..3 {
        begun(&house, NewRun::answering("hi")).await;
    }
    let (thread, failure) = (house.thread, Failure::new("stopped", "stop"));
    let told = failure.clone();
    let one = house.store.mutate(move |tx| abort_all(tx, thread, Some(1), &told)).await.expect("aborted");
    let rest = house.store.mutate(move |tx| abort_all(tx, thread, None, &failure)).await.expect("aborted");
    assert_eq!((one, rest), (1, 2));
    let live = house.store.query(move |tx| runs::live(tx, thread)).await.expect("listed");
    assert!(live.is_empty());
}

#[tokio::test]
async fn a_foreground_run_of_a_dead_process_is_settled_when_the_store_opens_again() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "half").await;
    writer.flush().await.expect("stored");
    drop(writer);
    let house = house.reopen().await;
    let driver = Driver::start(&house).await;
    let store = house.store.clone();
    soon(async move {
        let mut runs = store.watch(move |tx| Ok(tx.require(hold.run)?.status));
        while runs.next().await.expect("open").expect("read") != RunStatus::Aborted {}
    })
    .await;
    let answer = house.message(run_of(&house, hold).await.first).await;
    assert_eq!((answer.status, answer.message.text()), (MessageStatus::Aborted, "half".to_owned()));
    assert_eq!(answer.error.as_ref().map(|error| error.code.as_str()), Some("interrupted"));
    driver.stop().await;
}

#[tokio::test]
async fn a_durable_run_of_a_dead_process_goes_on_at_its_step_with_its_text_anew() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun { durable: true, ..NewRun::answering("hi") }).await;
    did(&house, hold, vec![call("1"), result("1")], Then::GoOn).await.expect("a step");
    let writer = stream(&driver, &house, hold, "half an").await;
    writer.flush().await.expect("stored");
    drop(writer);
    let house = house.reopen().await;
    let driver = Driver::start(&house).await;
    let store = house.store.clone();
    soon(async move {
        let mut queued = store.watch(move |tx| Ok(runs::queued(tx, 10)?.len()));
        while queued.next().await.expect("open").expect("read") == 0 {}
    })
    .await;
    let again = driver.host.take(hold.run).await.expect("asked").expect("it is queued");
    let run = run_of(&house, again).await;
    assert_eq!((run.steps, run.attempt), (1, 2));
    let writer = stream(&driver, &house, again, "whole").await;
    writer.flush().await.expect("stored");
    let (thread, id) = (house.thread, writer.opened().expect("open"));
    let mut reader = driver.live.read(thread, id, 0).await.expect("it may be read");
    let mut chunks = Vec::new();
    while chunks.len() < 7 {
        let slice = soon(reader.next()).await.expect("more").expect("read");
        chunks.extend(slice.chunks().expect("chunks"));
    }
    assert!(chunks[3].is_restart_step(), "{chunks:?}");
    did(&house, again, vec![assistant("whole")], Then::End).await.expect("the last step");
    let error: RunError = fault(did(&house, hold, vec![assistant("zombie")], Then::End).await);
    assert!(matches!(error, RunError::Lost { .. }));
    assert_eq!(house.said().await.last(), Some(&("whole".to_owned(), MessageStatus::Success)));
    driver.stop().await;
}

#[tokio::test]
async fn a_process_that_leaves_gives_its_runs_to_others_at_once() {
    let house = House::open().await;
    let (leaving, staying) = (Driver::start(&house).await, Driver::start(&house).await);
    let hold = leaving.run(&house, NewRun { durable: true, ..NewRun::answering("hi") }).await;
    leaving.stop().await;
    let store = house.store.clone();
    soon(async move {
        let mut queued = store.watch(move |tx| Ok(runs::queued(tx, 10)?.len()));
        while queued.next().await.expect("open").expect("read") == 0 {}
    })
    .await;
    let again = staying.host.take(hold.run).await.expect("asked").expect("it is queued");
    assert!(house.store.query(move |tx| held(tx, again)).await.is_ok());
    assert!(house.store.query(move |tx| held(tx, hold)).await.is_err());
    staying.stop().await;
}

fn delta(text: &str) -> UiChunk {
    UiChunk::TextDelta { id: "1".into(), delta: text.into(), provider_metadata: None }
}

#[tokio::test]
async fn a_reader_who_had_more_than_was_stored_hears_that_the_text_starts_anew() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun { durable: true, ..NewRun::answering("hi") }).await;
    let writer = stream(&driver, &house, hold, "half").await;
    writer.flush().await.expect("stored");
    for word in [" an", " ans", "wer"] {
        writer.push(delta(word)).await.expect("it takes chunks");
    }
    let (thread, id) = (house.thread, writer.opened().expect("open"));
    let mut reader = driver.live.read(thread, id, 0).await.expect("it may be read");
    soon(reader.next()).await.expect("more").expect("read");
    let cursor = reader.cursor();
    assert_eq!(cursor, 6, "three of the chunks are not stored");
    let house = house.reopen().await;
    drop((driver, reader, writer));
    let driver = Driver::start(&house).await;
    let store = house.store.clone();
    soon(async move {
        let mut queued = store.watch(move |tx| Ok(runs::queued(tx, 10)?.len()));
        while queued.next().await.expect("open").expect("read") == 0 {}
    })
    .await;
    let again = driver.host.take(hold.run).await.expect("asked").expect("it is queued");
    let mut reader = driver.live.read(thread, id, cursor).await.expect("it may be read");
    let writer = stream(&driver, &house, again, "the ").await;
    for word in ["whole ", "answer ", "is ", "this"] {
        writer.push(delta(word)).await.expect("it takes chunks");
    }
    let mut chunks = Vec::new();
    while chunks.last() != Some(&delta("this")) {
        chunks.extend(soon(reader.next()).await.expect("more").expect("read").chunks().expect("chunks"));
    }
    assert!(chunks[0].is_restart_step(), "{chunks:?}");
    assert_eq!(chunks.len(), 8);
    driver.stop().await;
}

#[tokio::test]
async fn what_a_dropped_writer_had_in_hand_is_stored_before_the_next_one_writes() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "one").await;
    let id = writer.opened().expect("open");
    let mut reader = driver.live.read(house.thread, id, 0).await.expect("it may be read");
    soon(reader.next()).await.expect("more").expect("read");
    drop(writer);
    let next = stream(&driver, &house, hold, "two").await;
    next.flush().await.expect("stored");
    let thread = house.thread;
    let slices = house.store.query(move |tx| loomwork_messages::streams::deltas(tx, thread, id, 0)).await.expect("read");
    let stored: Vec<_> = slices.iter().flat_map(|slice| slice.chunks().expect("chunks")).collect();
    assert_eq!(stored[..3], said("one"));
    assert!(stored[3].is_restart_step());
    assert_eq!(stored[4..], said("two"));
    let mut rest = Vec::new();
    while rest.len() < 4 {
        rest.extend(soon(reader.next()).await.expect("more").expect("read").chunks().expect("chunks"));
    }
    assert_eq!(rest, stored[3..]);
    driver.stop().await;
}

/// A file that the file store should have, as a model sends it.
fn large_file() -> UiChunk {
    let url = format!("data:image/png;base64,{}", "A".repeat(2 * loomwork_messages::INLINE_BYTES));
    UiChunk::File { url, media_type: "image/png".into(), filename: None, provider_metadata: None }
}

#[tokio::test]
async fn a_run_that_has_streamed_a_large_file_is_aborted_like_any_other() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "look: ").await;
    writer.push(large_file()).await.expect("it takes chunks");
    writer.flush().await.expect("stored");
    let failure = Failure::new("stopped", "stop");
    assert!(house.store.mutate(move |tx| abort(tx, hold.run, failure)).await.expect("aborted"));
    let answer = house.message(run_of(&house, hold).await.first).await;
    assert_eq!((answer.status, answer.message.text()), (MessageStatus::Aborted, "look: ".to_owned()));
    driver.stop().await;
}

#[tokio::test]
async fn a_run_that_has_streamed_more_than_a_row_holds_is_aborted_like_any_other() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "long: ").await;
    for _ in 0..9 {
        writer.push(delta(&"x".repeat(512 * 1024))).await.expect("it takes chunks");
        writer.flush().await.expect("stored");
    }
    let failure = Failure::new("stopped", "stop");
    assert!(house.store.mutate(move |tx| abort(tx, hold.run, failure)).await.expect("aborted"));
    assert_eq!(house.message(run_of(&house, hold).await.first).await.status, MessageStatus::Aborted);
    driver.stop().await;
}

#[tokio::test]
async fn a_new_prompt_that_has_failed_is_refused_too() {
    let house = House::open().await;
    let failed = NewMessage {
        status: MessageStatus::Failed,
        error: Some(Failure::new("refused", "no")),
        ..user("a")
    };
    let thread = house.thread;
    let refused = house.store.mutate(move |tx| begin(tx, thread, NewRun::answering(failed))).await;
    let error: RunError = fault(refused);
    assert!(matches!(error, RunError::PromptFailed { .. }), "{error}");
    assert!(house.all().await.is_empty());
}

#[tokio::test]
async fn the_rest_of_a_run_that_was_given_up_stays_in_its_place() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "I look").await;
    let input = serde_json::json!({});
    let id = || "c".to_owned();
    let called = [
        UiChunk::ToolInputAvailable {
            tool_call_id: id(), tool_name: "look".into(), input, dynamic: false, provider_executed: false, title: None,
            tool_metadata: None, provider_metadata: None,
        },
        UiChunk::ToolOutputAvailable {
            tool_call_id: id(), output: "seen".into(), preliminary: false, dynamic: false, provider_executed: false,
            provider_metadata: None,
        },
    ];
    for chunk in called {
        writer.push(chunk).await.expect("it takes chunks");
    }
    writer.flush().await.expect("stored");
    writer.push(delta(" again")).await.expect("it takes chunks");
    let old = run_of(&house, hold).await;
    let prompt = old.prompt.expect("a prompt");
    let again = begun(&house, NewRun::answering(Prompt::Message(prompt))).await;
    assert!(writer.flush().await.is_err(), "it was given up");
    let rows = house.all().await;
    let by: Vec<_> = rows.iter().map(|row| row.run).collect();
    assert_eq!(by, [None, Some(old.id), Some(old.id), Some(again.run.id)]);
    assert_eq!(rows[1].message.text(), "I look again");
    driver.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_being_made_is_no_prompt() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let (thread, first) = (house.thread, run_of(&house, hold).await.first);
    let new = NewRun::answering(Prompt::Message(first));
    let error: RunError = fault(house.store.mutate(move |tx| begin(tx, thread, new)).await);
    assert!(matches!(error, RunError::PromptFailed { .. }), "{error}");
    assert_eq!(run_of(&house, hold).await.status, RunStatus::Running, "nothing is written");
    driver.stop().await;
}

#[tokio::test]
async fn a_process_whose_clock_was_stopped_takes_runs_at_once() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let run = begun(&house, NewRun::answering("hi")).await.run.id;
    house.clock.advance(2 * runs::LEASE);
    assert!(driver.host.take(run).await.expect("it lives").is_some());
    driver.stop().await;
}

#[tokio::test]
async fn every_step_answers_the_prompt() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    did(&house, hold, vec![call("1"), result("1")], Then::GoOn).await.expect("a step");
    did(&house, hold, vec![call("2"), result("2")], Then::Wait).await.expect("a step");
    let run = run_of(&house, hold).await;
    let hold = driver.host.take(run.id).await.expect("the host lives").expect("it waits");
    did(&house, hold, vec![assistant("done")], Then::End).await.expect("the last step");
    let rows = house.all().await;
    assert_eq!(rows.len(), 6);
    assert!(rows[1..].iter().all(|row| row.prompt == run.prompt && row.prompt.is_some()), "{rows:?}");
    driver.stop().await;
}

#[tokio::test]
async fn a_restart_ends_the_run_whose_answer_it_gives_up() {
    let house = House::open().await;
    let driver = Driver::start(&house).await;
    let hold = driver.run(&house, NewRun::answering("hi")).await;
    let writer = stream(&driver, &house, hold, "half").await;
    writer.flush().await.expect("stored");
    let run = run_of(&house, hold).await;
    let prompt = run.prompt.expect("it answers something");
    let again = Save { restart: true, ..Save::from(NewMessage::pending()).at(Place::Reply(prompt)) };
    let new = house.save(again).await[0].id;
    let run = run_of(&house, hold).await;
    assert_eq!((run.status, run.error.clone().expect("it says why").code), (RunStatus::Aborted, "restarted".into()));
    let old = house.message(run.first).await;
    assert_eq!((old.status, old.message.text()), (MessageStatus::Aborted, "half".to_owned()));
    assert_eq!(house.message(new).await.status, MessageStatus::Pending);
    let late: RunError = fault(did(&house, hold, vec![assistant("late")], Then::End).await);
    assert!(matches!(late, RunError::Lost { .. }), "{late}");
    driver.stop().await;
}

#[tokio::test]
async fn a_run_whose_answer_was_deleted_ends_like_any_other() {
    for is_stopped in [true, false] {
        let house = House::open().await;
        let driver = Driver::start(&house).await;
        let hold = driver.run(&house, NewRun::answering("hi")).await;
        let writer = stream(&driver, &house, hold, "half").await;
        let first = run_of(&house, hold).await.first;
        house.commit(move |tx| delete(tx, &[first])).await;
        let error: SaveError = fault(did(&house, hold, vec![assistant("whole")], Then::End).await);
        assert_eq!(error, SaveError::NoMessage { message: first });
        let failure = Failure::new("deleted", "nobody wants the answer");
        if is_stopped {
            house.commit(move |tx| abort(tx, hold.run, failure)).await;
        } else {
            house.commit(move |tx| fail(tx, hold, MessageStatus::Failed, failure)).await;
        }
        assert!(run_of(&house, hold).await.status.has_ended());
        assert!(writer.flush().await.is_err(), "its stream has ended too");
        assert_eq!(house.all().await.len(), 1, "the question");
        driver.stop().await;
    }
}
