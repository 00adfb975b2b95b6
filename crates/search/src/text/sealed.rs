//! Texts that are committed, in tantivy.

use loomwork_core::RawId;
use loomwork_store::engine::Seq;
use serde::{Deserialize, Serialize};
use tantivy::collector::TopDocs;
use tantivy::directory::error::LockError;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::query::{
    AllQuery, Bm25StatisticsProvider, BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, FuzzyTermQuery,
    Occur, PhraseQuery, Query, TermQuery,
};
use tantivy::schema::{
    BytesOptions, Field, IndexRecordOption, NumericOptions, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{
    DocId, Index, IndexReader, IndexWriter, ReloadPolicy, Score, Searcher, SegmentReader, TantivyDocument,
    TantivyError, Term,
};

use super::excluded::Excluded;
use super::query::TextQuery;
use super::tail::{PREFIX_SCORE, Statistics, Tail};
use super::terms::{ANY, FilterFields, flag_term, text_term};
use super::tokenizer::{self, Tokenizer};
use crate::doc::{Doc, Scored};
use crate::index::Schema;
use crate::place::Place;
use crate::{Error, Filter, Result, Value};

/// The memory in which tantivy collects documents before it writes a segment.
pub const WRITER_MEMORY: usize = 48 << 20;

/// The share of deleted rows from which a segment is written anew.
const MAX_DEAD: f32 = 0.3;

/// The version of what is written here; an index of another is made anew.
const VERSION: u32 = 2;

/// Texts that are committed, in tantivy.
pub(super) struct Sealed {
    index: Index,
    reader: IndexReader,
    /// None once it was released.
    writer: Option<IndexWriter>,
    fields: Fields,
    stamp: Stamp,
}

/// What an index was made from, and up to where; it is in the commit itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    version: u32,
    tokenizer: u32,
    store: [u8; 16],
    table: String,
    declaration: u32,
    texts: Vec<String>,
    fields: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    stamp: Stamp,
    applied: u64,
}

/// The fields that tantivy has for those of an index.
#[derive(Clone, Debug)]
struct Fields {
    id: Field,
    high: Field,
    low: Field,
    texts: Vec<Field>,
    filters: Vec<FilterFields>,
}

impl Sealed {
    /// Opens the index, and says up to where it has applied the feed; `None` if it has to be filled.
    pub(super) fn open(place: &Place, schema: &Schema, store: RawId) -> Result<(Self, Option<Seq>)> {
        let stamp = Stamp {
            version: VERSION,
            tokenizer: tokenizer::VERSION,
            store: store.to_bytes(),
            table: schema.table.to_owned(),
            declaration: schema.version,
            texts: schema
                .texts
                .iter()
                .map(|(name, options)| format!("{name}:{:?}", options.language))
                .collect(),
            fields: schema.fields.clone(),
        };
        let (fields, of_tantivy) = Fields::of(schema);
        if let Place::Folder(folder) = place
            && let Ok(index) = Index::open_in_dir(folder)
        {
            let applied = applied(&index, &stamp);
            match Self::over(index, fields.clone(), stamp.clone()) {
                Ok(sealed) if applied.is_some() => return Ok((sealed, applied)),
                // What another one writes is not made anew under its hands.
                Err(Error::Text(TantivyError::LockFailure(LockError::LockBusy, _))) => {
                    let (index, folder) = (schema.name.clone(), folder.display().to_string());
                    return Err(Error::FolderInUse { index, folder });
                }
                _ => {}
            }
        }
        let index = match place {
            Place::Memory => Index::create_in_ram(of_tantivy),
            Place::Folder(folder) => {
                if folder.exists() {
                    std::fs::remove_dir_all(folder)?;
                }
                std::fs::create_dir_all(folder)?;
                Index::create_in_dir(folder, of_tantivy)?
            }
        };
        Ok((Self::over(index, fields, stamp)?, None))
    }

