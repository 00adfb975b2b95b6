use loomwork_messages::{StreamRow, UiMessage, UiPart, UiStatus};
use loomwork_models::Role;
use serde_json::{Value, json};

use super::{
    assistant, call, message_id, parts_json, reduced, result, results, run, text_output, thread, user,
};

/// Returns a message at a place, with its status as its text.
fn message(order: u64, step: u64, status: UiStatus) -> UiMessage {
    let mut message = UiMessage::group(&[assistant(order, step, json!("text"))]).remove(0);
    message.status = status;
    message
}

/// Returns the same message as a stream shows it.
fn streamed(order: u64, step: u64, status: UiStatus) -> UiMessage {
    let mut message = UiMessage::group(&[assistant(order, step, json!("streamed"))]).remove(0);
    message.status = status;
    message
}

fn texts(messages: &[UiMessage]) -> Vec<(u64, u64, &str)> {
    messages.iter().map(|message| (message.order, message.step, message.text.as_str())).collect()
}

#[test]
fn a_stream_stands_for_a_message_that_is_being_made_and_for_no_other() {
    use UiStatus::{Aborted, Failed, Pending, Streaming, Success};
    for (saved, stream, shows_stream) in [
        (Some(Pending), Some(Streaming), true),
        (Some(Pending), Some(Success), true),
        (Some(Pending), Some(Failed), true),
        (Some(Pending), Some(Aborted), true),
        (Some(Success), Some(Streaming), false),
        (Some(Success), Some(Success), false),
        (Some(Success), Some(Failed), false),
        (Some(Failed), Some(Streaming), false),
        (Some(Failed), Some(Success), false),
        (Some(Aborted), Some(Aborted), false),
        (None, Some(Streaming), true),
        (None, Some(Pending), true),
        (None, Some(Failed), true),
        (Some(Pending), Some(Pending), false),
        (Some(Pending), None, false),
    ] {
        let saved_list = saved.map(|status| message(0, 1, status)).into_iter().collect();
        let streams = stream.map(|status| streamed(0, 1, status)).into_iter().collect();
        let shown = UiMessage::merge(saved_list, streams);
        assert_eq!(shown.len(), 1);
        let status = if shows_stream { stream } else { saved };
        assert_eq!(Some(shown[0].status), status, "saved {saved:?}, streamed {stream:?}");
    }
    assert_eq!(UiMessage::merge(vec![], vec![]), []);
}

#[test]
fn messages_are_in_the_order_of_the_thread() {
    let saved = vec![message(2, 1, UiStatus::Success), message(0, 1, UiStatus::Success)];
    let shown = UiMessage::merge(saved, vec![streamed(1, 1, UiStatus::Streaming)]);
    assert_eq!(texts(&shown), [(0, 1, "text"), (1, 1, "streamed"), (2, 1, "text")]);
}

#[test]
fn the_same_place_twice_is_one_message() {
    let saved = vec![
        message(0, 1, UiStatus::Pending),
        message(0, 1, UiStatus::Success),
        message(0, 1, UiStatus::Failed),
    ];
    let shown = UiMessage::merge(saved, vec![]);
    assert_eq!((shown.len(), shown[0].status), (1, UiStatus::Success));
}

/// A run of two steps, of which the second is being made, and its stream.
fn running() -> (Vec<loomwork_store::Row<loomwork_messages::MessageRow>>, UiMessage) {
    let mut rows = vec![
        user(0, 0, json!("?")),
        assistant(0, 1, json!([{ "type": "text", "text": "I look." }, call("c")])),
        results(0, 2, json!([result("c", text_output("found"))])),
        assistant(0, 3, json!([])),
    ];
    for row in &mut rows[1..] {
        row.run = Some(run(1));
    }
    rows[3].status = loomwork_messages::MessageStatus::Pending;
    let reducer = reduced(json!([
        { "type": "start-step" },
        { "type": "text-start", "id": "t" }, { "type": "text-delta", "id": "t", "delta": "I look." }, { "type": "text-end", "id": "t" },
        { "type": "tool-input-available", "toolCallId": "c", "toolName": "search", "input": { "q": "c" } },
        { "type": "finish-step" },
        { "type": "tool-output-available", "toolCallId": "c", "output": "found" },
        { "type": "start-step" },
        { "type": "text-start", "id": "t" }, { "type": "text-delta", "id": "t", "delta": "It is" }
    ]));
    let stream = stream_row("streaming");
    let metadata = reducer.metadata().clone();
    (rows, UiMessage::from_stream(&stream, reducer.into_parts(), metadata))
}

fn stream_row(status: &str) -> StreamRow {
    serde_json::from_value(json!({
        "thread": thread(), "run": run(1), "message": message_id(0, 1), "order": 0, "stepOrder": 1,
        "user": "ann", "agent": "bot", "model": "m", "provider": "p", "status": status, "created": 1,
        "expires": 2,
    }))
    .unwrap()
}

