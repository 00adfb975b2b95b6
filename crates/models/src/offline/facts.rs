//! What can be read out of a text: numbers, dates, names, quotations, addresses, `key: value`.

use super::words::{is_common, stem, words};

/// A text, and the values in it that were not taken yet.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) text: String,
    words: Vec<Word>,
    taken: Vec<String>,
}

/// A word as it stands, between spaces.
#[derive(Clone, Debug)]
struct Word {
    /// Without the marks around it.
    text: String,
    stem: String,
    /// Whether a sentence begins with it.
    begins: bool,
    /// Whether a mark behind it ends a phrase.
    ends: bool,
}

/// Words that begin an order, and are no names although they are capitalised there.
const ORDERS: &[&str] = &[
    "add",
    "answer",
    "ask",
    "book",
    "calculate",
    "call",
    "check",
    "classify",
    "compute",
    "convert",
    "create",
    "delete",
    "describe",
    "draw",
    "extract",
    "fetch",
    "find",
    "hello",
    "hey",
    "hi",
    "invoke",
    "list",
    "look",
    "make",
    "multiply",
    "open",
    "order",
    "read",
    "remember",
    "remind",
    "run",
    "schedule",
    "search",
    "send",
    "set",
    "start",
    "summarise",
    "summarize",
    "translate",
    "use",
    "weather",
    "write",
    "yes",
];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const NUMBERS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

