//! Searching: rankings of the index, what was live when the search began, and what is around it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use loomwork_search::{
    Filter as Indexed, Hit, MAX_QUERY_BYTES, Query as Indexing, QueryVector, fuse_ranks, vectors,
};
use loomwork_store::{Result as StoreResult, Row, Tx};

use crate::embed::{Bill, Embedder, Task};
use crate::error::unwrapped;
use crate::filter::Filter;
use crate::index::IMPORTANCE;
use crate::namespaces::{self, Wanted, find};
use crate::query::{Ask, Found, Mode, Note, Query, Scores};
use crate::rag::Rag;
use crate::rerank::{Reranked, diverse};
use crate::tables::{
    ChunkId, ChunkRow, EntryId, EntryRow, EntryStatus, NamespaceId, NamespaceRow, NamespaceStatus,
};
use crate::weight::folded;
use crate::{Error, Result, assemble, index};

/// How many hits each ranking gives to their fusion at least, and how many for each one that is wanted.
const MIN_DEPTH: usize = 50;
const DEPTH: usize = 4;

/// How often a search looks again where what it began with is no longer what the index holds.
const LOOKS: usize = 4;

/// A namespace as it stood when a search looked.
#[derive(Clone, Debug)]
struct View {
    namespace: NamespaceId,
    /// The entries that are not live, and whose chunks the index may know.
    hidden: Vec<EntryId>,
    /// The entry that was begun last.
    newest: Option<EntryId>,
    /// The number of the last publication.
    published: u64,
}

/// A chunk that was found, and how good it is.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) chunk: Row<ChunkRow>,
    pub(crate) scores: Scores,
    /// What it is ranked by.
    pub(crate) worth: f64,
}

/// What is ranked of the namespaces that are searched.
pub(crate) struct Ranked {
    pub(crate) candidates: Vec<Candidate>,
    /// What they are worth is their score by meaning.
    pub(crate) is_by_meaning: bool,
    pub(crate) entries: BTreeMap<EntryId, Arc<Row<EntryRow>>>,
}

