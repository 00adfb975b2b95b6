//! How text becomes words to find it by. Rows and queries go through the same code, so they agree.

use std::ops::Range;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::Language;

/// The version of the rules below; an index that was made by others is made anew.
pub(crate) const VERSION: u32 = 1;

/// The longest word, in bytes; what is longer is found by its beginning.
pub(crate) const MAX_WORD_BYTES: usize = 128;

/// How many letters of a beginning count.
const MAX_PREFIX_LETTERS: usize = 32;

/// A word as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// The word: lower case, without accents, its ending cut where a language says how.
    pub(crate) text: &'a str,
    /// Which word of the text it is; a word and its first part have the same position.
    pub(crate) position: u32,
    /// Where in the text it stands.
    pub(crate) span: Range<usize>,
}

/// Splits texts into words.
///
/// - Letters, digits and `_` make words, and so do apostrophes between letters.
/// - Scripts without spaces give each pair of neighbouring letters, since dictionaries are never complete.
/// - `snake_case`, `CamelCase` and `l'amour` are found as a whole and by their parts.
pub(crate) struct Tokenizer {
    stemmer: Option<Stemmer>,
}

impl Tokenizer {
    pub(crate) fn new(language: Option<Language>) -> Self {
        Self { stemmer: language.map(|language| Stemmer::create(algorithm(language))) }
    }

    /// Hands over each word of a text, in the order of their positions.
    pub(crate) fn each(&self, text: &str, mut found: impl FnMut(Word<'_>)) {
        let mut position = 0;
        let mut buffer = String::new();
        for (script, span) in Runs::new(text) {
            match script {
                Script::Spaceless => {
                    for pair in pairs(&text[span.clone()]) {
                        let span = span.start + pair.start..span.start + pair.end;
                        fold(&text[span.clone()], &mut buffer);
                        found(Word { text: &buffer, position, span });
                        position += 1;
                    }
                }
                Script::Spaced => {
                    let word = &text[span.clone()];
                    self.put(word, position, span.clone(), &mut buffer, &mut found);
                    let parts = parts(word);
                    for (index, part) in (0..).zip(&parts) {
                        let span = span.start + part.start..span.start + part.end;
                        self.put(&word[part.clone()], position + index, span, &mut buffer, &mut found);
                    }
                    position += parts.len().max(1) as u32;
                }
                Script::None => {}
            }
        }
    }

    /// Returns the words of a text and their positions.
    pub(crate) fn words(&self, text: &str) -> Vec<(String, u32)> {
        let mut words = Vec::new();
        self.each(text, |word| words.push((word.text.to_owned(), word.position)));
        words
    }

    /// Returns the words of a text, one for each position: of a word with parts, the parts.
    pub(crate) fn phrase(&self, text: &str) -> Vec<(String, u32)> {
        let mut words: Vec<(String, u32)> = Vec::new();
        for word in self.words(text) {
            match words.last_mut() {
                Some(last) if last.1 == word.1 => *last = word,
                _ => words.push(word),
            }
        }
        words
    }

    fn put(
        &self,
        word: &str,
        position: u32,
        span: Range<usize>,
        buffer: &mut String,
        found: &mut impl FnMut(Word<'_>),
    ) {
        fold(word, buffer);
        let text = match &self.stemmer {
            Some(stemmer) if buffer.chars().all(char::is_alphabetic) => &stemmer.stem(buffer),
            _ => buffer.as_str(),
        };
        if !text.is_empty() {
            found(Word { text: cut(text), position, span });
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokenizer").field("stems", &self.stemmer.is_some()).finish()
    }
}

/// How a script separates its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    /// By spaces.
    Spaced,
    /// Not at all.
    Spaceless,
    /// It is no letter.
    None,
}

/// The runs of letters of one kind in a text.
struct Runs<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Runs<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }
}

impl Iterator for Runs<'_> {
    type Item = (Script, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.at..];
        let script = script(rest.chars().next()?);
        let mut letters = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((index, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let joins = script == Script::Spaced && is_joint(letter) && next.is_some_and(char::is_alphabetic);
            if self::script(letter) != script && !is_combining_mark(letter) && !joins {
                end = index;
                break;
            }
        }
        let span = self.at..self.at + end;
        self.at = span.end;
        Some((script, span))
    }
}

/// Apostrophes belong to a word while letters follow.
fn is_joint(letter: char) -> bool {
    matches!(letter, '\'' | '\u{2019}')
}

