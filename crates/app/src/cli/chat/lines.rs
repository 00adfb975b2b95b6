//! What somebody says, line by line: at a keyboard, or through a pipe.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use tokio::sync::mpsc;

use super::super::interrupted;
use super::super::output::Output;

/// What came of asking for a line.
#[derive(Debug)]
pub(super) enum Line {
    Said(String),
    /// Ctrl-C.
    Interrupted,
    /// Nothing more comes.
    End,
}

/// Lines of standard input.
#[derive(Debug)]
pub(super) struct Lines {
    /// Nothing is read before it is asked for: what comes may be somebody else's.
    lines: Option<mpsc::Receiver<String>>,
    /// Whether somebody sits before it, who wants to be asked.
    is_asked: bool,
}

impl Lines {
    pub(super) fn of_stdin(out: &Output) -> Self {
        let is_asked = std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !out.is_json;
        Self { lines: None, is_asked }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// Asks for the next line.
    pub(super) async fn next(&mut self, ask: &str) -> Line {
        if self.is_asked {
            let mut err = std::io::stderr().lock();
            // Without the sign the line is read all the same.
            let _ = write!(err, "{ask}").and_then(|()| err.flush());
        }
        let lines = self.lines.get_or_insert_with(read);
        tokio::select! {
            line = lines.recv() => line.map_or(Line::End, Line::Said),
            () = interrupted() => Line::Interrupted,
        }
    }
}

/// Reads in a thread of its own: waiting for a line cannot be given up, and nothing waits for the thread.
fn read() -> mpsc::Receiver<String> {
    let (say, lines) = mpsc::channel(1);
    let reading = std::thread::Builder::new().name("loomwork-stdin".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if say.blocking_send(line).is_err() {
                break;
            }
        }
    });
    if let Err(error) = reading {
        tracing::error!(%error, "standard input cannot be read");
    }
    lines
}