    fn over(index: Index, fields: Fields, stamp: Stamp) -> Result<Self> {
        let writer = Some(open_writer(&index)?);
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { index, reader, writer, fields, stamp })
    }

    /// Writes a tail in one commit that says up to where it goes, and returns who searches it.
    pub(super) fn commit(&mut self, tail: &Tail, tokenizers: &[Tokenizer]) -> Result<Searcher> {
        let written = self.write(tail, tokenizers);
        self.or_new_writer(written)
    }

    fn write(&mut self, tail: &Tail, tokenizers: &[Tokenizer]) -> Result<Searcher> {
        let fields = self.fields.clone();
        let writer = self.writer()?;
        for id in tail.touched.keys() {
            writer.delete_term(Term::from_field_bytes(fields.id, id.as_bytes()));
        }
        for doc in tail.living() {
            writer.add_document(fields.document(doc, tokenizers))?;
        }
        self.seal(tail.applied)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) -> Result<Searcher> {
        let cleared = self.writer().and_then(|writer| Ok(writer.delete_all_documents()?));
        let cleared = cleared.and_then(|_| self.seal(Seq::default()));
        self.or_new_writer(cleared)
    }

    /// A writer that has failed takes nothing any more, so the next commit has a new one.
    fn or_new_writer<T>(&mut self, written: Result<T>) -> Result<T> {
        if written.is_err() {
            self.writer = None;
        }
        written
    }

    fn seal(&mut self, applied: Seq) -> Result<Searcher> {
        let payload = Payload { stamp: self.stamp.clone(), applied: applied.0 };
        let mut commit = self.writer()?.prepare_commit()?;
        commit.set_payload(&serde_json::to_string(&payload).map_err(std::io::Error::other)?);
        commit.commit()?;
        self.reader.reload()?;
        Ok(self.searcher())
    }

    /// Merges all segments into one without deleted rows, so that what was deleted is gone from the disk.
    pub(super) fn purge(&mut self) -> Result<Searcher> {
        // A segment that is being merged cannot be merged, so merges come to their end first.
        self.release()?;
        let segments = self.index.searchable_segment_ids()?;
        let writer = self.writer()?;
        if !segments.is_empty() {
            writer.merge(&segments).wait()?;
        }
        writer.garbage_collect_files().wait()?;
        self.reader.reload()?;
        Ok(self.searcher())
    }

    /// Waits for merges and lets go of the folder, which the next one who writes takes again.
    pub(super) fn release(&mut self) -> Result<()> {
        match self.writer.take() {
            Some(writer) => Ok(writer.wait_merging_threads()?),
            None => Ok(()),
        }
    }

    fn writer(&mut self) -> Result<&mut IndexWriter> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            none => Ok(none.insert(open_writer(&self.index)?)),
        }
    }

    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    pub(super) fn reader(&self) -> SealedReader {
        SealedReader { fields: self.fields.clone() }
    }
}

fn open_writer(index: &Index) -> Result<IndexWriter> {
    let options =
        IndexWriterOptions::builder().num_worker_threads(1).memory_budget_per_thread(WRITER_MEMORY).build();
    let writer = index.writer_with_options(options)?;
    let mut policy = LogMergePolicy::default();
    policy.set_del_docs_ratio_before_merge(MAX_DEAD);
    writer.set_merge_policy(Box::new(policy));
    Ok(writer)
}

/// Returns up to where an index that was made from the same has applied the feed.
fn applied(index: &Index, stamp: &Stamp) -> Option<Seq> {
    let payload: Payload = serde_json::from_str(&index.load_metas().ok()?.payload?).ok()?;
    (payload.stamp == *stamp && payload.applied > 0).then_some(Seq(payload.applied))
}

/// Searches what is committed, without holding the one who writes.
#[derive(Clone, Debug)]
pub(super) struct SealedReader {
    fields: Fields,
}

impl SealedReader {
    /// Returns the best rows that meet query and filter, best first.
    pub(super) fn find(
        &self,
        searcher: &Searcher,
        query: &TextQuery,
        filter: &Filter,
        limit: usize,
        scope: &Scope<'_>,
    ) -> Result<Vec<Scored>> {
        let scored = self.query(query, scope);
        let query: Box<dyn Query> = match filter {
            Filter::Everything => scored,
            filter => {
                let allowed = ConstScoreQuery::new(self.filter(filter, scope.schema), 0.0);
                Box::new(BooleanQuery::new(vec![(Occur::Must, scored), (Occur::Must, Box::new(allowed))]))
            }
        };
        let statistics = Both { searcher, fields: &self.fields, statistics: scope.statistics };
        let best = TopDocs::with_limit(limit.max(1));
        let found = match scope.weigh_by.and_then(|field| self.fields.filters.get(field)) {
            None => searcher.search_with_statistics_provider(&*query, &best.order_by_score(), &statistics)?,
            Some(fields) => {
                let names = [fields.floats, fields.ints]
                    .map(|field| searcher.schema().get_field_name(field).to_owned());
                let weighed = best.tweak_score(move |segment: &SegmentReader| {
                    let fast = segment.fast_fields();
                    let (floats, ints) = (fast.f64(&names[0]).ok(), fast.i64(&names[1]).ok());
                    move |doc: DocId, score: Score| {
                        let float = || floats.as_ref()?.first(doc).map(|float| float as f32);
                        let int = || ints.as_ref()?.first(doc).map(|int| int as f32);
                        score * float().or_else(int).unwrap_or(1.0)
                    }
                });
                searcher.search_with_statistics_provider(&*query, &weighed, &statistics)?
            }
        };
        let mut rows = Vec::with_capacity(found.len());
        for (score, address) in found {
            let fast = searcher.segment_reader(address.segment_ord).fast_fields();
            let part =
                |name| -> Result<u64> { Ok(fast.u64(name)?.first(address.doc_id).unwrap_or_default()) };
            let id = u128::from(part("high")?) << 64 | u128::from(part("low")?);
            rows.push(Scored { id: RawId::from_bytes(id.to_be_bytes()), score });
        }
        Ok(rows)
    }

