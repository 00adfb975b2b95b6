//! Texts that came in and are not committed, in memory.

use std::collections::{BTreeMap, HashMap};

use loomwork_core::RawId;
use loomwork_store::engine::Seq;
use roaring::RoaringBitmap;

use super::query::TextQuery;
use super::sealed::Scope;
use super::tokenizer::Tokenizer;
use crate::columns::Columns;
use crate::doc::{Doc, Scored};
use crate::index::Schema;
use crate::{Filter, Value};

/// How much more often a word counts the more often it is in a text; tantivy's constant.
const K1: f32 = 1.2;

/// How much the length of a text counts; tantivy's constant.
const B: f32 = 0.75;

/// What a word that merely begins as asked counts.
pub(super) const PREFIX_SCORE: f32 = 0.5;

/// A word of a text field, by the field's number.
pub(super) type Term = (usize, Box<str>);

/// How many texts there are and how often their words are used: what scores are made of.
///
/// Rows that are gone count until their words are, or a word could be in more rows than there are.
pub(super) trait Statistics {
    /// How many rows there are.
    fn rows(&self) -> u64;
    /// How many words a field's texts have.
    fn words(&self, field: usize) -> u64;
    /// How many rows have a word.
    fn rows_with(&self, field: usize, word: &str) -> u64;
}

/// Texts that came in and are not committed, in memory.
#[derive(Debug)]
pub(super) struct Tail {
    /// Up to where the feed is applied.
    pub(super) applied: Seq,
    /// The rows that came in or went: what is committed of them no longer counts.
    pub(super) touched: HashMap<RawId, Option<u32>>,
    /// The rows as they came, for the commit.
    pub(super) docs: Vec<Doc>,
    dead: RoaringBitmap,
    columns: Columns,
    postings: BTreeMap<Term, Vec<Posting>>,
    /// The number of words of each row, by field.
    lengths: Vec<Vec<u32>>,
    words: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Posting {
    row: u32,
    positions: Vec<u32>,
}

/// The rows that meet a query, and what they count.
type Scores = HashMap<u32, f32>;

impl Tail {
    pub(super) fn new(schema: &Schema, applied: Seq) -> Self {
        Self {
            applied,
            touched: HashMap::new(),
            docs: Vec::new(),
            dead: RoaringBitmap::new(),
            columns: Columns::new(schema.fields.len()),
            postings: BTreeMap::new(),
            lengths: Vec::new(),
            words: vec![0; schema.texts.len()],
        }
    }

    pub(super) fn put(&mut self, doc: Doc, tokenizers: &[Tokenizer]) {
        self.delete(doc.id);
        let row = self.docs.len() as u32;
        let mut lengths = vec![0; doc.texts.len()];
        for (field, (text, tokenizer)) in doc.texts.iter().zip(tokenizers).enumerate() {
            tokenizer.each(text, |word| {
                lengths[field] += 1;
                self.words[field] += 1;
                let postings = self.postings.entry((field, word.text.into())).or_default();
                match postings.last_mut() {
                    Some(posting) if posting.row == row => posting.positions.push(word.position),
                    _ => postings.push(Posting { row, positions: vec![word.position] }),
                }
            });
        }
        self.lengths.push(lengths);
        self.columns.push(&doc.values);
        self.touched.insert(doc.id, Some(row));
        self.docs.push(doc);
    }

    pub(super) fn delete(&mut self, id: RawId) {
        if let Some(Some(row)) = self.touched.insert(id, None) {
            self.dead.insert(row);
        }
    }

    /// Returns the rows that live, for the commit.
    pub(super) fn living(&self) -> impl Iterator<Item = &Doc> {
        (0..).zip(&self.docs).filter(|(row, _)| !self.dead.contains(*row)).map(|(_, doc)| doc)
    }

    pub(super) fn find(&self, query: &TextQuery, filter: &Filter, scope: &Scope<'_>) -> Vec<Scored> {
        let Scope { schema, tokenizers, statistics, weigh_by } = *scope;
        let met = self.columns.matching(filter, schema);
        let search = Search { tail: self, schema, tokenizers, statistics };
        let weight = |doc: &Doc| weigh_by.map_or(1.0, |field| weight(&doc.values[field]));
        let scores = search.scores(query).into_iter();
        let allowed = |row: u32| !self.dead.contains(row) && met.as_ref().is_none_or(|met| met.contains(row));
        let found = scores.filter(|(row, _)| allowed(*row));
        let docs = found.map(|(row, score)| (&self.docs[row as usize], score));
        docs.map(|(doc, score)| Scored { id: doc.id, score: score * weight(doc) }).collect()
    }

    pub(super) fn rows(&self) -> u64 {
        self.docs.len() as u64 - self.dead.len()
    }

    pub(super) fn words(&self, field: usize) -> u64 {
        self.words[field]
    }

    pub(super) fn rows_with(&self, field: usize, word: &str) -> u64 {
        self.postings.get(&(field, word.into())).map_or(0, |postings| postings.len() as u64)
    }

    /// Returns about how many bytes are held.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.docs.iter().flat_map(|doc| &doc.texts).map(String::len).sum();
        let postings: usize =
            self.postings.values().map(|postings| postings.len() * size_of::<Posting>()).sum();
        // Positions take about as much as the texts themselves.
        2 * texts + postings + self.columns.bytes()
    }
}

