//! Functions of the application's own.

use loomwork::store::{Id, Result, Row, Table};
use loomwork::{Builder, Error};
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::live::Events;
use crate::world::{described, failure, serve};

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "ideas", id = "idea")]
#[index(by_author(author))]
struct Idea {
    author: String,
    text: String,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Author {
    author: String,
    most: Option<usize>,
}

#[derive(Clone, Deserialize, JsonSchema)]
struct NewIdea {
    text: String,
}

fn with_ideas(builder: Builder) -> Builder {
    builder
        .tables([Idea::table()])
        .query("ideas.of", |tx, _, args: Author| -> Result<Vec<String>> {
            let found = tx.scan(Idea::by_author.eq(args.author).take(args.most.unwrap_or(10)))?;
            Ok(found.into_iter().map(|idea| idea.record.text).collect())
        })
        .mutation("ideas.add", |tx, caller, args: NewIdea| -> Result<String> {
            let author = caller.as_user().unwrap_or("ada").to_owned();
            Ok(tx.insert(Idea { author, text: args.text })?.id.to_string())
        })
        .action("ideas.count", |app, _, args: Author| async move {
            if args.author.is_empty() {
                return Err(Error::new(loomwork::core::Kind::Invalid, "nobody is asked for").about("author"));
            }
            Ok(app.store().query(move |tx| tx.count(Idea::by_author.eq(&args.author))).await?)
        })
}

#[tokio::test]
async fn queries_mutations_and_actions_of_ones_own_are_served_beside_the_apis() {
    let world = serve(with_ideas(described())).await;
    let mut live = Events::of(&world, "/api/query/ideas.of?author=ada&most=1", None).await;
    assert_eq!(live.next().await.expect("the answer now").data, json!([]));

    let id = world.post("/api/mutation/ideas.add", json!({ "text": "a loom" })).await;
    let id: Id<Idea> = id.as_str().expect("an id").parse().expect("of an idea");
    let row: Row<Idea> = world.app.store().query(move |tx| tx.require(id)).await.expect("it is there");
    assert_eq!(row.author, "ada");
    assert_eq!(live.next().await.expect("the next answer").data, json!(["a loom"]));
    assert_eq!(world.post("/api/query/ideas.of", json!({ "author": "ada" })).await, json!(["a loom"]));
    assert_eq!(world.post("/api/action/ideas.count", json!({ "author": "ada" })).await, json!(1));

    let wrong = world.send(Method::POST, "/api/action/ideas.count", json!({ "author": "" })).await;
    assert_eq!(failure(wrong, 400).await["field"], "author");
    let unknown = world.send(Method::POST, "/api/query/ideas.of", json!({ "autor": "x" })).await;
    failure(unknown, 400).await;
    let described = world.app.openapi();
    let body = &described["paths"]["/api/query/ideas.of"]["post"]["requestBody"];
    assert!(body["content"]["application/json"]["schema"]["properties"]["author"].is_object(), "{body}");
}

#[tokio::test]
async fn functions_of_one_name_and_names_that_are_no_paths_are_refused() {
    let twice = with_ideas(with_ideas(described())).build().await.expect_err("two of one name");
    assert!(twice.to_string().contains("\"ideas.of\" is registered twice"), "{twice}");
    let odd = described().action("a/b", |_, _, _: NewIdea| async { Ok(()) }).build().await;
    assert!(odd.expect_err("no path").to_string().contains("a/b"));
}
