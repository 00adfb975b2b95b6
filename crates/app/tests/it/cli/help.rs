//! Help, completions and what is called in a wrong way.

use super::program::Folder;

/// Returns the commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // What is further in goes on with the line before.
    let listed = lines.take_while(|line| !line.trim().is_empty()).filter(|line| !line.starts_with("   "));
    listed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn help_tells_of_every_command_with_examples_and_exit_codes() {
    let folder = Folder::new();
    let help = folder.run(&["--help"]).done();
    assert!(help.contains("Exit codes: 0 done"), "{help}");
    assert!(help.contains("LOOMWORK_KEY"), "{help}");
    let commands = commands(&help);
    for wanted in
        ["serve", "chat", "threads", "messages", "ingest", "search", "keys", "jobs", "crons", "workflows"]
    {
        assert!(commands.iter().any(|command| command == wanted), "{wanted}: {commands:?}");
    }
    for command in commands {
        let help = folder.run(&[&command, "--help"]).done();
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
}

#[test]
fn every_operation_of_the_api_is_a_command() {
    let folder = Folder::new();
    let app = tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let app = loomwork::App::memory().build().await.expect("it is built");
        let described = app.openapi();
        app.shutdown(std::time::Duration::from_secs(5)).await.expect("it ends");
        described
    });
    // What is bytes or a stream is not an operation: `ingest`, `backup` and `chat` use those.
    let passed_over = ["files.upload", "files.content", "messages.live"];
    let paths = app["paths"].as_object().expect("paths");
    let ids = paths.values().flat_map(|path| path.as_object().expect("methods").values());
    // What takes no key is no operation either.
    let ids = ids.filter(|operation| operation["x-scope"].is_string());
    let ids: Vec<_> = ids.filter_map(|operation| operation["operationId"].as_str()).collect();
    let ids = ids.into_iter().filter(|id| !passed_over.contains(id));
    let mut listed = String::new();
    for group in commands(&folder.run(&["--help"]).done()) {
        for name in commands(&folder.run(&[&group, "--help"]).done()) {
            listed.push_str(&format!("{group} {name}\n"));
        }
    }
    let count = ids.count();
    assert_eq!(listed.lines().count(), count, "{listed}");
    assert!(listed.contains("crons trigger\n") && listed.contains("usage total\n"), "{listed}");
}

#[test]
fn shells_complete_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.run(&["completions", shell]).done();
        assert!(script.contains("threads") && script.contains("key-file"), "{shell}");
    }
}

#[test]
fn what_is_called_in_a_wrong_way_ends_with_2_and_says_what_is_right() {
    let folder = Folder::with_database();
    let said = folder.run(&["thread"]).failed(2);
    assert!(said.contains("threads"), "{said}");
    let said = folder.run(&["jobs", "--which", "broken"]).failed(2);
    assert!(said.contains("possible values: pending"), "{said}");
    let said = folder.run(&["threads", "--limit", "0"]).failed(2);
    assert_eq!(said, "error: a page of 0 rows; ask for 1 to 200 (limit)\n");
    let said = folder.run(&["threads", "get", "thread_1"]).failed(2);
    assert!(said.contains("thread_1") && said.contains("(thread)"), "{said}");
    let said = folder.run(&["keys", "create", "x", "read", "--term", "soon"]).failed(2);
    assert!(said.contains("write `30d`"), "{said}");
    let said = folder.run(&["backup", "copy.db", "--server", "http://127.0.0.1:1"]).failed(2);
    assert!(said.contains("--db PATH"), "{said}");
    let said = folder.run(&["threads", "--server", "ftp://somewhere"]).failed(2);
    assert!(said.contains("write `http://127.0.0.1:3210`"), "{said}");
}
