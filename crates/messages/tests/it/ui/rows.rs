use loomwork_messages::{MessageRow, MessageStatus, UiMessage, UiStatus};
use loomwork_models::FinishReason;
use loomwork_store::Row;
use serde_json::{Value, json};

use super::{assistant, call, message_id, result, results, row, text_output, user};

/// Shows rows and returns the rows of what is shown.
fn there_and_back(rows: &[Row<MessageRow>]) -> Vec<MessageRow> {
    UiMessage::group(rows).into_iter().flat_map(UiMessage::into_rows).map(|(_, row)| row).collect()
}

fn assert_same(rows: &[Row<MessageRow>]) {
    let back = there_and_back(rows);
    let told = |row: &MessageRow| {
        let mut json = serde_json::to_value(row).unwrap();
        json["created"] = Value::Null;
        json
    };
    let back: Vec<_> = back.iter().map(told).collect();
    let rows: Vec<_> = rows.iter().map(|row| told(row)).collect();
    assert_eq!(back, rows);
}

/// Adds what a save derives and a model tells.
fn saved(mut row: Row<MessageRow>, text: Option<&str>, reason: Option<FinishReason>) -> Row<MessageRow> {
    (row.text, row.finish_reason) = (text.map(str::to_owned), reason);
    if reason.is_some() {
        (row.model, row.provider) = (Some("m".to_owned()), Some("p".to_owned()));
    }
    row
}

#[test]
fn rows_that_are_shown_and_read_back_are_the_same() {
    assert_same(&[
        saved(row(0, 0, json!({ "role": "system", "content": "Be brief." })), Some("Be brief."), None),
        saved(
            user(
                1,
                0,
                json!([{ "type": "text", "text": "What?" }, { "type": "file", "data": "https://a/f", "mediaType": "text/plain", "filename": "f" }]),
            ),
            Some("What?"),
            None,
        ),
        saved(
            assistant(
                1,
                1,
                json!([
                    { "type": "reasoning", "text": "hm", "providerMetadata": { "p": { "signature": "s" } } },
                    { "type": "text", "text": "I look." },
                    call("a"), call("b")
                ]),
            ),
            Some("I look."),
            Some(FinishReason::ToolCalls),
        ),
        saved(
            results(
                1,
                2,
                json!([
                    result("a", text_output("1")),
                    result("b", json!({ "type": "error-text", "value": "no" }))
                ]),
            ),
            None,
            None,
        ),
        saved(
            assistant(
                1,
                3,
                json!([
                    { "type": "source", "id": "s", "sourceType": "url", "url": "https://a/b", "title": "B" },
                    { "type": "source", "id": "d", "sourceType": "document", "mediaType": "text/plain", "title": "D" },
                    { "type": "file", "data": "https://a/f", "mediaType": "text/plain", "filename": "f" },
                    { "type": "text", "text": "There." }
                ]),
            ),
            Some("There."),
            Some(FinishReason::Stop),
        ),
        saved(user(2, 0, json!("Thanks")), Some("Thanks"), None),
    ]);
}

#[test]
fn a_call_without_a_result_and_a_question_come_back() {
    let request =
        json!({ "type": "tool-approval-request", "approvalId": "a", "toolCallId": "c", "signature": "s" });
    let rows = [saved(assistant(0, 1, json!([call("c"), request])), None, Some(FinishReason::ToolCalls))];
    assert_same(&rows);
}

#[test]
fn the_last_row_has_the_status_and_the_metadata_is_kept() {
    for status in
        [MessageStatus::Success, MessageStatus::Failed, MessageStatus::Aborted, MessageStatus::Pending]
    {
        let mut rows = [
            saved(assistant(0, 1, json!([call("c")])), None, Some(FinishReason::ToolCalls)),
            saved(results(0, 2, json!([result("c", text_output("1"))])), None, None),
            saved(assistant(0, 3, json!("cut of")), Some("cut of"), Some(FinishReason::Stop)),
        ];
        rows[0].metadata.insert("a".to_owned(), json!(1));
        rows[2].status = status;
        rows[2].usage = Some(Default::default());
        if status != MessageStatus::Success {
            rows[2].error = Some(loomwork_messages::Failure::new("timeout", "too late"));
        }
        assert_same(&rows);
    }
}

#[test]
fn a_streaming_message_is_pending_as_rows_with_numbered_ids() {
    let mut message = UiMessage::group(&[
        assistant(0, 1, json!([call("c")])),
        results(0, 2, json!([result("c", text_output("1"))])),
    ])
    .remove(0);
    message.status = UiStatus::Streaming;
    let rows = message.into_rows();
    let first = message_id(0, 1);
    let ids: Vec<_> = rows.iter().map(|(id, row)| (id.as_str(), row.step)).collect();
    assert_eq!(ids, [(format!("{first}-0").as_str(), 1), (format!("{first}-1").as_str(), 2)]);
    assert_eq!((rows[0].1.status, rows[1].1.status), (MessageStatus::Success, MessageStatus::Pending));
}

#[test]
fn a_message_without_parts_is_a_row_without_parts() {
    let mut pending = assistant(0, 1, json!([]));
    pending.status = MessageStatus::Pending;
    let rows = there_and_back(&[pending]);
    assert_eq!((rows.len(), rows[0].status, rows[0].message.parts.len()), (1, MessageStatus::Pending, 0));
}
