//! What was found as text: whole, within a budget, and with citations.

use loomwork_models::{Source, SourceKind, TokenCounter};
use serde::Serialize;
use serde_json::json;

use crate::query::{Found, FoundChunk, FoundEntry, FoundRange};
use crate::tables::{ChunkId, EntryId, NamespaceId, Place};

/// Below so many tokens, all of a namespace fits into a prompt, and nothing has to be searched: see
/// [`Rag::whole`](crate::Rag::whole).
pub const INLINE_TOKENS: u64 = 200_000;

/// Returns the ranges of an entry as one text. Ranges that are not next to each other have a gap between
/// them, which shows.
pub(crate) fn entry_text(ranges: &[&FoundRange]) -> String {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start_order);
    let mut text = String::new();
    let mut end = None;
    for range in sorted {
        match end {
            None => {}
            Some(end) if end >= range.start_order => text.push('\n'),
            Some(_) => text.push_str("\n\n...\n\n"),
        }
        let chunks: Vec<&str> = range.content.iter().map(|chunk| chunk.text.as_str()).collect();
        text.push_str(&chunks.join("\n"));
        let last = range.content.last().map_or(range.start_order, |chunk| chunk.order + 1);
        end = end.max(Some(last));
    }
    text
}

/// Returns all entries as one text, each under its title.
pub(crate) fn whole_text(entries: &[FoundEntry]) -> String {
    let texts: Vec<String> = entries
        .iter()
        .map(|found| match &found.entry.title {
            Some(title) => format!("## {title}:\n\n{}", found.text),
            None => found.text.clone(),
        })
        .collect();
    texts.join(RULE)
}

/// What fits into a budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budgeted {
    /// What was found, without what does not fit.
    pub found: Found,
    /// How many tokens its text has.
    pub tokens: u64,
    /// The hits that did not fit, or lost what was around them: their entries and places.
    pub cut: Vec<(EntryId, u32)>,
}

/// Where a result is from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Citation {
    /// Its number in the text, from 1.
    pub number: usize,
    /// The namespace.
    pub namespace: NamespaceId,
    /// The entry.
    pub entry: EntryId,
    /// The entry's key.
    pub key: Option<String>,
    /// The entry's title.
    pub title: Option<String>,
    /// The first chunk.
    pub chunk: ChunkId,
    /// Where the first chunk is in its source, up to the end of the last one.
    pub place: Place,
    /// The text.
    pub text: String,
}

/// By how much the parts of a text may have more tokens than the whole, so that the whole is counted to know.
const SLACK: u64 = 16;

/// What stands between two entries, the longest of what stands between results.
const RULE: &str = "\n\n---\n\n";

/// Results that fit into so many tokens. The parts are counted, and the whole only where that decides: counting all
/// of it for each result would take time with the square.
struct Budget<'a> {
    found: &'a Found,
    counter: &'a dyn TokenCounter,
    tokens: u64,
    taken: Vec<FoundRange>,
    used: u64,
    is_exact: bool,
}

impl Budget<'_> {
    /// Takes a result if it fits.
    fn take(&mut self, range: FoundRange) -> bool {
        let alone = self.found.of(std::slice::from_ref(&range)).text;
        let part = self.counter.count(&alone) + self.counter.count(RULE);
        if self.used + part > self.tokens && !self.is_exact {
            (self.used, self.is_exact) = (self.count(), true);
        }
        let used = self.used + part;
        if used > self.tokens + SLACK + self.counter.count(RULE) {
            return false;
        }
        self.taken.push(range);
        if used <= self.tokens {
            (self.used, self.is_exact) = (used, false);
            return true;
        }
        let exact = self.count();
        if exact <= self.tokens {
            (self.used, self.is_exact) = (exact, true);
            return true;
        }
        self.taken.pop();
        false
    }

    fn count(&self) -> u64 {
        self.counter.count(&self.found.of(&self.taken).text)
    }
}

