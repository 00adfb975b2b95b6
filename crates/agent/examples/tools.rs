//! Two tools, and what becomes of their calls; no model is needed.
#![expect(clippy::print_stdout, reason = "this is what the example shows")]

use std::sync::Arc;

use futures_util::StreamExt;
use loomwork_agent::{BoxError, Tool, ToolContext, ToolError, ToolEvent, Tools, run_calls, tool};
use loomwork_models::ToolCall;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

struct Shop {
    parcels: Vec<(&'static str, &'static str)>,
}

/// Finds out where a parcel is.
#[tool(idempotent, retries = 2, timeout = "10s")]
async fn parcel(
    ctx: ToolContext<Shop>,
    /// The number on the receipt.
    number: String,
) -> Result<String, BoxError> {
    ctx.progress(0.5, "asking the carrier");
    let found = ctx.state().parcels.iter().find(|(known, _)| *known == number);
    let (_, place) = found.ok_or_else(|| ToolError::invalid(format!("there is no parcel {number}")))?;
    Ok(format!("Parcel {number} is in {place}."))
}

#[derive(Deserialize, JsonSchema)]
struct Sum {
    numbers: Vec<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let sum = Tool::new("sum", "Adds numbers.", |_: ToolContext<Shop>, sum: Sum| async move {
        sum.numbers.iter().sum::<f64>().to_string()
    });
    let tools = Tools::new().with(parcel)?.with(sum)?;
    println!("the model is told: {}", serde_json::to_string_pretty(&tools.specs())?);

    let call = |id: &str, name: &str, input| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        input,
        ..ToolCall::default()
    };
    let asked = [
        call("1", "parcel", json!({ "number": "17" })),
        call("2", "sum", json!({ "numbers": [1, 2.5] })),
        call("3", "sum", json!({ "numbers": "many" })),
        call("4", "parcel", json!({ "number": "99" })),
    ];
    // A run of an agent has all of this; here it is that of a test.
    let context = ToolContext::for_test(Shop { parcels: vec![("17", "Oslo")] }).await;
    let (scope, state) = (Arc::new(context.scope().clone()), context.state().clone());
    let mut calls = run_calls(&tools, asked, scope, state);
    while let Some(event) = calls.next().await {
        match event {
            ToolEvent::Progress { call, text, .. } => println!("call {call} is {text}"),
            ToolEvent::Ended(end) => {
                let given = end.result.map(|result| result.output.to_text()).unwrap_or_default();
                println!("call {} {:?}: {given}", end.call.id, end.outcome);
            }
            _ => {}
        }
    }
    Ok(())
}