    fn query(&self, query: &TextQuery, scope: &Scope<'_>) -> Box<dyn Query> {
        match query {
            TextQuery::Word { text, prefix, field } => {
                let each = scope.fields(*field).flat_map(|field| self.word(field, text, *prefix, scope));
                any(each.collect())
            }
            TextQuery::Phrase { text, field } => {
                any(scope.fields(*field).filter_map(|field| self.phrase(field, text, scope)).collect())
            }
            TextQuery::Any(queries) => any(queries.iter().map(|query| self.query(query, scope)).collect()),
            TextQuery::All(queries) => Box::new(BooleanQuery::new(
                queries.iter().map(|query| (Occur::Must, self.query(query, scope))).collect(),
            )),
            TextQuery::Prefer(must, may) => Box::new(BooleanQuery::new(vec![
                (Occur::Must, self.query(must, scope)),
                (Occur::Should, self.query(may, scope)),
            ])),
            TextQuery::Not(query) => not(self.query(query, scope)),
        }
    }

    fn word(&self, field: usize, text: &str, prefix: bool, scope: &Scope<'_>) -> Vec<Box<dyn Query>> {
        let of_tantivy = self.fields.texts[field];
        let words = scope.tokenizers[field].words(text);
        let mut queries: Vec<Box<dyn Query>> = words
            .iter()
            .map(|(word, _)| {
                let term = Term::from_field_text(of_tantivy, word);
                boosted(Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)), scope.boost(field))
            })
            .collect();
        if let (true, Some(begin)) = (prefix, tokenizer::prefix(text)) {
            let term = Term::from_field_text(of_tantivy, &begin);
            let begins = Box::new(FuzzyTermQuery::new_prefix(term, 0, true));
            queries.push(Box::new(ConstScoreQuery::new(begins, PREFIX_SCORE * scope.boost(field))));
        }
        queries
    }

    fn phrase(&self, field: usize, text: &str, scope: &Scope<'_>) -> Option<Box<dyn Query>> {
        let words = scope.tokenizers[field].phrase(text);
        let start = words.first()?.1;
        let terms = words
            .iter()
            .map(|(word, at)| ((at - start) as usize, Term::from_field_text(self.fields.texts[field], word)));
        let mut terms: Vec<_> = terms.collect();
        let query: Box<dyn Query> = match terms.len() {
            1 => Box::new(TermQuery::new(terms.remove(0).1, IndexRecordOption::WithFreqs)),
            _ => Box::new(PhraseQuery::new_with_offset(terms)),
        };
        Some(boosted(query, scope.boost(field)))
    }

    fn filter(&self, filter: &Filter, schema: &Schema) -> Box<dyn Query> {
        let of = |field: &str| schema.field(field).ok().and_then(|field| self.fields.filters.get(field));
        match filter {
            Filter::Everything => Box::new(AllQuery),
            Filter::All(filters) if filters.is_empty() => Box::new(AllQuery),
            Filter::All(filters) => Box::new(BooleanQuery::new(
                filters.iter().map(|filter| (Occur::Must, self.filter(filter, schema))).collect(),
            )),
            Filter::Any(filters) => any(filters.iter().map(|filter| self.filter(filter, schema)).collect()),
            Filter::Not(filter) => not(self.filter(filter, schema)),
            Filter::Eq(field, value) => of(field).map_or_else(none, |fields| fields.having(value)),
            Filter::In(field, values) => of(field)
                .map_or_else(none, |fields| any(values.iter().map(|value| fields.having(value)).collect())),
            Filter::Has(field) => of(field).map_or_else(none, |fields| fields.term(ANY)),
            Filter::Range { field, from, to } => {
                of(field).map_or_else(none, |fields| fields.between(from.as_ref(), to.as_ref()))
            }
        }
    }
}

/// What a search needs to know besides its query.
pub(super) struct Scope<'a> {
    pub(super) schema: &'a Schema,
    pub(super) tokenizers: &'a [Tokenizer],
    pub(super) statistics: &'a dyn Statistics,
    /// The filter field whose number scores are multiplied by.
    pub(super) weigh_by: Option<usize>,
}

impl Scope<'_> {
    fn fields(&self, field: Option<usize>) -> std::ops::Range<usize> {
        field.map_or(0..self.schema.texts.len(), |field| field..field + 1)
    }

    fn boost(&self, field: usize) -> f32 {
        self.schema.texts[field].1.boost
    }
}

