//! What is found beyond the recent turns.

use std::collections::{HashMap, HashSet};

use loomwork_messages::{Edit, MessageId, MessageRow, MessageStatus, ThreadId, find};
use loomwork_models::{ModelName, Usage};
use loomwork_search::{Filling, Filter, Hit, MAX_LIMIT, MAX_QUERY_BYTES, Query, Recency, Search};
use loomwork_store::{Row, Store};
use tracing::Instrument as _;

use super::expand::{Expansion, expand};
use super::{Asked, ContextError, EditsRule, Given, Material, SearchValues, Turn, Why, edits, text_of};
use crate::spans;

/// How many more hits are asked for each time that some may not be shown.
const WIDER: usize = 4;

/// What a search gives to a context.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What was searched for, if there was something.
    pub query: Option<String>,
    /// Other threads, the one with the best hit last, and then this one.
    pub threads: Vec<FoundThread>,
    /// The edits that were found, the oldest first, if they were searched for.
    pub edits: Option<Vec<Row<Edit>>>,
    /// How far the index is filled while it is made anew: messages may be missing then.
    pub filling: Option<Filling>,
    /// What each model used that was asked to embed what was searched for.
    pub embedded: Vec<(ModelName, Usage)>,
}

/// What was found in a thread.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundThread {
    /// The thread.
    pub thread: ThreadId,
    /// Whether it is another one than that of the context.
    pub is_other: bool,
    /// Its title.
    pub title: Option<String>,
    /// The turns, in their order.
    pub turns: Vec<FoundTurn>,
}

/// A turn with messages that were found, or one beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundTurn {
    /// The turn.
    pub turn: Turn,
    /// Why those of its messages were found that were.
    pub hits: HashMap<MessageId, Why>,
}

/// What is searched for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) text: String,
    /// The message whose text it is, which may have its vector already.
    pub(super) row: Option<MessageId>,
}

/// Finds what the values ask for: messages before the recent turns, those of the user in other threads, and
/// edits. Where nothing is asked in words, nothing is found.
///
/// What is searched for is the query that was asked for, else the text of the prompt, else the last text of
/// its turn. A message that is found comes with its whole turn and with those around it.
///
/// What a user said is found in threads that they are a member of, and that are not archived. Without a
/// thread, all of those are searched.
///
/// # Errors
/// As [`Search::find`] and [`Search::embed`] over the indexes of [`find::messages`] and [`find::edits`]; when
/// the store cannot be read.
///
/// # Cancel safety
/// It changes nothing and may be dropped at any time.
pub async fn search(
    search: &Search,
    store: &Store,
    asked: &Asked,
    material: &Material,
    given: &Given,
) -> Result<Found, ContextError> {
    let question = question(asked, material, given).filter(|_| asked.values.needs_search());
    let Some(question) = question else { return Ok(Found::default()) };
    let mut found = Found { query: Some(question.text.clone()), ..Found::default() };
    if let (Some(thread), EditsRule::Relevant(count)) = (asked.thread, &asked.values.edits) {
        let vector = asked.values.search.as_ref().is_some_and(|search| search.vector);
        found.edits = Some(edits::relevant(search, thread, None, &question.text, *count, vector).await?);
    }
    let Some(values) = &asked.values.search else { return Ok(found) };
    let scope = Scope::of(asked, material);
    let Some(filter) = scope.filter() else { return Ok(found) };
    let finder = Finder { search, store, asked, values, scope };
    let near = match values.vector {
        true => finder.near(&question, &mut found.embedded).await?,
        false => Query::default(),
    };
    let query = Query {
        text: values.text.then_some(question.text),
        filter,
        threshold: Some(values.threshold),
        recency: values.recency.map(|rule| Recency { weight: rule.weight, ..Recency::new(rule.half_life) }),
        ..near
    };
    (found.threads, found.filling) = finder.find(query).await?;
    Ok(found)
}

/// Where messages may be found.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// The thread, and the turn in front of which its messages are found.
    pub(super) own: Option<(ThreadId, u64)>,
    /// Whose messages are found in other threads.
    pub(super) user: Option<String>,
    without_tools: bool,
}

impl Scope {
    fn of(asked: &Asked, material: &Material) -> Self {
        let own = asked.thread.map(|thread| (thread, material.begins().unwrap_or(u64::MAX)));
        let of_thread = || material.thread.as_ref().and_then(|thread| thread.user.clone());
        let user = asked.user.clone().or_else(of_thread);
        let elsewhere = asked.values.other_threads || own.is_none();
        Self { own, user: user.filter(|_| elsewhere), without_tools: asked.values.exclude_tools }
    }

