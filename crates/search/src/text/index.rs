//! What is committed and what is not, as one.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use loomwork_core::RawId;
use loomwork_store::engine::Seq;
use tantivy::Searcher;

use super::query::TextQuery;
use super::sealed::{Committed, Scope, Sealed, SealedReader};
use super::tail::{Statistics, Tail};
use super::tokenizer::Tokenizer;
use crate::doc::{Doc, Scored};
use crate::index::Schema;
use crate::place::Place;
use crate::{Filter, Result};

/// The texts of one index.
pub(crate) struct TextIndex {
    schema: Schema,
    tokenizers: Vec<Tokenizer>,
    reader: SealedReader,
    state: RwLock<State>,
    /// Who writes; a commit holds it to its end, and searches never wait for it.
    sealed: Mutex<Sealed>,
}

struct State {
    searcher: Searcher,
    /// The tail that is being committed.
    frozen: Option<Arc<Tail>>,
    /// The tail that grows.
    tail: Tail,
    /// Up to where the feed is applied on disk.
    sealed: Option<Seq>,
}

/// What an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextStats {
    /// How many rows are committed.
    pub(crate) committed: usize,
    /// How many rows are not.
    pub(crate) pending: usize,
    /// About how many bytes of memory are held.
    pub(crate) bytes: usize,
}

impl State {
    fn tails(&self) -> impl Iterator<Item = &Tail> {
        std::iter::once(&self.tail).chain(self.frozen.as_deref())
    }

    /// Returns whether a later tail has something newer of a row that stands in `older`.
    fn is_stale(&self, id: RawId, older: &Tail) -> bool {
        !std::ptr::eq(older, &raw const self.tail) && self.tail.touched.contains_key(&id)
    }
}

/// Counts words where they are committed and where they are not.
struct Everywhere<'a> {
    state: &'a State,
    committed: Committed<'a>,
}

impl Statistics for Everywhere<'_> {
    fn rows(&self) -> u64 {
        self.committed.rows() + self.state.tails().map(|tail| tail.docs.len() as u64).sum::<u64>()
    }

    fn words(&self, field: usize) -> u64 {
        self.committed.words(field) + self.state.tails().map(|tail| tail.words(field)).sum::<u64>()
    }

    fn rows_with(&self, field: usize, word: &str) -> u64 {
        let pending: u64 = self.state.tails().map(|tail| tail.rows_with(field, word)).sum();
        self.committed.rows_with(field, word) + pending
    }
}

impl TextIndex {
    /// Opens the index, and says up to where it has applied the feed; `None` if it has to be filled.
    pub(crate) fn open(place: &Place, schema: &Schema, store: RawId) -> Result<(Self, Option<Seq>)> {
        let (sealed, applied) = Sealed::open(place, schema, store)?;
        let tail = Tail::new(schema, applied.unwrap_or_default());
        let state = State { searcher: sealed.searcher(), frozen: None, tail, sealed: applied };
        let index = Self {
            schema: schema.clone(),
            tokenizers: schema.texts.iter().map(|(_, options)| Tokenizer::new(options.language)).collect(),
            reader: sealed.reader(),
            state: RwLock::new(state),
            sealed: Mutex::new(sealed),
        };
        Ok((index, applied))
    }

    /// Takes in what happened up to `seq`; searches see it at once.
    pub(crate) fn put(&self, seq: Seq, docs: Vec<Doc>, deleted: &[RawId]) {
        let mut state = self.state_mut();
        deleted.iter().for_each(|id| state.tail.delete(*id));
        for doc in docs {
            state.tail.put(doc, &self.tokenizers);
        }
        state.tail.applied = state.tail.applied.max(seq);
    }

