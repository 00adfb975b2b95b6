//! Talking to agents, through pipes.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use super::program::{Folder, KEY, interrupt, read_rest, read_until};

#[test]
fn a_question_is_answered_with_what_tools_return() {
    let folder = Folder::new();
    let asked = folder.run(&["chat", "--agent", "weather", "--user", "ada", "Use weather with place Oslo."]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(asked.out.contains("[weather {\"place\":\"Oslo\"}]"), "{asked:?}");
    assert!(asked.out.contains("23 degrees in Oslo"), "{asked:?}");
    let thread =
        asked.err.split('`').nth(1).and_then(|text| text.strip_prefix("--thread ")).expect("the thread");

    let said =
        folder.run_with(&["chat", "--thread", thread], "What is the weather like?\nAnd then?\n").done();
    assert!(!said.starts_with("> "), "nobody is asked through a pipe: {said}");
    let page = folder.run(&["messages", thread, "--json"]).json();
    let messages = page["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 6);
    assert!(messages.iter().skip(1).step_by(2).all(|answer| answer["agentName"] == "weather"), "{page}");

    let shown = folder.run(&["messages", thread]).done();
    assert!(shown.starts_with("ada ") || shown.starts_with("user "), "{shown}");
    assert!(shown.contains("[weather {\"place\":\"Oslo\"}] → It is 23 degrees"), "{shown}");
    let found = folder.run(&["search", "degrees Oslo", "--user", "ada", "--json"]).json();
    assert!(found["items"].as_array().is_some_and(|hits| !hits.is_empty()), "{found}");
}

#[test]
fn programs_read_chunks_and_then_the_message() {
    let folder = Folder::new();
    let served = folder.serve();
    let mut command = folder.command(&["chat", "--agent", "assistant", "Hello!", "--json"]);
    let output =
        command.args(["--server", &served.address]).env("LOOMWORK_KEY", KEY).output().expect("it runs");
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines.first().map(|line| &line["type"]), Some(&Value::from("thread")));
    let last = lines.last().expect("a message");
    assert_eq!((&last["type"], &last["message"]["status"]), (&"message".into(), &"success".into()), "{last}");
    let told: String = lines.iter().filter_map(|line| line["delta"].as_str()).collect();
    assert!(told.is_empty() || last["message"]["text"].as_str().expect("a text").ends_with(&told), "{told}");
}

#[test]
fn words_with_a_slash_steer_and_mistakes_end_a_script() {
    let folder = Folder::new();
    let talked = folder
        .run_with(&["chat", "--agent", "assistant"], "/agents\n/agent weather\n/thread\n/help\n/quit\nno\n");
    assert_eq!(talked.code, 0, "{talked:?}");
    assert!(talked.err.contains("assistant\nrefunds\nsupport\nweather"), "{talked:?}");
    assert!(talked.err.contains("Nothing was said yet."), "{talked:?}");
    assert!(talked.out.is_empty(), "nothing was asked: {talked:?}");
    let said = folder.run_with(&["chat"], "/agent nobody\nHello!\n").failed(3);
    assert!(said.contains("there is no agent \"nobody\"; the app has assistant"), "{said}");
    folder.run(&["chat", "--agent", "nobody", "Hello!"]).failed(3);
}

#[test]
fn ctrl_c_calls_an_answer_off_and_the_next_one_is_made() {
    let folder = Folder::new();
    let mut command = folder.command(&["chat", "--agent", "assistant"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("the program starts");
    let (mut say, mut hear) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    // The offline model speaks at a pace that leaves time for a key.
    writeln!(say, "Hello!").expect("it reads");
    read_until(&mut hear, "I am the offline");
    interrupt(&child);
    read_until(&mut hear, "called off");
    writeln!(say, "Hello!").expect("it goes on");
    read_until(&mut hear, "I am the offline");
    drop(say);
    let rest = read_rest(hear);
    assert!(rest.contains("offline model"), "{rest}");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
