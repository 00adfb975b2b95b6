use std::sync::Arc;

use loomwork_agent::{BoxError, Json, Tool, ToolContext, ToolError};
use loomwork_core::{Fault, Kind};
use loomwork_models::{ToolCall, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::json;

use super::{Step, call, ping, run, told, tools};

#[tokio::test]
async fn a_tool_that_does_not_exist_is_an_error_that_names_those_that_do() {
    let step = Step::new().await;
    let ends = step.ends(&tools([ping()]), [call("1", "pong", json!({}))]).await;
    assert_eq!(told(&ends[0]), "there is no tool `pong`; there is `ping`");
    assert!(!ends[0].succeeded(), "it does not count as a successful call");
}

#[tokio::test]
async fn arguments_that_were_no_json_are_told_to_the_model() {
    let why = "the arguments are no JSON: expected value at line 1 column 6";
    let broken = ToolCall { invalid: Some(why.into()), ..call("1", "ping", json!("{\"a\":")) };
    let step = Step::new().await;
    let ends = step.ends(&tools([ping()]), [broken]).await;
    assert_eq!((told(&ends[0]), ends[0].tries), (why, 0));
}

#[tokio::test]
async fn wrong_arguments_are_told_by_their_fields() {
    #[derive(Deserialize, JsonSchema)]
    struct Trip {
        days: u32,
        stops: Vec<Stop>,
    }
    #[derive(Deserialize, JsonSchema)]
    struct Stop {
        city: String,
    }
    let plan = || {
        Tool::new("plan", "Plans.", |_: ToolContext, trip: Trip| async move {
            format!("{} {}", trip.days, trip.stops.into_iter().map(|stop| stop.city).collect::<String>())
        })
    };
    let end = run(plan(), json!({ "days": "two", "stops": [{ "city": "Oslo" }, { "city": 7 }] })).await;
    let expected = "the arguments of `plan` are wrong: `days`: \"two\" is not of type \"integer\"; \
                    `stops.1.city`: 7 is not of type \"string\"";
    assert_eq!((told(&end), end.tries), (expected, 0));
    let end = run(plan(), json!({ "days": 2 })).await;
    assert!(told(&end).contains("\"stops\" is a required property"), "{}", told(&end));
}

#[tokio::test]
async fn arguments_that_only_their_type_refuses_are_told_in_its_words() {
    #[derive(Deserialize, JsonSchema)]
    #[serde(try_from = "u32")]
    #[schemars(with = "u32")]
    struct Even(u32);
    impl TryFrom<u32> for Even {
        type Error = String;
        fn try_from(number: u32) -> Result<Self, String> {
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err(format!("{number} is odd")) }
        }
    }
    #[derive(Deserialize, JsonSchema)]
    struct Args {
        number: Even,
    }
    let half =
        Tool::new(
            "half",
            "Halves.",
            |_: ToolContext, args: Args| async move { (args.number.0 / 2).to_string() },
        );
    assert_eq!(told(&run(half, json!({ "number": 3 })).await), "the arguments of `half` are wrong: 3 is odd");
}

#[tokio::test]
async fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("the order cannot be read")]
    struct Outer(#[source] std::num::ParseIntError);
    let order = Tool::new("order", "Reads.", |_: ToolContext, (): ()| async {
        "x".parse::<u32>().map(|_| "read").map_err(Outer)
    });
    let end = run(order, json!({})).await;
    assert_eq!(told(&end), "the order cannot be read: invalid digit found in string");
}

#[tokio::test]
async fn any_error_may_be_returned() {
    async fn fails(how: &'static str) -> Result<String, BoxError> {
        match how {
            "number" => Ok("x".parse::<u32>()?.to_string()),
            "text" => Err("in words".into()),
            _ => Err(ToolError::invalid("of a kind"))?,
        }
    }
    for (how, expected) in
        [("number", "invalid digit found in string"), ("text", "in words"), ("kind", "of a kind")]
    {
        let tool = Tool::new("fails", "Fails.", move |_: ToolContext, (): ()| fails(how));
        assert_eq!(told(&run(tool, json!({})).await), expected);
    }
}

#[tokio::test]
async fn errors_of_the_house_keep_their_kind() {
    let error = loomwork_models::Error::new(loomwork_models::ErrorKind::BadRequest, "openai", "gpt", "no");
    assert_eq!(ToolError::from_error(error).kind(), Kind::Invalid);
    assert_eq!(ToolError::from_error(ToolError::new(Kind::Denied, "no")).kind(), Kind::Denied);
    assert_eq!(ToolError::from_error("no").kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_panic_is_an_error_whose_words_the_model_is_not_told() {
    let panics = Tool::new("panics", "Panics.", |_: ToolContext, (): ()| async {
        let found: Vec<&str> = Vec::new();
        found.first().copied().expect("a secret of the program")
    });
    let step = Step::new().await;
    let calls = [call("1", "panics", json!({})), call("2", "ping", json!({}))];
    let ends = step.ends(&tools([panics, ping()]), calls).await;
    assert_eq!(told(&ends[0]), "`panics` failed unexpectedly");
    assert!(ends[1].succeeded(), "the other call goes on");
}

#[tokio::test]
async fn a_value_that_cannot_be_written_is_an_error() {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("no words for it"))
        }
    }
    let tool = Tool::new("t", "", |_: ToolContext, (): ()| async { Json(Unwritable) });
    assert_eq!(told(&run(tool, json!({})).await), "the output cannot be written as JSON: no words for it");
}

#[tokio::test]
async fn an_output_that_is_an_error_is_no_success() {
    let tool = Tool::new("t", "", |_: ToolContext, (): ()| async { ToolOutput::error("not found") });
    assert_eq!(told(&run(tool, json!({})).await), "not found");
    let shared = Arc::new(ToolOutput::Denied { reason: None });
    let tool = Tool::new("t", "", move |_: ToolContext, (): ()| {
        let output = (*shared).clone();
        async { output }
    });
    assert_eq!(run(tool, json!({})).await.outcome, loomwork_agent::Outcome::Denied);
}