    /// Returns the filter of what may be found; `None` if that is nothing.
    fn filter(&self) -> Option<Filter> {
        let own = self.own.filter(|(_, before)| *before > 0).map(|(thread, before)| {
            let last = i64::try_from(before - 1).unwrap_or(i64::MAX);
            Filter::eq("thread", thread).and(Filter::at_most("order", last))
        });
        let others = self.user.as_ref().map(|user| {
            let elsewhere = self.own.map(|(thread, _)| !Filter::eq("thread", thread));
            Filter::eq("user", user.as_str()).and(elsewhere.unwrap_or_default())
        });
        let scope = match (own, others) {
            (Some(own), Some(others)) => own.or(others),
            (scope, None) | (None, scope) => scope?,
        };
        let complete = Filter::eq("status", MessageStatus::Success.as_str());
        let tools = if self.without_tools { Filter::eq("tool", false) } else { Filter::Everything };
        Some(complete.and(tools).and(scope))
    }
}

struct Finder<'a> {
    search: &'a Search,
    store: &'a Store,
    asked: &'a Asked,
    values: &'a SearchValues,
    scope: Scope,
}

impl Finder<'_> {
    /// Asks for what is near to what is searched for, by the vector of the message which says it, if it has one.
    async fn near(
        &self,
        question: &Question,
        embedded: &mut Vec<(ModelName, Usage)>,
    ) -> Result<Query, ContextError> {
        let known = match question.row {
            Some(row) => self.search.vector_of(find::MESSAGES, row).await?,
            None => None,
        };
        Ok(Query::vector(match known {
            Some(known) => known,
            None => {
                let span = spans::embeddings();
                let asked = self.search.embed_counted(find::MESSAGES, &question.text);
                let asked = asked.instrument(span.clone()).await;
                let (vector, used) = asked.inspect_err(|error| spans::not_embedded(&span, error))?;
                spans::embedded(&span, vector.vector.len(), &used);
                embedded.extend(used);
                vector
            }
        }))
    }

    /// Finds as many messages as are wanted and may be shown.
    async fn find(&self, query: Query) -> Result<(Vec<FoundThread>, Option<Filling>), ContextError> {
        let wanted = self.values.limit;
        let mut limit = wanted;
        let mut refused: HashSet<ThreadId> = HashSet::new();
        loop {
            let others = match refused.is_empty() {
                true => Filter::Everything,
                false => !Filter::one_of("thread", refused.iter().copied()),
            };
            let query = Query { limit, filter: query.filter.clone().and(others), ..query.clone() };
            let found = self.search.find::<MessageRow>(find::MESSAGES, query).await?;
            let is_cut = found.hits.len() >= limit;
            let hits = found.hits.iter().map(|hit| (hit.row.id, why(hit))).collect::<Vec<_>>();
            let (scope, values, search) =
                (self.scope.clone(), self.asked.values.clone(), self.values.clone());
            let expanded = self.store.query(move |tx| expand(tx, &scope, &values, &search, &hits)).await?;
            let Expansion { threads, count, refused: more } = expanded;
            if count >= wanted || !is_cut || limit >= MAX_LIMIT {
                return Ok((threads, found.filling));
            }
            refused.extend(more);
            limit = (limit * WIDER).min(MAX_LIMIT);
        }
    }
}

fn why(hit: &Hit<MessageRow>) -> Why {
    Why {
        score: hit.score,
        text: hit.text.map(|standing| standing.rank),
        vector: hit.vector.map(|standing| standing.rank),
        cosine: hit.vector.map(|standing| standing.score),
    }
}

fn question(asked: &Asked, material: &Material, given: &Given) -> Option<Question> {
    let said = |text: String| Question { text: query_text(&text), row: None };
    let last_of = |messages: &[loomwork_models::Message]| messages.iter().rev().find_map(text_of).map(said);
    let stored = |row: &Row<MessageRow>| {
        let text = row.text.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
        Some(Question { text: query_text(text), row: Some(row.id) })
    };
    let asked_for = asked.query.clone().filter(|query| !query.trim().is_empty()).map(said);
    asked_for
        .or_else(|| last_of(&given.prompt))
        .or_else(|| material.prompt.as_ref().and_then(stored))
        .or_else(|| material.before.iter().rev().find_map(stored))
        .or_else(|| last_of(&given.messages))
}

/// Returns as much of a text as can be searched for. It is complete, so its last word is a whole one.
pub(super) fn query_text(text: &str) -> String {
    let text = text.trim();
    let mut end = text.len().min(MAX_QUERY_BYTES - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ", &text[..end])
}