impl Fields {
    fn of(schema: &Schema) -> (Self, tantivy::schema::Schema) {
        let mut builder = tantivy::schema::Schema::builder();
        let id = builder.add_bytes_field("id", BytesOptions::default().set_indexed());
        let high = builder.add_u64_field("high", NumericOptions::default().set_fast());
        let low = builder.add_u64_field("low", NumericOptions::default().set_fast());
        let words = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let words = TextOptions::default().set_indexing_options(words);
        let raw = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false);
        let raw = TextOptions::default().set_indexing_options(raw);
        let number = NumericOptions::default().set_fast();
        let texts = (0..schema.texts.len())
            .map(|field| builder.add_text_field(&format!("text{field}"), words.clone()));
        let texts = texts.collect();
        let filters = (0..schema.fields.len()).map(|field| FilterFields {
            terms: builder.add_text_field(&format!("terms{field}"), raw.clone()),
            ints: builder.add_i64_field(&format!("ints{field}"), number.clone()),
            floats: builder.add_f64_field(&format!("floats{field}"), number.clone()),
        });
        let filters = filters.collect();
        (Self { id, high, low, texts, filters }, builder.build())
    }

    fn document(&self, doc: &Doc, tokenizers: &[Tokenizer]) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        let number = u128::from_be_bytes(doc.id.to_bytes());
        document.add_bytes(self.id, doc.id.as_bytes());
        document.add_u64(self.high, (number >> 64) as u64);
        document.add_u64(self.low, number as u64);
        for ((field, text), tokenizer) in self.texts.iter().zip(&doc.texts).zip(tokenizers) {
            let mut tokens = Vec::new();
            tokenizer.each(text, |word| {
                tokens.push(Token {
                    offset_from: word.span.start,
                    offset_to: word.span.end,
                    position: word.position as usize,
                    text: word.text.to_owned(),
                    position_length: 1,
                });
            });
            document.add_pre_tokenized_text(*field, PreTokenizedString { text: String::new(), tokens });
        }
        for (fields, values) in self.filters.iter().zip(&doc.values) {
            if !values.is_empty() {
                document.add_text(fields.terms, ANY);
            }
            for value in values {
                match value {
                    Value::Bool(flag) => document.add_text(fields.terms, flag_term(*flag)),
                    Value::Text(text) => document.add_text(fields.terms, text_term(text)),
                    Value::Int(int) => document.add_i64(fields.ints, *int),
                    Value::Float(float) if !float.is_nan() => document.add_f64(fields.floats, *float),
                    Value::Float(_) => {}
                }
            }
        }
        document
    }
}

pub(super) fn any(queries: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    Box::new(BooleanQuery::new(queries.into_iter().map(|query| (Occur::Should, query)).collect()))
}

fn not(query: Box<dyn Query>) -> Box<dyn Query> {
    let everything: Box<dyn Query> = Box::new(ConstScoreQuery::new(Box::new(AllQuery), 0.0));
    Box::new(BooleanQuery::new(vec![(Occur::Must, everything), (Occur::MustNot, Box::new(Excluded(query)))]))
}

pub(super) fn none() -> Box<dyn Query> {
    Box::new(EmptyQuery)
}

fn boosted(query: Box<dyn Query>, boost: f32) -> Box<dyn Query> {
    if boost == 1.0 { query } else { Box::new(BoostQuery::new(query, boost)) }
}

/// Counts what is committed and what is in the tails.
struct Both<'a> {
    searcher: &'a Searcher,
    fields: &'a Fields,
    statistics: &'a dyn Statistics,
}

impl Bm25StatisticsProvider for Both<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        let number = self.fields.texts.iter().position(|text| *text == field);
        number
            .map_or_else(|| self.searcher.total_num_tokens(field), |number| Ok(self.statistics.words(number)))
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.statistics.rows())
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        let number = self.fields.texts.iter().position(|text| *text == term.field());
        let word = term.value().as_str().map(str::to_owned);
        match (number, word) {
            (Some(number), Some(word)) => Ok(self.statistics.rows_with(number, &word)),
            _ => self.searcher.doc_freq(term),
        }
    }
}

/// What is committed, as statistics.
pub(super) struct Committed<'a> {
    pub(super) searcher: &'a Searcher,
    pub(super) reader: &'a SealedReader,
}

impl Statistics for Committed<'_> {
    fn rows(&self) -> u64 {
        self.searcher.segment_readers().iter().map(|segment| u64::from(segment.max_doc())).sum()
    }

    fn words(&self, field: usize) -> u64 {
        self.searcher.total_num_tokens(self.reader.fields.texts[field]).unwrap_or_default()
    }

    fn rows_with(&self, field: usize, word: &str) -> u64 {
        self.searcher
            .doc_freq(&Term::from_field_text(self.reader.fields.texts[field], word))
            .unwrap_or_default()
    }
}
