//! The program over a database of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const KEY: &str = "lw_key_of_the_command_line_tests";

/// A folder with a database, or none yet.
pub(crate) struct Folder {
    folder: TempDir,
}

/// How a command has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns what a command wrote that was done.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Returns the JSON that a command wrote that was done.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.done();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Returns what a command said that failed.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A folder whose database is there.
    pub(crate) fn with_database() -> Self {
        let folder = Self::new();
        // What adds nothing makes it all the same.
        std::fs::write(folder.path("note.txt"), "Looms weave cloth.").expect("a file");
        folder.run(&["ingest", "note.txt", "--namespace", "notes"]).done();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.folder.path());
        command.args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).stdin(Stdio::null()).output().expect("the program starts"))
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args);
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        Ran::of(&child.wait_with_output().expect("it ends"))
    }

    /// Serves the database until this is dropped.
    pub(crate) fn serve(&self) -> Served {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--json"]);
        command.env("LOOMWORK_KEY", KEY).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("it says where it is");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Served { child, address: told["address"].as_str().expect("an address").to_owned() }
    }
}

/// Returns the program, in an environment that is the same everywhere.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loomwork"));
    command.current_dir(folder).env_clear().env("LOOMWORK_MODEL", "offline").env("TZ", "Asia/Tokyo");
    command
}

/// A server, which ends with this.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
}

impl Served {
    /// Asks it to end as Ctrl-C does, and returns its exit code.
    pub(crate) fn end(mut self) -> i32 {
        interrupt(&self.child);
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already where a test has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Presses Ctrl-C.
pub(crate) fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("it runs");
}

/// Reads until a text has come, and returns what was read.
pub(crate) fn read_until(from: &mut impl std::io::Read, wanted: &str) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&read).contains(wanted) {
        match from.read(&mut byte) {
            Ok(1) => read.push(byte[0]),
            _ => panic!("{wanted:?} did not come: {}", String::from_utf8_lossy(&read)),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Reads what is left.
pub(crate) fn read_rest(mut from: impl std::io::Read) -> String {
    let mut rest = Vec::new();
    // A terminal whose other side has gone ends with an error.
    let _ = from.read_to_end(&mut rest);
    String::from_utf8_lossy(&rest).into_owned()
}
