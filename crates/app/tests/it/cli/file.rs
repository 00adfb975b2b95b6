//! Commands over the database itself.

use serde_json::{Value, json};

use super::program::Folder;

#[test]
fn a_database_that_is_not_there_is_not_made_by_asking() {
    let folder = Folder::new();
    let said = folder.run(&["threads"]).failed(3);
    assert!(said.contains("there is no database loomwork.db; `loomwork serve` makes one"), "{said}");
    folder.run(&["threads", "create"]).failed(3);
    assert!(!folder.path("loomwork.db").exists());
}

#[test]
fn things_are_made_listed_changed_and_deleted() {
    let folder = Folder::with_database();
    let made =
        folder.run(&["threads", "create", "--user", "ada", "--title", "A blue carpet", "--json"]).json();
    let id = made["id"].as_str().expect("an id");

    let table = folder.run(&["threads", "--user", "ada"]).done();
    let mut lines = table.lines();
    let head: Vec<_> = lines.next().expect("a head").split_whitespace().collect();
    assert_eq!(head, ["ID", "TITLE", "USER", "STATUS", "UPDATED"]);
    assert!(lines.next().expect("a row").contains("A blue carpet"), "{table}");

    let thing = folder.run(&["threads", "get", id]).done();
    assert!(
        thing.lines().any(|line| line.starts_with("title ") && line.ends_with("A blue carpet")),
        "{thing}"
    );

    let changed =
        folder.run(&["threads", "update", id, "--title", "", "--tags", "wool", "--tags", "blue", "--json"]);
    let changed = changed.json();
    assert_eq!((changed.get("title"), &changed["tags"]), (None, &json!(["wool", "blue"])));

    assert_eq!(folder.run(&["threads", "delete", id, "--json"]).json(), json!({ "deleted": true }));
    let said = folder.run(&["threads", "get", id, "--json"]).failed(3);
    let error: Value = serde_json::from_str(&said).expect("an error is JSON, too");
    assert_eq!(error["kind"], "not_found");
}

#[test]
fn lists_come_in_pages_or_whole() {
    let folder = Folder::with_database();
    for title in ["one", "two", "three"] {
        folder.run(&["threads", "create", "--user", "ada", "--title", title]).done();
    }
    let page = folder.run(&["threads", "--user", "ada", "--limit", "2"]);
    assert!(page.err.contains("There is more: `--after '"), "{page:?}");
    assert_eq!(page.out.lines().count(), 3);
    let next = page.err.split('\'').nth(1).expect("where it goes on").to_owned();
    let rest = folder.run(&["threads", "--user", "ada", "--limit", "2", "--after", &next]).done();
    assert!(rest.contains("one"), "the newest come first: {rest}");
    let all = folder.run(&["threads", "list", "--user", "ada", "--limit", "2", "--all", "--json"]).json();
    let titles: Vec<_> = all["items"].as_array().expect("items").iter().map(|item| &item["title"]).collect();
    assert_eq!(titles, ["three", "two", "one"]);
    assert_eq!(all.get("next"), None);
}

#[test]
fn dates_are_those_of_the_machine_or_utc() {
    let folder = Folder::with_database();
    let key =
        folder.run(&["keys", "create", "app", "chat", "--user", "ada", "--term", "30d", "--json"]).json();
    let (created, expires) = (&key["key"]["created"], &key["key"]["expires"]);
    let days = 30 * 24 * 60 * 60 * 1000;
    assert_eq!(expires.as_i64().expect("an end") - created.as_i64().expect("a start"), days);
    let hour = |shown: &str| {
        let time = shown.lines().nth(1).and_then(|row| row.split_whitespace().next_back().map(str::to_owned));
        let time = time.expect("a time");
        (time[..2].parse::<u32>().expect("an hour"), time.ends_with('Z'))
    };
    let (local, is_utc) = hour(&folder.run(&["keys"]).done());
    assert!(!is_utc);
    let (utc, is_utc) = hour(&folder.run(&["keys", "--utc"]).done());
    assert!(is_utc);
    assert_eq!((utc + 9) % 24, local, "Tokyo is nine hours before");
    let month = folder.run(&["usage", "--name", "ada", "--month", "2026-11", "--json"]).json();
    assert_eq!(month["events"], 0);
}

#[test]
fn functions_of_the_application_are_called_by_their_names() {
    let folder = Folder::with_database();
    let listed = folder.run(&["run", "--json"]).json();
    assert!(
        listed
            .as_array()
            .expect("functions")
            .contains(&json!({ "name": "research.start", "kind": "mutation" }))
    );
    let workflow = folder.run(&["run", "research.start", "{\"topic\":\"returns\"}"]).done();
    assert!(workflow.starts_with("workflow_"), "{workflow}");
    let by_pipe = folder.run_with(&["run", "mutation.research.start", "-"], "{\"topic\":\"care\"}").done();
    assert!(by_pipe.starts_with("workflow_"), "{by_pipe}");
    // The commands enqueue; who serves the app does what they ask.
    let listed = folder.run(&["workflows", "--json"]).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["items"][0]["state"], "ready", "{listed}");

    let said = folder.run(&["run", "research.stop"]).failed(3);
    assert!(said.contains("it has research.start"), "{said}");
    let said = folder.run(&["run", "research.start", "[1]"]).failed(2);
    assert!(said.contains("no object"), "{said}");
    let said = folder.run(&["run", "research.start", "{\"topc\":\"x\"}"]).failed(2);
    assert!(said.contains("topc"), "{said}");
    folder.run(&["run", "research.start", "{}", "--follow"]).failed(2);
}