impl Rag {
    /// Finds chunks in a namespace, by meaning, by words or both. It sees each entry that was published
    /// before it began, as a whole, and none that was not. A namespace that is not there, or is of another
    /// model, or does not know a filter's name, has nothing to be found, and costs nothing.
    ///
    /// # Errors
    /// What is wrong with the query; when the model, the index or the store fails.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn search(&self, namespace: &str, query: impl Into<Query>) -> Result<Found> {
        self.search_all([(namespace, 1.0)], query).await
    }

    /// As [`search`](Self::search), in several namespaces at once. A rank in one counts by its weight;
    /// results say where they are from.
    ///
    /// # Errors
    /// As [`search`](Self::search); [`Error::Denied`] for a namespace that the query's user may not search.
    pub async fn search_all<'a>(
        &self,
        namespaces: impl IntoIterator<Item = (&'a str, f64)>,
        query: impl Into<Query>,
    ) -> Result<Found> {
        let query = query.into();
        let mut targets = Vec::new();
        for (name, weight) in namespaces {
            if !(0.0..f64::INFINITY).contains(&weight) {
                return Err(Error::bad("the weight of a namespace is", weight, "it has to be 0 or more"));
            }
            self.check_access(query.user.as_deref(), name)?;
            targets.push((Sought::Name(name.to_owned()), weight));
        }
        self.search_in(targets, query).await
    }

    /// As [`search`](Self::search), in one version of a namespace, whatever its status: to look at one
    /// before it is promoted.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub async fn search_version(&self, id: NamespaceId, query: impl Into<Query>) -> Result<Found> {
        let query = query.into();
        let row = self.inner.store.query(move |tx| namespaces::get(tx, id)).await?;
        if let Some(row) = row {
            self.check_access(query.user.as_deref(), &row.name)?;
        }
        self.search_in(vec![(Sought::Id(id), 1.0)], query).await
    }

    pub(crate) fn check_access(&self, user: Option<&str>, name: &str) -> Result<()> {
        match &self.inner.access {
            Some(access) if !access(user, name) => Err(Error::Denied { name: name.to_owned() }),
            _ => Ok(()),
        }
    }

    async fn search_in(&self, targets: Vec<(Sought, f64)>, query: Query) -> Result<Found> {
        query.check()?;
        let filter = query.filter.indexed()?;
        if query.limit == 0 {
            return Ok(Found::default());
        }
        let mut there = Vec::new();
        let mut names = Vec::new();
        for (target, weight) in targets {
            if let Some(namespace) = self.sought(target.clone(), &query).await? {
                names.push(namespace.record.name);
                there.push((target, weight));
            }
        }
        if there.is_empty() {
            return Ok(Found::default());
        }
        let way = query.way();
        if way != Mode::Vector && query.text().trim().is_empty() {
            return Err(Error::bad("a search by words for", "nothing", "give it at least one word"));
        }
        let mut found = Found::default();
        if query.mode == Mode::Hybrid && way == Mode::Vector {
            found.notes.push(Note::NoWords);
        }
        if way != Mode::Vector && query.text().len() > MAX_QUERY_BYTES {
            found.notes.push(Note::TextCut);
        }
        let bill = Bill::new(Task::EmbedQuery, names.clone(), query.user.as_deref());
        let vector = match way {
            Mode::Text => None,
            Mode::Vector | Mode::Hybrid => Some(self.vector_of(&query, &bill).await?),
        };
        found.usage += &bill.spent();
        let wanted = wanted(&query);
        let mut lists = Vec::new();
        let mut entries = BTreeMap::new();
        for (target, weight) in there {
            let (candidates, of_entries) =
                self.ranked(target, &query, &filter, vector.as_ref(), &mut found.notes).await?;
            entries.extend(of_entries);
            lists.push((candidates, weight));
        }
        let is_by_meaning = way == Mode::Vector && lists.len() == 1;
        let mut ranked = Ranked { candidates: merged(lists, query.rank_constant), entries, is_by_meaning };
        ranked.candidates.truncate(wanted);
        ranked.is_by_meaning &= !self.rerank(&query, names, &mut ranked.candidates, &mut found).await?;
        if query.diversity > 0.0 {
            ranked.candidates = self.diversified(&query, ranked.candidates).await?;
        }
        ranked.candidates.truncate(query.limit);
        assemble::assemble(self, &query, ranked, found).await
    }

    /// Returns the vectors of what is asked for.
    async fn vector_of(&self, query: &Query, bill: &Bill) -> Result<QueryVector> {
        let text = match &query.ask {
            Ask::Vector(vector) => {
                self.inner.own.space.check(vector)?;
                return Ok(folded(vector, 1.0).into());
            }
            Ask::Text(text) => text.trim(),
        };
        if text.is_empty() {
            return Err(Error::bad("a search for", "nothing", "give it a text or a vector"));
        }
        let text = [text.to_owned()];
        let embed = async |embedder: &Embedder| {
            let vectors = self.embed(embedder, &text, bill).await?;
            Ok::<_, Error>(folded(&vectors.into_iter().next().unwrap_or_default(), 1.0))
        };
        let vector = embed(&self.inner.own).await?;
        let former = match &self.inner.former {
            Some(former) if self.has_former_vectors() => Some(embed(former).await?),
            _ => None,
        };
        Ok(QueryVector { vector, former })
    }

    /// Whether anything is found by the vectors of the former model.
    fn has_former_vectors(&self) -> bool {
        let stats = self.inner.search.stats();
        stats.iter().any(|stats| stats.index == self.inner.index && stats.former_vectors > 0)
    }

    /// Returns the namespace that is searched.
    async fn sought(&self, target: Sought, query: &Query) -> Result<Option<Row<NamespaceRow>>> {
        let (wanted, filter) = (self.inner.wanted.clone(), query.filter.clone());
        let read = self.inner.store.query(move |tx| target.find(tx, &wanted, &filter));
        read.await.map_err(unwrapped)
    }

    async fn view(&self, target: Sought, query: &Query) -> Result<Option<View>> {
        let (wanted, filter) = (self.inner.wanted.clone(), query.filter.clone());
        let read = self.inner.store.query(move |tx| {
            let Some(namespace) = target.find(tx, &wanted, &filter)? else { return Ok(None) };
            let hidden = tx.ids(EntryRow::hidden.eq(namespace.id))?;
            let newest = tx.ids(EntryRow::by_namespace.eq(namespace.id).desc().take(1))?.pop();
            let published = namespace.published;
            Ok(Some(View { namespace: namespace.id, hidden, newest, published }))
        });
        read.await.map_err(unwrapped)
    }

    /// Ranks the chunks of one namespace.
    async fn ranked(
        &self,
        target: Sought,
        query: &Query,
        filter: &Indexed,
        vector: Option<&QueryVector>,
        notes: &mut Vec<Note>,
    ) -> Result<(Vec<Candidate>, BTreeMap<EntryId, Arc<Row<EntryRow>>>)> {
        for look in 1.. {
            // The model may have taken its time for the query, so what is seen is what is there now.
            let Some(view) = self.view(target.clone(), query).await? else { break };
            let filter = index::live(view.namespace, &view.hidden, view.newest).and(filter.clone());
            let (by_vector, by_text) = self.legs(query, filter, vector, notes).await?;
            let mut ids: Vec<EntryId> = by_vector.iter().chain(&by_text).map(|hit| hit.row.entry).collect();
            ids.sort_unstable();
            ids.dedup();
            let namespace = view.namespace;
            let read = self.inner.store.query(move |tx| {
                let shelved = tx.get(namespace)?.map(|namespace| namespace.shelved);
                Ok((read_entries(tx, &ids)?, shelved))
            });
            let (entries, shelved) = read.await?;
            // What was replaced since has left the index already, and what took its place is left out.
            let is_late = shelved.is_none_or(|shelved| shelved > view.published);
            let was_live = |hit: &Hit<ChunkRow>| {
                entries.get(&hit.row.entry).is_some_and(|entry| was_live(entry, view.published))
            };
            let found = by_vector.len() + by_text.len();
            let by_vector: Vec<_> = by_vector.into_iter().filter(was_live).collect();
            let by_text: Vec<_> = by_text.into_iter().filter(was_live).collect();
            // What was begun since is no part of what this search sees, and others take its place.
            let is_short = by_vector.len() + by_text.len() < found;
            if (is_late || is_short) && look < LOOKS {
                continue;
            }
            if (is_late || is_short) && !notes.contains(&Note::Late) {
                notes.push(Note::Late);
            }
            let candidates = ranking(query, by_vector, by_text);
            return Ok((candidates, entries));
        }
        Ok((Vec::new(), BTreeMap::new()))
    }

    /// Finds by meaning and by words, as far as the query asks for either.
    async fn legs(
        &self,
        query: &Query,
        filter: Indexed,
        vector: Option<&QueryVector>,
        notes: &mut Vec<Note>,
    ) -> Result<(Vec<Hit<ChunkRow>>, Vec<Hit<ChunkRow>>)> {
        let (way, wanted) = (query.way(), wanted(query));
        let depth = MIN_DEPTH.max(DEPTH * wanted).min(loomwork_search::MAX_LIMIT);
        let recency = query.recency.clone();
        let (index, search) = (&self.inner.index, &self.inner.search);
        let by_vector = async {
            let Some(vector) = vector else { return Ok((Vec::new(), false)) };
            let limit = if way == Mode::Vector { wanted } else { depth };
            // Nothing that should meet a threshold misses it by how floats are rounded.
            let threshold = query.threshold.map(|least| least - 1e-6);
            let (vector, filter, recency) = (Some(vector.clone()), filter.clone(), recency.clone());
            let asked = Indexing { vector, filter, limit, threshold, recency, ..Indexing::default() };
            let found = search.find::<ChunkRow>(index, asked).await?;
            Ok::<_, Error>((found.hits, found.filling.is_some()))
        };
        let by_text = async {
            if way == Mode::Vector {
                return Ok((Vec::new(), false));
            }
            let text = query.text();
            let text = text[..text.floor_char_boundary(MAX_QUERY_BYTES)].to_owned();
            let (filter, recency, weigh_by) = (filter.clone(), recency.clone(), Some(IMPORTANCE.to_owned()));
            let asked = Indexing { filter, recency, weigh_by, limit: depth, ..Indexing::text(text) };
            let found = search.find::<ChunkRow>(index, asked).await?;
            Ok((found.hits, found.filling.is_some()))
        };
        let ((by_vector, one), (by_text, two)) = tokio::try_join!(by_vector, by_text)?;
        if (one || two) && !notes.contains(&Note::Filling) {
            notes.push(Note::Filling);
        }
        Ok((by_vector, by_text))
    }

    /// Puts candidates in the order that a reranker says, and says whether there is one.
    async fn rerank(
        &self,
        query: &Query,
        namespaces: Vec<String>,
        candidates: &mut [Candidate],
        found: &mut Found,
    ) -> Result<bool> {
        let Some(reranking) = query.rerank.as_ref().filter(|_| !candidates.is_empty()) else {
            return Ok(false);
        };
        if query.text().trim().is_empty() {
            found.notes.push(Note::NotReranked("a query by a vector asks nothing in words".to_owned()));
            return Ok(false);
        }
        let texts: Vec<String> = candidates.iter().map(|candidate| candidate.chunk.text.clone()).collect();
        let said = tokio::select! {
            said = reranking.by.rerank(query.text(), &texts) => said,
            () = self.inner.store.clock().sleep(reranking.timeout) => {
                let (what, found) = ("a reranker took longer than", format!("{:?}", reranking.timeout));
                Err(Error::bad(what, found, "give it more time, or fewer candidates"))
            }
        };
        let bill = Bill::new(Task::Rerank, namespaces, query.user.as_deref());
        match &said {
            Ok(Reranked { used: Some((model, usage)), .. }) => self.charge(&bill, model, usage).await?,
            Ok(_) => {}
            Err(error) => self.charge_failed(&bill, error).await?,
        }
        found.usage += &bill.spent();
        let said = said.map_err(|error| error.to_string()).and_then(|said| match said.scores.len() {
            count if count != texts.len() => Err(format!("it gave {count} scores for {} texts", texts.len())),
            _ if said.scores.iter().any(|score| score.is_nan()) => {
                Err("it gave scores that are no numbers".to_owned())
            }
            _ => Ok(said),
        });
        match said {
            Ok(said) => {
                for (candidate, score) in candidates.iter_mut().zip(said.scores) {
                    (candidate.scores.reranked, candidate.worth) = (Some(score), f64::from(score));
                }
                candidates.sort_by(|one, two| two.worth.total_cmp(&one.worth));
                Ok(true)
            }
            Err(why) => {
                found.notes.push(Note::NotReranked(why));
                Ok(false)
            }
        }
    }

    async fn diversified(&self, query: &Query, candidates: Vec<Candidate>) -> Result<Vec<Candidate>> {
        let ids: Vec<ChunkId> = candidates.iter().map(|candidate| candidate.chunk.id).collect();
        let space = self.inner.own.space.clone();
        let read = self.inner.store.query(move |tx| {
            let vector =
                |id: &ChunkId| Ok(vectors::of(tx, &space, *id)?.map(|row| folded(row.vector(), 1.0)));
            ids.iter().map(vector).collect::<loomwork_store::Result<Vec<_>>>()
        });
        let vectors = read.await?;
        let worth: Vec<f64> = candidates.iter().map(|candidate| candidate.worth).collect();
        let order = diverse(&worth, &vectors, query.diversity, query.limit);
        let mut left: Vec<Option<Candidate>> = candidates.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|at| left[at].take()).collect())
    }
}

