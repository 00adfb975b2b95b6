use loomwork_messages::{MessageRow, MessageStatus, ToolState, UiMessage, UiPart, UiStatus};
use loomwork_models::{FinishReason, Role};
use loomwork_store::Row;
use serde_json::{Value, json};

use super::{assistant, call, message_id, parts_json, result, results, row, run, text_output, thread, user};

fn grouped(rows: &[Row<MessageRow>]) -> Vec<UiMessage> {
    UiMessage::group(rows)
}

/// Returns the one message of rows of an answer.
fn one(rows: &[Row<MessageRow>]) -> UiMessage {
    let mut messages = grouped(rows);
    assert_eq!(messages.len(), 1, "{messages:#?}");
    messages.remove(0)
}

fn kinds(message: &UiMessage) -> Vec<String> {
    let kind = |part: &Value| part["type"].as_str().unwrap().to_owned();
    parts_json(&message.parts).as_array().unwrap().iter().map(kind).collect()
}

fn tool_json(message: &UiMessage) -> Value {
    let part = message.parts.iter().find(|part| part.as_tool().is_some()).unwrap();
    serde_json::to_value(part).unwrap()
}

#[test]
fn an_answer_of_several_steps_is_one_message() {
    let mut rows = vec![
        row(0, 0, json!({ "role": "system", "content": "Be brief." })),
        user(1, 0, json!("What is it?")),
        assistant(1, 1, json!([{ "type": "text", "text": "I look." }, call("c")])),
        results(1, 2, json!([result("c", text_output("found"))])),
        assistant(1, 3, json!([{ "type": "text", "text": "It is there." }])),
        user(2, 0, json!("Thanks")),
    ];
    rows[4].model = Some("m".to_owned());
    let messages = grouped(&rows);
    assert_eq!(
        messages.iter().map(|message| message.role).collect::<Vec<_>>(),
        [Role::System, Role::User, Role::Assistant, Role::User]
    );
    let answer = &messages[2];
    assert_eq!(answer.id, message_id(1, 1).to_string());
    assert_eq!(answer.key, format!("{}-1-1", thread()));
    assert_eq!((answer.order, answer.step), (1, 1));
    assert_eq!((answer.text.as_str(), answer.status), ("I look. It is there.", UiStatus::Success));
    assert_eq!(answer.created.millis(), 1001);
    assert_eq!((answer.agent.as_deref(), answer.model.as_deref()), (Some("bot"), Some("m")));
    assert_eq!(
        parts_json(&answer.parts),
        json!([
            { "type": "step-start" },
            { "type": "text", "text": "I look.", "state": "done" },
            { "type": "tool-search", "toolCallId": "c", "state": "output-available", "input": { "q": "c" }, "output": "found" },
            { "type": "step-start" },
            { "type": "text", "text": "It is there.", "state": "done" }
        ])
    );
    assert_eq!(parts_json(&messages[0].parts), json!([{ "type": "text", "text": "Be brief." }]));
    assert_eq!((messages[1].text.as_str(), messages[1].agent.as_deref()), ("What is it?", None));
    assert!(messages.iter().all(|message| message.user.as_deref() == Some("ann")));

    let reversed: Vec<_> = rows.into_iter().rev().collect();
    assert_eq!(grouped(&reversed), messages, "the order of the rows does not matter");
}

#[test]
fn text_between_calls_stays_where_it_is() {
    let message = one(&[
        assistant(0, 1, json!([call("a"), { "type": "text", "text": "and" }, call("b")])),
        results(0, 2, json!([result("b", text_output("2")), result("a", text_output("1"))])),
        assistant(0, 3, json!("Done")),
    ]);
    assert_eq!(kinds(&message), ["step-start", "tool-search", "text", "tool-search", "step-start", "text"]);
    let outputs: Vec<_> = message.parts.iter().filter_map(|part| part.as_tool()?.output.clone()).collect();
    assert_eq!(outputs, [json!("1"), json!("2")]);
}

#[test]
fn a_message_ends_with_its_turn_its_text_or_a_persons_row() {
    let places = |rows: &[Row<MessageRow>]| -> Vec<_> {
        grouped(rows).iter().map(|message| (message.order, message.step)).collect()
    };
    assert_eq!(
        places(&[assistant(0, 1, json!([call("a")])), assistant(1, 0, json!([call("b")]))]),
        [(0, 1), (1, 0)]
    );
    assert_eq!(places(&[assistant(0, 1, json!("one")), assistant(0, 2, json!("two"))]), [(0, 1), (0, 2)]);
    assert_eq!(
        places(&[
            assistant(0, 1, json!([call("a")])),
            user(0, 2, json!("wait")),
            results(0, 3, json!([result("a", text_output("1"))]))
        ]),
        [(0, 1), (0, 2), (0, 3)]
    );
}

