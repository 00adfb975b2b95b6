//! Putting hits in another order: by a model, by how they differ, and for who reads them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loomwork_models::{LanguageModel, Message, ModelName, Request, Usage};

use crate::{Error, Result};

/// How long a reranker may take, if nobody says.
pub const RERANK_TIMEOUT: Duration = Duration::from_secs(10);

/// How many hits it is given, if nobody says.
pub const RERANK_CANDIDATES: usize = 50;

/// Says how well texts answer a query.
#[async_trait]
pub trait Reranker: Send + Sync + fmt::Debug {
    /// Returns a score for each text, in their order; the greater the better.
    ///
    /// # Errors
    /// When it cannot say. The hits stay as they are then; [`Error::NoAnswer`] has what was used all the same.
    async fn rerank(&self, query: &str, texts: &[String]) -> Result<Reranked>;
}

/// What a reranker says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reranked {
    /// A score for each text.
    pub scores: Vec<f32>,
    /// What that used, of which model.
    pub used: Option<(ModelName, Usage)>,
}

/// How hits are ranked again.
#[derive(Clone, Debug)]
pub struct Reranking {
    /// By what.
    pub by: Arc<dyn Reranker>,
    /// How many hits it is given, before they are cut to the limit.
    pub candidates: usize,
    /// How long it may take. The hits stay as they were if it takes longer, and the search says so.
    pub timeout: Duration,
}

impl Reranking {
    /// Returns the reranking of [`RERANK_CANDIDATES`] hits within [`RERANK_TIMEOUT`].
    pub fn by(reranker: impl Reranker + 'static) -> Self {
        Self { by: Arc::new(reranker), candidates: RERANK_CANDIDATES, timeout: RERANK_TIMEOUT }
    }
}

/// Asks a language model which texts answer a query best.
#[derive(Clone, Debug)]
pub struct ModelReranker {
    model: Arc<dyn LanguageModel>,
}

impl ModelReranker {
    /// Returns a reranker that asks this model.
    pub fn new(model: impl LanguageModel + 'static) -> Self {
        Self { model: Arc::new(model) }
    }
}

const ASK: &str = "You rank passages. Answer with the numbers of the passages that help to answer the \
    question, the best one first, separated by commas, and with nothing else.";

#[async_trait]
impl Reranker for ModelReranker {
    async fn rerank(&self, query: &str, texts: &[String]) -> Result<Reranked> {
        let mut prompt = format!("Question: {query}\n");
        for (at, text) in texts.iter().enumerate() {
            prompt.push_str(&format!("\n[{at}] {text}\n"));
        }
        let reply = self.model.generate(Request::new([Message::system(ASK), Message::user(prompt)])).await?;
        let said = reply.text();
        let numbers =
            said.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse().ok());
        let mut scores = vec![0.0; texts.len()];
        let mut left = texts.len() as f32;
        for number in numbers {
            let number: usize = number;
            if let Some(score) = scores.get_mut(number).filter(|score| **score == 0.0) {
                *score = left / texts.len() as f32;
                left -= 1.0;
            }
        }
        let (model, usage) = (self.model.name().clone(), reply.usage().clone());
        if left == texts.len() as f32 {
            let reason = "names no passage; it has to name them by their numbers".to_owned();
            return Err(Error::NoAnswer { model, reason, usage: Box::new(usage) });
        }
        Ok(Reranked { scores, used: Some((model, usage)) })
    }
}

/// Orders candidates by what they are worth less how near they are to one that is in front of them: maximal
/// marginal relevance. `worth` is best first, and each vector has length 1 or is missing.
pub(crate) fn diverse(
    worth: &[f64],
    vectors: &[Option<Vec<f32>>],
    diversity: f32,
    limit: usize,
) -> Vec<usize> {
    let diversity = f64::from(diversity);
    let best = worth.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut left: Vec<usize> = (0..worth.len()).collect();
    let mut nearness = vec![0.0_f64; worth.len()];
    let mut chosen = Vec::new();
    while chosen.len() < limit && !left.is_empty() {
        let value = |at: usize| (1.0 - diversity) * worth[at] / best - diversity * nearness[at];
        // Among equals the better one, which stands in front.
        let next = left
            .iter()
            .copied()
            .enumerate()
            .reduce(|one, two| if value(two.1) > value(one.1) { two } else { one });
        let Some((place, next)) = next else { break };
        left.remove(place);
        for other in &left {
            if let (Some(one), Some(two)) = (&vectors[next], &vectors[*other]) {
                let cosine: f64 = one.iter().zip(two).map(|(one, two)| f64::from(one * two)).sum();
                nearness[*other] = nearness[*other].max(cosine);
            }
        }
        chosen.push(next);
    }
    chosen
}

/// Puts the best at both ends: the first, third, fifth … from the front, the others from the back.
pub(crate) fn to_edges<T>(best_first: Vec<T>) -> Vec<T> {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for (at, thing) in best_first.into_iter().enumerate() {
        if at % 2 == 0 { front.push(thing) } else { back.push(thing) }
    }
    front.extend(back.into_iter().rev());
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_at_both_ends() {
        assert_eq!(to_edges(vec![1, 2, 3, 4, 5]), [1, 3, 5, 4, 2]);
        assert!(to_edges(Vec::<u8>::new()).is_empty());
    }

    #[test]
    fn what_differs_comes_before_what_repeats() {
        let vectors = [vec![1.0, 0.0], vec![1.0, 0.0], vec![0.0, 1.0]].map(Some);
        assert_eq!(diverse(&[1.0, 0.9, 0.5], &vectors, 0.0, 3), [0, 1, 2]);
        assert_eq!(diverse(&[1.0, 0.9, 0.5], &vectors, 0.5, 3), [0, 2, 1]);
        assert_eq!(diverse(&[1.0, 0.9, 0.5], &[None, None, None], 0.5, 2), [0, 1]);
    }
}