fn script(letter: char) -> Script {
    match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => Script::Spaced,
        '\0'..='\u{7f}' => Script::None,
        // Thai, Lao, Myanmar, Khmer with their vowel signs; Kana, Han, Hangul.
        '\u{0e00}'..='\u{0e4e}' | '\u{0e80}'..='\u{0ecd}' => Script::Spaceless,
        '\u{1000}'..='\u{103f}' | '\u{1780}'..='\u{17d3}' => Script::Spaceless,
        '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' => Script::Spaceless,
        '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => Script::Spaceless,
        '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => Script::Spaceless,
        '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{323af}' => Script::Spaceless,
        letter if letter.is_alphanumeric() => Script::Spaced,
        _ => Script::None,
    }
}

/// Returns each pair of neighbouring letters; a letter alone is its own pair.
fn pairs(run: &str) -> Vec<Range<usize>> {
    // A mark belongs to the letter before it.
    let starts: Vec<_> =
        run.char_indices().filter(|(_, letter)| !is_combining_mark(*letter)).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([run.len()]);
    let letters: Vec<_> = starts.iter().copied().zip(ends).collect();
    match letters.as_slice() {
        [] => Vec::new(),
        [(start, end)] => std::iter::once(*start..*end).collect(),
        letters => letters.windows(2).map(|pair| pair[0].0..pair[1].1).collect(),
    }
}

/// Returns the parts of a word that has several; none for a plain word.
fn parts(word: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut before = None;
    let mut letters = word.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let separates = letter == '_' || is_joint(letter);
        let next_is_lower = letters.peek().is_some_and(|(_, next)| next.is_lowercase());
        // `camelCase` parts before its hump, `HTTPServer` before the last capital of a run.
        let hump = letter.is_uppercase()
            && before.is_some_and(|before: char| {
                before.is_lowercase() || (before.is_uppercase() && next_is_lower)
            });
        if separates || hump {
            parts.push(start..at);
            start = if separates { at + letter.len_utf8() } else { at };
        }
        before = Some(letter);
    }
    if start == 0 {
        return Vec::new();
    }
    parts.push(start..word.len());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Returns how a word begins that is asked for by its beginning: the last run of letters, folded, and
/// its ending kept. A script without spaces has pairs, which begin with any letter.
pub(crate) fn prefix(text: &str) -> Option<String> {
    let (_, span) = Runs::new(text).filter(|(script, _)| *script != Script::None).last()?;
    let mut begin = String::new();
    fold(&text[span], &mut begin);
    let begin = begin.chars().take(MAX_PREFIX_LETTERS).collect::<String>();
    (!begin.is_empty()).then_some(begin)
}

/// Writes a word in lower case, without accents and apostrophes.
pub(crate) fn fold(word: &str, into: &mut String) {
    into.clear();
    if word.is_ascii() {
        into.extend(word.chars().filter(|letter| *letter != '\'').map(|letter| letter.to_ascii_lowercase()));
        return;
    }
    for letter in word.nfkd().filter(|letter| !is_combining_mark(*letter) && !is_joint(*letter)) {
        match letter {
            // Letters that are no letter with a mark, but are typed as one.
            'ß' | 'ẞ' => into.push_str("ss"),
            'æ' | 'Æ' => into.push_str("ae"),
            'œ' | 'Œ' => into.push_str("oe"),
            'ø' | 'Ø' => into.push('o'),
            'đ' | 'Đ' | 'ð' | 'Ð' => into.push('d'),
            'ł' | 'Ł' => into.push('l'),
            'ı' => into.push('i'),
            letter => into.extend(letter.to_lowercase().filter(|letter| !is_combining_mark(*letter))),
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_WORD_BYTES)]
}

fn algorithm(language: Language) -> Algorithm {
    match language {
        Language::Arabic => Algorithm::Arabic,
        Language::Danish => Algorithm::Danish,
        Language::Dutch => Algorithm::Dutch,
        Language::English => Algorithm::English,
        Language::Finnish => Algorithm::Finnish,
        Language::French => Algorithm::French,
        Language::German => Algorithm::German,
        Language::Greek => Algorithm::Greek,
        Language::Hungarian => Algorithm::Hungarian,
        Language::Italian => Algorithm::Italian,
        Language::Norwegian => Algorithm::Norwegian,
        Language::Portuguese => Algorithm::Portuguese,
        Language::Romanian => Algorithm::Romanian,
        Language::Russian => Algorithm::Russian,
        Language::Spanish => Algorithm::Spanish,
        Language::Swedish => Algorithm::Swedish,
        Language::Tamil => Algorithm::Tamil,
        Language::Turkish => Algorithm::Turkish,
    }
}