/// Which namespace is searched.
#[derive(Clone, Debug)]
enum Sought {
    Name(String),
    Id(NamespaceId),
}

impl Sought {
    /// Returns the namespace, if it is there and knows the fields of the filter.
    fn find(&self, tx: &Tx, wanted: &Wanted, filter: &Filter) -> StoreResult<Option<Row<NamespaceRow>>> {
        let names = filter.names();
        let names = names.iter().copied();
        match self {
            Self::Name(name) => find(tx, name, NamespaceStatus::Ready, wanted, names),
            Self::Id(id) => Ok(namespaces::get(tx, *id)?.filter(|namespace| {
                namespace.status != NamespaceStatus::Deleting && wanted.is_served_by(namespace, names)
            })),
        }
    }
}

/// How many hits are ranked before they are cut to the limit.
fn wanted(query: &Query) -> usize {
    let reranked = query.rerank.as_ref().map_or(0, |reranking| reranking.candidates);
    let diverse = if query.diversity > 0.0 { DEPTH * query.limit } else { 0 };
    query.limit.max(reranked).max(diverse).clamp(1, loomwork_search::MAX_LIMIT)
}

fn read_entries(tx: &Tx, ids: &[EntryId]) -> StoreResult<BTreeMap<EntryId, Arc<Row<EntryRow>>>> {
    let rows = ids.iter().map(|id| tx.get(*id));
    let rows = rows.filter_map(Result::transpose).map(|row| row.map(|row| (row.id, Arc::new(row))));
    rows.collect()
}

