//! One case for each thing that can be wrong with a conversation.

use loomwork_models::history::{
    DataForm, ForeignReasoning, NameRule, Readable, ReasoningRule, SystemRule, Target, UnreadableFiles,
    prepare,
};
use loomwork_models::{ErrorKind, Message, ModelName, Warning};
use serde_json::{Value, json};

fn target() -> Target {
    Target::new(ModelName::new("anthropic", "claude-sonnet-5"))
}

fn messages(messages: Value) -> Vec<Message> {
    serde_json::from_value(messages).unwrap()
}

/// Prepares, and returns the messages as JSON and what the warnings are about.
fn run(target: &Target, given: Value) -> (Value, Vec<String>) {
    let prepared = prepare(messages(given), target).unwrap();
    let again = prepare(prepared.messages.clone(), target).unwrap();
    assert_eq!(again.messages, prepared.messages, "what is prepared stays as it is");
    assert_eq!(again.warnings, [], "what is prepared gives no warning");
    let about = prepared.warnings.into_iter().map(|Warning { what, .. }| what).collect();
    (serde_json::to_value(prepared.messages).unwrap(), about)
}

/// Checks a conversation that comes out as it should, without a warning.
#[track_caller]
fn check(target: &Target, given: Value, expected: Value) {
    let (messages, warnings) = run(target, given);
    assert_eq!((messages, warnings), (expected, Vec::new()));
}

fn call(id: &str) -> Value {
    json!({ "type": "tool-call", "toolCallId": id, "toolName": "weather", "input": {} })
}

fn result(id: &str, text: &str) -> Value {
    let output = json!({ "type": "text", "value": text });
    json!({ "type": "tool-result", "toolCallId": id, "toolName": "weather", "output": output })
}

fn says(role: &str, parts: &[Value]) -> Value {
    json!({ "role": role, "content": parts })
}

fn text(role: &str, text: &str) -> Value {
    json!({ "role": role, "content": text })
}

#[test]
fn a_sound_conversation_is_left_alone() {
    let sound = json!([
        text("system", "Be brief."),
        text("user", "Hello"),
        says("assistant", &[json!({"type": "text", "text": "I look."}), call("a")]),
        says("tool", &[result("a", "sunny")]),
        text("assistant", "It is sunny."),
    ]);
    check(&target(), sound.clone(), sound);
}

#[test]
fn a_call_without_a_result_gets_one_that_says_so() {
    let (messages, warnings) =
        run(&target(), json!([text("user", "Hi"), says("assistant", &[call("a")]), text("user", "Go on")]));
    assert_eq!(messages[2]["role"], "tool");
    let output = json!({ "type": "error-text", "value": "The call has no result: it was cut off." });
    assert_eq!(messages[2]["content"][0]["output"], output);
    assert_eq!(messages[3], text("user", "Go on"));
    assert_eq!(warnings, ["tool call a"]);
}

#[test]
fn a_call_whose_arguments_could_not_be_read_says_why() {
    let mut broken = call("a");
    broken["input"] = json!("{\"city\": ");
    broken["invalid"] = json!("the arguments are no JSON");
    let (messages, _) = run(&target(), json!([says("assistant", &[broken])]));
    let value = "The call did not run: the arguments are no JSON";
    assert_eq!(messages[1]["content"][0]["output"], json!({ "type": "error-text", "value": value }));
}

#[test]
fn a_result_without_a_call_is_left_out() {
    let given = json!([text("user", "Hi"), says("tool", &[result("a", "sunny")]), text("user", "Well?")]);
    let (messages, warnings) = run(&target(), given);
    assert_eq!(messages, json!([text("user", "Hi"), text("user", "Well?")]));
    assert_eq!(warnings, ["tool result a"]);
}

#[test]
fn a_result_before_its_call_is_no_result() {
    let given = json!([says("tool", &[result("a", "sunny")]), says("assistant", &[call("a")])]);
    let (messages, warnings) = run(&target(), given);
    assert_eq!(messages[1]["content"][0]["output"]["type"], "error-text");
    assert_eq!(warnings, ["tool result a", "tool call a"]);
}

