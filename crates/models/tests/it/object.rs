//! Answers that are values.

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_models::{
    ErrorKind, FinishReason, Format, Mend, Message, MockModel, MockReply, Object, ObjectOptions, Reply,
    Request, Role, SchemaSupport, Settings, ToolChoice, ToolSpec, Usage, generate_choice, generate_object,
    generate_value, stream_array, stream_object, stream_value,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Person {
    /// The full name.
    name: String,
    age: u32,
    #[serde(default)]
    nickname: String,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tree {
    Leaf {
        value: i64,
        #[serde(default)]
        colour: String,
    },
    Branch {
        children: Vec<Tree>,
    },
}

fn ada() -> Person {
    Person { name: "Ada".into(), age: 36, nickname: String::new() }
}

fn request() -> Request {
    Request::new([Message::system("Be exact."), Message::user("Ada, 36")])
}

fn options() -> ObjectOptions {
    ObjectOptions::default()
}

const ADA: &str = r#"{"name": "Ada", "age": 36}"#;

fn native(replies: impl IntoIterator<Item = MockReply>) -> MockModel {
    MockModel::new(replies).with_schema_support(SchemaSupport::Native)
}

#[tokio::test]
async fn a_model_with_native_support_gets_the_schema_with_the_request() {
    let model = native([MockReply::from(ADA)]);
    let person = generate_object::<Person>(&model, request(), &options()).await.expect("a person");
    assert_eq!((person.value, person.calls), (ada(), 1));
    assert_eq!(person.usage, MockReply::default_usage());

    let asked = &model.requests()[0];
    let Format::Schema(output) = &asked.format else { panic!("{:?} is no schema", asked.format) };
    assert_eq!((output.name.as_str(), output.strict), ("Person", true));
    assert_eq!(output.schema["properties"]["name"]["description"], "The full name.");
    assert_eq!(asked.messages, request().messages);
}

#[tokio::test]
async fn a_model_with_tools_must_call_one_that_has_the_schema() {
    let call = MockReply::default().tool_call("call_1", "Person", json!({ "name": "Ada", "age": 36 }));
    let model = MockModel::new([call]);
    let person = generate_object::<Person>(&model, request(), &options()).await.expect("a person");
    assert_eq!(person.value, ada());

    let asked = &model.requests()[0];
    assert_eq!(asked.tool_choice, ToolChoice::Tool { name: "Person".into() });
    assert!(matches!(&asked.tools[0], ToolSpec::Function { name, input_schema, .. }
        if name == "Person" && input_schema["properties"]["age"]["type"] == "integer"));
}

#[tokio::test]
async fn another_model_reads_the_schema_in_the_prompt_and_may_put_words_around_the_value() {
    let answer = format!("Sure, [here] it is:\n```json\n{ADA}\n```\nAnything {{else}}?");
    let model = MockModel::new([answer.as_str()]).with_schema_support(SchemaSupport::Prompt);
    let person = generate_object::<Person>(&model, request(), &options()).await.expect("a person");
    assert_eq!(person.value, ada());

    let asked = &model.requests()[0];
    let roles: Vec<Role> = asked.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::System, Role::User]);
    assert!(asked.messages[1].text().contains(r#""properties":{"name""#));
}

#[tokio::test]
async fn what_does_not_fit_goes_back_with_what_is_wrong() {
    let model = native([MockReply::from(r#"{"name": "Ada", "age": "many"}"#), MockReply::from(ADA)]);
    let person = generate_object::<Person>(&model, request(), &options()).await.expect("a person");
    assert_eq!((person.value, person.calls, person.usage.input_fresh), (ada(), 2, 6));

    let again = &model.requests()[1].messages;
    assert_eq!(again[2].text(), r#"{"name": "Ada", "age": "many"}"#);
    assert!(again[3].text().contains(r#"`/age`: "many" is not of type "integer""#), "{}", again[3].text());
}

#[tokio::test]
async fn a_call_that_does_not_fit_gets_its_fault_as_the_result() {
    let wrong = MockReply::default().raw_tool_call("call_1", "Person", r#"{"name": "Ada""#);
    let right = MockReply::default().tool_call("call_2", "Person", json!({ "name": "Ada", "age": 36 }));
    let model = MockModel::new([wrong, right]);
    generate_object::<Person>(&model, request(), &options()).await.expect("a person");

    let told = &model.requests()[1].messages[3];
    let result = told.tool_results().next().expect("a result");
    assert!(told.role == Role::Tool && result.call == "call_1" && result.output.is_error());
    assert!(result.output.to_text().contains("the arguments are no JSON"));
}

#[tokio::test]
async fn repairs_are_bounded_and_the_error_holds_the_last_answer() {
    for repairs in [0, 1, ObjectOptions::DEFAULT_MAX_REPAIRS] {
        let model = MockModel::always("I would rather not.").with_schema_support(SchemaSupport::Native);
        let options = ObjectOptions { max_repairs: repairs, ..options() };
        let error = generate_object::<Person>(&model, request(), &options).await.expect_err("no person");
        assert_eq!(error.kind(), &ErrorKind::InvalidOutput);
        assert_eq!(error.partial().map(Reply::text).as_deref(), Some("I would rather not."));
        assert_eq!(model.requests().len(), repairs as usize + 1);
        assert!(error.message().contains("the answer is no JSON"), "{error}");
        assert_eq!(error.usage().map(Usage::total), Some(13 * (u64::from(repairs) + 1)));
    }
}

#[tokio::test]
async fn a_cut_or_refused_answer_is_not_asked_for_again() {
    let cut = MockReply::from(r#"{"name": "A"#).with_finish(FinishReason::Length);
    let refused = MockReply::from("No.").with_finish(FinishReason::Refusal);
    let filtered = MockReply::default().with_finish(FinishReason::ContentFilter);
    let cases = [
        (cut, ErrorKind::InvalidOutput, "`max_output_tokens` is too low"),
        (refused, ErrorKind::ContentPolicy, "the model refused: No."),
        (filtered, ErrorKind::ContentPolicy, "a filter of the provider stopped the answer"),
    ];
    for (reply, kind, text) in cases {
        let model = native([reply]);
        let error = generate_object::<Person>(&model, request(), &options()).await.expect_err("no person");
        assert_eq!(error.kind(), &kind);
        assert!(error.message().contains(text), "{error}");
        assert_eq!(model.requests().len(), 1);
    }
}

#[tokio::test]
async fn values_that_are_no_objects_are_wrapped_for_providers_and_unwrapped_again() {
    let model = native([MockReply::from(r#"{"value": [1, 2, 3]}"#)]);
    let numbers = generate_object::<Vec<u8>>(&model, request(), &options()).await.expect("a list");
    assert_eq!(numbers.value, [1, 2, 3]);
    let Format::Schema(output) = model.requests()[0].format.clone() else { panic!("no schema") };
    assert_eq!(output.schema["type"], "object");
    assert_eq!(output.schema["required"], json!(["value"]));

    let tree = json!({ "kind": "branch", "children": [{ "kind": "leaf", "value": 7 }] });
    let model = native([MockReply::from(json!({ "value": tree }).to_string())]);
    let tree = generate_object::<Tree>(&model, request(), &options()).await.expect("a tree");
    assert_eq!(tree.value, Tree::Branch { children: vec![Tree::Leaf { value: 7, colour: String::new() }] });
    let Format::Schema(output) = model.requests()[0].format.clone() else { panic!("no schema") };
    // The schema as it is sent has to be one in itself, its references included.
    let sent = jsonschema::validator_for(&output.schema).expect("a schema");
    assert!(
        sent.is_valid(
            &json!({ "value": { "kind": "branch", "children": [{ "kind": "leaf", "value": 7 }] } })
        )
    );
    assert!(!sent.is_valid(&json!({ "value": { "kind": "branch", "children": [{ "kind": "leaf" }] } })));
}

#[tokio::test]
async fn a_null_for_what_may_be_left_out_is_left_out() {
    let model = native([MockReply::from(r#"{"name": "Ada", "age": 36, "nickname": null}"#)]);
    let person = generate_object::<Person>(&model, request(), &options()).await.expect("a person");
    assert_eq!((person.value, person.calls), (ada(), 1));

    let leaf = r#"{"value": {"kind": "leaf", "value": 7, "colour": null}}"#;
    let tree = generate_object::<Tree>(&native([MockReply::from(leaf)]), request(), &options()).await;
    assert_eq!(tree.expect("a leaf").value, Tree::Leaf { value: 7, colour: String::new() });

    let model = native([MockReply::from(r#"{"name": null, "age": 36}"#)]);
    let options = ObjectOptions { max_repairs: 0, ..options() };
    let error = generate_object::<Person>(&model, request(), &options).await.expect_err("no name");
    assert!(error.message().contains("`/name`: null is not of type \"string\""), "{error}");
}

#[tokio::test]
async fn a_schema_without_a_type_and_a_choice() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer", "minimum": 3 } }, "required": ["n"] });
    let model = native([MockReply::from(r#"{"n": 2}"#), MockReply::from(r#"{"n": 3}"#)]);
    let value: Object = generate_value(&model, request(), schema, &options()).await.expect("a value");
    assert_eq!((value.value, value.calls), (json!({ "n": 3 }), 2));

    for answer in [r#"{"value": "sad"}"#, r#""sad""#, "sad", "Sad is wrong.", "`sad`."] {
        let model = native([MockReply::from(answer), MockReply::from("happy")]);
        let mood = generate_choice(&model, request(), ["happy", "sad"], &options()).await.expect("a choice");
        assert_eq!(mood.value, if mood.calls == 1 { "sad" } else { "happy" }, "{answer}");
        assert_eq!(mood.calls == 2, answer == "Sad is wrong.", "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_schema_is_refused_before_the_model_is_asked() {
    let model = MockModel::always(ADA);
    let schema = json!({ "type": "person" });
    let error = generate_value::<Value>(&model, request(), schema, &options()).await.expect_err("no schema");
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.message().starts_with("the schema of the answer is no JSON schema: "), "{error}");

    let elsewhere = json!({ "$ref": "https://example.com/schema.json" });
    let error =
        generate_value::<Value>(&model, request(), elsewhere, &options()).await.expect_err("not fetched");
    assert_eq!(error.kind(), &ErrorKind::BadRequest);

    let none: [&str; 0] = [];
    let error = generate_choice(&model, request(), none, &options()).await.expect_err("no choices");
    assert!(error.message().contains("give at least one text"), "{error}");
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn a_value_is_shown_while_it_grows() {
    let text = r#"{"name": "Ada of London", "age": 36, "nickname": ""}"#;
    for support in [SchemaSupport::Native, SchemaSupport::Tool, SchemaSupport::Prompt] {
        let reply = match support {
            SchemaSupport::Tool => {
                MockReply::default().text("Let me see. ").raw_tool_call("call_1", "Person", text)
            }
            SchemaSupport::Native => MockReply::from(text),
            SchemaSupport::Prompt => MockReply::from(format!("The {{person}} is: {text} I hope it helps.")),
        };
        let model = MockModel::new([reply]).with_schema_support(support);
        let mut stream = stream_object::<Person>(&model, request(), &options()).await.expect("a stream");
        let mut shown = Vec::new();
        while let Some(partial) = stream.next().await.expect("no error") {
            shown.push(partial.to_string());
        }
        let names: Vec<&str> =
            shown.iter().map(String::as_str).filter(|shown| shown.starts_with(r#"{"name""#)).collect();
        assert_eq!(
            names[..3],
            [r#"{"name":"Ada "}"#, r#"{"name":"Ada of "}"#, r#"{"name":"Ada of London"}"#],
            "{support:?}"
        );
        assert_eq!(
            shown.last().map(String::as_str),
            Some(r#"{"name":"Ada of London","age":36,"nickname":""}"#)
        );
        let person: Object<Person> = stream.finish().await.expect("a person");
        assert_eq!((person.value.age, person.calls), (36, 1));
    }
}

#[tokio::test]
async fn a_streamed_value_that_does_not_fit_is_repaired() {
    let model = native([MockReply::from(r#"{"name": "Ada"}"#), MockReply::from(ADA)]);
    let stream = stream_object::<Person>(&model, request(), &options()).await.expect("a stream");
    let person = stream.finish().await.expect("a person");
    assert_eq!((person.value, person.calls), (ada(), 2));
}

#[tokio::test]
async fn a_streamed_value_may_be_of_any_kind() {
    let model = native([MockReply::from(r#"{"value": ["a b", "c"]}"#)]);
    let schema = json!({ "type": "array", "items": { "type": "string" } });
    let mut stream = stream_value::<Value>(&model, request(), schema, &options()).await.expect("a stream");
    let mut shown: Vec<Value> = Vec::new();
    while let Some(partial) = stream.next().await.expect("no error") {
        shown.push(partial.clone());
    }
    assert_eq!(shown, [json!(["a "]), json!(["a b"]), json!(["a b", "c"])]);
    assert_eq!((stream.text(), stream.beginnings()), (r#"["a b", "c"]"#, 1));
}

#[tokio::test]
async fn the_text_of_a_value_grows_with_it_and_begins_anew_behind_what_is_none() {
    let model = MockModel::new(["The {person} is: {\"name\": \"Ada\", \"age\": 36} I hope."]);
    let model = model.with_schema_support(SchemaSupport::Prompt);
    let mut stream = stream_object::<Person>(&model, request(), &options()).await.expect("a stream");
    let (mut text, mut begun) = (String::new(), 0);
    while stream.next().await.expect("no error").is_some() {
        assert!(stream.beginnings() > begun || stream.text().starts_with(&text), "{text} {}", stream.text());
        (text, begun) = (stream.text().to_owned(), stream.beginnings());
    }
    assert_eq!((stream.text(), begun), (ADA, 2));
    assert_eq!(stream.finish().await.expect("a person").json, json!({ "name": "Ada", "age": 36 }));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_may_be_mended_before_the_model_is_asked_again() {
    let mend = Mend::new(|text, wrong| {
        assert!(wrong.contains("/age"), "{wrong}");
        Some(text.replace(r#""36""#, "36"))
    });
    let options = ObjectOptions { mend: Some(mend), ..options() };
    let model = native([MockReply::from(r#"{"name": "Ada", "age": "36"}"#)]);
    let person = generate_object::<Person>(&model, request(), &options).await.expect("a person");
    assert_eq!((person.value, person.calls), (ada(), 1));
    // What it cannot mend goes back with the fault of the answer.
    let model = native([MockReply::from(r#"{"name": "Ada", "age": "many"}"#), MockReply::from(ADA)]);
    let person = generate_object::<Person>(&model, request(), &options).await.expect("a person");
    assert_eq!((person.value, person.calls), (ada(), 2));
}

#[tokio::test]
async fn elements_come_when_they_are_complete() {
    let elements =
        r#"[{"name": "Ada", "age": 36}, {"name": "Grace", "age": 85}, {"name": "Joan", "age": 9}]"#;
    for (support, text) in [
        (SchemaSupport::Native, format!(r#"{{"value": {elements}}}"#)),
        (SchemaSupport::Prompt, format!("Here: {elements}")),
    ] {
        let gate = loomwork_models::Gate::new();
        // All but the last element, then nothing until the gate opens.
        let (first, last) = text.split_at(text.find(r#"{"name": "Joan"#).expect("Joan") + 5);
        let reply = MockReply::default()
            .chunk(part_start())
            .chunk(delta(first))
            .gate(&gate)
            .chunk(delta(last))
            .chunk(loomwork_models::Chunk::PartEnd { part: 0, provider_metadata: Default::default() });
        let model = MockModel::new([reply]).with_schema_support(support);
        let mut stream = stream_array::<Person>(&model, request(), &options()).await.expect("a stream");
        let mut names = Vec::new();
        for _ in 0..2 {
            names.push(stream.next().await.expect("no error").expect("an element").name);
        }
        gate.open();
        while let Some(person) = stream.next().await.expect("no error") {
            names.push(person.name);
        }
        assert_eq!(names, ["Ada", "Grace", "Joan"]);
        let finish = stream.finish().expect("it has ended");
        assert_eq!((finish.reason, &finish.usage), (FinishReason::Stop, &MockReply::default_usage()));
        assert!(stream.next().await.expect("no error").is_none());
    }
}

fn part_start() -> loomwork_models::Chunk {
    let kind = loomwork_models::PartKind::Text;
    loomwork_models::Chunk::PartStart { part: 0, kind, provider_metadata: Default::default() }
}

fn delta(text: &str) -> loomwork_models::Chunk {
    loomwork_models::Chunk::PartDelta { part: 0, delta: text.to_owned() }
}

#[tokio::test]
async fn an_element_that_does_not_fit_ends_the_list_and_is_named() {
    let model = native([MockReply::from(r#"{"value": [1, 2, "three", 4]}"#)]);
    let mut stream = stream_array::<u8>(&model, request(), &options()).await.expect("a stream");
    assert_eq!(stream.next().await.expect("no error"), Some(1));
    assert_eq!(stream.next().await.expect("no error"), Some(2));
    let error = stream.next().await.expect_err("three is no number");
    assert_eq!(
        error.to_string(),
        "mock/mock: invalid_output: element 2 of the answer does not fit its schema: the value: \"three\" is not of type \"integer\""
    );
    assert!(error.usage().is_some_and(|usage| usage.estimated && usage.output() > 0), "{error:?}");
    assert_eq!(stream.next().await.expect("no error"), None);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_an_error_behind_its_elements() {
    let cut = loomwork_models::Error::new(ErrorKind::Network, "mock", "mock", "the line is dead");
    let model = native([MockReply::from(r#"{"value": [1, 2, 3]}"#).fail_in(0, 4, cut)]);
    let mut stream = stream_array::<u8>(&model, request(), &options()).await.expect("a stream");
    assert_eq!(stream.next().await.expect("no error"), Some(1));
    let error = stream.next().await.expect_err("the line is dead");
    assert_eq!(error.kind(), &ErrorKind::Network);
    assert_eq!(error.partial().map(Reply::text).as_deref(), Some(r#"{"value": [1, "#));
}

#[tokio::test]
async fn what_calls_before_an_error_used_is_in_the_error() {
    let dead = loomwork_models::Error::new(ErrorKind::Network, "mock", "mock", "the line is dead");
    let spent = Usage { input_fresh: 5, ..Usage::default() };
    let replies = || [MockReply::from("Hm."), dead.clone().with_usage(spent.clone()).into()];
    let error = generate_object::<Person>(&native(replies()), request(), &options()).await.expect_err("dead");
    assert_eq!((error.kind(), error.usage().map(Usage::total)), (&ErrorKind::Network, Some(13 + 5)));

    let model = native(replies());
    let stream = stream_object::<Person>(&model, request(), &options()).await.expect("a stream");
    let error = stream.finish().await.expect_err("dead");
    assert_eq!((error.kind(), error.usage().map(Usage::total)), (&ErrorKind::Network, Some(13 + 5)));
}

#[tokio::test]
async fn the_time_out_spans_all_repairs() {
    let manual = Clock::manual(Time::EPOCH);
    let slow = MockReply::default().wait(Duration::from_secs(6)).text("Hm.");
    let replies = [slow.clone(), slow, MockReply::from(ADA)];
    let model = native(replies).with_clock(manual.clock());
    let settings = Settings { timeout: Some(Duration::from_secs(10)), ..Settings::default() };
    let options = ObjectOptions { clock: manual.clock(), ..options() };
    let turn = async {
        loop {
            manual.timers_waiting(1).await;
            manual.advance_to_next_timer();
            tokio::task::yield_now().await;
        }
    };
    let request = request().with_settings(settings);
    let asked = loomwork_testkit::soon(async {
        tokio::select! {
            biased;
            outcome = generate_object::<Person>(&model, request, &options) => outcome,
            () = turn => unreachable!("the clock is turned for ever"),
        }
    });
    let error = asked.await.expect_err("there is no time left");
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    let given: Vec<_> = model.requests().iter().map(|request| request.settings.timeout).collect();
    assert_eq!(given, [Some(Duration::from_secs(10)), Some(Duration::from_secs(4))]);
}
