//! The words of a text, in any language.

use std::hash::Hasher;

/// Words of questions and of grammar, which say little about what a text is about.
const COMMON: &[&str] = &[
    // English
    "a", "about", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can",
    "could", "did", "do", "does", "for", "from", "get", "give", "had", "has", "have", "he", "her", "him",
    "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "know", "let", "many", "me", "much",
    "my", "no", "not", "of", "on", "or", "our", "please", "say", "says", "she", "should", "show", "so",
    "tell", "than", "that", "the", "their", "them", "then", "there", "they", "this", "to", "us", "was", "we",
    "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you",
    "your", "s", "t", "m", // German, French, Spanish
    "das", "dem", "den", "der", "die", "ein", "eine", "ich", "ist", "mein", "und", "von", "was", "wer",
    "wie", "wo", "zu", "de", "des", "du", "est", "et", "je", "la", "le", "les", "mon", "que", "qui", "un",
    "une", "el", "en", "es", "los", "las", "mi", "por", "qué", "una", "y",
];

/// Returns the words of a text in lower case. Chinese and Japanese are written without spaces: there, each
/// pair of neighbouring characters counts as a word, and a character that stands alone.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for run in text.split(|letter: char| !is_word(letter)).filter(|run| !run.is_empty()) {
        let mut plain = String::new();
        let mut signs: Vec<char> = Vec::new();
        for letter in run.chars() {
            if is_sign(letter) {
                finish(&mut words, &mut plain);
                signs.push(letter);
            } else {
                finish_signs(&mut words, &mut signs);
                plain.extend(letter.to_lowercase());
            }
        }
        finish(&mut words, &mut plain);
        finish_signs(&mut words, &mut signs);
    }
    words
}

fn finish(words: &mut Vec<String>, plain: &mut String) {
    if !plain.is_empty() {
        words.push(std::mem::take(plain));
    }
}

fn finish_signs(words: &mut Vec<String>, signs: &mut Vec<char>) {
    match signs.as_slice() {
        [] => {}
        [sign] => words.push(sign.to_string()),
        signs => words.extend(signs.windows(2).map(String::from_iter)),
    }
    signs.clear();
}

fn is_word(letter: char) -> bool {
    // Marks that belong to the letter before them, such as the vowels of Hindi and Thai.
    let is_mark = matches!(letter, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{963}' | '\u{966}'..='\u{e4f}');
    letter.is_alphanumeric() || is_mark
}

/// Returns whether a character is of a script that puts no spaces between words.
fn is_sign(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Returns whether a word says little about what a text is about.
pub(super) fn is_common(word: &str) -> bool {
    COMMON.contains(&word)
}

/// Returns the word without an English ending, as far as that can be told from its letters.
pub(super) fn stem(word: &str) -> &str {
    let cut = |ending: &str, least: usize| {
        word.strip_suffix(ending).filter(|rest| rest.len() >= least && rest.is_ascii())
    };
    if let Some(rest) = cut("ing", 4).or_else(|| cut("ies", 3)).or_else(|| cut("ed", 4)) {
        return rest;
    }
    if word.ends_with("ss") {
        return word;
    }
    let word = cut("es", 4).or_else(|| cut("s", 3)).unwrap_or(word);
    word.strip_suffix('e').filter(|rest| rest.len() >= 4).unwrap_or(word)
}

/// Hashes texts to the same numbers in every version, on every machine: what they place is stored.
pub(crate) fn hash(texts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        for byte in *text {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    // FNV mixes its high bits poorly; these steps spread them.
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// A hasher for keys that are hashes. Maps with it have the same order in each run, and so do their sums.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(&[bytes]);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