#[test]
fn a_second_result_is_left_out() {
    let given = json!([
        says("assistant", &[call("a")]),
        says("tool", &[result("a", "first")]),
        says("tool", &[result("a", "second")]),
    ]);
    let (messages, warnings) = run(&target(), given);
    assert_eq!(messages, json!([says("assistant", &[call("a")]), says("tool", &[result("a", "first")])]));
    assert_eq!(warnings, ["tool result a"]);
}

#[test]
fn results_of_a_turn_are_one_message_in_the_order_of_the_calls() {
    check(
        &target(),
        json!([
            says("assistant", &[call("a"), call("b")]),
            says("tool", &[result("b", "two")]),
            says("tool", &[result("a", "one")]),
        ]),
        json!([
            says("assistant", &[call("a"), call("b")]),
            says("tool", &[result("a", "one"), result("b", "two")]),
        ]),
    );
}

#[test]
fn what_stands_between_calls_and_results_moves_behind_them() {
    check(
        &target(),
        json!([
            says("assistant", &[call("a")]),
            text("system", "The clock strikes."),
            text("user", "Are you there?"),
            says("tool", &[result("a", "sunny")]),
        ]),
        json!([
            says("assistant", &[call("a")]),
            says("tool", &[result("a", "sunny")]),
            text("system", "The clock strikes."),
            text("user", "Are you there?"),
        ]),
    );
}

#[test]
fn ids_that_come_again_are_told_apart() {
    check(
        &target(),
        json!([
            says("assistant", &[call("call_0")]),
            says("tool", &[result("call_0", "one")]),
            says("assistant", &[call("call_0"), call("call_0")]),
            says("tool", &[result("call_0", "two"), result("call_0", "three")]),
        ]),
        json!([
            says("assistant", &[call("call_0")]),
            says("tool", &[result("call_0", "one")]),
            says("assistant", &[call("call_0_2"), call("call_0_3")]),
            says("tool", &[result("call_0_2", "two"), result("call_0_3", "three")]),
        ]),
    );
}

#[test]
fn ids_and_names_fit_the_provider() {
    let target = Target {
        call_ids: NameRule::Plain { longest: 12 },
        tool_names: NameRule::Plain { longest: 8 },
        ..target()
    };
    let mut foreign = call("functions.weather:0");
    foreign["toolName"] = json!("wetter.heute");
    let (messages, _) = run(&target, json!([says("assistant", &[foreign])]));
    assert_eq!(messages[0]["content"][0]["toolCallId"], "functions_we");
    assert_eq!(messages[0]["content"][0]["toolName"], "wetter_h");
    assert_eq!(messages[1]["content"][0]["toolCallId"], "functions_we");
    assert_eq!(messages[1]["content"][0]["toolName"], "wetter_h");
}

fn request(id: &str, call: &str) -> Value {
    json!({ "type": "tool-approval-request", "approvalId": id, "toolCallId": call })
}

fn response(id: &str, approved: bool, reason: Option<&str>) -> Value {
    let mut response = json!({ "type": "tool-approval-response", "approvalId": id, "approved": approved });
    if let Some(reason) = reason {
        response["reason"] = reason.into();
    }
    response
}

#[test]
fn a_denied_call_has_a_denied_result() {
    let given = json!([
        says("assistant", &[call("a"), request("ok?", "a")]),
        says("tool", &[response("ok?", false, Some("too dear"))]),
    ]);
    let (messages, _) = run(&target(), given);
    let mut denied = result("a", "");
    denied["output"] = json!({ "type": "execution-denied", "reason": "too dear" });
    assert_eq!(messages, json!([says("assistant", &[call("a")]), says("tool", &[denied])]));
}

