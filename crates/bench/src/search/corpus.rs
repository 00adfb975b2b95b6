//! What is searched: texts with the word frequencies of a language, and vectors in clusters.

use anyhow::Result;
use loomwork_core::Random;
use loomwork_search::{Index, Space, vectors};
use loomwork_store::{Id, Store, Table};
use serde::{Deserialize, Serialize};

/// How long the vectors are, and in how many directions they really differ.
pub(super) const DIMENSION: usize = 384;
const LATENT: usize = 48;
const CLUSTERS: usize = 300;

/// How many words there are, and how many a text has.
const VOCABULARY: usize = 20_000;
const WORDS: usize = 24;

/// How many rows are written at once.
const STEP: usize = 2_000;

#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message", feed)]
pub(super) struct Message {
    pub(super) text: String,
    /// Which message it is; the filter fields are made of it.
    pub(super) number: u32,
}

impl Message {
    /// The value of a filter field with so many values, of a message.
    pub(super) fn group(number: u32, of: u32) -> String {
        format!("{}", number % of)
    }
}

/// The messages, by their texts and any number of groups.
pub(super) fn messages(groups: &[(&'static str, u32)]) -> Index<Message> {
    let index = Index::new(super::INDEX).text("text", |message: &Message| message.text.as_str());
    groups
        .iter()
        .copied()
        .fold(index, |index, (name, of)| index.field(name, move |message| Message::group(message.number, of)))
}

pub(super) fn space() -> Result<Space> {
    Ok(Space::new("generated", DIMENSION)?)
}

/// Draws words, the more frequent the lower their number.
pub(super) struct Language {
    random: Random,
}

impl Language {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::seeded(seed) }
    }

    pub(super) fn text(&self) -> String {
        let words: Vec<String> = (0..WORDS).map(|_| self.word()).collect();
        words.join(" ")
    }

    /// A word; its rank is distributed as Zipf says.
    fn word(&self) -> String {
        let rank = (VOCABULARY as f64).powf(self.random.unit()) as u32;
        let mut word = String::new();
        let mut left = rank.wrapping_mul(2_654_435_761) >> 8;
        for _ in 0..3 {
            word.push(char::from(b"bdfgklmnprstvz"[left as usize % 14]));
            word.push(char::from(b"aeiou"[(left / 14) as usize % 5]));
            left /= 70;
        }
        word
    }

    /// A query of two words that are neither everywhere nor nowhere.
    pub(super) fn query(&self) -> String {
        let mut words = (0..).map(|_| self.word()).skip(self.random.below(5) as usize);
        format!("{} {} ", words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

/// Draws vectors that lie in clusters, as those of texts do.
pub(super) struct Cloud {
    random: Random,
    centres: Vec<[f32; LATENT]>,
    /// How much of each direction is in each part.
    parts: Vec<[f32; LATENT]>,
}

impl Cloud {
    pub(super) fn new(seed: u64) -> Self {
        let random = Random::seeded(seed);
        let centres = (0..CLUSTERS).map(|_| std::array::from_fn(|_| draw(&random))).collect();
        let parts = (0..DIMENSION).map(|_| std::array::from_fn(|_| draw(&random))).collect();
        Self { random, centres, parts }
    }

    pub(super) fn vector(&self) -> Vec<f32> {
        let centre = &self.centres[self.random.below(CLUSTERS as u64) as usize];
        let latent: [f32; LATENT] = std::array::from_fn(|at| centre[at] + draw(&self.random));
        let part = |of: &[f32; LATENT]| of.iter().zip(&latent).map(|(one, two)| one * two).sum::<f32>();
        let mut vector: Vec<f32> = self.parts.iter().map(|of| part(of) + 0.3 * draw(&self.random)).collect();
        let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|part| *part /= length);
        vector
    }
}

/// About the normal distribution.
fn draw(random: &Random) -> f32 {
    (random.unit() + random.unit() + random.unit() - 1.5) as f32 * 2.0
}

pub(super) async fn open() -> Result<Store> {
    Ok(Store::memory().tables([Message::table()]).tables(loomwork_search::tables()).open().await?)
}

/// Writes messages with these texts, and their vectors where there are some.
pub(super) async fn write(store: &Store, texts: &[String], of: &[Vec<f32>]) -> Result<Vec<Id<Message>>> {
    let space = space()?;
    let mut ids = Vec::with_capacity(texts.len());
    for (step, some) in texts.chunks(STEP).enumerate() {
        let first = step * STEP;
        let (some, space) = (some.to_vec(), space.clone());
        let of: Vec<Vec<f32>> = of.iter().skip(first).take(STEP).cloned().collect();
        let write = store.mutate(move |tx| {
            let mut ids = Vec::with_capacity(some.len());
            for (place, text) in some.into_iter().enumerate() {
                let id = tx.insert(Message { text, number: (first + place) as u32 })?.id;
                if let Some(vector) = of.get(place) {
                    vectors::insert(tx, &space, id, vector.clone())?;
                }
                ids.push(id);
            }
            Ok(ids)
        });
        ids.extend(write.await?);
    }
    Ok(ids)
}
