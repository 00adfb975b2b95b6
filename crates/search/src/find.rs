//! Finding: rankings of what is derived, then rows as they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use loomwork_core::{RawId, Time};
use loomwork_store::{Id, Row, Table, Tx};

use crate::doc::Scored;
use crate::follow::{Follower, Vectors};
use crate::query::{DEPTH, MIN_DEPTH, Standing};
use crate::text::{TextQuery, snippet};
use crate::vector::VectorOptions;
use crate::{Error, Filter, Hit, Hits, Index, Query, QueryVector, Result, Value};

/// How many rows a search reads itself into an index that is being filled, before it answers from what
/// there is.
pub const FILL_IN_SEARCH: usize = 5_000;

/// One search, all of which runs on one snapshot.
struct Search<'a, T: Table> {
    tx: &'a Tx,
    follower: &'a Follower,
    index: &'a Index<T>,
    query: &'a Query,
    text: Option<&'a TextQuery>,
}

/// The two rankings, and whether there may be more than they hold.
struct Rankings {
    text: Vec<Scored>,
    vector: Vec<Scored>,
    is_cut: bool,
}

/// Finds rows of an index.
pub(crate) async fn find<T: Table>(
    follower: &Arc<Follower>,
    index: Arc<Index<T>>,
    query: Query,
) -> Result<Hits<T>> {
    let schema = index.schema();
    query.check(schema)?;
    if query.text.is_some() && schema.texts.is_empty() {
        return Err(Error::Lacks { index: schema.name.clone(), what: "texts", how: "Index::text" });
    }
    if let Some(vector) = &query.vector {
        let vectors = follower.vectors.as_ref().ok_or_else(|| no_vectors(&schema.name))?;
        vectors.space.check(&vector.vector)?;
        if let (Some(former), Some(vector)) = (&follower.former, &vector.former) {
            former.space.check(vector)?;
        }
    }
    let parse = |text: &String| TextQuery::parse(text, query.syntax, schema);
    let text = query.text.as_ref().map(parse).transpose()?;
    fill_a_little(follower).await?;
    let was_whole = follower.filling().is_none();
    follower.catch_up().await?;
    if was_whole {
        // The feed may have been forgotten too far, and a fill have begun.
        fill_a_little(follower).await?;
    }
    let filling = follower.filling();
    let (follower, store) = (follower.clone(), follower.store.clone());
    let found = store.try_query(move |tx| {
        let search = Search { tx, follower: &follower, index: &index, query: &query, text: text.as_ref() };
        search.run()
    });
    Ok(Hits { hits: found.await?, filling })
}

pub(crate) fn no_vectors(index: &str) -> Error {
    Error::Lacks { index: index.to_owned(), what: "vectors", how: "Index::vectors or Builder::embedder" }
}

async fn fill_a_little(follower: &Arc<Follower>) -> Result<()> {
    let Some(start) = follower.filling() else { return Ok(()) };
    while let Some(now) = follower.filling()
        && now.rows < start.rows + FILL_IN_SEARCH
    {
        follower.fill().await?;
    }
    Ok(())
}

