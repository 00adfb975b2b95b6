//! The process that is to be killed.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use loomwork_core::Stopwatch;

use super::{Failure, Moment, Sign};

/// The variable that [`loomwork_core::crash_point`] reads.
const POINT: &str = "LOOMWORK_CRASH_POINT";

/// How often a sign that is seen from outside is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How many of the last lines a failure shows.
const LAST_WORDS: usize = 20;

/// Returns a command that runs this program again.
pub fn this_program() -> Command {
    // The link leads to the running program also when a build has put another one in its place.
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Command::new(running);
    }
    Command::new(std::env::current_exe().expect("a running program has a path"))
}

/// For a process that is to be killed: ends it when its parent is gone, so that it is not left behind.
///
/// # Panics
/// When no thread can be started.
pub fn end_with_parent() {
    let watch = || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    };
    std::thread::Builder::new().name("parent".to_owned()).spawn(watch).expect("a thread starts");
}

/// Starts a process, kills it at the moment, and returns the lines that it had said on its standard
/// output. A line that the kill has cut short is not among them.
///
/// # Errors
/// [`Failure::Hung`] when the moment does not come in time, [`Failure::Ended`] when the process ends
/// by itself before. It is never left running.
pub fn kill(command: &mut Command, moment: Moment) -> Result<Vec<String>, Failure> {
    let Moment { mut sign, pause, patience } = moment;
    let mut victim = Victim::start(command, &sign)?;
    victim.wait_for(&mut sign, patience)?;
    victim.go_on(pause, &sign)?;
    victim.kill(&sign)
}

struct Victim {
    process: Child,
    heard: Receiver<Heard>,
    listeners: Vec<JoinHandle<()>>,
    said: Vec<String>,
    /// What it wrote to its standard error.
    errors: Vec<String>,
}

/// A whole line of the process.
enum Heard {
    Output(String),
    Error(String),
}

impl Victim {
    fn start(command: &mut Command, sign: &Sign) -> Result<Self, Failure> {
        match sign {
            Sign::Point(point) => command.env(POINT, point.to_string()),
            _ => command.env_remove(POINT),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (tell, heard) = mpsc::channel();
        let process = command.spawn()?;
        let mut victim = Self { process, heard, listeners: Vec::new(), said: Vec::new(), errors: Vec::new() };
        let output = victim.process.stdout.take().expect("the output is piped");
        victim.listeners.push(listen(output, Heard::Output, tell.clone())?);
        let errors = victim.process.stderr.take().expect("the errors are piped");
        victim.listeners.push(listen(errors, Heard::Error, tell)?);
        Ok(victim)
    }

    fn wait_for(&mut self, sign: &mut Sign, patience: Duration) -> Result<(), Failure> {
        let watch = Stopwatch::start();
        let longest = if matches!(sign, Sign::Seen(..)) { LOOK_EVERY } else { patience };
        while !self.gives(sign) {
            let left = patience.saturating_sub(watch.elapsed());
            if left.is_zero() {
                let (sign, last_words) = (sign.to_string(), self.last_words());
                return Err(Failure::Hung { sign, waited: patience, last_words });
            }
            self.hear(left.min(longest), sign)?;
        }
        Ok(())
    }

    fn gives(&self, sign: &mut Sign) -> bool {
        match sign {
            Sign::Started => true,
            Sign::Said(start) => self.said.iter().any(|line| line.starts_with(*start)),
            Sign::Point(point) => {
                let reached = format!("at {}", point.name);
                self.errors.contains(&reached)
            }
            Sign::Seen(_, is_seen) => is_seen(),
        }
    }

    fn go_on(&mut self, pause: Duration, sign: &Sign) -> Result<(), Failure> {
        let watch = Stopwatch::start();
        while let Some(left) = pause.checked_sub(watch.elapsed()).filter(|left| !left.is_zero()) {
            self.hear(left, sign)?;
        }
        Ok(())
    }

    /// Hears one line, or nothing for a while.
    fn hear(&mut self, longest: Duration, sign: &Sign) -> Result<(), Failure> {
        match self.heard.recv_timeout(longest) {
            Ok(heard) => self.keep(heard),
            Err(RecvTimeoutError::Timeout) => {}
            // It has closed its output; all that it can do now is to end.
            Err(RecvTimeoutError::Disconnected) => {
                let _ = self.process.kill();
                let status = self.process.wait()?;
                return Err(self.ended(status, sign));
            }
        }
        Ok(())
    }

    fn keep(&mut self, heard: Heard) {
        match heard {
            Heard::Output(line) => self.said.push(line),
            Heard::Error(line) => self.errors.push(line),
        }
    }

    fn kill(mut self, sign: &Sign) -> Result<Vec<String>, Failure> {
        self.process.kill()?;
        let status = self.process.wait()?;
        for listener in self.listeners.drain(..) {
            listener.join().expect("a listener only passes lines on");
        }
        while let Ok(heard) = self.heard.try_recv() {
            self.keep(heard);
        }
        if was_killed(status) { Ok(std::mem::take(&mut self.said)) } else { Err(self.ended(status, sign)) }
    }

    fn ended(&self, status: ExitStatus, sign: &Sign) -> Failure {
        Failure::Ended { status, sign: sign.to_string(), last_words: self.last_words() }
    }

    fn last_words(&self) -> String {
        let lines = if self.errors.is_empty() { &self.said } else { &self.errors };
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}

/// Whatever went wrong, the process does not outlive the round.
impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes whole lines on until the process is gone.
fn listen(
    from: impl Read + Send + 'static,
    of: fn(String) -> Heard,
    tell: Sender<Heard>,
) -> std::io::Result<JoinHandle<()>> {
    let mut from = BufReader::new(from);
    std::thread::Builder::new().name("listener".to_owned()).spawn(move || {
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok() && line.pop() == Some(b'\n') {
            let text = String::from_utf8_lossy(&line).into_owned();
            if tell.send(of(text)).is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// Whether it was our kill that ended the process.
#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    const KILL: i32 = 9;
    status.signal() == Some(KILL)
}

/// Here a killed process looks like one that ended by itself.
#[cfg(not(unix))]
fn was_killed(_: ExitStatus) -> bool {
    true
}
