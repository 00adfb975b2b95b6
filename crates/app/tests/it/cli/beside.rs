//! Commands beside a server, and through it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::program::{Folder, KEY, interrupt};

#[test]
fn beside_a_server_reads_work_and_writes_are_told_where_it_answers() {
    let folder = Folder::new();
    let served = folder.serve();
    let listed = folder.run(&["knowledge", "entries", "handbook", "--json"]).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(3));
    assert!(folder.run(&["check"]).done().contains("is sound"));

    let said = folder.run(&["threads", "create"]).failed(5);
    assert!(said.contains(&format!("say `--server {}`", served.address)), "{said}");

    assert_eq!(served.end(), 0, "Ctrl-C ends a server in order");
    assert!(!folder.path("loomwork.db.server").exists());
    folder.run(&["threads", "create"]).done();
}

#[test]
fn a_server_is_asked_as_the_database_is() {
    let folder = Folder::new();
    let served = folder.serve();
    let at = served.address.as_str();
    let ask = |args: &[&str]| {
        let mut command = folder.command(args);
        let output = command.args(["--server", at]).env("LOOMWORK_KEY", KEY).stdin(Stdio::null()).output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let made: Value =
        serde_json::from_str(&ask(&["threads", "create", "--user", "ada", "--json"])).expect("JSON");
    let id = made["id"].as_str().expect("an id");
    assert!(ask(&["threads", "--user", "ada"]).contains(id));
    assert!(ask(&["members", "add", id, "ben", "writer"]).contains("ben"));
    ask(&["members", "remove", id, "ben"]);
    assert!(ask(&["knowledge", "search", "handbook", "sending carpets back"]).contains("30 days"));
    assert!(ask(&["run"]).contains("research.start"));
    assert!(ask(&["run", "research.start", "{\"topic\":\"care\"}"]).starts_with("workflow_"));
    assert!(ask(&["doctor"]).contains("answers, and takes the key"));
    ask(&["threads", "update", id, "--title", "Two words & more"]);
    assert!(ask(&["threads", "get", id]).contains("Two words & more"));

    // What comes over HTTP is what is in the file.
    let by_file = folder.run(&["threads", "get", id, "--json"]).done();
    assert_eq!(ask(&["threads", "get", id, "--json"]), by_file);
}

#[test]
fn a_server_wants_a_key_of_a_variable_or_a_file() {
    let folder = Folder::new();
    let served = folder.serve();
    let at = served.address.as_str();
    let said = folder.run(&["threads", "--server", at]).failed(4);
    assert!(said.contains("set LOOMWORK_KEY, or name a file"), "{said}");
    std::fs::write(folder.path("key"), format!("{KEY}\n")).expect("a file");
    folder.run(&["threads", "--server", at, "--key-file", "key"]).done();
    std::fs::write(folder.path("key"), "lw_another_key_than_the_right_one").expect("a file");
    let said = folder.run(&["threads", "--server", at, "--key-file", "key", "--json"]).failed(4);
    let error: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(error["kind"], "denied");
    assert!(error["data"]["requestId"].is_string(), "{error}");
    let said = folder.run(&["threads", "--server", at, "--key-file", "nowhere"]).failed(3);
    assert!(said.contains("nowhere"), "{said}");

    served.end();
    let said = folder.run(&["threads", "--server", "http://127.0.0.1:1"]).failed(5);
    assert!(said.contains("no server answers at"), "{said}");
}

#[test]
fn what_is_followed_is_shown_again_when_it_changes() {
    let folder = Folder::new();
    let served = folder.serve();
    for place in [Some(served.address.as_str()), None] {
        let mut args = vec!["threads", "--user", "ada", "--follow", "--json"];
        args.extend(place.into_iter().flat_map(|address| ["--server", address]));
        let mut command = folder.command(&args);
        let child = command.env("LOOMWORK_KEY", KEY).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut next = || {
            let line = lines.next().expect("an answer").expect("text");
            let answer: Value = serde_json::from_str(&line).expect("JSON");
            answer["items"].as_array().expect("items").len()
        };
        let before = next();
        let mut make = folder.command(&["threads", "create", "--user", "ada", "--server", &served.address]);
        assert!(make.env("LOOMWORK_KEY", KEY).output().expect("it runs").status.success());
        assert_eq!(next(), before + 1);
        interrupt(&child);
        assert_eq!(child.wait().expect("it ends").code(), Some(130));
    }
}
