//! Random histories: whatever happens, a search finds what a look at all rows finds.

use std::collections::BTreeMap;

use loomwork_core::Random;
use loomwork_search::{Filter, Query, Search, vectors};
use loomwork_store::{Id, Store};
use loomwork_testkit::soon;
use tempfile::TempDir;

use super::Bed;
use super::yard::{Note, add, by, end, hits, open, space, start};

const WORDS: [&str; 6] = ["wool", "yarn", "silk", "felt", "loom", "card"];
const STEPS: u64 = 150;

/// What the rows are.
type Model = BTreeMap<Id<Note>, (Note, Option<Vec<f32>>)>;

struct World {
    bed: Bed,
    folder: TempDir,
    random: Random,
    model: Model,
}

impl World {
    fn note(&self) -> Note {
        let word = || WORDS[self.random.below(WORDS.len() as u64) as usize];
        let author = if self.random.below(4) == 0 { "eve" } else { "ada" };
        by(author, self.random.below(5) as u32, &format!("{} {}", word(), word()))
    }

    fn vector(&self) -> Vec<f32> {
        (0..3).map(|_| self.random.unit() as f32 - 0.5).collect()
    }

    fn any(&self) -> Option<Id<Note>> {
        let place = self.random.below(self.model.len().max(1) as u64) as usize;
        self.model.keys().nth(place).copied()
    }

    async fn change(&mut self, store: &Store) {
        match (self.random.below(8), self.any()) {
            (0, Some(id)) => {
                self.model.remove(&id);
                let delete = move |tx: &mut loomwork_store::Tx| {
                    tx.delete(id)?;
                    vectors::delete_for(tx, id)
                };
                store.mutate(delete).await.expect("it works");
            }
            (1 | 2, Some(id)) => {
                let note = self.note();
                self.model.get_mut(&id).expect("it was chosen").0 = note.clone();
                store.mutate(move |tx| tx.replace(id, note)).await.expect("it works");
            }
            (3 | 4, Some(id)) => {
                let vector = self.vector();
                self.model.get_mut(&id).expect("it was chosen").1 = Some(vector.clone());
                store.mutate(move |tx| vectors::insert(tx, &space(), id, vector)).await.expect("it works");
            }
            (5, Some(id)) => {
                self.model.get_mut(&id).expect("it was chosen").1 = None;
                store.mutate(move |tx| vectors::delete_for(tx, id)).await.expect("it works");
            }
            _ => {
                let note = self.note();
                let id = add(store, note.clone()).await;
                self.model.insert(id, (note, None));
            }
        }
    }

    /// Compares two searches with a look at all rows.
    async fn check(&self, search: &Search) {
        let filters = [
            Filter::Everything,
            Filter::eq("author", "eve").or(Filter::at_least("stars", 4)),
            !Filter::between("stars", 1, 3),
        ];
        let filter = filters[self.random.below(3) as usize].clone();
        let meets = |note: &Note| match &filter {
            Filter::Any(_) => note.author == "eve" || note.stars >= 4,
            Filter::Not(_) => !(1..=3).contains(&note.stars),
            _ => true,
        };
        let word = WORDS[self.random.below(WORDS.len() as u64) as usize];
        let query = Query { filter: filter.clone(), limit: 1_000, ..Query::text(format!("{word} ")) };
        let mut found: Vec<_> = hits(search, query).await.into_iter().map(|hit| hit.row.id).collect();
        found.sort_unstable();
        let having = self.model.iter().filter(|(_, (note, _))| meets(note) && note.body.contains(word));
        assert_eq!(found, having.map(|(id, _)| *id).collect::<Vec<_>>());

        let wanted = self.vector();
        let near = Query { filter: filter.clone(), limit: 7, exact: true, ..Query::vector(wanted.clone()) };
        let found: Vec<_> = hits(search, near).await;
        let cosine = |vector: &[f32]| {
            let length = |vector: &[f32]| vector.iter().map(|part| part * part).sum::<f32>().sqrt();
            let product: f32 = vector.iter().zip(&wanted).map(|(one, two)| one * two).sum();
            product / length(vector) / length(&wanted)
        };
        let mut all: Vec<f32> = self
            .model
            .values()
            .filter(|(note, _)| meets(note))
            .filter_map(|(_, vector)| vector.as_deref().map(cosine))
            .collect();
        all.sort_by(|one, two| two.total_cmp(one));
        all.truncate(7);
        assert_eq!(found.len(), all.len());
        for (hit, cosine) in found.iter().zip(all) {
            assert!((hit.vector.expect("it was asked for").score - cosine).abs() < 1e-3);
        }
    }

    async fn live(&mut self) {
        let mut store = open(&self.bed).await;
        let mut search = start(&store, Some(self.folder.path())).await;
        for _ in 0..STEPS {
            for _ in 0..self.random.below(6) {
                self.change(&store).await;
            }
            match self.random.below(12) {
                0 => soon(search.commit()).await.expect("it works"),
                1 => soon(search.purge()).await.expect("it works"),
                2 => {
                    end(search).await;
                    if self.random.below(2) == 0 {
                        self.change(&store).await;
                    } else {
                        store.close().await;
                        drop(store);
                        store = open(&self.bed).await;
                    }
                    if self.random.below(4) == 0 {
                        std::fs::remove_dir_all(self.folder.path().join("notes")).expect("it works");
                    }
                    search = start(&store, Some(self.folder.path())).await;
                }
                _ => {}
            }
            self.check(&search).await;
        }
        end(search).await;
    }
}

#[tokio::test]
async fn whatever_happens_a_search_finds_what_a_look_at_all_rows_finds() {
    for seed in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let random = Random::seeded(seed);
        let mut world = World { bed: Bed::new(), folder, random, model: Model::new() };
        world.live().await;
    }
}
