//! The headings of a Markdown text, and what stands under them.

use std::ops::Range;

/// A heading: where it begins, how deep it is, and its words.
struct Heading {
    at: usize,
    level: usize,
    title: String,
}

/// The headings of a Markdown text.
pub(super) struct Sections(Vec<Heading>);

impl Sections {
    /// Finds the headings that are marked by `#`; those within fenced code are none.
    pub(super) fn of(text: &str) -> Self {
        let mut headings = Vec::new();
        let mut fence: Option<(char, usize)> = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let bare = line.trim_end().trim_start_matches(' ');
            if line.len() - line.trim_start_matches(' ').len() > 3 {
                continue;
            }
            let marks = |mark: char| bare.chars().take_while(|letter| *letter == mark).count();
            let opened = ['`', '~'].into_iter().find(|mark| marks(*mark) >= 3);
            match (fence, opened) {
                (None, Some(mark)) => fence = Some((mark, marks(mark))),
                (Some((mark, count)), Some(found)) if mark == found && marks(mark) >= count => fence = None,
                _ => {}
            }
            let level = marks('#');
            let rest = &bare[level..];
            if fence.is_some()
                || !(1..=6).contains(&level)
                || !(rest.is_empty() || rest.starts_with([' ', '\t']))
            {
                continue;
            }
            let title = rest.trim().trim_end_matches('#').trim_end().to_owned();
            headings.push(Heading { at: start, level, title });
        }
        Self(headings)
    }

    /// Returns the headings that a piece stands under: those of its first word.
    pub(super) fn over(&self, text: &str, piece: &Range<usize>) -> Vec<String> {
        let slice = &text[piece.clone()];
        let first = piece.start + (slice.len() - slice.trim_start().len());
        let mut path: Vec<&Heading> = Vec::new();
        for heading in self.0.iter().take_while(|heading| heading.at <= first) {
            path.retain(|over| over.level < heading.level);
            path.push(heading);
        }
        path.into_iter().map(|heading| heading.title.clone()).collect()
    }
}
