//! A test's second process: the test program itself, told to run one test in its other role.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// Names the file to work on, and so says that this process is a child.
const FILE: &str = "LOOMWORK_STORE_SQLITE_CHILD";

/// What the child says when it has done its part.
const READY: &str = "ready";

/// Returns the file to work on in a process that is a child.
pub(crate) fn file() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

/// Tells the parent that the child has done its part, and waits for it to let go or to die.
pub(crate) fn wait_for_parent() {
    writeln!(io::stderr(), "{READY}").expect("the parent reads");
    // Ends with the parent too, however that ends.
    io::stdin().read_to_end(&mut Vec::new()).expect("the parent writes nothing");
}

/// A process that runs `test` as a child over `file`.
pub(crate) fn command(test: &str, file: &Path) -> Command {
    wrapped(&[], test, file)
}

/// As [`command`], started by the program `wrapper` with its arguments.
pub(crate) fn wrapped(wrapper: &[&OsStr], test: &str, file: &Path) -> Command {
    let program = std::env::current_exe().expect("the test program has a path");
    let mut words = wrapper.iter().copied().chain([program.as_os_str()]);
    let mut command = Command::new(words.next().expect("there is a program"));
    command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]).env(FILE, file);
    command
}

/// A child that has done its part and waits. It is killed when this is dropped.
pub(crate) struct Waiting {
    process: Child,
    _stderr: BufReader<ChildStderr>,
}

impl Waiting {
    /// Starts `test` as a child over `file` and waits until it has done its part.
    pub(crate) fn start(test: &str, file: &Path) -> Self {
        let mut command = command(test, file);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the test program starts");
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut said = String::new();
        while !said.lines().any(|line| line == READY) {
            let length = stderr.read_line(&mut said).expect("the child writes text");
            assert!(length > 0, "the child of {test} ended early: {said}");
        }
        Self { process, _stderr: stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends the child as a power cut would.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("the child is killed");
        self.process.wait().expect("the child ends");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a child to its end and sees that its test passed.
pub(crate) fn passes(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the child starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = || format!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the child failed: {}", shown());
    assert!(said.contains("1 passed"), "the child ran no test: {}", shown());
}
