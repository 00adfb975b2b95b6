//! From ranked chunks to what a search returns: with what is around them, as entries and as text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use loomwork_store::{Result as StoreResult, Row, Tx};

use crate::Result;
use crate::entries::range;
use crate::error::unwrapped;
use crate::format::{entry_text, whole_text};
use crate::query::{Context, Found, FoundChunk, FoundEntry, FoundRange, MAX_CONTEXT, Order, Query};
use crate::rag::Rag;
use crate::ranges::{Span, around, sections};
use crate::rerank::to_edges;
use crate::search::{Candidate, Ranked};
use crate::tables::{ChunkRow, EntryId, EntryRow, EntryStatus};

/// The chunks of an entry that are returned, by the hit that they are around.
type Around = BTreeMap<u32, (Span, Vec<FoundChunk>)>;

/// Puts what is around the hits to them.
pub(crate) async fn assemble(rag: &Rag, query: &Query, ranked: Ranked, found: Found) -> Result<Found> {
    let Ranked { candidates, entries, is_by_meaning } = ranked;
    let mut hits: BTreeMap<EntryId, Vec<u32>> = BTreeMap::new();
    for candidate in &candidates {
        hits.entry(candidate.chunk.entry).or_default().push(candidate.chunk.order);
    }
    let contexts = match query.context {
        Context::Chunks { before: 0, after: 0 } => None,
        context => {
            let counts = hits.keys().filter_map(|id| Some((*id, entries.get(id)?.chunks))).collect();
            Some(read(rag, context, hits, counts).await?)
        }
    };
    let mut found = finish(candidates, entries, contexts, found);
    if !is_by_meaning {
        let count = found.results.len() as f64;
        for (at, result) in found.results.iter_mut().enumerate() {
            result.score = (count - at as f64) / count;
        }
    }
    if query.order == Order::Edges {
        found.results = to_edges(found.results);
        found.entries = to_edges(found.entries);
    }
    found.text = whole_text(&found.entries);
    Ok(found)
}

/// Reads what is around the hits, all on one snapshot. An entry that is gone by now has nothing.
async fn read(
    rag: &Rag,
    context: Context,
    hits: BTreeMap<EntryId, Vec<u32>>,
    counts: BTreeMap<EntryId, u32>,
) -> Result<BTreeMap<EntryId, Around>> {
    let read = rag.inner.store.query(move |tx| {
        let mut contexts = BTreeMap::new();
        for (entry, hits) in &hits {
            let is_there = tx.get(*entry)?.is_some_and(|row| row.status != EntryStatus::Deleting);
            let around = if is_there {
                let count = counts.get(entry).copied().unwrap_or_default();
                read_entry(tx, context, *entry, hits, count)?
            } else {
                Around::new()
            };
            contexts.insert(*entry, around);
        }
        Ok(contexts)
    });
    read.await.map_err(unwrapped)
}

fn read_entry(tx: &Tx, context: Context, entry: EntryId, hits: &[u32], count: u32) -> StoreResult<Around> {
    let spans = match context {
        Context::Chunks { before, after } => around(hits, before, after),
        Context::Section { most } => {
            let mut paths = BTreeMap::new();
            for span in around(hits, most, most).values() {
                for chunk in range(tx, entry, span.start, span.end)? {
                    paths.insert(chunk.order, chunk.record.place.section);
                }
            }
            sections(hits, most, |order| paths.get(&order).cloned())
        }
        Context::Whole { from } => {
            let distinct: BTreeSet<u32> = hits.iter().copied().collect();
            if count <= MAX_CONTEXT && distinct.len() as f32 >= from * count.max(1) as f32 {
                // The best hit stands for all of it.
                hits.first().map(|hit| (*hit, Span { start: 0, end: u32::MAX })).into_iter().collect()
            } else {
                around(hits, 0, 0)
            }
        }
    };
    let mut all = Around::new();
    for (hit, span) in spans {
        let chunks = range(tx, entry, span.start, span.end)?;
        all.insert(hit, (span, chunks.into_iter().map(FoundChunk::from).collect()));
    }
    Ok(all)
}

/// Returns the results in the order of the candidates, and their entries in that of their best hits.
fn finish(
    candidates: Vec<Candidate>,
    entries: BTreeMap<EntryId, Arc<Row<EntryRow>>>,
    mut contexts: Option<BTreeMap<EntryId, Around>>,
    mut found: Found,
) -> Found {
    let mut seen = BTreeSet::new();
    let mut results = Vec::new();
    for candidate in candidates {
        let Candidate { chunk, scores, worth } = candidate;
        let (entry, order) = (chunk.entry, chunk.order);
        if !seen.insert((entry, order)) {
            continue;
        }
        let (start_order, content) = match &mut contexts {
            None => (order, vec![FoundChunk::from(chunk.clone())]),
            Some(contexts) => match contexts.get_mut(&entry).and_then(|around| around.remove(&order)) {
                Some((span, content)) => (span.start, content),
                None => continue,
            },
        };
        let namespace = chunk.namespace;
        results.push(FoundRange { namespace, entry, order, start_order, content, score: worth, scores });
    }
    let mut ids: Vec<EntryId> = Vec::new();
    for result in &results {
        if !ids.contains(&result.entry) {
            ids.push(result.entry);
        }
    }
    let entry = |id: EntryId| {
        let row = entries.get(&id)?;
        let ranges: Vec<&FoundRange> = results.iter().filter(|result| result.entry == id).collect();
        Some(FoundEntry { entry: Row::clone(row), text: entry_text(&ranges) })
    };
    found.entries = ids.into_iter().filter_map(entry).collect();
    found.results = results;
    found
}

impl From<Row<ChunkRow>> for FoundChunk {
    fn from(row: Row<ChunkRow>) -> Self {
        let Row { id, record: ChunkRow { order, text, metadata, place, .. } } = row;
        Self { id, order, text, metadata, place }
    }
}
