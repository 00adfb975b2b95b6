//! What people and programs read: lines, JSON and colours on standard output, remarks on standard error.

use std::cell::Cell;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use super::times::Zone;

/// How something looks, where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Good,
    Wrong,
    Warning,
    Tool,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Wrong => "31",
            Self::Warning => "33",
            Self::Tool => "36",
        }
    }
}

/// Where the program writes, and how.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether programs read it: one JSON value a line.
    pub(crate) is_json: bool,
    pub(crate) zone: Zone,
    /// How wide the terminal is, if it is one.
    pub(crate) width: Option<usize>,
    has_colours: bool,
    /// Whoever read has gone: `| head`.
    is_gone: Cell<bool>,
}

impl Output {
    pub(crate) fn new(is_json: bool, zone: Zone) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let width = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        Self {
            is_json,
            zone,
            width: width.filter(|width| is_terminal && *width > 0),
            has_colours: is_terminal && wants_colours(),
            is_gone: Cell::new(false),
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Whether nobody reads any more; what goes on for ever ends then.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.get()
    }

    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.has_colours && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
        } else {
            text.to_owned()
        }
    }

    /// Writes text as it is, at once.
    pub(crate) fn text(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = written {
            // Nobody is there to be told of any other failure.
            self.is_gone.set(true);
            if error.kind() != ErrorKind::BrokenPipe {
                tracing::error!(%error, "standard output cannot be written");
            }
        }
    }

    pub(crate) fn line(&self, line: &str) {
        self.text(&format!("{line}\n"));
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(json) => self.line(&json),
            Err(error) => tracing::error!(%error, "an answer cannot be written as JSON"),
        }
    }

    /// Clears a terminal, so that what follows takes the place of what was there.
    pub(crate) fn clear(&self) {
        if self.is_terminal() {
            self.text("\u{1b}[2J\u{1b}[H");
        }
    }

    /// Says something beside the answer; programs that read the answer do not see it.
    pub(crate) fn remark(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        // A remark that cannot be made is missed by nobody.
        let _ = writeln!(err, "{text}");
    }
}

/// Whether whoever sits before the terminal wants colours: <https://no-color.org>.
pub(crate) fn wants_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
