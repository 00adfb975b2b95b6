//! The AI SDK itself, in each version that is spoken: `useChat` without React, with its default transport.

use std::sync::Arc;

use loomwork::agent::{Approval, Tool, ToolContext, ToolPolicy};
use loomwork::core::Secret;
use loomwork::http::{AiSdk, Options};
use loomwork::models::{Gate, MockModel, MockReply, Source, SourceKind};
use loomwork::{Agent, App, step_count};
use loomwork_testkit::soon;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::{Page, calls_of, has_pages, text_of};
use crate::world::{KEY, World, serve};

const VERSIONS: [(u8, AiSdk); 3] = [(5, AiSdk::Five), (6, AiSdk::Six), (7, AiSdk::Seven)];

#[derive(Deserialize, JsonSchema)]
struct City {
    city: String,
}

/// An agent with a tool of each kind, which says these replies.
fn agent(replies: Vec<MockReply>) -> Agent {
    let weather = Tool::new("weather", "Tells the weather.", |cx: ToolContext, City { city }: City| {
        cx.progress(0.5, "looking out");
        async move { format!("sunny in {city}") }
    });
    let weather = weather.with_sources(|_| {
        vec![Source {
            id: "sky".to_owned(),
            kind: SourceKind::Url { url: "https://example.com/sky".to_owned() },
            title: Some("The sky".to_owned()),
            extras: Default::default(),
        }]
    });
    let broken = Tool::new("broken", "Fails.", |_: ToolContext, City { city }: City| async move {
        Err::<String, _>(loomwork::agent::ToolError::invalid(format!("there is no {city}")))
    });
    let refund = Tool::new("refund", "Gives money back.", |_: ToolContext, City { city }: City| async move {
        format!("paid to {city}")
    });
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    let place = json!({ "type": "object", "properties": {} });
    Agent::new("assistant", Arc::new(MockModel::new(replies)))
        .tool(weather)
        .and_then(|agent| agent.tool(broken))
        .and_then(|agent| agent.tool(refund.with_policy(policy)))
        .and_then(|agent| agent.tool(Tool::declared("place", "Tells where the page is.", place)))
        .expect("tools")
        .stop_when(step_count(5))
}

async fn open(version: u8, ai_sdk: AiSdk, replies: Vec<MockReply>) -> (World, Page) {
    let options = Options { ai_sdk, ..Options::default() };
    let world = serve(App::memory().key(Secret::from(KEY)).http(options).agent(agent(replies))).await;
    let page = Page::open(&world, version);
    (world, page)
}

fn call(id: &str, tool: &str) -> MockReply {
    MockReply::default().tool_call(id, tool, json!({ "city": "Paris" }))
}

fn send(text: &str) -> Value {
    json!({ "do": "send", "text": text })
}

#[tokio::test]
async fn u2_a_text_comes_and_the_page_is_ready_again() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u2")) {
        let (_world, mut page) = open(version, ai_sdk, vec!["Good morning.".into()]).await;
        page.step(&send("Hello!"));
        let report = page.report().await;
        assert_eq!(report["statuses"], json!(["ready", "submitted", "streaming", "ready"]), "{version}");
        assert_eq!(text_of(&report["messages"][1]), "Good morning.", "{version}");
        assert_eq!(report["messages"][1]["metadata"]["usage"]["totalTokens"], 13, "{version}");
    }
}

#[tokio::test]
async fn u3_thoughts_are_shown_apart_from_the_text() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u3")) {
        let reply = MockReply::default().reasoning("Who is it?").text("Hello.");
        let (_world, mut page) = open(version, ai_sdk, vec![reply]).await;
        page.step(&send("Hello!"));
        let report = page.report().await;
        let parts = &report["messages"][1]["parts"];
        assert_eq!(
            (&parts[1]["type"], &parts[1]["text"]),
            (&json!("reasoning"), &json!("Who is it?")),
            "{version}"
        );
        assert_eq!(text_of(&report["messages"][1]), "Hello.", "{version}");
    }
}

