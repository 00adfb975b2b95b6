//! A page with a chat: the AI SDK in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use loomwork_testkit::{skip, soon};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::world::{KEY, World};

/// Where the clients are installed, by `npm ci` and `pip install`.
pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Says whether the clients in JavaScript are there, and that a test is skipped if they are not.
pub(crate) fn has_pages(test: &str) -> bool {
    let is_there = clients().join("node_modules/ai-7").exists() && node().exists();
    if !is_there {
        skip(test, "the clients are not installed; run `npm ci` in crates/app/tests/clients");
    }
    is_there
}

pub(crate) fn node() -> PathBuf {
    clients().join("node_modules/node/bin/node")
}

/// A page that does what it is told, step by step.
pub(crate) struct Page {
    process: Child,
    steps: ChildStdin,
    lines: UnboundedReceiver<String>,
}

impl Page {
    pub(crate) fn open(world: &World, version: u8) -> Self {
        let mut process = Command::new(node())
            .current_dir(clients())
            .args(["chat.mjs", &version.to_string(), &world.address, KEY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let steps = process.stdin.take().expect("it takes steps");
        let output = BufReader::new(process.stdout.take().expect("it says something"));
        let (said, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, steps, lines }
    }

    /// Has it do something.
    pub(crate) fn step(&mut self, step: &Value) {
        writeln!(self.steps, "{step}").expect("it listens");
    }

    pub(crate) fn steps(&mut self, steps: impl IntoIterator<Item = Value>) {
        for step in steps {
            self.step(&step);
        }
    }

    /// Waits until it has done all that it was told before.
    pub(crate) async fn reached(&mut self) {
        self.step(&json!({ "do": "print", "line": "here" }));
        assert_eq!(self.line().await, "here");
    }

    /// Returns what it shows.
    pub(crate) async fn report(&mut self) -> Value {
        self.step(&json!({ "do": "report" }));
        self.line().await
    }

    async fn line(&mut self) -> Value {
        let line = soon(self.lines.recv()).await.expect("the page goes on");
        serde_json::from_str(&line).expect("it says JSON")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the texts of a message, joined.
pub(crate) fn text_of(message: &Value) -> String {
    let parts = message["parts"].as_array().expect("parts").iter();
    parts.filter(|part| part["type"] == "text").map(|part| part["text"].as_str().expect("a text")).collect()
}

/// Returns the parts of a message that are calls of tools.
pub(crate) fn calls_of(message: &Value) -> Vec<&Value> {
    let parts = message["parts"].as_array().expect("parts").iter();
    parts.filter(|part| part["toolCallId"].is_string()).collect()
}