#[test]
fn a_request_that_nobody_answered_is_a_denied_call() {
    let (messages, warnings) =
        run(&target(), json!([says("assistant", &[call("a"), request("ok?", "a")]), text("user", "Hello?")]));
    assert_eq!(messages[1]["content"][0]["output"]["type"], "execution-denied");
    assert_eq!(messages[2], text("user", "Hello?"));
    assert_eq!(warnings, ["tool call a"]);
}

#[test]
fn an_approved_call_has_its_result() {
    check(
        &target(),
        json!([
            says("assistant", &[call("a"), request("ok?", "a")]),
            says("tool", &[response("ok?", true, None)]),
            says("tool", &[result("a", "sunny")]),
        ]),
        json!([says("assistant", &[call("a")]), says("tool", &[result("a", "sunny")])]),
    );
}

#[test]
fn an_approved_call_that_was_cut_says_so() {
    let given = json!([
        says("assistant", &[call("a"), request("ok?", "a")]),
        says("tool", &[response("ok?", true, None)]),
    ]);
    let (messages, _) = run(&target(), given);
    assert_eq!(messages[1]["content"][0]["output"]["type"], "error-text");
}

#[test]
fn approvals_of_nothing_are_left_out() {
    let given = json!([
        text("user", "Hi"),
        says("assistant", &[request("ok?", "gone")]),
        says("tool", &[response("other?", true, None)]),
    ]);
    let (messages, warnings) = run(&target(), given);
    assert_eq!(messages, json!([text("user", "Hi")]));
    assert_eq!(warnings, ["approval request ok?", "approval response other?"]);
}

fn remote(id: &str, provider: &str) -> Value {
    let mut call = call(id);
    call["providerExecuted"] = json!(true);
    call["providerMetadata"] = json!({ provider: { "model": "claude-sonnet-5" } });
    call
}

#[test]
fn calls_that_the_provider_ran_stay_in_its_answer() {
    let mut found = result("a", "a page");
    found["providerExecuted"] = json!(true);
    let sound = json!([says(
        "assistant",
        &[remote("a", "anthropic"), found, json!({ "type": "text", "text": "It says so." }),]
    )]);
    check(&target(), sound.clone(), sound);
}

#[test]
fn calls_that_another_provider_ran_are_left_out() {
    let mut found = result("a", "a page");
    found["providerExecuted"] = json!(true);
    let answer = json!({ "type": "text", "text": "It says so." });
    let (messages, warnings) =
        run(&target(), json!([says("assistant", &[remote("a", "openai"), found, answer])]));
    assert_eq!(messages, json!([text("assistant", "It says so.")]));
    assert_eq!(warnings, ["tool-call, part 0 of message 0 (assistant)", "tool result a"]);
}

#[test]
fn a_call_of_the_provider_waits_for_its_result_only_at_the_end() {
    let paused = json!([says("assistant", &[remote("a", "anthropic")])]);
    check(&target(), paused.clone(), paused);
    let (messages, warnings) = run(
        &target(),
        json!([says("assistant", &[remote("a", "anthropic")]), text("user", "Where are you?")]),
    );
    assert_eq!(messages, json!([text("user", "Where are you?")]));
    assert_eq!(warnings, ["tool call a"]);
}

#[test]
fn approvals_that_the_provider_asked_for_stay() {
    let mut answer = response("ok?", true, None);
    answer["providerExecuted"] = json!(true);
    let asked = says("assistant", &[remote("a", "anthropic"), request("ok?", "a")]);
    let sound = json!([asked.clone(), says("tool", &[answer])]);
    check(&target(), sound.clone(), sound);
    let (messages, warnings) = run(&target(), json!([asked, text("user", "Go on")]));
    assert_eq!(messages[1]["content"][0]["approved"], false);
    assert_eq!(warnings, ["approval request ok?"]);
}

fn thought(provider: &str, model: &str) -> Value {
    let bag = json!({ provider: { "model": model, "signature": "s" } });
    json!({ "type": "reasoning", "text": "Hm.", "providerMetadata": bag })
}

fn answer() -> Value {
    json!({ "type": "text", "text": "Yes." })
}

