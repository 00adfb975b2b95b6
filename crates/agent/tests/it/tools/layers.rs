use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use loomwork_agent::{Approval, Outcome, Tool, ToolContext, ToolLayer, ToolPolicy};
use loomwork_models::ToolOutput;
use serde_json::{Value, json};

use super::{Step, output, ping, run, told};

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what it sees, and may refuse.
struct Guard {
    name: &'static str,
    log: Log,
    refuses: bool,
}

#[async_trait]
impl<S: Send + Sync + 'static> ToolLayer<S> for Guard {
    async fn before(&self, ctx: &ToolContext<S>, input: Value) -> Result<Value, ToolOutput> {
        self.log.lock().expect("nothing panics while it is written").push(format!(
            "{} before {}",
            self.name,
            ctx.call().name
        ));
        let refused = ToolOutput::Denied { reason: Some(format!("{} says no", self.name)) };
        if self.refuses { Err(refused) } else { Ok(input) }
    }

    async fn after(&self, _: &ToolContext<S>, output: ToolOutput) -> ToolOutput {
        self.log.lock().expect("nothing panics while it is written").push(format!(
            "{} after {}",
            self.name,
            output.to_text()
        ));
        output
    }
}

fn guard(name: &'static str, log: &Log, refuses: bool) -> Guard {
    Guard { name, log: log.clone(), refuses }
}

#[tokio::test]
async fn layers_lie_around_the_tool_the_last_outermost() {
    let log = Log::default();
    let tool = ping().layer(guard("inner", &log, false)).layer(guard("outer", &log, false));
    assert!(run(tool, json!({})).await.succeeded());
    let expected = ["outer before ping", "inner before ping", "inner after pong", "outer after pong"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_layer_refuses_a_call_and_those_around_it_see_that() {
    let log = Log::default();
    let tool = ping()
        .layer(guard("inner", &log, false))
        .layer(guard("middle", &log, true))
        .layer(guard("outer", &log, false));
    let end = run(tool, json!({})).await;
    assert_eq!((end.outcome, end.tries), (Outcome::Denied, 0));
    assert_eq!(output(&end), &ToolOutput::Denied { reason: Some("middle says no".into()) });
    let expected =
        ["outer before ping", "middle before ping", "outer after The call was denied: middle says no"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_layer_changes_arguments_and_outputs() {
    struct Shout;
    #[async_trait]
    impl ToolLayer<()> for Shout {
        async fn before(&self, _: &ToolContext, input: Value) -> Result<Value, ToolOutput> {
            Ok(json!({ "text": input["txt"] }))
        }
        async fn after(&self, _: &ToolContext, output: ToolOutput) -> ToolOutput {
            ToolOutput::Text(output.to_text().to_uppercase())
        }
    }
    let schema = json!({ "type": "object", "properties": {}, "required": ["text"] });
    let say = Tool::dynamic("say", "Says.", schema, |_, input: Value| async move { input["text"].clone() });
    assert_eq!(output(&run(say.layer(Shout), json!({ "txt": "hi" })).await), &ToolOutput::from("HI"));
}

#[tokio::test]
async fn a_layer_sees_what_failed() {
    let log = Log::default();
    let fails = Tool::new("fails", "Fails.", |_: ToolContext, (): ()| async { Err::<(), _>("no luck") });
    let end = run(fails.layer(guard("audit", &log, false)), json!({})).await;
    assert_eq!(told(&end), "no luck");
    assert_eq!(*log.lock().unwrap(), ["audit before fails", "audit after no luck"]);
}

#[tokio::test]
async fn nobody_is_asked_to_approve_what_a_layer_refuses() {
    let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
    let tool = ping().with_policy(policy).layer(guard("rule", &Log::default(), true));
    assert_eq!(run(tool, json!({})).await.outcome, Outcome::Denied);
}

#[tokio::test]
async fn a_layer_that_panics_is_an_error_of_its_call() {
    struct Broken;
    #[async_trait]
    impl ToolLayer<()> for Broken {
        async fn before(&self, _: &ToolContext, _: Value) -> Result<Value, ToolOutput> {
            panic!("broken")
        }
    }
    let step = Step::new().await;
    assert_eq!(told(&step.run(ping().layer(Broken), json!({})).await), "`ping` failed unexpectedly");
}
