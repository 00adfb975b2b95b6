use std::sync::Arc;

use async_trait::async_trait;
use loomwork_agent::{
    BoxError, Outcome, Tool, ToolContext, ToolInfo, ToolPolicy, ToolSource, Tools, ToolsError,
};
use loomwork_core::{Fault, Kind, RetryPolicy};
use loomwork_models::ToolOutput;
use serde_json::{Value, json};

use super::{Step, call, output, ping};

fn named(name: &str, description: &str) -> Tool {
    Tool::new(name, description, |_: ToolContext, (): ()| async {})
}

fn refused(result: Result<Tools, ToolsError>) -> String {
    let error = result.expect_err("it is refused");
    assert_eq!(error.kind(), Kind::Invalid);
    error.to_string()
}

#[test]
fn tools_keep_their_order_and_come_and_go_by_name() {
    let tools = Tools::of([named("b", ""), named("a", "")]).unwrap();
    let more = tools.clone().union(Tools::new().with(named("c", "")).unwrap()).unwrap();
    assert_eq!(more.names().collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(more.without("a").unwrap().names().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!((tools.len(), tools.is_empty(), tools.specs().len()), (2, false, 2));
    assert_eq!(tools.get("a").map(Tool::name), Some("a"));
    let error = tools.without("d").unwrap_err();
    assert_eq!(error.to_string(), "there is no tool `d`; there are `b`, `a`");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn two_tools_of_one_name_are_refused_and_both_named() {
    let twice = Tools::of([named("search", "Searches the web."), named("search", "Searches files.")]);
    let expected = "two tools are called `search`, \"Searches the web.\" and \"Searches files.\": each needs a \
                    name of its own";
    assert_eq!(refused(twice), expected);
    let one = || Tools::new().with(named("search", "")).unwrap();
    refused(one().union(one()));
}

#[test]
fn what_no_provider_takes_is_refused_by_name() {
    for name in ["", "no spaces", "ünï", &"x".repeat(65)] {
        assert!(refused(Tools::of([named(name, "")])).contains("cannot name a tool"), "{name}");
    }
    let dynamic = |schema| Tools::of([Tool::dynamic("t", "", schema, |_, _: Value| async {})]);
    assert!(refused(dynamic(json!({ "type": "string" }))).contains("one of objects"));
    assert!(refused(dynamic(json!({ "type": "object", "required": 7 }))).contains("tool `t`"));
}

#[test]
fn a_policy_that_lets_nothing_run_is_refused() {
    let under = |policy| refused(Tools::of([ping().with_policy(policy)]));
    let none = under(ToolPolicy { concurrency: Some(0), ..ToolPolicy::default() });
    assert!(none.contains("`concurrency` 0"), "{none}");
    let never = under(ToolPolicy { retries: RetryPolicy::none().with_attempts(0), ..ToolPolicy::default() });
    assert!(never.contains("`attempts` 0"), "{never}");
}

/// A server of tools.
struct Server {
    tools: Vec<&'static str>,
}

#[async_trait]
impl ToolSource for Server {
    fn name(&self) -> &str {
        "docs"
    }

    async fn list(&self) -> Result<Vec<ToolInfo>, BoxError> {
        if self.tools.is_empty() {
            return Err("it does not answer".into());
        }
        let schema = json!({ "type": "object", "properties": { "q": { "type": "string" } } });
        Ok(self.tools.iter().map(|name| ToolInfo::new(*name, "Finds pages.", schema.clone())).collect())
    }

    async fn call(&self, tool: &str, ctx: ToolContext, input: Value) -> Result<ToolOutput, BoxError> {
        match input["q"].as_str() {
            Some(q) => Ok(ToolOutput::Text(format!("{tool} {q} {}", ctx.agent()))),
            None => Err("what shall I look for?".into()),
        }
    }
}

async fn load(tools: &[&'static str], prefix: &str) -> Result<Tools, ToolsError> {
    Tools::load(Arc::new(Server { tools: tools.to_vec() }), prefix).await
}

#[tokio::test]
async fn a_source_lists_tools_at_run_time_and_is_called_by_its_own_names() {
    let tools = load(&["search.pages", "read"], "docs").await.unwrap();
    assert_eq!(tools.names().collect::<Vec<_>>(), ["docs_search_pages", "docs_read"]);
    let step = Step::new().await;
    let calls = [
        call("1", "docs_search_pages", json!({ "q": "loom" })),
        call("2", "docs_read", json!({})),
        call("3", "docs_read", json!({ "q": 1 })),
    ];
    let ends = step.ends(&tools, calls).await;
    assert_eq!(output(&ends[0]), &ToolOutput::from("search.pages loom support"));
    assert_eq!(
        (ends[1].outcome, output(&ends[1]).to_text()),
        (Outcome::Failed, "what shall I look for?".into())
    );
    assert!(output(&ends[2]).to_text().contains("`q`"), "the source is not called with wrong arguments");
    assert_eq!(ends[2].tries, 0);
}

#[tokio::test]
async fn names_of_a_source_that_collide_are_an_error() {
    let error = refused(load(&["a.b", "a_b"], "").await);
    assert!(error.contains("`a_b`") && error.contains("of `docs`"), "{error}");
    let tools = load(&["read"], "docs").await.unwrap();
    let error = refused(tools.with(named("docs_read", "Reads.")));
    assert!(error.contains("\"Finds pages.\" of `docs` and \"Reads.\""), "{error}");
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_an_error_that_names_it() {
    let error = load(&[], "docs").await.unwrap_err();
    assert_eq!(error.to_string(), "the tools of `docs` cannot be listed");
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn all_tools_of_a_source_can_be_put_under_one_policy() {
    let one_at_a_time =
        |tool: Tool| tool.with_policy(ToolPolicy { concurrency: Some(1), ..ToolPolicy::default() });
    let tools = load(&["read"], "").await.unwrap().map(one_at_a_time).unwrap();
    assert_eq!(tools.get("read").unwrap().policy().concurrency, Some(1));
}