    /// Returns the best rows that meet query and filter, best first; among equals the newest.
    /// Scores are multiplied by the number of a filter field, if one is named.
    pub(crate) fn find(
        &self,
        query: &TextQuery,
        filter: &Filter,
        weigh_by: Option<usize>,
        limit: usize,
    ) -> Result<Vec<Scored>> {
        let state = self.state();
        let committed = Committed { searcher: &state.searcher, reader: &self.reader };
        let statistics = Everywhere { state: &state, committed };
        let (schema, tokenizers) = (&self.schema, &self.tokenizers[..]);
        let scope = Scope { schema, tokenizers, statistics: &statistics, weigh_by };
        let mut best = Vec::new();
        for tail in state.tails() {
            let found = tail.find(query, filter, &scope);
            best.extend(found.into_iter().filter(|hit| !state.is_stale(hit.id, tail)));
        }
        best.extend(self.find_committed(&state, query, filter, limit, &scope)?);
        best.sort_by(|one: &Scored, two| two.score.total_cmp(&one.score).then(two.id.cmp(&one.id)));
        best.truncate(limit);
        Ok(best)
    }

    /// Returns the best committed rows of which no tail knows something newer.
    fn find_committed(
        &self,
        state: &State,
        query: &TextQuery,
        filter: &Filter,
        limit: usize,
        scope: &Scope<'_>,
    ) -> Result<Vec<Scored>> {
        let touched: usize = state.tails().map(|tail| tail.touched.len()).sum();
        let mut asked = limit;
        loop {
            let mut found = self.reader.find(&state.searcher, query, filter, asked, scope)?;
            let all = found.len() < asked;
            found.retain(|hit| !state.tails().any(|tail| tail.touched.contains_key(&hit.id)));
            if all || found.len() >= limit || asked >= limit + touched {
                return Ok(found);
            }
            asked = (asked * 2).min(limit + touched);
        }
    }

    /// Writes the tail, and returns up to where the feed is applied on disk. It blocks; searches and puts
    /// go on meanwhile.
    pub(crate) fn commit(&self) -> Result<Seq> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let frozen = {
            let mut state = self.state_mut();
            // One that failed before is still there, and goes first.
            if state.frozen.is_none() {
                // Where nothing else is new, the position is: who reopens the index goes on from there.
                if state.tail.touched.is_empty() && state.sealed == Some(state.tail.applied) {
                    return Ok(state.tail.applied);
                }
                let next = Tail::new(&self.schema, state.tail.applied);
                state.frozen = Some(Arc::new(std::mem::replace(&mut state.tail, next)));
            }
            state.frozen.clone()
        };
        let Some(frozen) = frozen else { return Ok(self.state().tail.applied) };
        let searcher = sealed.commit(&frozen, &self.tokenizers)?;
        let mut state = self.state_mut();
        (state.searcher, state.frozen, state.sealed) = (searcher, None, Some(frozen.applied));
        Ok(frozen.applied)
    }

    /// Makes what was deleted unreadable on disk too.
    pub(crate) fn purge(&self) -> Result<()> {
        self.commit()?;
        let searcher = self.sealed.lock().unwrap_or_else(PoisonError::into_inner).purge()?;
        self.state_mut().searcher = searcher;
        Ok(())
    }

    /// Lets go of the folder, so that it can be opened again or deleted; a later commit takes it back.
    pub(crate) fn release(&self) -> Result<()> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).release()
    }

    /// Forgets everything, on disk too.
    pub(crate) fn clear(&self) -> Result<()> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let searcher = sealed.clear()?;
        let tail = Tail::new(&self.schema, Seq::default());
        *self.state_mut() = State { searcher, frozen: None, tail, sealed: None };
        Ok(())
    }

    /// Returns up to where the feed is applied.
    #[cfg(test)]
    pub(super) fn applied(&self) -> Seq {
        self.state().tail.applied
    }

    pub(crate) fn stats(&self) -> TextStats {
        let state = self.state();
        TextStats {
            committed: state.searcher.num_docs() as usize,
            pending: state.tails().map(|tail| tail.rows() as usize).sum(),
            bytes: state.tails().map(Tail::bytes).sum(),
        }
    }

    /// Returns the tokenizer of a text field.
    pub(crate) fn tokenizer(&self, field: usize) -> Option<&Tokenizer> {
        self.tokenizers.get(field)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TextIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TextIndex")
            .field("schema", &self.schema)
            .field("stats", &self.stats())
            .finish()
    }
}
