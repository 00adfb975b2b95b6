//! Where texts are cut before they are handed on.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

/// Where the texts of a stream are cut before they are handed on, so that readers see whole words, say.
///
/// What has no end yet waits for it, but no longer than for the next slice to be stored.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Chunking {
    /// As the model sends them.
    #[default]
    AsSent,
    /// Behind each word and the space after it.
    Words,
    /// Behind each line.
    Lines,
    /// Behind each punctuation mark and each space.
    Punctuation,
    /// Behind each match.
    Regex(Regex),
    /// Where a function says that the first chunk of a text ends, if that is known yet.
    Custom(FirstEnd),
}

/// Says where the first chunk of a text ends, if that is known yet.
pub type FirstEnd = Arc<dyn Fn(&str) -> Option<usize> + Send + Sync>;

impl fmt::Debug for Chunking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsSent => formatter.write_str("AsSent"),
            Self::Words => formatter.write_str("Words"),
            Self::Lines => formatter.write_str("Lines"),
            Self::Punctuation => formatter.write_str("Punctuation"),
            Self::Regex(regex) => formatter.debug_tuple("Regex").field(regex).finish(),
            Self::Custom(_) => formatter.write_str("Custom(..)"),
        }
    }
}

impl Chunking {
    /// Returns where the first chunk of a text ends, if that is known yet. It is never 0, and never inside
    /// a character.
    pub(crate) fn first_end(&self, text: &str) -> Option<usize> {
        let end = match self {
            Self::AsSent => Some(text.len()),
            Self::Words => {
                let word = text.find(|letter: char| !letter.is_whitespace())?;
                let space = word + text[word..].find(char::is_whitespace)?;
                let next = text[space..].find(|letter: char| !letter.is_whitespace());
                Some(next.map_or(text.len(), |next| space + next))
            }
            Self::Lines => text.find('\n').map(|end| end + 1),
            Self::Punctuation => {
                let end = text.char_indices().find(|(_, letter)| is_mark(*letter));
                end.map(|(at, letter)| at + letter.len_utf8())
            }
            Self::Regex(regex) => regex.find(text).map(|found| found.end()),
            Self::Custom(first_end) => first_end(text),
        };
        // A function of others may point anywhere.
        end.filter(|end| *end > 0 && text.is_char_boundary(*end))
    }
}

fn is_mark(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_ascii_punctuation()
        || matches!(letter, '\u{2010}'..='\u{2027}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}'
            | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '¡' | '¿' | '«' | '»' | '؟' | '،' | '।')
}
