//! The same searches without this project: tantivy, hnsw_rs and scans, as an expert would use them.

use anyhow::{Context as _, Result};
use hnsw_rs::prelude::{Distance, Hnsw};
use pulp::{Arch, NullaryFnOnce};
use tantivy::collector::TopDocs;
use tantivy::indexer::IndexWriterOptions;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, NumericOptions, STRING, Schema, TEXT};
use tantivy::{Index, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::TOP;
use super::corpus::Message;

/// What the writer of the crate has.
const WRITER_MEMORY: usize = 48 << 20;

/// How many rows go into a commit of the crate.
const COMMIT: usize = 2_000;

/// A tantivy index of texts and groups.
pub(super) struct Texts {
    searcher: Searcher,
    text: Field,
    groups: Vec<Field>,
}

impl Texts {
    /// Indexes texts in a folder, with as many commits as the crate makes.
    pub(super) fn write(
        folder: &std::path::Path,
        texts: &[String],
        groups: &[(&'static str, u32)],
    ) -> Result<Self> {
        let mut schema = Schema::builder();
        let text = schema.add_text_field("text", TEXT);
        let number = schema.add_u64_field("number", NumericOptions::default().set_fast());
        let fields: Vec<Field> = groups.iter().map(|(name, _)| schema.add_text_field(name, STRING)).collect();
        let index = Index::create_in_dir(folder, schema.build())?;
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .memory_budget_per_thread(WRITER_MEMORY)
            .build();
        let mut writer = index.writer_with_options(options)?;
        for (at, content) in (0..).zip(texts) {
            let mut document = TantivyDocument::new();
            document.add_text(text, content);
            document.add_u64(number, u64::from(at));
            for (field, (_, of)) in fields.iter().zip(groups) {
                document.add_text(*field, Message::group(at, *of));
            }
            writer.add_document(document)?;
            if (at as usize + 1).is_multiple_of(COMMIT) {
                writer.commit()?;
            }
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { searcher: reader.searcher(), text, groups: fields })
    }

    /// The numbers of the best messages with any of the words, of a group if one is given.
    pub(super) fn find(&self, words: &str, group: Option<(usize, &str)>) -> Result<Vec<usize>> {
        let word = |word: &str| -> (Occur, Box<dyn Query>) {
            let term = Term::from_field_text(self.text, word);
            (Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)))
        };
        let words = Box::new(BooleanQuery::new(words.split_whitespace().map(word).collect()));
        let query: Box<dyn Query> = match group {
            None => words,
            Some((field, group)) => {
                let term = Term::from_field_text(self.groups[field], group);
                let of = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
                let of = Box::new(ConstScoreQuery::new(of, 0.0));
                Box::new(BooleanQuery::new(vec![(Occur::Must, words), (Occur::Must, of)]))
            }
        };
        let found = self.searcher.search(&*query, &TopDocs::with_limit(TOP).order_by_score())?;
        let numbers = found.into_iter().map(|(_, address)| {
            let segment = self.searcher.segment_reader(address.segment_ord);
            let number = segment.fast_fields().u64("number")?.first(address.doc_id);
            Ok(number.context("each message has a number")? as usize)
        });
        numbers.collect()
    }
}

/// The product of two vectors, for the widest registers that there are.
fn product(one: &[f32], two: &[f32]) -> f32 {
    struct Product<'a>(&'a [f32], &'a [f32]);
    impl NullaryFnOnce for Product<'_> {
        type Output = f32;

        #[inline(always)]
        fn call(self) -> f32 {
            let mut sums = [0.0; 32];
            let (ones, twos) = (self.0.as_chunks::<32>().0, self.1.as_chunks::<32>().0);
            for (one, two) in ones.iter().zip(twos) {
                for lane in 0..32 {
                    sums[lane] += one[lane] * two[lane];
                }
            }
            sums.iter().sum()
        }
    }
    Arch::new().dispatch(Product(one, two))
}

/// The best of some rows by a look at each: their numbers, nearest first.
pub(super) fn scan(rows: &[Vec<f32>], among: impl Iterator<Item = usize>, query: &[f32]) -> Vec<usize> {
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(TOP + 1);
    for row in among {
        let score = product(query, &rows[row]);
        if best.len() < TOP || score > best[TOP - 1].0 {
            let place = best.partition_point(|other| other.0 > score);
            best.insert(place, (score, row));
            best.truncate(TOP);
        }
    }
    best.into_iter().map(|(_, row)| row).collect()
}

/// How far two vectors of length 1 are apart.
pub(super) struct Cosine;

impl Distance<f32> for Cosine {
    fn eval(&self, one: &[f32], two: &[f32]) -> f32 {
        (1.0 - product(one, two)).max(0.0)
    }
}

/// hnsw_rs over the vectors themselves, with the parameters that the crate uses.
pub(super) struct Graph<'a>(Hnsw<'a, f32, Cosine>);

impl Graph<'_> {
    pub(super) fn build(rows: &[Vec<f32>]) -> Self {
        let graph = Hnsw::new(16, rows.len(), 16, 100, Cosine);
        for (number, row) in rows.iter().enumerate() {
            graph.insert((row, number));
        }
        Self(graph)
    }

    pub(super) fn find(&self, query: &[f32], effort: usize) -> Vec<usize> {
        self.0.search(query, TOP, effort).into_iter().map(|neighbour| neighbour.d_id).collect()
    }
}