impl Facts {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut begins = true;
        let mut list = Vec::new();
        for line in text.lines() {
            for raw in line.split_whitespace() {
                let plain =
                    raw.trim_matches(|mark: char| !mark.is_alphanumeric() && !"-+$€£°%".contains(mark));
                let plain = plain.trim_end_matches("'s").trim_end_matches("’s");
                let ends = raw.ends_with(['.', ',', ';', ':', '!', '?', ')', '"', '”']);
                let stem = words(plain).first().map_or_else(String::new, |word| stem(word).to_owned());
                list.push(Word { text: plain.to_owned(), stem, begins, ends });
                begins = raw.ends_with(['.', '!', '?', ':']);
            }
            begins = true;
            if let Some(last) = list.last_mut() {
                last.ends = true;
            }
        }
        Self { text, words: list, taken: Vec::new() }
    }

    /// Returns the first value that was not taken before, and takes it.
    pub(super) fn take_first(&mut self, values: impl IntoIterator<Item = String>) -> Option<String> {
        let value = values.into_iter().find(|value| !self.taken.contains(value))?;
        self.taken.push(value.clone());
        Some(value)
    }

    /// Returns where the text says all these words, one after the other.
    pub(super) fn says(&self, phrase: &str) -> Option<usize> {
        let phrase: Vec<String> =
            words(&super::spaced(phrase)).iter().map(|word| stem(word).to_owned()).collect();
        if phrase.is_empty() {
            return None;
        }
        self.words
            .windows(phrase.len())
            .position(|said| said.iter().zip(&phrase).all(|(word, stem)| word.stem == *stem))
    }

    /// Returns whether one of these stems comes behind a word that denies it; `None` if none comes.
    pub(super) fn denies(&self, stems: &[String]) -> Option<bool> {
        let at = self.words.iter().position(|word| is_of(word, stems))?;
        let before = &self.words[at.saturating_sub(3)..at];
        let denial = |word: &Word| {
            let word = word.text.to_lowercase();
            matches!(word.as_str(), "no" | "not" | "without" | "never" | "non")
                || word.ends_with("n't")
                || word.ends_with("n’t")
        };
        Some(before.iter().any(denial))
    }

    /// Returns the value that the text gives to a key: `city: Paris`, `city = Paris`, `the city is Paris`.
    pub(super) fn pair(&self, key: &str) -> Option<String> {
        let value = self.value_of(key)?;
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => value[1..].split(quote).next()?,
            _ => cut_phrase(value.split(['\n', ';', '?', '!']).next()?),
        };
        Some(value.trim()).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// Returns the list that the text gives to a key: `tags: red, green and blue`.
    pub(super) fn list(&self, key: &str) -> Option<Vec<String>> {
        let value = self.value_of(key)?.split(['\n', ';', '?', '!']).next()?;
        let value = value.split(". ").next()?.trim_end_matches('.').replace(" and ", ", ");
        let mark = |mark: char| mark.is_whitespace() || "\"'`[]".contains(mark);
        let items = value.split(',').map(|item| item.trim_matches(mark).to_owned());
        let items: Vec<String> = items.filter(|item| !item.is_empty()).collect();
        Some(items).filter(|items| !items.is_empty())
    }

    /// Returns what follows a key and the sign or word that gives it a value.
    fn value_of(&self, key: &str) -> Option<&str> {
        let key = super::spaced(key);
        // ASCII only, so that places in both texts are the same.
        let lower = self.text.to_ascii_lowercase();
        let places = lower.match_indices(&key).filter(|_| !key.is_empty());
        let alone = places.filter(|(at, _)| !lower[..*at].ends_with(char::is_alphanumeric));
        let values = alone.filter_map(|(at, _)| {
            let rest =
                self.text[at + key.len()..].trim_start_matches(['"', '`', '*']).trim_start_matches(' ');
            let signs = [":", "=", "is ", "are ", "named ", "called "];
            signs.iter().find_map(|sign| rest.strip_prefix(sign)).map(str::trim_start)
        });
        values.into_iter().find(|value| !value.is_empty())
    }

    /// Returns what stands in quotes.
    pub(super) fn quoted(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (open, close) in [('"', '"'), ('“', '”'), ('«', '»'), ('`', '`'), ('„', '“')] {
            let mut rest = self.text.as_str();
            while let Some((_, after)) = rest.split_once(open) {
                let Some((inside, after)) = after.split_once(close) else { break };
                if !inside.trim().is_empty() {
                    found.push(inside.to_owned());
                }
                rest = after;
            }
        }
        found
    }

    /// Returns the numbers, each with how far the nearest of these stems is from it, in words.
    pub(super) fn numbers(&self, near: &[String]) -> Vec<(f64, Option<usize>)> {
        let dates = self.date_places();
        let places: Vec<usize> = (0..self.words.len()).filter(|at| is_of(&self.words[*at], near)).collect();
        let mut numbers = Vec::new();
        for (at, word) in self.words.iter().enumerate().filter(|(at, _)| !dates.contains(at)) {
            if let Some(number) = number(&word.text) {
                numbers.push((number, places.iter().map(|place| place.abs_diff(at)).min()));
            }
        }
        numbers
    }

    /// Returns the dates, as `2024-05-17`.
    pub(super) fn dates(&self) -> Vec<String> {
        (0..self.words.len()).filter_map(|at| self.date_at(at)).map(|(date, _)| date).collect()
    }

    fn date_places(&self) -> Vec<usize> {
        (0..self.words.len())
            .filter_map(|at| self.date_at(at).map(|(_, length)| at..at + length))
            .flatten()
            .collect()
    }

    /// Reads a date: `2024-05-17`, `17 May 2024`, `May 17, 2024`; returns it and how many words it has.
    fn date_at(&self, at: usize) -> Option<(String, usize)> {
        let word = |offset: usize| self.words.get(at + offset).map(|word| word.text.as_str());
        let first = word(0)?;
        let iso: Vec<&str> = first.split('T').next()?.split('-').collect();
        if let [year, month, day] = iso.as_slice() {
            let date = date(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
            return Some((date, 1));
        }
        let (day, month) = match (day(first), month(first)) {
            (Some(day), _) => (day, month(word(1)?)?),
            (_, Some(month)) => (day(word(1)?)?, month),
            _ => return None,
        };
        Some((date(word(2)?.parse().ok()?, month, day)?, 3))
    }

    /// Returns the words that hold a mark, such as the `@` of an address.
    pub(super) fn with_mark(&self, mark: &str) -> Vec<String> {
        let holds = |word: &&Word| word.text.contains(mark) && !word.text.starts_with(mark);
        self.words.iter().filter(holds).map(|word| word.text.clone()).collect()
    }

    /// Returns the names: words that are capitalised although no sentence begins there, joined. Each comes
    /// with the word before it.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let dates = self.date_places();
        let mut names = Vec::new();
        let mut at = 0;
        while at < self.words.len() {
            let end = if dates.contains(&at) { at } else { self.name_end(at) };
            if end > at {
                let name: Vec<&str> = self.words[at..end].iter().map(|word| word.text.as_str()).collect();
                let before =
                    at.checked_sub(1).map_or_else(String::new, |at| self.words[at].text.to_lowercase());
                names.push((name.join(" "), before));
            }
            at = end.max(at + 1);
        }
        names
    }

    /// Returns where the name that begins here ends; here if none does.
    fn name_end(&self, at: usize) -> usize {
        let is_capital = |word: &Word| word.text.starts_with(char::is_uppercase);
        let first = &self.words[at];
        let lower = first.text.to_lowercase();
        let base = lower.split(['\'', '’']).next().unwrap_or_default();
        if !is_capital(first) || is_common(base) || first.begins && ORDERS.contains(&base) {
            return at;
        }
        let mut end = at + 1;
        while end < self.words.len() && !self.words[end - 1].ends {
            let joins = matches!(self.words[end].text.as_str(), "of" | "de" | "von" | "van" | "da")
                && self.words.get(end + 1).is_some_and(is_capital);
            if !joins && !is_capital(&self.words[end]) {
                break;
            }
            end += 1;
        }
        end
    }

    /// Returns the phrases behind these words, up to the next mark or the next such word.
    pub(super) fn behind(&self, leads: &[&str]) -> Vec<String> {
        const OTHERS: &[&str] =
            &["in", "at", "to", "from", "for", "on", "with", "and", "by", "of", "about", "using"];
        let mut phrases = Vec::new();
        for (at, lead) in self.words.iter().enumerate() {
            if !leads.contains(&lead.text.to_lowercase().as_str()) || lead.ends {
                continue;
            }
            let mut phrase: Vec<&str> = Vec::new();
            for word in &self.words[at + 1..] {
                let lower = word.text.to_lowercase();
                if OTHERS.contains(&lower.as_str()) {
                    break;
                }
                if !(phrase.is_empty() && matches!(lower.as_str(), "the" | "a" | "an")) {
                    phrase.push(&word.text);
                }
                if word.ends {
                    break;
                }
            }
            if !phrase.is_empty() {
                phrases.push(phrase.join(" "));
            }
        }
        phrases
    }

    /// Returns the longest run of digits and signs that could be calculated: `(17 + 4) * 2`.
    pub(super) fn expression(&self) -> Option<String> {
        let is_part = |letter: char| letter.is_ascii_digit() || " +-*/^().,%×÷".contains(letter);
        let runs =
            self.text.split(|letter: char| !is_part(letter)).map(|run| run.trim_matches([' ', ',', '.']));
        let is_whole = |run: &&str| {
            run.contains(|letter: char| letter.is_ascii_digit())
                && run.contains(['+', '-', '*', '/', '^', '×', '÷', '%'])
        };
        runs.filter(is_whole).max_by_key(|run| run.len()).map(str::to_owned)
    }
}