#[tokio::test]
async fn u4_u5_u16_tools_of_the_server_run_over_two_steps_and_tell_of_their_sources() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u4")) {
        let both = call("call_1", "weather").tool_call("call_2", "weather", json!({ "city": "Rome" }));
        let (_world, mut page) = open(version, ai_sdk, vec![both, "Sunny.".into()]).await;
        page.step(&send("How is the weather?"));
        let report = page.report().await;
        let answer = &report["messages"][1];
        let calls = calls_of(answer);
        assert_eq!(calls.len(), 2, "{version}: {answer}");
        assert_eq!(calls[0]["type"], "tool-weather", "{version}");
        assert_eq!(calls[0]["output"], "sunny in Paris", "{version}");
        assert_eq!(calls[1]["output"], "sunny in Rome", "{version}");
        let parts = answer["parts"].as_array().expect("parts");
        assert_eq!(parts.iter().filter(|part| part["type"] == "step-start").count(), 2, "{version}");
        assert!(parts.iter().any(|part| part["type"] == "source-url"), "{version}: {answer}");
        assert!(
            parts.iter().all(|part| part["type"] != "data-tool-progress"),
            "it was for those who were there"
        );
        assert_eq!(report["data"][0]["type"], "data-tool-progress", "{version}");
    }
}

#[tokio::test]
async fn u6_a_tool_that_fails_does_not_fail_the_chat() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u6")) {
        let (_world, mut page) = open(version, ai_sdk, vec![call("call_1", "broken"), "Sorry.".into()]).await;
        page.step(&send("Break it."));
        let report = page.report().await;
        assert_eq!(report["status"], "ready", "{version}");
        let calls = calls_of(&report["messages"][1]);
        assert_eq!(calls[0]["state"], "output-error", "{version}");
        assert!(calls[0]["errorText"].to_string().contains("there is no Paris"), "{version}");
    }
}

#[tokio::test]
async fn u7_a_tool_of_the_page_is_answered_there_and_it_is_still_one_message() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u7")) {
        let (_world, mut page) =
            open(version, ai_sdk, vec![call("call_1", "place"), "In Oslo.".into()]).await;
        page.steps([
            send("Where am I?"),
            json!({ "do": "output", "tool": "place", "output": { "city": "Oslo" } }),
            json!({ "do": "settled", "text": "In Oslo." }),
        ]);
        let report = page.report().await;
        assert_eq!(report["messages"].as_array().expect("messages").len(), 2, "{version}: {report}");
        assert_eq!(calls_of(&report["messages"][1])[0]["output"], json!({ "city": "Oslo" }), "{version}");
        let id = report["messages"][1]["id"].clone();
        page.steps([json!({ "do": "reload" }), json!({ "do": "done" })]);
        let again = page.report().await;
        assert_eq!(again["messages"].as_array().expect("messages").len(), 2, "{version}: {again}");
        assert_eq!(again["messages"][1]["id"], id, "{version}");
        assert_eq!(text_of(&again["messages"][1]), "In Oslo.", "{version}");
    }
}

#[tokio::test]
async fn u8_an_approval_is_granted_or_denied_in_the_same_message() {
    for (version, ai_sdk) in VERSIONS.into_iter().skip(1).filter(|_| has_pages("u8")) {
        for approved in [true, false] {
            let (_world, mut page) =
                open(version, ai_sdk, vec![call("call_1", "refund"), "Done.".into()]).await;
            page.step(&send("Pay me back."));
            let asked = page.report().await;
            assert_eq!(
                calls_of(&asked["messages"][1])[0]["state"],
                "approval-requested",
                "{version}: {asked}"
            );
            page.steps([
                json!({ "do": "approve", "approved": approved, "reason": "so it is" }),
                json!({ "do": "settled", "text": "Done." }),
            ]);
            let report = page.report().await;
            assert_eq!(report["messages"].as_array().expect("messages").len(), 2, "{version}: {report}");
            assert_eq!(report["messages"][1]["id"], asked["messages"][1]["id"], "{version}");
            let calls = calls_of(&report["messages"][1]);
            let state = if approved { "output-available" } else { "output-denied" };
            assert_eq!((calls.len(), &calls[0]["state"]), (1, &json!(state)), "{version}: {report}");
        }
    }
}

#[tokio::test]
async fn u10_an_answer_that_fails_is_an_error_with_its_text() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u10")) {
        let (_world, mut page) = open(version, ai_sdk, Vec::new()).await;
        page.step(&send("Hello!"));
        let report = page.report().await;
        assert_eq!(report["status"], "error", "{version}");
        assert!(report["error"].is_string(), "{version}");
    }
}

