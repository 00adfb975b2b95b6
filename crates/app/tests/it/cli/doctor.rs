//! What is around the program.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use super::program::{Folder, KEY};

#[test]
fn a_doctor_tells_names_of_keys_and_never_keys() {
    let folder = Folder::with_database();
    let mut command = folder.command(&["doctor", "--json"]);
    let output =
        command.env("GROQ_API_KEY", "gsk_very_secret").stdin(Stdio::null()).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.contains("very_secret"), "{text}");
    let findings: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let find = |what: &str| findings.iter().find(|finding| finding["what"] == what).expect("it is looked at");
    assert_eq!(find("keys")["found"], "set: GROQ_API_KEY");
    assert!(find("model")["found"].as_str().is_some_and(|found| found.contains("LOOMWORK_MODEL says so")));
    for what in ["ollama", "clock", "database", "disk", "rights", "port"] {
        find(what);
    }
    assert_eq!(find("database")["verdict"], "ok");
}

#[test]
fn what_is_wrong_has_advice_and_an_exit_code() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut command = folder.command(&["doctor", "--listen", &address]);
    let output = command.env("LOOMWORK_MODEL", "opnai/gpt").stdin(Stdio::null()).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains("wrong   model") && text.contains("set LOOMWORK_MODEL to a model"), "{text}");
    let found = folder.run(&["doctor", "--listen", &address]).done();
    assert!(found.contains("warning port") && found.contains("--listen ADDRESS"), "{found}");

    let served = folder.serve();
    let found = folder.run(&["doctor", "--server", &served.address]).out;
    assert!(found.contains("wrong   server"), "it has no key: {found}");
    let found = folder.run(&["doctor"]).done();
    assert!(found.contains("has it open"), "{found}");
    let mut command = folder.command(&["doctor", "--server", &served.address]);
    assert!(command.env("LOOMWORK_KEY", KEY).output().expect("it runs").status.success());
}
