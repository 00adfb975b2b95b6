//! One random history on any engine, told in words that do not depend on it.

use loomwork_core::RawId;
use loomwork_store::engine::Seq;
use loomwork_store::{Store, Table, feed};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::script::{Answer, Entry, Mutation, Read, Subject, Tile, mutation, read};
use super::{Bench, Note, Place};

/// Does `length` random steps that follow from `seed` to two tables of a store, one by one, and
/// tells each answer: rows, order, pages, refusals and errors, and at the end the change log. Two
/// engines that keep their contract tell the same.
///
/// # Panics
/// When the store does not open, or finds faults in itself.
pub async fn history(place: &dyn Place, seed: u64, length: usize) -> Vec<String> {
    let bench = Bench::open_with(place, |builder| builder.tables([Note::table(), Tile::table()])).await;
    let steps = steps(seed, length);
    let mut told = tell::<Note>(&bench.store, &steps).await;
    told.extend(tell::<Tile>(&bench.store, &steps).await);
    let report = bench.store.check().await.expect("the store can be checked");
    assert!(report.is_clean(), "the store is not whole: {:?}", report.mismatches);
    told
}

#[derive(Clone, Debug)]
enum Step {
    Mutate(Mutation),
    Read(Read),
}

fn steps(seed: u64, length: usize) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let step = prop_oneof![2 => mutation().prop_map(Step::Mutate), 1 => read().prop_map(Step::Read)];
    let draw = |_| step.new_tree(&mut runner).expect("nothing is filtered out").current();
    (0..length).map(draw).collect()
}

async fn tell<T: Subject>(store: &Store, steps: &[Step]) -> Vec<String> {
    let mut told = Vec::new();
    let mut known = Vec::new();
    let mut names = Names::default();
    for (number, step) in steps.iter().enumerate() {
        told.push(format!("{}, step {number}: {step:?}", T::NAME));
        match step {
            Step::Mutate(mutation) => {
                let ran = mutation.clone().run::<T>(store.clone(), known).await;
                known = ran.known;
                told.extend(ran.answers.iter().map(|answer| names.tell(answer)));
                told.push(ran.end);
            }
            Step::Read(read) => {
                let (asked, made) = (read.clone(), known.clone());
                let answer = store.query(move |tx| asked.run::<T>(tx, &made)).await;
                told.push(answer.map_or_else(|error| error.to_string(), |answer| names.tell(&answer)));
            }
        }
    }
    let changes = store.query(|tx| feed::changes(tx, Seq(0), usize::MAX)).await;
    let changes = changes.expect("nothing trims the log").into_iter();
    let own = changes.filter(|change| change.of::<T>().is_some());
    told.extend(own.map(|change| names.replace(format!("{:?} {}", change.op, change.id))));
    told
}

/// The rows by the order in which they were first told of: an engine that runs a mutation twice
/// makes other ids.
#[derive(Default)]
struct Names(Vec<RawId>);

impl Names {
    fn tell(&mut self, answer: &Answer) -> String {
        let words = match answer {
            Answer::Row(entry) => self.row(entry),
            Answer::Maybe(found) => found.as_ref().map_or_else(|| "none".to_owned(), |entry| self.row(entry)),
            Answer::Rows(entries) => self.rows(entries),
            Answer::Count(count) => count.to_string(),
            Answer::Pages(pages) => pages.iter().map(|page| self.rows(page)).collect::<Vec<_>>().join(" | "),
            Answer::Refused(reason) => reason.clone(),
        };
        self.replace(words)
    }

    fn rows(&mut self, entries: &[Entry]) -> String {
        entries.iter().map(|entry| format!("[{}]", self.row(entry))).collect()
    }

    fn row(&mut self, (id, Note { author, stars, slug, text }): &Entry) -> String {
        if !self.0.contains(id) {
            self.0.push(*id);
        }
        format!("{id}: {slug:?} {author:?} {stars} {text:?}")
    }

    fn replace(&self, words: String) -> String {
        let named = self.0.iter().enumerate();
        named.fold(words, |words, (at, id)| words.replace(&id.to_string(), &format!("#{at}")))
    }
}
