//! Each kind of output item: what it becomes, and that it goes back as it came.

use loomwork_models::{
    ApprovalResponse, Data, FinishReason, Message, Part, Reply, Role, SourceKind, ToolOutput, ToolResult,
    ToolSpec,
};
use loomwork_testkit::provider::FakeProvider;
use loomwork_testkit::soon;
use serde_json::{Value, json};

use super::{
    bag, completed, events, hello, input, openai, options, replayed, response, response_of, streamed, whole,
};

/// Reads items as a stream and whole, which must be the same.
async fn read(items: &[Value]) -> Reply {
    let streamed = streamed(response_of(items)).await.expect("the stream is complete");
    let whole = whole(loomwork_testkit::provider::Reply::json(&response(items)))
        .await
        .expect("the response is whole");
    assert_eq!(streamed.parts, whole.parts);
    assert_eq!(streamed.finish, whole.finish);
    streamed
}

fn message(text: &str, annotations: Value) -> Value {
    let content = json!([{ "type": "output_text", "text": text, "annotations": annotations }]);
    json!({ "type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content })
}

/// Returns the call and the result of a tool that the provider ran.
fn server_tool(reply: &Reply) -> (&loomwork_models::ToolCall, &ToolResult) {
    let call = reply.tool_calls().next().expect("the provider called a tool");
    let result = reply.parts.iter().find_map(|part| match part {
        Part::ToolResult(result) => Some(result),
        _ => None,
    });
    let result = result.expect("the tool has a result");
    assert!(call.provider_executed && result.provider_executed);
    assert_eq!(call.id, result.call);
    (call, result)
}

#[tokio::test]
async fn a_web_search_is_a_call_and_a_result_and_its_citations_are_sources() {
    let search = json!({ "type": "web_search_call", "id": "ws_1", "status": "completed", "action": { "type": "search", "query": "looms" } });
    let citations = json!([
        { "type": "url_citation", "url": "https://example.com", "title": "Looms", "start_index": 0, "end_index": 5 },
        { "type": "file_citation", "file_id": "file_1", "filename": "looms.txt", "index": 3 },
        { "type": "container_file_citation", "container_id": "cntr_1", "file_id": "cfile_1", "filename": "plot.png" },
    ]);
    let items = [search.clone(), message("Looms weave.", citations)];
    let reply = read(&items).await;
    assert_eq!(reply.finish.reason, FinishReason::Stop);
    assert_eq!(reply.usage().provider_tools.get("web_search"), Some(&1));
    let (call, result) = server_tool(&reply);
    assert_eq!(call.name, "web_search");
    assert_eq!(call.input, json!({ "action": { "type": "search", "query": "looms" } }));
    assert_eq!(result.output, ToolOutput::Json(search));
    let sources: Vec<_> = reply
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Source(source) => Some(source),
            _ => None,
        })
        .collect();
    assert_eq!(sources[0].kind, SourceKind::Url { url: "https://example.com".to_owned() });
    assert_eq!((sources[0].title.as_deref(), sources[0].id.as_str()), (Some("Looms"), "source_0"));
    let file = |media_type: &str, name: &str| SourceKind::Document {
        media_type: media_type.to_owned(),
        filename: Some(name.to_owned()),
    };
    assert_eq!(sources[1].kind, file("text/plain", "looms.txt"));
    assert_eq!(sources[2].kind, file("application/octet-stream", "plot.png"));
    assert_eq!(sources[2].extras.provider_metadata["openai"]["container_id"], "cntr_1");
    assert_eq!(replayed(&reply).await, items);
}

#[tokio::test]
async fn annotations_that_are_streamed_are_handed_on_once() {
    let citation = json!({ "type": "url_citation", "url": "https://example.com", "title": "Looms" });
    let reply = streamed(events([
        json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Looms weave." }),
        json!({ "type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0, "annotation_index": 0, "annotation": citation }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": message("Looms weave.", json!([citation])) }),
        completed(&[]),
    ]));
    let reply = reply.await.unwrap();
    assert_eq!(reply.parts.iter().filter(|part| matches!(part, Part::Source(_))).count(), 1);
    assert_eq!(reply.text(), "Looms weave.");
}

