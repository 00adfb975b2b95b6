//! The greedy packer of lines that many knowledge bases were made with.

use std::ops::Range;

use super::{Chunker, Piece};
use crate::Result;

/// Packs whole lines into chunks of up to `soft` and cuts lines in halves that are longer than `hard`, both
/// in UTF-16 units. For those who come from a system that cuts so; [`Paragraphs`](super::Paragraphs) is
/// the better default.
///
/// Lines end at line feeds alone. Lines of space at the end of a chunk are dropped, all but one line feed,
/// and chunks of nothing but space are. Halves are cut between characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinePacker {
    /// How long a chunk of several lines becomes at most. Default: 1,000.
    pub soft: usize,
    /// How long a line may be that is not cut. Default: 10,000.
    pub hard: usize,
}

impl Default for LinePacker {
    fn default() -> Self {
        Self { soft: 1_000, hard: 10_000 }
    }
}

impl Chunker for LinePacker {
    fn name(&self) -> String {
        format!("lines({},{})", self.soft, self.hard)
    }

    fn cut(&self, text: &str) -> Result<Vec<Piece>> {
        let mut packer = Packer { text, hard: self.hard, pieces: Vec::new() };
        // What is gathered so far: where it lies, how long it is, and of how many lines.
        let mut now: Option<(Range<usize>, usize, usize)> = None;
        let mut start = 0;
        for line in text.split('\n').filter(|_| !text.is_empty()) {
            let range = start..start + line.len();
            start = range.end + 1;
            let units = units(line);
            if let Some((gathered, length, lines)) = &mut now
                && *length + 1 + units <= self.soft
            {
                (gathered.end, *length, *lines) = (range.end, *length + 1 + units, *lines + 1);
                continue;
            }
            let is_first = match now.take() {
                Some((gathered, _, lines)) => {
                    packer.flush(gathered, lines, true);
                    false
                }
                None => true,
            };
            now = packer.begin(range, units, self.soft, is_first);
        }
        if let Some((gathered, length, lines)) = now {
            if length > self.hard {
                let halves = packer.halves(gathered);
                halves.into_iter().for_each(|half| packer.emit(half));
            } else {
                packer.flush(gathered, lines, false);
            }
        }
        Ok(packer.pieces.into_iter().map(|range| Piece { range, ..Piece::default() }).collect())
    }
}

struct Packer<'a> {
    text: &'a str,
    hard: usize,
    pieces: Vec<Range<usize>>,
}

impl Packer<'_> {
    /// Begins a chunk with a line; one that is too long is cut, and its last part begins the chunk.
    fn begin(
        &mut self,
        line: Range<usize>,
        units_of_line: usize,
        soft: usize,
        is_first: bool,
    ) -> Option<(Range<usize>, usize, usize)> {
        if units_of_line > self.hard {
            let mut halves = self.halves(line);
            let last = halves.pop()?;
            halves.into_iter().for_each(|half| self.emit(half));
            let length = units(&self.text[last.clone()]);
            return Some((last, length, 1));
        }
        if is_first && units_of_line > soft {
            self.emit(line);
            return None;
        }
        Some((line, units_of_line, 1))
    }

    fn emit(&mut self, range: Range<usize>) {
        if !self.text[range.clone()].trim().is_empty() {
            self.pieces.push(range);
        }
    }

    /// Emits what is gathered, without its last lines of space. In the middle of a text the line feed before
    /// them stays.
    fn flush(&mut self, range: Range<usize>, lines: usize, keeps_feed: bool) {
        let mut end = range.end;
        if lines > 1 {
            while let Some(at) = self.text[range.start..end].rfind('\n')
                && self.text[range.start + at..end].trim().is_empty()
            {
                end = range.start + at;
            }
            if self.text[range.start..end].trim().is_empty() {
                return;
            }
            if end < range.end && keeps_feed {
                end += 1;
            }
        }
        self.emit(range.start..end);
    }

    fn halves(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let length = units(&self.text[range.clone()]);
        let mut passed = 0;
        let mut middle = range.start;
        for letter in self.text[range.clone()].chars() {
            if passed + letter.len_utf16() > length / 2 {
                break;
            }
            passed += letter.len_utf16();
            middle += letter.len_utf8();
        }
        if length <= self.hard || middle == range.start || middle == range.end {
            return vec![range];
        }
        let mut halves = self.halves(range.start..middle);
        halves.extend(self.halves(middle..range.end));
        halves
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