#[test]
fn the_rows_of_one_run_are_one_message_and_another_run_is_another() {
    let mut rows = [
        assistant(0, 1, json!("one")),
        assistant(0, 2, json!("two")),
        assistant(0, 3, json!([call("c")])),
        results(0, 4, json!([result("c", text_output("1"))])),
        assistant(0, 5, json!("other")),
    ];
    for row in &mut rows[..4] {
        row.run = Some(run(1));
    }
    rows[4].run = Some(run(2));
    let messages = grouped(&rows);
    assert_eq!(
        messages.iter().map(|message| (message.step, message.run)).collect::<Vec<_>>(),
        [(1, Some(run(1))), (5, Some(run(2)))]
    );
    assert_eq!(messages[1].id, message_id(0, 5).to_string());
}

#[test]
fn another_author_on_the_same_turn_is_not_fused() {
    let mut rows = [
        assistant(0, 1, json!([call("c")])),
        results(0, 2, json!([result("c", text_output("1"))])),
        assistant(0, 3, json!("Let me help.")),
    ];
    rows[2].agent = Some("Ben of support".to_owned());
    let messages = grouped(&rows);
    assert_eq!(
        messages.iter().map(|message| message.agent.as_deref().unwrap()).collect::<Vec<_>>(),
        ["bot", "Ben of support"]
    );
    rows[2].agent = Some("bot".to_owned());
    assert_eq!(grouped(&rows).len(), 1);
    rows[2].user = Some("ben".to_owned());
    assert_eq!(grouped(&rows).len(), 2);
    assert_eq!(UiMessage::merge(grouped(&rows), vec![]).len(), 2, "nor by a client");
}

#[test]
fn the_status_and_the_error_are_those_of_the_last_row() {
    let mut rows = [
        assistant(0, 1, json!([call("c")])),
        results(0, 2, json!([result("c", text_output("1"))])),
        assistant(0, 3, json!([])),
    ];
    for (status, shown) in [
        (MessageStatus::Pending, UiStatus::Pending),
        (MessageStatus::Success, UiStatus::Success),
        (MessageStatus::Failed, UiStatus::Failed),
        (MessageStatus::Aborted, UiStatus::Aborted),
    ] {
        rows[2].status = status;
        rows[2].error = Some(loomwork_messages::Failure::new("timeout", "too late"));
        let message = one(&rows);
        assert_eq!((message.status, message.error.as_ref().unwrap().code.as_str()), (shown, "timeout"));
        assert_eq!(kinds(&message), ["step-start", "tool-search"], "a row without parts begins no step");
    }
}

#[test]
fn what_the_rows_tell_of_models_is_there() {
    let usage = |fresh: u64| serde_json::from_value(json!({ "inputFresh": fresh, "outputText": 1 })).unwrap();
    let mut rows = [
        assistant(0, 1, json!([call("c")])),
        results(0, 2, json!([result("c", text_output("1"))])),
        assistant(0, 3, json!("Done")),
    ];
    rows[0].usage = Some(usage(10));
    rows[0].finish_reason = Some(FinishReason::ToolCalls);
    rows[0].metadata.insert("a".to_owned(), json!(1));
    rows[2].usage = Some(usage(20));
    rows[2].finish_reason = Some(FinishReason::Stop);
    (rows[2].model, rows[2].provider) = (Some("m".to_owned()), Some("p".to_owned()));
    let message = one(&rows);
    assert_eq!(
        message.usage,
        Some(serde_json::from_value(json!({ "inputFresh": 30, "outputText": 2 })).unwrap())
    );
    assert_eq!(message.finish_reason, Some(FinishReason::Stop));
    assert_eq!((message.model.as_deref(), message.provider.as_deref()), (Some("m"), Some("p")));
    assert_eq!(message.metadata["a"], 1);
}