/// Whether an entry was live when the last publication was this one. One that was replaced since is found as
/// a whole, since its chunks stay in the index for a while; one that was deleted since is not found at all.
fn was_live(entry: &EntryRow, published: u64) -> bool {
    let is_whole = match entry.status {
        EntryStatus::Ready => true,
        // Not one that was replaced before that already, and was to be live again in the meantime.
        EntryStatus::Replaced => {
            entry.hidden && entry.swept == 0 && entry.over.is_some_and(|over| over > published)
        }
        _ => false,
    };
    is_whole && entry.published.is_some_and(|number| number <= published)
}

/// Makes one ranking of the two.
fn ranking(query: &Query, by_vector: Vec<Hit<ChunkRow>>, by_text: Vec<Hit<ChunkRow>>) -> Vec<Candidate> {
    let mut words = Vec::new();
    let mut all: HashMap<ChunkId, Candidate> = HashMap::new();
    let candidate =
        |hit: Hit<ChunkRow>, worth| Candidate { chunk: hit.row, scores: Scores::default(), worth };
    let mut meaning = Vec::new();
    for hit in by_vector {
        let (id, worth) = (hit.row.id, hit.score);
        let score = hit.vector.map(|standing| standing.score);
        all.entry(id).or_insert_with(|| candidate(hit, worth)).scores.vector = score;
        meaning.push(id);
    }
    for hit in by_text {
        let (id, worth) = (hit.row.id, hit.score);
        let score = hit.text.map(|standing| standing.score);
        if query.text_threshold.is_some_and(|least| score.is_none_or(|score| score < least)) {
            continue;
        }
        all.entry(id).or_insert_with(|| candidate(hit, worth)).scores.text = score;
        words.push(id);
    }
    let order: Vec<(ChunkId, Option<f64>)> = match query.way() {
        Mode::Vector => meaning.into_iter().map(|id| (id, None)).collect(),
        Mode::Text => words.into_iter().map(|id| (id, None)).collect(),
        Mode::Hybrid => {
            let weights = [query.vector_weight, query.text_weight];
            let fused = fuse_ranks([meaning, words], &weights, query.rank_constant, 0.0);
            fused.into_iter().map(|(id, score)| (id, Some(score))).collect()
        }
    };
    let ranked = order.into_iter().filter_map(|(id, fused)| {
        let mut candidate = all.remove(&id)?;
        candidate.scores.fused = fused;
        candidate.worth = fused.unwrap_or(candidate.worth);
        Some(candidate)
    });
    ranked.collect()
}