#[tokio::test]
async fn u11_u13_a_page_that_leaves_ends_nothing_and_gets_all_when_it_comes_back() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u13")) {
        let gate = Gate::default();
        let reply = MockReply::from("Once upon").gate(&gate).text(" a time.");
        let (_world, mut page) = open(version, ai_sdk, vec![reply]).await;
        page.steps([
            json!({ "do": "begin", "text": "Tell me." }),
            json!({ "do": "until", "text": "Once upon" }),
            json!({ "do": "stop" }),
            json!({ "do": "done" }),
        ]);
        let stopped = page.report().await;
        assert_eq!(
            (&stopped["status"], text_of(&stopped["messages"][1]).as_str()),
            (&json!("ready"), "Once upon")
        );
        page.steps([json!({ "do": "reload" }), json!({ "do": "until", "text": "Once upon" })]);
        page.reached().await;
        soon(gate.reached()).await;
        gate.open();
        page.step(&json!({ "do": "done" }));
        let report = page.report().await;
        assert_eq!(report["messages"].as_array().expect("messages").len(), 2, "{version}: {report}");
        assert_eq!(text_of(&report["messages"][1]), "Once upon a time.", "{version}");
    }
}

#[tokio::test]
async fn u15_an_answer_is_made_again_in_the_place_of_the_last() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u15")) {
        let (world, mut page) =
            open(version, ai_sdk, vec!["One.".into(), "Two.".into(), "Three.".into()]).await;
        page.steps([send("A number."), json!({ "do": "regenerate" })]);
        let report = page.report().await;
        assert_eq!(report["messages"].as_array().expect("messages").len(), 2, "{version}: {report}");
        assert_eq!(text_of(&report["messages"][1]), "Two.", "{version}");

        // And other words for the question.
        let asked = report["messages"][0]["id"].clone();
        page.step(&json!({ "do": "send", "text": "Another number.", "messageId": asked }));
        let report = page.report().await;
        assert_eq!(text_of(&report["messages"][1]), "Three.", "{version}: {report}");
        let shown = world.get("/api/chat/chat-1").await;
        let stored: Value = shown.json().await.expect("JSON");
        let texts: Vec<_> = stored.as_array().expect("messages").iter().map(text_of).collect();
        assert_eq!(texts, ["Another number.", "Three."], "{version}");
    }
}

#[tokio::test]
async fn u17_signs_and_lines_come_as_they_were_said() {
    let said = "Zwölf Boxkämpfer 🥊\n\ndata: [DONE]\r\n\u{2028}私は\u{0}";
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("u17")) {
        let (_world, mut page) = open(version, ai_sdk, vec![said.into()]).await;
        page.step(&send(said));
        let report = page.report().await;
        assert_eq!(text_of(&report["messages"][1]), said, "{version}");
        page.steps([json!({ "do": "reload" }), json!({ "do": "done" })]);
        let report = page.report().await;
        assert_eq!(text_of(&report["messages"][0]), said, "{version}");
    }
}

#[tokio::test]
async fn u18_what_is_sent_by_default_is_read_by_all_versions() {
    for (version, _) in VERSIONS.into_iter().filter(|_| has_pages("u18")) {
        let reply = call("call_1", "weather").reasoning("Hm.");
        let (_world, mut page) = open(version, AiSdk::default(), vec![reply, "Sunny.".into()]).await;
        page.step(&send("How is the weather?"));
        let report = page.report().await;
        assert_eq!(
            (&report["status"], text_of(&report["messages"][1]).as_str()),
            (&json!("ready"), "Sunny.")
        );
    }
}

#[tokio::test]
async fn a_file_is_sent_along_and_shown_again() {
    for (version, ai_sdk) in VERSIONS.into_iter().filter(|_| has_pages("files")) {
        let (_world, mut page) = open(version, ai_sdk, vec!["A dot.".into()]).await;
        let dot = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=";
        let file = json!({ "type": "file", "mediaType": "image/gif", "url": dot });
        page.step(&json!({ "do": "send", "text": "What is it?", "files": [file] }));
        page.steps([json!({ "do": "reload" }), json!({ "do": "done" })]);
        let report = page.report().await;
        let parts = report["messages"][0]["parts"].as_array().expect("parts");
        assert!(
            parts.iter().any(|part| part["type"] == "file" && part["mediaType"] == "image/gif"),
            "{report}"
        );
        assert_eq!(text_of(&report["messages"][1]), "A dot.", "{version}");
    }
}
