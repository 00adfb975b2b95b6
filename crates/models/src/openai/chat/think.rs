//! Thoughts that stand between tags in a text.

use crate::openai::ThinkTags;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Takes thoughts out of a text that comes in pieces, cut anywhere, within a tag too.
#[derive(Debug)]
pub(super) struct ThinkSplitter {
    place: Place,
    /// The beginning of what may become a tag, and white space around one.
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first word, where an opening tag may stand.
    Start,
    Thoughts,
    /// Behind the closing tag, where white space belongs to nothing.
    Behind,
    Text,
}

/// A piece of a text with thoughts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Thought(String),
    Text(String),
}

impl ThinkSplitter {
    pub(super) fn new(tags: ThinkTags) -> Self {
        let place = match tags {
            ThinkTags::No => Place::Text,
            ThinkTags::AtStart => Place::Start,
            ThinkTags::OpenedByPrompt => Place::Thoughts,
        };
        Self { place, held: String::new() }
    }

    /// Adds text, and hands on what is known to be one or the other.
    pub(super) fn push(&mut self, text: String, mut piece: impl FnMut(Piece)) {
        if self.place == Place::Text {
            return piece(Piece::Text(text));
        }
        self.held.push_str(&text);
        loop {
            match self.place {
                Place::Start => {
                    let word = self.held.trim_start();
                    if let Some(rest) = word.strip_prefix(OPEN) {
                        self.held = rest.to_owned();
                        self.place = Place::Thoughts;
                    } else if OPEN.starts_with(word) {
                        return;
                    } else {
                        self.place = Place::Text;
                    }
                }
                Place::Thoughts => {
                    let Some(end) = self.held.find(CLOSE) else {
                        let keep = tag_begun(&self.held);
                        let held = self.held.split_off(self.held.len() - keep);
                        let thought = std::mem::replace(&mut self.held, held);
                        if !thought.is_empty() {
                            piece(Piece::Thought(thought));
                        }
                        return;
                    };
                    let rest = self.held.split_off(end + CLOSE.len());
                    self.held.truncate(end);
                    if !self.held.is_empty() {
                        piece(Piece::Thought(std::mem::take(&mut self.held)));
                    }
                    self.held = rest;
                    self.place = Place::Behind;
                }
                Place::Behind => {
                    let word = self.held.trim_start();
                    if word.is_empty() {
                        return self.held.clear();
                    }
                    self.held = word.to_owned();
                    self.place = Place::Text;
                }
                Place::Text => return piece(Piece::Text(std::mem::take(&mut self.held))),
            }
        }
    }

    /// Hands on what was held back, since nothing follows that could complete a tag.
    pub(super) fn finish(&mut self, mut piece: impl FnMut(Piece)) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return;
        }
        piece(if self.place == Place::Thoughts { Piece::Thought(held) } else { Piece::Text(held) });
    }
}

/// Returns how many bytes at the end of a text may be the beginning of the closing tag.
fn tag_begun(text: &str) -> usize {
    (1..CLOSE.len()).rev().find(|length| text.ends_with(&CLOSE[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the thoughts and the text of an answer that comes in pieces of so many characters.
    fn split(tags: ThinkTags, answer: &str, length: usize) -> (String, String) {
        let (mut thoughts, mut text) = (String::new(), String::new());
        let mut add = |piece| match piece {
            Piece::Thought(piece) => thoughts.push_str(&piece),
            Piece::Text(piece) => text.push_str(&piece),
        };
        let mut splitter = ThinkSplitter::new(tags);
        let signs: Vec<char> = answer.chars().collect();
        for piece in signs.chunks(length) {
            splitter.push(piece.iter().collect(), &mut add);
        }
        splitter.finish(&mut add);
        (thoughts, text)
    }

    #[track_caller]
    fn check(tags: ThinkTags, answer: &str, thoughts: &str, text: &str) {
        for length in 1..=answer.chars().count() {
            assert_eq!(split(tags, answer, length), (thoughts.to_owned(), text.to_owned()), "{length}");
        }
    }

    #[test]
    fn thoughts_are_taken_out_at_any_cut() {
        check(ThinkTags::AtStart, "\n<think>Höm <b>\n</think>\n\nYes </think>", "Höm <b>\n", "Yes </think>");
        check(ThinkTags::OpenedByPrompt, "Hm</thin</think>Yes", "Hm</thin", "Yes");
    }

    #[test]
    fn a_text_without_tags_is_left_alone() {
        check(ThinkTags::AtStart, " <thinking> is <think> fine", "", " <thinking> is <think> fine");
        check(ThinkTags::No, "<think>a</think>b", "", "<think>a</think>b");
        check(ThinkTags::AtStart, "<thi", "", "<thi");
    }

    #[test]
    fn thoughts_that_never_end_are_thoughts() {
        check(ThinkTags::AtStart, "<think>and so on </thi", "and so on </thi", "");
    }
}
