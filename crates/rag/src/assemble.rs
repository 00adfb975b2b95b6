//! From ranked chunks to what a search returns: with what is around them, as entries and as text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use loomwork_store::{Result as StoreResult, Row, Tx};

use crate::Result;
use crate::entries::range;
use crate::error::unwrapped;
use crate::format::{entry_text, whole_text};
use crate::query::{
    Context, Found, FoundChunk, FoundEntry, FoundRange, MAX_CHUNKS, MAX_CONTEXT, Note, Order, Query,
};
use crate::rag::Rag;
use crate::ranges::{Span, around, sections};
use crate::rerank::to_edges;
use crate::search::{Candidate, Ranked};
use crate::tables::{ChunkRow, EntryId, EntryRow, EntryStatus};

/// A hit: its entry, and its place there.
type Place = (EntryId, u32);

/// The chunks that are returned around hits.
type Around = BTreeMap<Place, (Span, Vec<FoundChunk>)>;

/// Puts what is around the hits to them.
pub(crate) async fn assemble(rag: &Rag, query: &Query, ranked: Ranked, mut found: Found) -> Result<Found> {
    let Ranked { candidates, entries, is_by_meaning } = ranked;
    let contexts = match query.context {
        Context::Chunks { before: 0, after: 0 } => None,
        context => {
            let place = |candidate: &Candidate| (candidate.chunk.entry, candidate.chunk.order);
            let hits: Vec<Place> = candidates.iter().map(place).collect();
            let counts: BTreeMap<_, _> = entries.iter().map(|(id, entry)| (*id, entry.chunks)).collect();
            let read = rag.inner.store.query(move |tx| read(tx, context, &hits, &counts));
            let (contexts, is_cut) = read.await.map_err(unwrapped)?;
            found.notes.extend(is_cut.then_some(Note::ContextCut));
            Some(contexts)
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

/// Reads what is around the hits, which come best first, and says whether some had to come alone. An entry that
/// is gone by now has nothing.
fn read(
    tx: &Tx,
    context: Context,
    hits: &[Place],
    counts: &BTreeMap<EntryId, u32>,
) -> StoreResult<(Around, bool)> {
    let mut of_entries: BTreeMap<EntryId, Vec<u32>> = BTreeMap::new();
    for (entry, order) in hits {
        of_entries.entry(*entry).or_default().push(*order);
    }
    let count = |entry: &EntryId| counts.get(entry).copied().unwrap_or_default();
    // To see where a section ends, what is behind it is looked at too.
    let (mut left, mut spans) = (2 * MAX_CHUNKS, BTreeMap::new());
    for (entry, hits) in &of_entries {
        if tx.get(*entry)?.is_some_and(|row| row.status != EntryStatus::Deleting) {
            spans.insert(*entry, spans_of(tx, context, *entry, hits, count(entry), &mut left)?);
        }
    }
    let (mut all, mut left, mut is_cut) = (Around::new(), MAX_CHUNKS, false);
    for (entry, order) in hits {
        let Some(span) = spans.get(entry).and_then(|spans| spans.get(order)) else { continue };
        let end = span.end.min(count(entry).max(order.saturating_add(1)));
        let span = if (end - span.start) as usize <= left {
            Span { end, ..*span }
        } else {
            is_cut = true;
            Span { start: *order, end: order.saturating_add(1) }
        };
        let chunks = range(tx, *entry, span.start, span.end)?;
        left = left.saturating_sub(chunks.len());
        all.insert((*entry, *order), (span, chunks.into_iter().map(FoundChunk::from).collect()));
    }
    Ok((all, is_cut))
}

/// Returns the spans around the hits of an entry. Of `left` chunks it may look at the headings.
fn spans_of(
    tx: &Tx,
    context: Context,
    entry: EntryId,
    hits: &[u32],
    count: u32,
    left: &mut usize,
) -> StoreResult<BTreeMap<u32, Span>> {
    match context {
        Context::Chunks { before, after } => Ok(around(hits, before, after)),
        Context::Section { most } => sections(hits, most, |order| {
            if *left == 0 {
                return Ok(None);
            }
            *left -= 1;
            let chunk = tx.first(ChunkRow::by_entry.eq(entry).eq(order))?;
            Ok(chunk.map(|chunk| chunk.record.place.section))
        }),
        Context::Whole { from } => {
            let distinct: BTreeSet<u32> = hits.iter().copied().collect();
            if count <= MAX_CONTEXT && distinct.len() as f32 >= from * count.max(1) as f32 {
                // The best hit stands for all of it.
                return Ok(hits
                    .first()
                    .map(|hit| (*hit, Span { start: 0, end: count }))
                    .into_iter()
                    .collect());
            }
            Ok(around(hits, 0, 0))
        }
    }
}

/// Returns the results in the order of the candidates, and their entries in that of their best hits.
fn finish(
    candidates: Vec<Candidate>,
    entries: BTreeMap<EntryId, Arc<Row<EntryRow>>>,
    mut contexts: Option<Around>,
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
            Some(contexts) => match contexts.remove(&(entry, order)) {
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
