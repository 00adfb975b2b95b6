//! Finding the sentences that answer a question, by their words.

use std::collections::{HashMap, HashSet};

use super::given::Passage;
use super::words::{is_common, stem, words};

/// How many sentences an answer quotes.
const MAX_QUOTES: usize = 3;

/// The share of a question's words, weighed by how rare they are, that a quoted sentence has at least.
const LEAST_SHARE: f64 = 0.3;

/// How near to the best sentence the others have to come.
const NEARNESS: f64 = 0.7;

/// What words of a question weigh that stand nowhere, as a share.
const UNHEARD: f64 = 0.4;

/// Returns the sentences that share the most with a question, in the order in which they stand.
pub(super) fn retrieve<'given>(question: &str, passages: &'given [Passage]) -> Vec<&'given Passage> {
    let asked = terms(question);
    if asked.is_empty() {
        return Vec::new();
    }
    let stems: Vec<HashSet<String>> = passages
        .iter()
        .map(|passage| words(&passage.text).iter().map(|word| stem(word).to_owned()).collect())
        .collect();
    let rarity = rarity(&asked, &stems);
    let total: f64 = asked.iter().map(|term| rarity[term]).sum();
    let score = |index: usize| {
        let shared = asked.iter().filter(|term| has(&stems[index], term)).map(|term| rarity[term]);
        let shared = shared.sum::<f64>() / total;
        // Of two sentences with the same words the one that is about nothing else is the answer.
        let brevity = 0.1 / (1.0 + stems[index].len() as f64);
        if shared == 0.0 {
            0.0
        } else {
            (shared + hint(question, &passages[index].text) + brevity) * passages[index].trust
        }
    };
    let mut found: Vec<(f64, usize)> = (0..passages.len()).map(|index| (score(index), index)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    let best = found.first().map_or(0.0, |(score, _)| *score);
    let mut quoted: Vec<usize> = Vec::new();
    for (score, index) in found {
        let is_new = quoted.iter().all(|other| passages[*other].text != passages[index].text);
        if quoted.len() < MAX_QUOTES && score >= LEAST_SHARE.max(best * NEARNESS) && is_new {
            quoted.push(index);
        }
    }
    quoted.sort_unstable();
    quoted.into_iter().map(|index| &passages[index]).collect()
}

/// Returns the sentences that share the most with all the others: what a text is about, in few words.
pub(super) fn summarise(passages: &[Passage]) -> Vec<&Passage> {
    let stems: Vec<HashSet<String>> =
        passages.iter().map(|passage| terms(&passage.text).into_iter().collect()).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    stems.iter().flatten().for_each(|stem| *counts.entry(stem).or_default() += 1);
    let weight = |index: usize| {
        let common: usize = stems[index].iter().map(|stem| counts[stem.as_str()] - 1).sum();
        common as f64 / (4.0 + stems[index].len() as f64)
    };
    let mut order: Vec<usize> = (0..passages.len()).filter(|index| stems[*index].len() > 2).collect();
    order.sort_by(|a, b| weight(*b).total_cmp(&weight(*a)).then(a.cmp(b)));
    order.truncate(MAX_QUOTES);
    order.sort_unstable();
    order.into_iter().map(|index| &passages[index]).collect()
}

/// Returns the stems of a text's telling words; of all its words if none tells.
pub(super) fn terms(text: &str) -> Vec<String> {
    let words = words(text);
    let mut terms: Vec<String> =
        words.iter().filter(|word| !is_common(word)).map(|word| stem(word).to_owned()).collect();
    let mut seen = HashSet::new();
    terms.retain(|term| seen.insert(term.clone()));
    terms
}

/// Returns how much each term tells: those that most sentences have tell little.
fn rarity(terms: &[String], stems: &[HashSet<String>]) -> HashMap<String, f64> {
    let all = stems.len() as f64;
    let weight = |term: &String| {
        let having = stems.iter().filter(|stems| has(stems, term)).count() as f64;
        let weight = (1.0 + all / (1.0 + having)).ln();
        // A word that nothing has says little against a sentence that has the others.
        if having == 0.0 { weight * UNHEARD } else { weight }
    };
    terms.iter().map(|term| (term.clone(), weight(term))).collect()
}

/// Returns whether a sentence has a term, or a longer form of it.
fn has(stems: &HashSet<String>, term: &str) -> bool {
    stems.contains(term) || term.len() > 4 && stems.iter().any(|stem| stem.starts_with(term))
}

/// Returns a little more for sentences that have what the question asks for: a number, a date.
fn hint(question: &str, text: &str) -> f64 {
    let question = question.to_lowercase();
    let asks_number = ["when", "how many", "how much", "how long", "how old", "what year"];
    let number = asks_number.iter().any(|asks| question.contains(asks))
        && text.contains(|letter: char| letter.is_ascii_digit());
    if number { 0.15 } else { 0.0 }
}
