//! What of the chunks is searched.

use loomwork_search::{Filter, Index, Metric, Space};
use sha2::{Digest as _, Sha256};

use crate::filter::MARKS;
use crate::tables::{ChunkRow, EntryId, NamespaceId, begun};

/// Raised when a function of the declaration means something else than before.
const VERSION: u32 = 2;

/// The field that says how much a chunk counts.
pub(crate) const IMPORTANCE: &str = "importance";

/// How many digits of a digest tell the indexes of two models apart.
const NAME_DIGITS: usize = 16;

/// Returns the name of the index over the vectors of a space.
pub(crate) fn name(space: &Space) -> String {
    let digest = Sha256::digest(format!("{}\0{}", space.model(), space.dimension()));
    let digits = data_encoding::HEXLOWER.encode(&digest);
    format!("rag_{}", &digits[..NAME_DIGITS])
}

/// Returns the index over chunks. Vectors are as long as their entry is important, so products rank them.
///
/// A chunk that is shelved has no namespace, and every search asks for one.
pub(crate) fn chunks(space: &Space) -> Index<ChunkRow> {
    Index::new(name(space))
        .version(VERSION)
        .text("text", ChunkRow::searchable)
        .metric(Metric::Product)
        .vectors(space.clone())
        .field("namespace", |chunk: &ChunkRow| (!chunk.shelved).then_some(chunk.namespace))
        .field("entry", |chunk| chunk.entry)
        .field("begun", ChunkRow::begun)
        .field(IMPORTANCE, |chunk| f64::from(chunk.importance))
        .field(MARKS, |chunk| chunk.marks.clone())
}

/// Returns the condition on what a search of a namespace finds: all but the chunks of entries that are not
/// live, as they stood when it began, and of those that were begun since.
pub(crate) fn live(namespace: NamespaceId, hidden: &[EntryId], newest: Option<EntryId>) -> Filter {
    let inside = Filter::eq("namespace", namespace);
    let since = newest
        .map_or(Filter::Everything, |newest| !Filter::at_least("begun", begun(newest).saturating_add(1)));
    let inside = inside.and(since);
    if hidden.is_empty() {
        return inside;
    }
    inside.and(!Filter::one_of("entry", hidden.iter().copied()))
}
