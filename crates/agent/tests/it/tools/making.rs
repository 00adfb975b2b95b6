use loomwork_agent::{Calls, Json, Outcome, Tool, ToolContext, Tools};
use loomwork_models::{OutputItem, ToolOutput, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, call, output, run, tools};

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// A city and its country.
    city: String,
    days: Option<u32>,
}

fn weather() -> Tool {
    Tool::new("weather", "Tells the weather.", |_: ToolContext, place: Place| async move {
        format!("{} for {} days", place.city, place.days.unwrap_or(1))
    })
}

#[tokio::test]
async fn a_typed_tool_has_the_schema_of_its_arguments_and_is_given_them() {
    let ToolSpec::Function { name, description, input_schema, .. } = weather().spec() else {
        panic!("it is a function")
    };
    assert_eq!((name.as_str(), description.as_str()), ("weather", "Tells the weather."));
    let expected = json!({
        "type": "object",
        "properties": {
            "city": { "description": "A city and its country.", "type": "string" },
            "days": { "type": ["integer", "null"], "format": "uint32", "minimum": 0 },
        },
        "required": ["city"],
    });
    assert_eq!(input_schema, expected);

    let end = run(weather(), json!({ "city": "Oslo", "days": 3 })).await;
    assert_eq!(output(&end), &ToolOutput::from("Oslo for 3 days"));
    assert!(end.succeeded());
}

#[tokio::test]
async fn a_tool_without_arguments_takes_an_empty_object() {
    let ToolSpec::Function { input_schema, .. } = super::ping().spec() else { panic!("it is a function") };
    assert_eq!(input_schema, json!({ "type": "object", "properties": {} }));
    assert_eq!(output(&run(super::ping(), json!({})).await), &ToolOutput::from("pong"));

    let bare = Tool::<()>::declared("bare", "", json!({ "type": "object" }));
    let ToolSpec::Function { input_schema, .. } = bare.spec() else { panic!("it is a function") };
    assert_eq!(input_schema, json!({ "type": "object", "properties": {} }));
}

#[tokio::test]
async fn a_dynamic_tool_takes_what_fits_its_schema() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let echo = || Tool::dynamic("echo", "Echoes.", schema.clone(), |_, input: Value| async { Json(input) });
    assert_eq!(output(&run(echo(), json!({ "n": 1 })).await), &ToolOutput::Json(json!({ "n": 1 })));
    let end = run(echo(), json!({ "n": "one" })).await;
    assert_eq!(
        super::told(&end),
        "the arguments of `echo` are wrong: `n`: \"one\" is not of type \"integer\""
    );
}

#[tokio::test]
async fn a_declared_tool_is_left_to_somebody_else() {
    let schema = json!({ "type": "object", "properties": { "question": { "type": "string" } } });
    let ask = || Tool::declared("ask_human", "Asks a person.", schema.clone());
    let end = run(ask(), json!({ "question": "Refund?" })).await;
    assert_eq!((end.outcome, &end.result), (Outcome::Unanswered, &None));
    let end = run(ask(), json!({ "question": 1 })).await;
    assert!(super::told(&end).contains("`question`"), "a person is not asked what makes no sense");
    assert!(!ask().has_handler());
}

#[tokio::test]
async fn a_tool_of_the_provider_is_sent_as_it_is_and_its_calls_are_passed_over() {
    let search = Tool::<()>::provider("openai.web_search", json!({ "search_context_size": "low" }));
    let args = json!({ "search_context_size": "low" });
    assert_eq!(search.spec(), ToolSpec::Provider { id: "openai.web_search".into(), args });
    let step = Step::new().await;
    let mut theirs = call("1", "web_search", json!({}));
    theirs.provider_executed = true;
    assert_eq!(step.events(&tools([search]), [theirs]).await, []);
}

#[tokio::test]
async fn what_is_told_of_a_tool_reaches_the_model_and_people() {
    let tool = weather()
        .with_title("Weather")
        .with_strict(true)
        .with_example(json!({ "city": "Oslo" }))
        .with_output::<String>()
        .with_info(|info| {
            info.metadata = Some(json!({ "icon": "sun" }));
            info.provider_options.insert("anthropic".into(), json!({ "eager": true }));
        });
    let info = tool.info();
    assert_eq!(info.title.as_deref(), Some("Weather"));
    assert_eq!(info.output_schema, Some(json!({ "type": "string" })));
    assert_eq!(info.metadata, Some(json!({ "icon": "sun" })));
    let ToolSpec::Function { description, strict, provider_options, .. } = tool.spec() else {
        panic!("it is a function")
    };
    assert_eq!(description, "Tells the weather.\nExample of arguments: {\"city\":\"Oslo\"}");
    assert_eq!(strict, Some(true));
    assert_eq!(provider_options["anthropic"], json!({ "eager": true }));
}

#[tokio::test]
async fn nulls_that_strict_mode_makes_a_model_write_are_no_arguments() {
    #[derive(Deserialize, JsonSchema)]
    struct Search {
        #[serde(default)]
        limit: u32,
    }
    let search =
        Tool::new(
            "search",
            "Searches.",
            |_: ToolContext, search: Search| async move { search.limit.to_string() },
        );
    let end = run(search.with_strict(true), json!({ "limit": null })).await;
    assert_eq!(output(&end), &ToolOutput::from("0"));
}

#[tokio::test]
async fn a_handler_returns_text_values_files_or_nothing() {
    #[derive(Serialize)]
    struct Report {
        r#type: &'static str,
    }
    type Context = ToolContext;
    let cases: [(Tool, ToolOutput); 7] = [
        (Tool::new("t", "", |_: Context, (): ()| async { "text" }), ToolOutput::from("text")),
        (Tool::new("t", "", |_: Context, (): ()| async { json!(1) }), ToolOutput::Json(json!(1))),
        (Tool::new("t", "", |_: Context, (): ()| async {}), ToolOutput::Json(Value::Null)),
        (
            // A report of some type is a report, not an output of that type.
            Tool::new("t", "", |_: Context, (): ()| async { Json(Report { r#type: "text" }) }),
            ToolOutput::Json(json!({ "type": "text" })),
        ),
        (
            Tool::new("t", "", |_: Context, (): ()| async { json!({ "type": "weather", "value": 1 }) }),
            ToolOutput::Json(json!({ "type": "weather", "value": 1 })),
        ),
        (
            Tool::new("t", "", |_: Context, (): ()| async { vec![OutputItem::text("a")] }),
            ToolOutput::Content(vec![OutputItem::text("a")]),
        ),
        (
            Tool::new("t", "", |_: Context, (): ()| async { Ok::<_, String>(Json("text")) }),
            ToolOutput::from("text"),
        ),
    ];
    for (tool, expected) in cases {
        assert_eq!(output(&run(tool, json!({})).await), &expected);
    }
}

#[test]
fn tools_and_what_they_know_go_to_any_thread() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Tool<String>>();
    shared::<Tools<String>>();
    shared::<ToolContext<String>>();
    sent::<Calls>();
}