/// Makes one ranking of those of several namespaces.
fn merged(mut lists: Vec<(Vec<Candidate>, f64)>, rank_constant: f64) -> Vec<Candidate> {
    if lists.len() < 2 {
        return lists.pop().map(|(candidates, _)| candidates).unwrap_or_default();
    }
    let weights: Vec<f64> = lists.iter().map(|(_, weight)| *weight).collect();
    let ids = lists.iter().map(|(list, _)| list.iter().map(|it| it.chunk.id).collect::<Vec<_>>());
    let fused = fuse_ranks(ids.collect::<Vec<_>>(), &weights, rank_constant, 0.0);
    let each = lists.into_iter().flat_map(|(list, _)| list).map(|it| (it.chunk.id, it));
    let mut all: HashMap<ChunkId, Candidate> = each.collect();
    let ranked = fused
        .into_iter()
        .filter_map(|(id, worth)| all.remove(&id).map(|candidate| Candidate { worth, ..candidate }));
    ranked.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(changes: &Value) -> EntryRow {
        let id = loomwork_store::Id::<NamespaceRow>::from_raw(loomwork_core::RawId::from_bytes([7; 16]));
        let mut row = json!({
            "namespace": id, "version": 0, "status": "replaced", "importance": 1.0, "chunks": 1, "tokens": 0,
            "created": 0, "settled": 0, "spaces": [], "published": 3, "over": 6, "hidden": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            row[name] = value.clone();
        }
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn an_entry_was_live_from_its_publication_to_the_one_that_took_its_place() {
        let check = |changes: Value, published: u64, right: bool| {
            assert_eq!(was_live(&entry(&changes), published), right, "{changes} at {published}");
        };
        check(json!({}), 2, false);
        check(json!({}), 3, true);
        check(json!({}), 5, true);
        // Such as one that was to be live again later, and was called off.
        check(json!({}), 6, false);
        check(json!({ "status": "pending" }), 5, false);
        check(json!({ "swept": 1 }), 5, false);
        check(json!({ "hidden": false }), 5, false);
        check(json!({ "status": "ready", "hidden": false }), 9, true);
        check(json!({ "status": "ready", "published": null }), 9, false);
        check(json!({ "published": null, "over": null }), 9, false);
    }
}