#[test]
fn reasoning_goes_back_to_its_provider_and_model_family_only() {
    for (provider, model, is_kept) in [
        ("anthropic", "claude-sonnet-5", true),
        ("anthropic", "claude-sonnet-4-5-20250929", true),
        ("anthropic", "claude-opus-4-6", false),
        ("openai", "claude-sonnet-5", false),
    ] {
        let given = says("assistant", &[thought(provider, model), answer()]);
        let expected = if is_kept { given.clone() } else { text("assistant", "Yes.") };
        check(&target(), json!([given]), json!([expected]));
    }
}

#[test]
fn reasoning_without_a_bag_is_nobodys() {
    let bare = json!({ "type": "reasoning", "text": "Hm." });
    let given = json!([says("assistant", &[bare, answer()])]);
    check(&target(), given.clone(), json!([text("assistant", "Yes.")]));
    let any = Target { reasoning: ReasoningRule::Any, ..target() };
    check(&any, given.clone(), given.clone());
    let shown = Target { foreign_reasoning: ForeignReasoning::Text, ..target() };
    let said = json!({ "type": "text", "text": "<thinking>\nHm.\n</thinking>" });
    check(&shown, given, json!([says("assistant", &[said, answer()])]));
}

#[test]
fn thoughts_that_nothing_follows_are_left_out() {
    let thought = thought("anthropic", "claude-sonnet-5");
    let given = json!([text("user", "Hi"), says("assistant", &[thought]), text("user", "Well?")]);
    check(&target(), given, json!([text("user", "Hi"), text("user", "Well?")]));
}

#[test]
fn sealed_reasoning_of_the_older_spelling_becomes_reasoning() {
    let sealed = json!({ "type": "redacted-reasoning", "data": "xyz" });
    let bag = json!({ "anthropic": { "redactedData": "xyz" } });
    let today = json!({ "type": "reasoning", "text": "", "providerMetadata": bag });
    check(
        &target(),
        json!([says("assistant", &[sealed, answer()])]),
        json!([says("assistant", &[today, answer()])]),
    );
}

#[test]
fn bags_of_other_providers_are_left_out() {
    let bags = json!({ "openai": { "itemId": "1" }, "anthropic": { "citations": [] } });
    let given = json!({ "type": "text", "text": "Yes.", "providerMetadata": bags, "later": 1 });
    let bag = json!({ "anthropic": { "citations": [] } });
    let kept = json!({ "type": "text", "text": "Yes.", "providerMetadata": bag });
    check(&target(), json!([says("assistant", &[given])]), json!([says("assistant", &[kept])]));
}

#[test]
fn empty_parts_and_messages_are_left_out() {
    check(
        &target(),
        json!([text("user", ""), text("user", "Hi"), text("assistant", " \n"), says("tool", &[])]),
        json!([text("user", "Hi")]),
    );
}

#[test]
fn unknown_and_misplaced_parts_are_left_out_with_a_warning() {
    let (messages, warnings) = run(
        &target(),
        json!([says(
            "user",
            &[
                json!({ "type": "hologram", "beam": 7 }),
                json!({ "type": "reasoning", "text": "Hm." }),
                json!({ "type": "text", "text": "Hi" }),
            ]
        )]),
    );
    assert_eq!(messages, json!([text("user", "Hi")]));
    assert_eq!(warnings, ["hologram, part 0 of message 0 (user)", "reasoning, part 1 of message 0 (user)"]);
}

#[test]
fn system_messages_go_where_the_provider_takes_them() {
    let given = json!([text("system", "A"), text("user", "Hi"), text("system", "B"), text("user", "So?")]);
    check(&target(), given.clone(), given.clone());

    let leading = Target { system: SystemRule::Leading, ..target() };
    let (messages, warnings) = run(&leading, given.clone());
    assert_eq!(
        messages,
        json!([text("system", "A"), text("system", "B"), text("user", "Hi"), text("user", "So?")])
    );
    assert_eq!(warnings, ["system message 2"]);

    let none = Target { system: SystemRule::AsUser, alternating: true, ..target() };
    let (messages, _) = run(&none, given);
    let texts = ["A", "Hi", "B", "So?"].map(|text| json!({ "type": "text", "text": text }));
    assert_eq!(messages, json!([says("user", &texts)]));
}

