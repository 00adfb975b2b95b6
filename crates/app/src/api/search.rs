//! Searching what was said, and the titles of threads.

use loomwork_messages::find::{MESSAGES, Whose, search_titles};
use loomwork_messages::threads::Which;
use loomwork_messages::{MessageRow, Thread, ThreadId};
use loomwork_search::{Filter, Hits, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operation::{Answer, Call, Group, Method};
use crate::auth::{Need, Scope};
use crate::error::{Error, Result};
use loomwork_core::Kind;

/// The most hits of a search.
const MAX_HITS: usize = 100;

pub(super) fn operations() -> Group {
    Group::new("search")
        .act(
            "messages",
            (Method::Post, "/api/search/messages"),
            Scope::Read,
            "Finds messages by words and by meaning: in a thread, or in all that a user has written.",
            messages,
        )
        .act(
            "threads",
            (Method::Post, "/api/search/threads"),
            Scope::Read,
            "Finds threads by their titles.",
            threads,
        )
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchMessages {
    /// What is searched for.
    query: String,
    /// Only in this thread.
    #[schemars(with = "Option<String>")]
    thread: Option<ThreadId>,
    /// Among all that this user has written; by default the caller.
    user: Option<String>,
    /// `hybrid` by default; `text` or `vector`.
    #[serde(default)]
    mode: SearchMode,
    /// How many, from 1 to 100; 10 by default.
    limit: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum SearchMode {
    #[default]
    Hybrid,
    Text,
    Vector,
}

/// What was found, best first.
#[derive(Serialize, JsonSchema)]
struct FoundMessages {
    /// The hits.
    items: Vec<MessageHit>,
    /// Whether the index is whole; while it is made anew, messages may be missing.
    whole: bool,
}

/// A message that was found.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MessageHit {
    /// The message's id.
    id: String,
    /// Its thread.
    thread: String,
    /// The number of its turn.
    order: u64,
    /// The place within the turn.
    step_order: u64,
    /// Its text.
    text: String,
    /// How well it fits; more is better.
    score: f64,
    /// Its rank among those found by words, from 0.
    text_rank: Option<usize>,
    /// Its rank among those found by meaning, from 0.
    vector_rank: Option<usize>,
}

async fn messages(call: Call, args: SearchMessages) -> Result<Answer<FoundMessages>> {
    let limit = checked(args.limit)?;
    let filter = match args.thread {
        Some(thread) => {
            call.allow(Need::ReadThread(thread)).await?;
            Filter::eq("thread", thread)
        }
        None => match owner(&call, args.user).await? {
            Some(user) => Filter::eq("user", user),
            None => !Filter::has("user"),
        },
    };
    let search = call.app.search();
    let vector = match args.mode {
        SearchMode::Text => None,
        SearchMode::Hybrid | SearchMode::Vector => Some(search.embed(MESSAGES, &args.query).await?),
    };
    let text = (args.mode != SearchMode::Vector).then_some(args.query);
    let query = Query { text, vector, filter, limit, ..Query::default() };
    let found: Hits<MessageRow> = search.find(MESSAGES, query).await?;
    let whole = found.filling.is_none();
    let hits = found.hits.into_iter().map(|hit| MessageHit {
        id: hit.row.id.to_string(),
        thread: hit.row.thread.to_string(),
        order: hit.row.order,
        step_order: hit.row.step,
        text: hit.row.record.text.unwrap_or_default(),
        score: hit.score,
        text_rank: hit.text.map(|standing| standing.rank),
        vector_rank: hit.vector.map(|standing| standing.rank),
    });
    Answer::of(&FoundMessages { items: hits.collect(), whole })
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchThreads {
    /// What is searched for.
    query: String,
    /// Whose threads; by default the caller's.
    user: Option<String>,
    /// How many, from 1 to 100; 10 by default.
    limit: Option<usize>,
}

/// Threads that were found, best first.
#[derive(Serialize, JsonSchema)]
struct FoundThreads {
    /// The hits.
    items: Vec<ThreadHit>,
}

/// A thread that was found.
#[derive(Serialize, JsonSchema)]
struct ThreadHit {
    /// The thread's id.
    id: String,
    /// Its title.
    title: String,
    /// How well it fits; more is better.
    score: f64,
}

async fn threads(call: Call, args: SearchThreads) -> Result<Answer<FoundThreads>> {
    let limit = checked(args.limit)?;
    let user = owner(&call, args.user).await?;
    let whose = user.as_deref().map_or(Whose::Anonymous, Whose::User);
    let query = Query { limit, ..Query::text(args.query) };
    let found: Hits<Thread> = search_titles(call.app.search(), whose, Which::Active, query).await?;
    let hits = found.hits.into_iter().map(|hit| ThreadHit {
        id: hit.row.id.to_string(),
        title: hit.row.record.title.unwrap_or_default(),
        score: hit.score,
    });
    Answer::of(&FoundThreads { items: hits.collect() })
}

/// Returns whose rows are searched: the user that is named, or else the caller.
async fn owner(call: &Call, named: Option<String>) -> Result<Option<String>> {
    let user = named.or_else(|| call.caller.as_user().map(str::to_owned));
    let (caller, asked) = (call.caller.clone(), user.clone());
    let may = move |tx: &_| crate::auth::allow(tx, &caller, Need::ReadUser(asked.as_deref()));
    call.app.store().query(may).await?;
    Ok(user)
}

fn checked(limit: Option<usize>) -> Result<usize> {
    let limit = limit.unwrap_or(10);
    if (1..=MAX_HITS).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::new(Kind::Invalid, format!("{limit} hits; ask for 1 to {MAX_HITS}")).about("limit"))
}