#[test]
fn a_stream_has_the_id_and_the_key_of_what_it_becomes() {
    let (mut rows, stream) = running();
    let saved = UiMessage::group(&rows);
    assert_eq!((&stream.id, &stream.key), (&saved[1].id, &saved[1].key));
    assert_eq!((stream.status, saved[1].status), (UiStatus::Streaming, UiStatus::Pending));
    assert_eq!((stream.model.as_deref(), stream.text.as_str()), (Some("m"), "I look. It is"));
    let shown = UiMessage::merge(saved, vec![stream.clone()]);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1], stream);

    rows[3].status = loomwork_messages::MessageStatus::Success;
    let saved = UiMessage::group(&rows);
    assert_eq!(
        UiMessage::merge(saved.clone(), vec![stream]),
        saved,
        "once it has ended, the saved one is shown"
    );
    for (status, shown) in [("finished", UiStatus::Success), ("aborted", UiStatus::Aborted)] {
        assert_eq!(UiMessage::from_stream(&stream_row(status), vec![], Default::default()).status, shown);
    }
}

#[test]
fn a_stream_stands_for_the_pieces_of_its_run_wherever_a_page_begins() {
    let (rows, stream) = running();
    // The first step is on a page that is not loaded.
    let saved = UiMessage::group(&rows[2..]);
    assert_eq!(saved[0].step, 2);
    let shown = UiMessage::merge(saved, vec![stream.clone()]);
    assert_eq!(shown, std::slice::from_ref(&stream));
    // It is, as a page of its own.
    let saved = [UiMessage::group(&rows[..2]), UiMessage::group(&rows[2..])].concat();
    let shown = UiMessage::merge(saved, vec![stream.clone()]);
    assert_eq!(shown[1..], [stream]);
}

#[test]
fn pieces_across_a_pages_border_are_one_message_again() {
    let rows = [
        assistant(0, 1, json!([call("a"), { "type": "text", "text": "one" }, call("b")])),
        results(
            0,
            2,
            json!([
                result("a", text_output("1")),
                result("b", json!({ "type": "error-text", "value": "no" }))
            ]),
        ),
        assistant(0, 3, json!([call("c")])),
        results(0, 4, json!([result("c", text_output("3"))])),
        assistant(0, 5, json!("two")),
    ];
    let whole = UiMessage::group(&rows);
    for border in 1..rows.len() {
        let (older, newer) = rows.split_at(border);
        let pages = [UiMessage::group(newer), UiMessage::group(older)].concat();
        assert_eq!(UiMessage::merge(pages, vec![]), whole, "cut before row {border}");
    }
}

#[test]
fn every_call_is_kept_while_an_answer_grows() {
    let mut rows = vec![];
    for number in 0..5u64 {
        let id = format!("c{number}");
        rows.push(assistant(0, 2 * number + 1, json!([call(&id)])));
        rows.push(results(0, 2 * number + 2, json!([result(&id, text_output(&id))])));
        let pieces: Vec<_> =
            rows.iter().flat_map(|row| UiMessage::group(std::slice::from_ref(row))).collect();
        let shown = UiMessage::merge(pieces, vec![]);
        assert_eq!(shown.len(), 1);
        let calls: Vec<_> = shown[0].parts.iter().filter_map(UiPart::as_tool).collect();
        assert_eq!(calls.len() as u64, number + 1);
        assert!(calls.iter().all(|call| call.input.is_some() && call.output == Some(json!(call.call))));
    }
}

#[test]
fn plain_answers_of_one_author_are_joined_and_roles_stay_apart() {
    let rows = [
        user(0, 0, json!("?")),
        assistant(0, 1, json!("one")),
        assistant(0, 2, json!("two")),
        user(0, 3, json!("!")),
        assistant(1, 0, json!("three")),
    ];
    let shown = UiMessage::merge(UiMessage::group(&rows), vec![]);
    let said: Vec<_> = shown.iter().map(|message| (message.role, message.text.as_str())).collect();
    assert_eq!(
        said,
        [(Role::User, "?"), (Role::Assistant, "one two"), (Role::User, "!"), (Role::Assistant, "three")]
    );
    assert_eq!(shown[1].id, message_id(0, 1).to_string());
}

#[test]
fn what_became_of_a_call_is_not_taken_back() {
    let piece = |part: Value| {
        let mut message = message(0, 1, UiStatus::Success);
        message.parts = serde_json::from_value(json!([part])).unwrap();
        message
    };
    let ended = json!({ "type": "tool-search", "toolCallId": "c", "state": "output-available", "output": 1 });
    let asked = json!({ "type": "tool-search", "toolCallId": "c", "state": "approval-requested", "input": {}, "approval": { "id": "a" } });
    let mut later = piece(asked);
    later.step = 2;
    let shown = UiMessage::merge(vec![piece(ended), later], vec![]);
    assert_eq!(
        parts_json(&shown[0].parts),
        json!([{ "type": "tool-search", "toolCallId": "c", "state": "output-available", "input": {}, "output": 1, "approval": { "id": "a" } }])
    );
}

#[test]
fn results_belong_to_whoever_called_whoever_saved_them() {
    let mut rows = [
        assistant(0, 1, json!([call("c")])),
        results(0, 2, json!([result("c", text_output("1"))])),
        assistant(0, 3, json!("Done")),
    ];
    (rows[1].agent, rows[1].user) = (None, Some("ben".to_owned()));
    let whole = UiMessage::group(&rows);
    assert_eq!(whole.len(), 1);
    let pieces: Vec<_> = rows.iter().flat_map(|row| UiMessage::group(std::slice::from_ref(row))).collect();
    let shown = UiMessage::merge(pieces, vec![]);
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].parts, whole[0].parts);
    assert_eq!((shown[0].agent.as_deref(), shown[0].user.as_deref()), (Some("bot"), Some("ann")));
}
