//! Comma-separated values that a spreadsheet shows and does not run.

use std::fmt::Display;

/// What a text must not begin with: a spreadsheet would take it for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes the first line.
pub(crate) fn head(text: &mut String, names: &[&str]) {
    let mut line = Line::new(text);
    for name in names {
        line.text(name);
    }
    line.end();
}

/// A line that is being written.
pub(crate) struct Line<'a> {
    text: &'a mut String,
    is_first: bool,
}

impl<'a> Line<'a> {
    pub(crate) fn new(text: &'a mut String) -> Self {
        Self { text, is_first: true }
    }

    /// Writes a text that came from anywhere: one that begins like a formula gets an apostrophe.
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        let is_formula = value.trim_start_matches([' ', '\u{feff}']).starts_with(FORMULA);
        let value = if is_formula { format!("'{value}") } else { value.to_owned() };
        self.value(&value)
    }

    /// Writes a number of ours: a negative one is no formula.
    pub(crate) fn number(&mut self, value: impl Display) -> &mut Self {
        self.value(&value.to_string())
    }

    fn value(&mut self, value: &str) -> &mut Self {
        if !self.is_first {
            self.text.push(',');
        }
        self.is_first = false;
        if value.contains(['"', ',', '\n', '\r']) {
            self.text.push('"');
            self.text.push_str(&value.replace('"', "\"\""));
            self.text.push('"');
        } else {
            self.text.push_str(value);
        }
        self
    }

    pub(crate) fn end(&mut self) {
        self.text.push_str("\r\n");
    }
}