impl<T: Table> Search<'_, T> {
    fn run(&self) -> Result<Vec<Hit<T>>> {
        let is_reordered =
            self.query.recency.is_some() || (self.query.text.is_some() && self.query.vector.is_some());
        // A ranking that stays as it is gives no more than is wanted.
        let mut depth = if is_reordered { MIN_DEPTH.max(DEPTH * self.query.limit) } else { self.query.limit };
        loop {
            let rankings = self.rankings(depth)?;
            let hits = self.hits(&rankings)?;
            if hits.len() >= self.query.limit || !rankings.is_cut {
                return Ok(hits);
            }
            // Rows were gone that others still knew; what comes next takes their places.
            depth *= 2;
        }
    }

    fn rankings(&self, depth: usize) -> Result<Rankings> {
        let filter = &self.query.filter;
        let text = match self.text {
            Some(text) => {
                let weigh_by = self.query.weigh_by.as_deref();
                let weigh_by = weigh_by.map(|field| self.index.schema().field(field)).transpose()?;
                self.follower.text.find(text, filter, weigh_by, depth)?
            }
            None => Vec::new(),
        };
        let vector = match &self.query.vector {
            Some(vector) => self.nearest(vector, depth)?,
            None => Vec::new(),
        };
        let is_cut = text.len() >= depth || vector.len() >= depth;
        Ok(Rankings { text, vector, is_cut })
    }

    /// The nearest rows; of two models, while rows are embedded anew.
    fn nearest(&self, vector: &QueryVector, depth: usize) -> Result<Vec<Scored>> {
        let (threshold, exact) = (self.query.threshold, self.query.exact);
        let options = VectorOptions { limit: depth, threshold, exact };
        let find = |vectors: &Vectors, vector: &[f32]| {
            let found = vectors.index.find(vector, &self.query.filter, options)?;
            Ok::<_, Error>((found, vectors.index.len()))
        };
        // A row comes into the newer index before it leaves the former one, so none is missed in this order.
        let former = match (&self.follower.former, &vector.former) {
            (Some(former), Some(vector)) => find(former, vector)?,
            _ => (Vec::new(), 0),
        };
        let Some(vectors) = &self.follower.vectors else { return Ok(Vec::new()) };
        let mut merged = merged(find(vectors, &vector.vector)?, former);
        merged.truncate(depth);
        Ok(merged)
    }

    fn hits(&self, rankings: &Rankings) -> Result<Vec<Hit<T>>> {
        let text = places(&rankings.text);
        let vector = places(&rankings.vector);
        let mut hits = Vec::new();
        for (id, score) in self.fused(rankings) {
            // Recency may bring any of them to the front.
            if hits.len() >= self.query.limit && self.query.recency.is_none() {
                break;
            }
            let Some(row) = self.tx.get(Id::<T>::from_raw(id))? else { continue };
            let Some(score) = self.rescored(&row, score) else { continue };
            let (text, vector) = (text.get(&id).copied(), vector.get(&id).copied());
            hits.push(Hit { row, score, text, vector, snippets: Vec::new() });
        }
        if self.query.recency.is_some() {
            hits.sort_by(|one, two| two.score.total_cmp(&one.score));
            hits.truncate(self.query.limit);
        }
        for hit in &mut hits {
            hit.snippets = self.snippets(&hit.row);
        }
        Ok(hits)
    }

    /// The ids in the order of their fused scores; a single ranking keeps its own.
    fn fused(&self, rankings: &Rankings) -> Vec<(RawId, f64)> {
        let pairs = |ranking: &[Scored]| ranking.iter().map(|hit| (hit.id, hit.score)).collect::<Vec<_>>();
        match (&self.query.text, &self.query.vector) {
            (Some(_), Some(_)) => self.query.fusion.fuse(
                self.index.schema().metric,
                &pairs(&rankings.text),
                &pairs(&rankings.vector),
            ),
            _ => {
                let ranked = rankings.text.iter().chain(&rankings.vector);
                ranked.map(|hit| (hit.id, f64::from(hit.score))).collect()
            }
        }
    }

    /// Returns the score of a row with recency; `None` if it does not meet the filter on this snapshot.
    fn rescored(&self, row: &Row<T>, score: f64) -> Option<f64> {
        let Query { filter, recency, .. } = self.query;
        if *filter == Filter::Everything && recency.is_none() {
            return Some(score);
        }
        let (schema, doc) = (self.index.schema(), self.index.doc(row));
        if !filter.matches(schema, &doc.values) {
            return None;
        }
        let Some(recency) = recency else { return Some(score) };
        let field = recency.field.as_deref().and_then(|field| schema.field(field).ok());
        let times = field.and_then(|field| doc.values.get(field)).into_iter().flatten();
        let newest = times.filter_map(|value| match value {
            Value::Int(millis) => Some(Time::from_millis(*millis)),
            _ => None,
        });
        let time = newest.max().unwrap_or_else(|| row.id.time());
        Some(score * recency.factor(self.tx.now().since(time)))
    }

    fn snippets(&self, row: &Row<T>) -> Vec<(String, crate::Snippet)> {
        let (Some(options), Some(query)) = (self.query.snippets, self.text) else { return Vec::new() };
        let texts = self.index.texts(&row.record).into_iter().zip(&self.index.schema().texts);
        let each = texts.enumerate().filter_map(|(field, (text, (name, _)))| {
            let tokenizer = self.follower.text.tokenizer(field)?;
            Some((name.clone(), snippet(text, field, query, tokenizer, options)?))
        });
        each.collect()
    }
}

/// Merges the rankings of two models, each of which knows other rows. Their scores cannot be compared; but
/// the row of a rank in a ranking of few rows would stand so much further back in one of all.
fn merged((newer, of_newer): (Vec<Scored>, usize), (former, of_former): (Vec<Scored>, usize)) -> Vec<Scored> {
    if former.is_empty() {
        return newer;
    }
    let known: HashSet<RawId> = newer.iter().map(|hit| hit.id).collect();
    let share = |of: usize| move |(rank, hit): (usize, Scored)| ((rank as f64 + 0.5) / of.max(1) as f64, hit);
    let former = former.into_iter().filter(|hit| !known.contains(&hit.id));
    let newer = newer.into_iter().enumerate().map(share(of_newer));
    let mut both: Vec<(f64, Scored)> = newer.chain(former.enumerate().map(share(of_former))).collect();
    both.sort_by(|one, two| one.0.total_cmp(&two.0));
    both.into_iter().map(|(_, hit)| hit).collect()
}

fn places(ranking: &[Scored]) -> HashMap<RawId, Standing> {
    let place = |(rank, hit): (usize, &Scored)| (hit.id, Standing { rank, score: hit.score });
    ranking.iter().enumerate().map(place).collect()
}