fn is_of(word: &Word, stems: &[String]) -> bool {
    !word.stem.is_empty() && stems.contains(&word.stem)
}

/// Cuts a value where its phrase ends: at a comma, or a full stop that ends a sentence.
fn cut_phrase(text: &str) -> &str {
    let end = text.find(", ").into_iter().chain(text.find(". ")).chain(text.find(" and ")).min();
    text[..end.unwrap_or(text.len())].trim_end_matches(['.', ','])
}

/// Reads a number as it stands in a text: `1,200.50`, `$12`, `21°C`, `7th`, `three`.
fn number(text: &str) -> Option<f64> {
    let lower = text.to_lowercase();
    if let Some(number) = NUMBERS.iter().position(|word| *word == lower) {
        return Some(number as f64);
    }
    let plain = lower.trim_start_matches(['$', '€', '£']).replace(',', "");
    let end =
        plain.find(|letter: char| !letter.is_ascii_digit() && !".-+".contains(letter)).unwrap_or(plain.len());
    let (digits, unit) = plain.split_at(end);
    let is_unit = unit.chars().count() <= 4 && !unit.contains(|letter: char| letter.is_ascii_digit());
    if is_unit { digits.trim_end_matches('.').parse().ok() } else { None }
}

fn day(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}

fn month(text: &str) -> Option<u32> {
    let lower = text.to_lowercase();
    let month = MONTHS.iter().position(|month| lower.starts_with(month) && lower.len() <= 9)?;
    u32::try_from(month + 1).ok()
}

fn date(year: u32, month: u32, day: u32) -> Option<String> {
    let is_date = (1000..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then(|| format!("{year:04}-{month:02}-{day:02}"))
}