#[test]
fn neighbours_are_joined_where_turns_are_wanted() {
    let turns = Target { alternating: true, ..target() };
    let given = json!([
        text("user", "Hi"),
        text("user", "there"),
        text("assistant", "Hello"),
        says("assistant", &[call("a")]),
        says("tool", &[result("a", "sunny")]),
    ]);
    let (messages, _) = run(&turns, given);
    let roles: Vec<_> = messages.as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "tool"]);
}

const PNG: &[Readable] = &[Readable { media_type: "image/png", forms: &[DataForm::Bytes] }];

#[test]
fn a_file_that_the_provider_cannot_read_is_refused_by_place_and_name() {
    let target = Target { user_files: PNG, ..target() };
    let file =
        json!({ "type": "file", "data": "AAAA", "mediaType": "application/msword", "filename": "a.doc" });
    let given = messages(json!([text("user", "Hi"), says("user", &[file])]));
    let error = prepare(given, &target).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::BadRequest);
    assert_eq!(
        error.to_string(),
        "anthropic/claude-sonnet-5: bad_request: part 0 of message 1 (user) is a file `a.doc` of type \
         application/msword: as bytes, anthropic/claude-sonnet-5 reads image/png here"
    );
}

#[test]
fn a_file_in_a_form_that_the_provider_does_not_take_is_refused() {
    let target = Target { user_files: PNG, ..target() };
    for (data, why) in [
        (json!("https://example.com/a.png"), "reads no file here that is given as an address"),
        (json!({ "type": "reference", "reference": { "openai": "f" } }), "has no id for it, only openai has"),
        (json!({ "type": "reference", "reference": { "anthropic": "f" } }), "is given as an id"),
    ] {
        let given = messages(json!([says("user", &[json!({ "type": "image", "image": data })])]));
        let error = prepare(given, &target).unwrap_err();
        assert!(error.message().contains(why), "{error}");
    }
}

#[test]
fn a_note_may_stand_for_a_file_that_the_provider_cannot_read() {
    let target = Target { unreadable_files: UnreadableFiles::Note, ..target() };
    let file =
        json!({ "type": "file", "data": "AAAA", "mediaType": "application/msword", "filename": "a.doc" });
    let content = json!({ "type": "content", "value": [
        { "type": "file", "data": { "type": "data", "data": "AAAA" }, "mediaType": "image/png" },
    ] });
    let shown = json!({ "type": "tool-result", "toolCallId": "a", "toolName": "weather", "output": content });
    let given = json!([says("user", &[file]), says("assistant", &[call("a")]), says("tool", &[shown])]);
    let (messages, warnings) = run(&target, given);
    let note = "[file `a.doc` of type application/msword, which cannot be shown here]";
    assert_eq!(messages[0], text("user", note));
    let note = "[file of type image/png, which cannot be shown here]";
    assert_eq!(messages[2]["content"][0]["output"]["value"][0], json!({ "type": "text", "text": note }));
    assert_eq!(warnings, ["file `a.doc`, part 0 of message 0 (user)", "file, part 0 of message 2 (tool)"]);
}

#[test]
fn media_types_are_taken_from_the_address_or_guessed() {
    let target = Target { user_files: PNG, ..target() };
    let png = "iVBORw0KGgo=";
    let known = json!([says("user", &[json!({ "type": "image", "image": png, "mediaType": "image/png" })])]);
    for given in [
        json!({ "type": "image", "image": png }),
        json!({ "type": "image", "image": png, "mediaType": "image/*" }),
        json!({ "type": "image", "image": format!("data:image/png;base64,{png}") }),
    ] {
        check(&target, json!([says("user", &[given])]), known.clone());
    }
}