#[tokio::test]
async fn a_file_search_and_a_failed_mcp_call_are_results_too() {
    let found = json!({ "type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["looms"], "results": [{ "file_id": "file_1", "text": "…" }] });
    let reply = read(std::slice::from_ref(&found)).await;
    let (call, result) = server_tool(&reply);
    assert_eq!((call.name.as_str(), &call.input), ("file_search", &json!({ "queries": ["looms"] })));
    assert_eq!(result.output, ToolOutput::Json(found.clone()));
    assert_eq!(replayed(&reply).await, [found]);

    let failed = json!({ "type": "mcp_call", "id": "mcp_1", "server_label": "shop", "name": "order", "arguments": "{\"item\":\"yarn\"}", "output": null, "error": "sold out" });
    let reply = read(std::slice::from_ref(&failed)).await;
    let (call, result) = server_tool(&reply);
    assert_eq!((call.name.as_str(), &call.input), ("order", &json!({ "item": "yarn" })));
    assert_eq!(result.output, ToolOutput::ErrorJson(failed.clone()));
    assert_eq!(replayed(&reply).await, [failed]);
}

#[tokio::test]
async fn a_program_streams_as_the_arguments_of_its_call() {
    let item = json!({ "type": "code_interpreter_call", "id": "ci_1", "status": "completed", "container_id": "cntr_1", "code": "print(\"hi\")\n", "outputs": null });
    let delta = |text: &str| json!({ "type": "response.code_interpreter_call_code.delta", "output_index": 0, "delta": text });
    let reply = streamed(events([
        json!({ "type": "response.output_item.added", "output_index": 0, "item": { "type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "" } }),
        delta("print(\""),
        delta("hi\")\n"),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        completed(&[]),
    ]));
    let reply = reply.await.unwrap();
    let (call, _) = server_tool(&reply);
    assert_eq!(call.input, json!({ "code": "print(\"hi\")\n", "container_id": "cntr_1" }));
    assert_eq!(replayed(&reply).await, std::slice::from_ref(&item));
    let undivided = read(std::slice::from_ref(&item)).await;
    assert_eq!(server_tool(&undivided).0.input, call.input);
}

#[tokio::test]
async fn a_picture_is_a_file_and_goes_back_into_its_item() {
    let item = json!({ "type": "image_generation_call", "id": "ig_1", "status": "completed", "output_format": "png", "size": "1024x1024", "result": "iVBORw0KGgo=" });
    let preview = json!({ "type": "response.image_generation_call.partial_image", "output_index": 0, "partial_image_b64": "AAAA" });
    let reply = streamed(events([
        json!({ "type": "response.output_item.added", "output_index": 0, "item": { "type": "image_generation_call", "id": "ig_1", "status": "in_progress" } }),
        preview,
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        completed(&[]),
    ]));
    let reply = reply.await.unwrap();
    assert_eq!(read(std::slice::from_ref(&item)).await.parts, reply.parts);
    let files: Vec<_> = reply
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::File(file) => Some(file),
            _ => None,
        })
        .collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].data, Data::from(b"\x89PNG\r\n\x1a\n".to_vec()));
    assert_eq!(files[0].media_type, "image/png");
    let (_, result) = server_tool(&reply);
    let ToolOutput::Json(shown) = &result.output else { panic!("{:?}", result.output) };
    assert_eq!(shown.get("result"), None);
    assert_eq!(replayed(&reply).await, [item]);
}

#[tokio::test]
async fn a_custom_tool_is_called_with_text() {
    let item = json!({ "type": "custom_tool_call", "id": "ctc_1", "status": "completed", "call_id": "call_1", "name": "sql", "input": "select \"a\"\nfrom b" });
    let delta = |text: &str| json!({ "type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": text });
    let reply = streamed(events([
        json!({ "type": "response.output_item.added", "output_index": 0, "item": { "type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "sql", "input": "" } }),
        delta("select \"a\""),
        delta("\nfrom b"),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        completed(&[]),
    ]));
    let reply = reply.await.unwrap();
    assert_eq!(read(std::slice::from_ref(&item)).await.parts, reply.parts);
    assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
    let call = reply.tool_calls().next().unwrap();
    assert_eq!(call.input, "select \"a\"\nfrom b");
    let messages = [
        Message::user("Hello"),
        Message::new(Role::Assistant, reply.parts.clone()),
        Message::tool([ToolResult::new(call, "3 rows")]),
    ];
    let items = input(messages).await;
    assert_eq!(items[1], item);
    assert_eq!(
        items[2],
        json!({ "type": "custom_tool_call_output", "call_id": "call_1", "output": "3 rows" })
    );
}

#[tokio::test]
async fn tools_that_the_provider_defines_and_the_program_runs_take_their_own_outputs() {
    let computer = json!({ "type": "computer_call", "id": "cu_1", "status": "completed", "call_id": "call_1", "action": { "type": "screenshot" }, "pending_safety_checks": [] });
    let patch = json!({ "type": "apply_patch_call", "id": "ap_1", "status": "completed", "call_id": "call_2", "operation": { "type": "delete_file", "path": "a.txt" } });
    let shell = json!({ "type": "local_shell_call", "id": "ls_1", "status": "completed", "call_id": "call_3", "action": { "type": "exec", "command": ["ls"] } });
    let items = [computer, patch, shell];
    let reply = read(&items).await;
    assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
    let calls: Vec<_> = reply.tool_calls().collect();
    let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["computer", "apply_patch", "local_shell"]);
    assert_eq!(calls[0].input, json!({ "action": { "type": "screenshot" }, "pending_safety_checks": [] }));
    let picture = json!({ "type": "content", "value": [{ "type": "image-url", "url": "https://example.com/screen.png" }] });
    let messages = [
        Message::user("Hello"),
        Message::new(Role::Assistant, reply.parts.clone()),
        Message::tool([
            ToolResult::new(calls[0], picture),
            ToolResult::new(calls[1], ToolOutput::error("no such file")),
            ToolResult::new(calls[2], "a.txt"),
        ]),
    ];
    let sent = input(messages).await;
    assert_eq!(sent.as_array().unwrap()[1..4], items);
    assert_eq!(
        sent.as_array().unwrap()[4..],
        [
            json!({ "type": "computer_call_output", "call_id": "call_1", "output": { "type": "computer_screenshot", "image_url": "https://example.com/screen.png" } }),
            json!({ "type": "apply_patch_call_output", "call_id": "call_2", "status": "failed", "output": "no such file" }),
            json!({ "type": "local_shell_call_output", "id": "call_3", "output": "a.txt" }),
        ]
    );
}

#[tokio::test]
async fn a_shell_in_a_container_is_the_providers_own() {
    let call = json!({ "type": "shell_call", "id": "sh_1", "status": "completed", "call_id": "call_1", "action": { "commands": ["ls"] }, "environment": { "type": "container_reference", "container_id": "cntr_1" } });
    let output = json!({ "type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "output": [{ "stdout": "a.txt", "stderr": "", "outcome": { "type": "exit", "exit_code": 0 } }] });
    let items = [call, output.clone()];
    let reply = streamed(events([
        json!({ "type": "response.output_item.added", "output_index": 0, "item": items[0] }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": items[0] }),
        json!({ "type": "response.output_item.done", "output_index": 1, "item": items[1] }),
        completed(&[]),
    ]));
    let reply = reply.await.unwrap();
    assert_eq!(reply.finish.reason, FinishReason::Stop);
    let (call, result) = server_tool(&reply);
    assert_eq!(call.name, "shell");
    assert_eq!(result.output, ToolOutput::Json(output));
    assert_eq!(replayed(&reply).await, items);
}

#[tokio::test]
async fn a_provider_asks_for_approval_and_is_answered() {
    let list = json!({ "type": "mcp_list_tools", "id": "mcpl_1", "server_label": "shop", "tools": [] });
    let question = json!({ "type": "mcp_approval_request", "id": "mcpr_1", "server_label": "shop", "name": "order", "arguments": "{\"item\":\"yarn\"}" });
    let items = [list, question];
    let reply = read(&items).await;
    assert!(matches!(&reply.parts[0], Part::Custom(custom) if custom.kind == "openai.mcp_list_tools"));
    let call = reply.tool_calls().next().unwrap();
    assert_eq!(
        (call.name.as_str(), &call.input, call.provider_executed),
        ("order", &json!({ "item": "yarn" }), true)
    );
    let Some(Part::ApprovalRequest(request)) = reply.parts.last() else { panic!("{:?}", reply.parts) };
    let answer = ApprovalResponse {
        id: request.id.clone(),
        approved: false,
        reason: Some("too dear".to_owned()),
        provider_executed: true,
        ..ApprovalResponse::default()
    };
    let messages = [
        Message::user("Hello"),
        Message::new(Role::Assistant, reply.parts.clone()),
        Message::new(Role::Tool, [Part::ApprovalResponse(answer)]),
    ];
    let sent = input(messages).await;
    assert_eq!(sent.as_array().unwrap()[1..3], items);
    assert_eq!(
        sent[3],
        json!({ "type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": false, "reason": "too dear" })
    );
}

#[tokio::test]
async fn items_of_unknown_types_are_kept_and_go_back() {
    let items = [
        json!({ "type": "compaction", "id": "cmp_1", "encrypted_content": "sealed" }),
        json!({ "type": "something_new", "id": "new_1", "field": { "x": 1 } }),
    ];
    let reply = read(&items).await;
    let kinds: Vec<_> = reply
        .parts
        .iter()
        .map(|part| match part {
            Part::Custom(custom) => custom.kind.as_str(),
            _ => part.type_name(),
        })
        .collect();
    assert_eq!(kinds, ["openai.compaction", "openai.something_new"]);
    assert_eq!(bag(&reply.parts[1])["model"], "gpt-5");
    assert_eq!(replayed(&reply).await, items);
}

#[tokio::test]
async fn several_texts_of_one_message_stay_one_item() {
    let item = json!({
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "phase": "final_answer",
        "role": "assistant",
        "content": [
            { "type": "output_text", "text": "One.", "annotations": [] },
            { "type": "output_text", "text": "Two.", "annotations": [] },
        ],
    });
    let reply = read(std::slice::from_ref(&item)).await;
    assert_eq!(reply.parts.len(), 2);
    assert_eq!(replayed(&reply).await, [item]);
}

#[tokio::test]
async fn provider_tools_are_sent_as_they_are_written() {
    let fake = FakeProvider::start().await;
    fake.lenient().reply("Done.");
    let tools = [
        ToolSpec::Provider {
            id: "openai.web_search".to_owned(),
            args: json!({ "search_context_size": "low" }),
        },
        ToolSpec::Provider { id: "anthropic.web_search".to_owned(), args: json!({}) },
    ];
    let mut request = hello().with_tools(tools);
    request.provider_options = options(json!({ "include": ["web_search_call.action.sources"] }));
    let reply = soon(openai(&fake, "gpt-5").generate(request)).await.unwrap();
    let body = fake.last_request().body;
    assert_eq!(body["tools"], json!([{ "type": "web_search", "search_context_size": "low" }]));
    assert_eq!(body["include"], json!(["reasoning.encrypted_content", "web_search_call.action.sources"]));
    assert_eq!(reply.info.warnings[0].what, "tool anthropic.web_search");
}
