use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use loomwork_agent::{
    Approval, BoxError, IntoTool, Json, Tool, ToolContext, ToolError, Tools, run_calls, tool,
};
use loomwork_models::{ToolOutput, ToolSpec};
use loomwork_testkit::soon;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Step, call, end, output, run, told};

struct Shop {
    name: &'static str,
}

#[derive(Serialize)]
struct Account {
    number: String,
    shop: &'static str,
    closed: bool,
}

/// Finds a customer's account.
///
/// Use it before anything is promised.
#[tool(
    name = "find-account",
    title = "Accounts",
    strict,
    idempotent,
    retries = 2,
    timeout = "30s",
    concurrency = 4,
    needs_approval
)]
async fn account_lookup(
    ctx: ToolContext<Shop>,
    /// The number on the invoice.
    number: String,
    /// Whether closed accounts
    /// count too.
    closed: Option<bool>,
) -> Result<Json<Account>, BoxError> {
    if number.is_empty() {
        Err(ToolError::invalid("there is no account without a number"))?;
    }
    Ok(Json(Account { number, shop: ctx.state().name, closed: closed.unwrap_or(false) }))
}

/// Adds numbers.
#[tool]
async fn add(mut first: i64, #[serde(default, rename = "and")] second: i64) -> Json<i64> {
    first += second;
    Json(first)
}

/// Says who asks.
#[tool]
async fn whoami(ctx: &ToolContext) -> String {
    ctx.agent().to_owned()
}

/// Does nothing.
#[tool]
async fn nothing() {}

#[test]
fn a_function_becomes_a_tool_as_it_says() {
    let tool: Tool<Shop> = account_lookup.into_tool();
    let ToolSpec::Function { name, description, input_schema, strict, .. } = tool.spec() else {
        panic!("it is a function")
    };
    assert_eq!((name.as_str(), strict), ("find-account", Some(true)));
    assert_eq!(description, "Finds a customer's account.\n\nUse it before anything is promised.");
    let expected = json!({
        "type": "object",
        "properties": {
            "number": { "description": "The number on the invoice.", "type": "string" },
            "closed": { "description": "Whether closed accounts\ncount too.", "type": ["boolean", "null"] },
        },
        "required": ["number"],
    });
    assert_eq!(input_schema, expected);
    assert_eq!(tool.info().title.as_deref(), Some("Accounts"));
    let policy = tool.policy();
    assert_eq!((policy.timeout, policy.concurrency), (Some(Duration::from_secs(30)), Some(4)));
    assert_eq!((policy.idempotent, policy.retries.attempts), (true, 3));
    assert!(matches!(policy.needs_approval, Approval::Always));
}

#[tokio::test]
async fn a_function_is_given_its_state_and_its_arguments() {
    let tools = Tools::new().with(account_lookup).unwrap();
    let step = Step::new().await;
    let call = loomwork_agent::RequestedCall {
        call: call("1", "find-account", json!({ "number": "7", "closed": true })),
        approved: true,
    };
    let calls = run_calls(&tools, [call], step.scope.clone(), Arc::new(Shop { name: "Looms" }));
    let ends: Vec<_> = soon(calls.filter_map(|event| async { end(event) }).collect()).await;
    let expected = json!({ "number": "7", "shop": "Looms", "closed": true });
    assert_eq!(output(&ends[0]), &ToolOutput::Json(expected));
}

#[tokio::test]
async fn attributes_of_arguments_say_how_they_are_read() {
    assert_eq!(output(&run(add.into_tool(), json!({ "first": 2 })).await), &ToolOutput::Json(json!(2)));
    let end = run(add.into_tool(), json!({ "first": 2, "and": 3 })).await;
    assert_eq!(output(&end), &ToolOutput::Json(json!(5)));
    let end = run(add.into_tool(), json!({ "first": "two" })).await;
    assert!(told(&end).contains("`first`"), "{}", told(&end));
}

#[tokio::test]
async fn a_function_without_state_is_a_tool_of_any_agent() {
    let tools: Tools<Shop> = Tools::new().with(add).unwrap().with(whoami).unwrap().with(nothing).unwrap();
    let step = Step::new().await;
    let calls = [call("1", "whoami", json!({})), call("2", "nothing", json!({}))];
    let calls = run_calls(&tools, calls, step.scope.clone(), Arc::new(Shop { name: "" }));
    let ends: Vec<_> = soon(calls.filter_map(|event| async { end(event) }).collect()).await;
    assert_eq!(output(&ends[0]), &ToolOutput::from("support"));
    assert_eq!(output(&ends[1]), &ToolOutput::Json(Value::Null));
}

#[tokio::test]
async fn a_function_is_still_called_without_a_model() {
    assert_eq!(add::call(1, 2).await, Json(3));
    let context = ToolContext::for_test(Shop { name: "Looms" }).await;
    let refused = account_lookup::call(context, String::new(), None).await;
    assert_eq!(
        refused.err().map(|error| error.to_string()).as_deref(),
        Some("there is no account without a number")
    );
}

/// Where nothing is imported, names mean other things, and warnings are errors.
#[deny(warnings, clippy::all, clippy::pedantic, clippy::allow_attributes, unreachable_pub, missing_docs)]
mod hostile {
    #![expect(dead_code, reason = "these names are here to be in the way")]

    use super::renamed;

    struct Option;
    struct Result;
    struct Tool;
    struct Send;
    struct IntoTool;
    mod core {}
    mod serde {}
    mod schemars {}
    mod loomwork_agent {}

    /// Repeats.
    #[renamed::tool(crate = super::renamed, timeout = "1h")]
    pub(super) async fn repeat(
        context: renamed::ToolContext<u8>,
        arguments: ::std::string::String,
        state: bool,
    ) -> ::std::string::String {
        ::std::format!("{} {arguments} {state}", context.state())
    }
}

mod renamed {
    pub(super) use loomwork_agent::*;
}

#[tokio::test]
async fn the_expansion_means_what_it_says_whatever_is_in_scope() {
    let tool: Tool<u8> = hostile::repeat.into_tool();
    assert_eq!(tool.name(), "repeat");
    let context = ToolContext::for_test(3).await;
    assert_eq!(hostile::repeat::call(context, "a".to_owned(), true).await, "3 a true");
}
