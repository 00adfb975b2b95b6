//! The places of a text that a query found.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::query::TextQuery;
use super::tokenizer::{self, Tokenizer};

/// How a snippet is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnippetOptions {
    /// The most letters of a snippet; 160 by default.
    pub letters: usize,
}

impl Default for SnippetOptions {
    fn default() -> Self {
        Self { letters: 160 }
    }
}

/// The place of a text that has the most of a query's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snippet {
    /// The text of that place.
    pub text: String,
    /// Where in it the words are, in bytes.
    pub marks: Vec<Range<usize>>,
}

impl Snippet {
    /// Returns the text with the words between two texts, such as `<b>` and `</b>`; the text itself is
    /// changed by `escape` first.
    pub fn marked(&self, before: &str, after: &str, escape: impl Fn(&str) -> String) -> String {
        let mut marked =
            String::with_capacity(self.text.len() + self.marks.len() * (before.len() + after.len()));
        let mut at = 0;
        for mark in &self.marks {
            marked.push_str(&escape(&self.text[at..mark.start]));
            marked.push_str(before);
            marked.push_str(&escape(&self.text[mark.clone()]));
            marked.push_str(after);
            at = mark.end;
        }
        marked.push_str(&escape(&self.text[at..]));
        marked
    }
}

/// Returns the place of a text that has the most of a query's words; `None` if it has none.
pub(crate) fn snippet(
    text: &str,
    field: usize,
    query: &TextQuery,
    tokenizer: &Tokenizer,
    options: SnippetOptions,
) -> Option<Snippet> {
    let mut wanted = Wanted::default();
    wanted.add(query, field, tokenizer);
    let mut hits: Vec<(Range<usize>, String)> = Vec::new();
    tokenizer.each(text, |word| {
        if wanted.words.contains(word.text) || wanted.begins.iter().any(|begin| word.text.starts_with(begin))
        {
            // A word and its parts overlap; the first, which is the whole, stays.
            if hits.last().is_none_or(|(last, _)| word.span.start >= last.end) {
                hits.push((word.span, word.text.to_owned()));
            }
        }
    });
    let first = hits.first()?.0.clone();
    // Hits are in their order, so those of a place follow each other.
    let worth = |place: &usize| {
        let rest = &hits[*place..];
        let start = rest[0].0.start;
        let end = text[start..].char_indices().nth(options.letters).map_or(text.len(), |(at, _)| start + at);
        let inside = rest.iter().take_while(|(hit, _)| hit.end <= end);
        inside.map(|(_, word)| word).collect::<HashSet<_>>().len()
    };
    let start = (0..hits.len()).rev().max_by_key(worth).map_or(first.start, |place| hits[place].0.start);
    // A third of the letters leads up to the first word, from the beginning of a word on.
    let lead = text[..start].char_indices().rev().nth(options.letters / 3).map_or(0, |(at, _)| at);
    let lead = if lead == 0 {
        0
    } else {
        text[lead..start].find(char::is_whitespace).map_or(start, |space| lead + space + 1)
    };
    let end = text[lead..].char_indices().nth(options.letters).map_or(text.len(), |(at, _)| lead + at);
    let marks = hits.iter().map(|(hit, _)| hit).filter(|hit| hit.start >= lead && hit.end <= end);
    let marks = marks.map(|hit| hit.start - lead..hit.end - lead).collect();
    Some(Snippet { text: text[lead..end].to_owned(), marks })
}

/// The words that a query looks for in a field.
#[derive(Default)]
struct Wanted {
    words: HashSet<String>,
    begins: Vec<String>,
}

impl Wanted {
    fn add(&mut self, query: &TextQuery, of: usize, tokenizer: &Tokenizer) {
        match query {
            TextQuery::Word { text, prefix, field } if field.is_none_or(|field| field == of) => {
                self.words.extend(tokenizer.words(text).into_iter().map(|(word, _)| word));
                if *prefix {
                    self.begins.extend(tokenizer::prefix(text));
                }
            }
            TextQuery::Phrase { text, field } if field.is_none_or(|field| field == of) => {
                self.words.extend(tokenizer.phrase(text).into_iter().map(|(word, _)| word));
            }
            TextQuery::Any(queries) | TextQuery::All(queries) => {
                queries.iter().for_each(|query| self.add(query, of, tokenizer));
            }
            TextQuery::Prefer(must, may) => {
                self.add(must, of, tokenizer);
                self.add(may, of, tokenizer);
            }
            TextQuery::Word { .. } | TextQuery::Phrase { .. } | TextQuery::Not(_) => {}
        }
    }
}