impl Found {
    /// Returns as many of the results as fit into so many tokens of text: the best first, whole chunks
    /// only. A hit whose surroundings don't fit comes without them.
    pub fn within(&self, tokens: u64, counter: &dyn TokenCounter) -> Budgeted {
        let mut budget = Budget { found: self, counter, tokens, taken: Vec::new(), used: 0, is_exact: true };
        let mut cut = Vec::new();
        let mut best: Vec<&FoundRange> = self.results.iter().collect();
        best.sort_by(|one, two| two.score.total_cmp(&one.score));
        for range in best {
            if budget.take(range.clone()) {
                continue;
            }
            cut.push((range.entry, range.order));
            let hit: Vec<FoundChunk> =
                range.content.iter().filter(|chunk| chunk.order == range.order).cloned().collect();
            if range.content.len() > hit.len() {
                budget.take(FoundRange { content: hit, start_order: range.order, ..range.clone() });
            }
        }
        let Budget { mut taken, .. } = budget;
        let mut found = self.of(&taken);
        let mut count = counter.count(&found.text);
        // A counter may find more in the whole than in its parts.
        while count > tokens
            && let Some(last) = taken.pop()
        {
            cut.push((last.entry, last.order));
            found = self.of(&taken);
            count = counter.count(&found.text);
        }
        Budgeted { tokens: count, found, cut }
    }

    /// Returns what was found with these of its results alone, in the order that they have here.
    fn of(&self, taken: &[FoundRange]) -> Self {
        let place = |range: &FoundRange| {
            self.results.iter().position(|other| (other.entry, other.order) == (range.entry, range.order))
        };
        let mut results = taken.to_vec();
        results.sort_by_key(place);
        let entries = self.entries.iter().filter_map(|found| {
            let of_entry = results.iter().filter(|range| range.entry == found.entry.id);
            let ranges: Vec<&FoundRange> = of_entry.collect();
            let text = entry_text(&ranges);
            (!ranges.is_empty()).then(|| FoundEntry { entry: found.entry.clone(), text })
        });
        let entries: Vec<FoundEntry> = entries.collect();
        let text = whole_text(&entries);
        Self { results, entries, text, usage: self.usage.clone(), notes: self.notes.clone() }
    }

    /// Returns where each result is from, numbered in the order of the results.
    pub fn citations(&self) -> Vec<Citation> {
        let citation = |(at, range): (usize, &FoundRange)| {
            let (first, last) = (range.content.first()?, range.content.last()?);
            let entry = self.entry(range.entry)?;
            let texts: Vec<&str> = range.content.iter().map(|chunk| chunk.text.as_str()).collect();
            Some(Citation {
                number: at + 1,
                namespace: range.namespace,
                entry: range.entry,
                key: entry.key.clone(),
                title: entry.title.clone(),
                chunk: first.id,
                place: Place { end: last.place.end, ..first.place.clone() },
                text: texts.join("\n"),
            })
        };
        self.results.iter().enumerate().filter_map(citation).collect()
    }

    /// Returns the results as one text in which each begins with its citation's number: `[1] …`.
    pub fn cited_text(&self) -> String {
        let texts = self.citations().into_iter().map(|citation| {
            let title = citation.title.map(|title| format!("{title}: ")).unwrap_or_default();
            format!("[{}] {title}{}", citation.number, citation.text)
        });
        texts.collect::<Vec<_>>().join("\n\n")
    }

    /// Returns where a quotation is from, if it is one: space does not count, and neither does what a gap
    /// leaves out.
    pub fn quoted(&self, quote: &str) -> Option<Citation> {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let quote = plain(quote);
        let is_in = |citation: &Citation| !quote.is_empty() && plain(&citation.text).contains(&quote);
        self.citations().into_iter().find(is_in)
    }

    /// Returns the entries as sources, ready to be kept with an answer. One whose key is an address is a page.
    pub fn sources(&self) -> Vec<Source> {
        let source = |found: &FoundEntry| {
            let entry = &found.entry;
            let address =
                entry.key.clone().filter(|key| key.starts_with("https://") || key.starts_with("http://"));
            let media_type = entry.metadata.get("mediaType").and_then(|value| value.as_str());
            let document = || SourceKind::Document {
                media_type: media_type.unwrap_or("text/plain").to_owned(),
                filename: entry.key.clone(),
            };
            let kind = address.map_or_else(document, |url| SourceKind::Url { url });
            let title = entry.title.clone().or_else(|| entry.key.clone());
            let mut source = Source { id: entry.id.to_string(), kind, title, extras: Default::default() };
            let chunks: Vec<String> = self
                .results
                .iter()
                .filter(|range| range.entry == entry.id)
                .flat_map(|range| &range.content)
                .map(|chunk| chunk.id.to_string())
                .collect();
            let details = json!({ "namespace": entry.namespace, "version": entry.version, "chunks": chunks });
            source.extras.provider_metadata.insert("rag".to_owned(), details);
            source
        };
        self.entries.iter().map(source).collect()
    }
}
