//! The arguments of a tool call while they grow.

use serde_json::Value;

/// The JSON text of a call's arguments, as far as it has come.
///
/// Each byte is looked at once, to see where the value ends; it is read once, when it is complete.
#[derive(Clone, Debug, Default)]
pub(super) struct GrowingInput {
    text: String,
    /// How many braces and brackets are open.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// The text was read.
    is_read: bool,
}

impl GrowingInput {
    /// Adds text, and returns the value as soon as it is complete. A value without braces or brackets
    /// never shows its end.
    pub(super) fn push(&mut self, delta: &str) -> Option<Value> {
        self.text.push_str(delta);
        let mut has_closed = false;
        for byte in delta.bytes() {
            match (byte, self.in_string) {
                _ if self.is_escaped => self.is_escaped = false,
                (b'\\', true) => self.is_escaped = true,
                (b'"', _) => self.in_string = !self.in_string,
                (b'{' | b'[', false) => self.depth += 1,
                (b'}' | b']', false) => {
                    self.depth = self.depth.saturating_sub(1);
                    has_closed |= self.depth == 0;
                }
                _ => {}
            }
        }
        if !has_closed || self.depth != 0 || self.is_read {
            return None;
        }
        self.is_read = true;
        serde_json::from_str(&self.text).ok()
    }

    /// Returns the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