/// What a score is multiplied by.
fn weight(values: &[Value]) -> f32 {
    let float = |value: &Value| if let Value::Float(float) = value { Some(*float as f32) } else { None };
    let int = |value: &Value| if let Value::Int(int) = value { Some(*int as f32) } else { None };
    values.iter().find_map(float).or_else(|| values.iter().find_map(int)).unwrap_or(1.0)
}

/// One search of a tail.
struct Search<'a> {
    tail: &'a Tail,
    schema: &'a Schema,
    tokenizers: &'a [Tokenizer],
    statistics: &'a dyn Statistics,
}

impl Search<'_> {
    fn scores(&self, query: &TextQuery) -> Scores {
        match query {
            TextQuery::Word { text, prefix, field } => {
                let mut scores = Scores::new();
                for field in self.fields(*field) {
                    self.word(field, text, *prefix, &mut scores);
                }
                scores
            }
            TextQuery::Phrase { text, field } => {
                let mut scores = Scores::new();
                for field in self.fields(*field) {
                    self.phrase(field, text, &mut scores);
                }
                scores
            }
            TextQuery::Any(queries) => queries.iter().fold(Scores::new(), |mut all, query| {
                self.scores(query).into_iter().for_each(|(row, score)| *all.entry(row).or_default() += score);
                all
            }),
            TextQuery::All(queries) => self.all(queries),
            TextQuery::Prefer(must, may) => {
                let (mut met, may) = (self.scores(must), self.scores(may));
                met.iter_mut().for_each(|(row, score)| *score += may.get(row).copied().unwrap_or_default());
                met
            }
            TextQuery::Not(query) => {
                let met = self.scores(query);
                let rows = 0..self.tail.docs.len() as u32;
                rows.filter(|row| !met.contains_key(row)).map(|row| (row, 0.0)).collect()
            }
        }
    }

    fn all(&self, queries: &[TextQuery]) -> Scores {
        let mut sets = queries.iter().map(|query| self.scores(query));
        let Some(first) = sets.next() else { return Scores::new() };
        sets.fold(first, |met, next| {
            let both = met.into_iter().filter_map(|(row, score)| Some((row, score + next.get(&row)?)));
            both.collect()
        })
    }

    fn fields(&self, field: Option<usize>) -> std::ops::Range<usize> {
        field.map_or(0..self.schema.texts.len(), |field| field..field + 1)
    }

    fn boost(&self, field: usize) -> f32 {
        self.schema.texts[field].1.boost
    }

    fn word(&self, field: usize, text: &str, prefix: bool, scores: &mut Scores) {
        let words = self.tokenizers[field].words(text);
        for (word, _) in &words {
            if let Some(postings) = self.tail.postings.get(&(field, word.as_str().into())) {
                let found = postings.iter().map(|posting| (posting.row, posting.positions.len()));
                self.count(field, &[word], found, scores);
            }
        }
        if let (true, Some(begin)) = (prefix, super::tokenizer::prefix(text)) {
            let from: Term = (field, begin.as_str().into());
            let beginning = self.tail.postings.range(from..);
            let beginning =
                beginning.take_while(|((at, word), _)| *at == field && word.starts_with(begin.as_str()));
            let rows: RoaringBitmap =
                beginning.flat_map(|(_, postings)| postings).map(|posting| posting.row).collect();
            rows.iter().for_each(|row| *scores.entry(row).or_default() += PREFIX_SCORE * self.boost(field));
        }
    }

    fn phrase(&self, field: usize, text: &str, scores: &mut Scores) {
        let words = self.tokenizers[field].phrase(text);
        let Some(((first, start), rest)) = words.split_first() else { return };
        let postings =
            |word: &str| self.tail.postings.get(&(field, word.into())).map_or(&[][..], Vec::as_slice);
        let found = postings(first).iter().filter_map(|posting| {
            let follows = |position: &u32| {
                rest.iter().all(|(word, at)| {
                    let wanted = position + (at - start);
                    let here = postings(word).binary_search_by_key(&posting.row, |other| other.row).ok();
                    here.is_some_and(|index| postings(word)[index].positions.binary_search(&wanted).is_ok())
                })
            };
            let times = posting.positions.iter().filter(|position| follows(position)).count();
            (times > 0).then_some((posting.row, times))
        });
        let names: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
        self.count(field, &names, found, scores);
    }

    /// Adds what rows count that have some words so many times.
    fn count(
        &self,
        field: usize,
        words: &[&(impl AsRef<str> + ?Sized)],
        found: impl Iterator<Item = (u32, usize)>,
        scores: &mut Scores,
    ) {
        let rows = self.statistics.rows().max(1) as f32;
        let rarity: f32 = words
            .iter()
            .map(|word| {
                let having = self.statistics.rows_with(field, word.as_ref()) as f32;
                (1.0 + (rows - having).max(0.0).mul_add(1.0, 0.5) / (having + 0.5)).ln()
            })
            .sum();
        let usual = (self.statistics.words(field) as f32 / rows).max(f32::MIN_POSITIVE);
        for (row, times) in found {
            let times = times as f32;
            let length = self.tail.lengths[row as usize][field] as f32;
            let score = rarity * times * (1.0 + K1) / (times + K1 * (1.0 - B + B * length / usual));
            *scores.entry(row).or_default() += score * self.boost(field);
        }
    }
}