#[test]
fn outputs_are_shown_bare_and_failures_stay_failures() {
    let shown = |output: Value| {
        tool_json(&one(&[assistant(0, 1, json!([call("c")])), results(0, 2, json!([result("c", output)]))]))
    };
    let value = |output: Value| {
        let part = shown(output);
        assert_eq!(part["state"], "output-available");
        part["output"].clone()
    };
    assert_eq!(value(text_output("hi")), "hi");
    assert_eq!(value(json!({ "type": "json", "value": { "n": 1 } })), json!({ "n": 1 }));
    assert_eq!(value(json!({ "type": "json", "value": null })), Value::Null);
    assert_eq!(
        value(json!({ "type": "json", "value": { "type": "weather" } })),
        json!({ "type": "weather" })
    );
    let content = json!({ "type": "content", "value": [{ "type": "text", "text": "hi" }] });
    assert_eq!(value(content.clone()), content);

    for (output, text) in [
        (json!({ "type": "error-text", "value": "broken" }), "broken"),
        (json!({ "type": "error-json", "value": "broken" }), "broken"),
        (json!({ "type": "error-json", "value": { "code": 7 } }), r#"{"code":7}"#),
    ] {
        let part = shown(output);
        assert_eq!((&part["state"], &part["errorText"]), (&json!("output-error"), &json!(text)));
        assert_eq!((part.get("output"), &part["input"]), (None, &json!({ "q": "c" })));
    }
    let denied = shown(json!({ "type": "execution-denied", "reason": "no" }));
    assert_eq!(denied["state"], "output-denied");
    assert_eq!(denied["approval"], json!({ "id": "", "approved": false, "reason": "no" }));
}

#[test]
fn the_older_error_flag_is_a_failure_with_and_without_its_call() {
    let failed = json!({ "type": "tool-result", "toolCallId": "c", "toolName": "search", "result": "broken", "isError": true });
    let with = one(&[assistant(0, 1, json!([call("c")])), results(0, 2, json!([failed]))]);
    let without = one(&[results(0, 2, json!([failed]))]);
    for message in [&with, &without] {
        let part = tool_json(message);
        assert_eq!((&part["state"], &part["errorText"]), (&json!("output-error"), &json!("broken")));
    }
    assert_eq!((without.role, tool_json(&without).get("input")), (Role::Assistant, None));
}

#[test]
fn a_call_without_a_result_waits_for_it() {
    let mut invalid = call("bad");
    invalid["invalid"] = json!("no JSON");
    invalid["input"] = json!("{");
    let message = one(&[assistant(0, 1, json!([call("c"), invalid]))]);
    assert_eq!(message.parts[1].as_tool().unwrap().state, ToolState::InputAvailable);
    let bad = message.parts[2].as_tool().unwrap();
    assert_eq!((bad.state, bad.error_text.as_deref()), (ToolState::OutputError, Some("no JSON")));
    assert_eq!((bad.input.as_ref(), bad.raw_input.as_ref()), (None, Some(&json!("{"))));
}

#[test]
fn a_dynamic_tool_stays_dynamic() {
    let shown = |extra: Value| {
        let mut call = call("c");
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        tool_json(&one(&[assistant(0, 1, json!([call]))]))["type"].clone()
    };
    assert_eq!(shown(json!({})), "tool-search");
    assert_eq!(shown(json!({ "dynamic": true })), "dynamic-tool");
    assert_eq!(shown(json!({ "toolMetadata": { "dynamic": true } })), "dynamic-tool");
}

#[test]
fn questions_and_answers_do_not_depend_on_the_order_of_rows() {
    let request =
        json!({ "type": "tool-approval-request", "approvalId": "a", "toolCallId": "c", "signature": "s" });
    let answer = |approved: bool| json!({ "type": "tool-approval-response", "approvalId": "a", "approved": approved, "reason": "so" });
    let asked = assistant(0, 1, json!([call("c"), request]));
    let shown = |rows: &[Row<MessageRow>]| {
        let part = tool_json(&one(rows));
        (part["state"].as_str().unwrap().to_owned(), part["approval"].clone())
    };
    assert_eq!(
        shown(std::slice::from_ref(&asked)),
        ("approval-requested".to_owned(), json!({ "id": "a", "signature": "s" }))
    );
    let yes = json!({ "id": "a", "approved": true, "reason": "so", "signature": "s" });
    let no = json!({ "id": "a", "approved": false, "reason": "so", "signature": "s" });
    assert_eq!(
        shown(&[asked.clone(), results(0, 2, json!([answer(true)]))]),
        ("approval-responded".to_owned(), yes.clone())
    );
    assert_eq!(
        shown(&[asked.clone(), results(0, 2, json!([answer(false)]))]),
        ("output-denied".to_owned(), no.clone())
    );
    let denied = result("c", json!({ "type": "execution-denied", "reason": "so" }));
    assert_eq!(shown(&[asked.clone(), results(0, 2, json!([denied]))]), ("output-denied".to_owned(), no));
    let done = result("c", text_output("1"));
    for rows in [json!([answer(true), done]), json!([done, answer(true)])] {
        assert_eq!(
            shown(&[asked.clone(), results(0, 2, rows)]),
            ("output-available".to_owned(), yes.clone())
        );
    }
    let first = results(0, 1, json!([answer(true), done]));
    let last = assistant(0, 2, json!([call("c"), request]));
    assert_eq!(shown(&[first, last]), ("output-available".to_owned(), yes));
}

#[test]
fn sources_files_and_unknown_parts_stay_in_their_row() {
    let message = one(&[assistant(
        0,
        1,
        json!([
            { "type": "source", "id": "s", "sourceType": "url", "url": "https://a/b", "title": "B" },
            { "type": "source", "id": "d", "sourceType": "document", "mediaType": "text/plain", "title": "D" },
            { "type": "file", "data": "https://a/f", "mediaType": "text/plain", "filename": "f.txt" },
            { "type": "image", "image": "iVBORw0KGgoAAAANSUhEUg==" },
            { "type": "file", "data": { "type": "reference", "reference": { "p": "f1" } }, "mediaType": "image/png" },
            { "type": "reasoning-file", "data": "AAAA", "mediaType": "image/png" },
            { "type": "custom", "kind": "p.k" },
            { "type": "data-weather", "data": "sun" },
            { "type": "of-another-time", "what": "ever" },
            { "type": "redacted-reasoning", "data": "sealed" }
        ]),
    )]);
    assert_eq!(
        parts_json(&message.parts[1..]),
        json!([
            { "type": "source-url", "sourceId": "s", "url": "https://a/b", "title": "B" },
            { "type": "source-document", "sourceId": "d", "mediaType": "text/plain", "title": "D" },
            { "type": "file", "url": "https://a/f", "mediaType": "text/plain", "filename": "f.txt" },
            { "type": "file", "url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==", "mediaType": "image/png" },
            { "type": "file", "url": "", "mediaType": "image/png", "providerReference": { "p": "f1" } },
            { "type": "reasoning-file", "url": "data:image/png;base64,AAAA", "mediaType": "image/png" },
            { "type": "custom", "kind": "p.k" },
            { "type": "data-weather", "data": "sun" },
            { "type": "of-another-time", "what": "ever" },
            { "type": "redacted-reasoning", "data": "sealed" }
        ])
    );
}

#[test]
fn a_users_row_shows_texts_and_files() {
    let rows = [user(
        0,
        0,
        json!([
            { "type": "text", "text": "Look:" },
            { "type": "image", "image": "https://a/b.png" },
            { "type": "file", "data": "https://a/f", "mediaType": "text/plain" },
            { "type": "reasoning", "text": "not theirs" },
            call("not theirs")
        ]),
    )];
    let message = &grouped(&rows)[0];
    assert_eq!(kinds(message), ["text", "file", "file"]);
    assert_eq!(parts_json(&message.parts)[1]["mediaType"], "image/*");
    assert!(matches!(&message.parts[0], UiPart::Text(text) if text.state.is_none()));
}

#[test]
fn a_page_is_whole_where_a_message_begins() {
    let begins = |before: &Row<MessageRow>, row: &Row<MessageRow>| UiMessage::begins_at(Some(before), row);
    let (asked, answered) = (user(0, 0, json!("?")), assistant(0, 1, json!([call("c")])));
    let (found, said) = (results(0, 2, json!([result("c", text_output("1"))])), assistant(0, 3, json!("!")));
    assert!(UiMessage::begins_at(None, &found));
    assert!(begins(&asked, &answered));
    assert!(!begins(&answered, &found));
    assert!(!begins(&found, &said));
    assert!(begins(&said, &assistant(0, 4, json!("more"))));
    assert!(begins(&said, &assistant(1, 0, json!("more"))));
    let mut other = assistant(0, 2, json!([call("d")]));
    other.agent = Some("other".to_owned());
    assert!(begins(&answered, &other));
}
