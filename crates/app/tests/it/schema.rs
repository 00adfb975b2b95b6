//! The description of the API, held against what it answers to requests that follow it and that break it.

use std::process::Command;

use loomwork::http::Options;
use loomwork_testkit::skip;
use serde_json::json;

use crate::world::{KEY, described, serve};

/// The program that makes the requests: <https://schemathesis.readthedocs.io>.
const PROGRAM: &str = "schemathesis";

/// What it holds answers against: nothing is a failure of the server, and everything is what the description says.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_the_server_or_is_answered_otherwise_than_described() {
    if Command::new(PROGRAM).arg("--version").output().is_err() {
        return skip(
            "no_request_fails_the_server",
            "`schemathesis` is not installed: pip install schemathesis",
        );
    }
    let options = Options { requests: None, refusals: None, ..Options::default() };
    let world = serve(described().http(options)).await;
    let thread = world.post("/api/threads", json!({ "user": "ada", "title": "carpets" })).await;
    let path = format!("/api/threads/{}/runs", thread["id"].as_str().expect("an id"));
    world.post(&path, json!({ "prompt": "Hello!" })).await;
    let address = format!("{}/api/openapi.json", world.address);
    let asked = tokio::task::spawn_blocking(move || {
        let mut asking = Command::new(PROGRAM);
        asking.args(["run", &address, "--header", &format!("Authorization: Bearer {KEY}")]);
        asking.args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "3"]);
        asking.args(["--seed", "7", "--generation-database", "none", "--no-color", "--continue-on-failure"]);
        asking.output()
    });
    let said = asked.await.expect("it does not panic").expect("it runs");
    let told = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{told}{}", String::from_utf8_lossy(&said.stderr));
}
