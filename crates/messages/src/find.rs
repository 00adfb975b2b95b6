//! Finding: what of threads, messages and edits is searched, and searches that cannot ask too widely.
//!
//! A search over messages is bound by a filter on its fields; the agents' context does that. Who may read
//! what is found is for the caller to ask: [`members::may`](crate::members::may).

use loomwork_search::{Filter, Hits, Index, Query, Search};

use crate::tables::{Edit, MessageRow, MessageStatus, Thread, ThreadId, ThreadStatus};
use crate::threads::Which;

/// The name of the index over messages.
pub const MESSAGES: &str = "messages";

/// The name of the index over the titles of threads.
pub const TITLES: &str = "titles";

/// The name of the index over edits.
pub const EDITS: &str = "edits";

/// Returns the index over messages: by their texts, and by vectors of those that are complete.
///
/// Filter fields: `thread`, `user`, `agent`, `role`, `status`, `tool`, `order`, `created`. A hidden message
/// has no `user` here, so it is found in its thread and not among all that its user has written.
pub fn messages() -> Index<MessageRow> {
    Index::new(MESSAGES)
        .text("text", |row: &MessageRow| row.text.as_deref().unwrap_or_default())
        .embed(|row| row.text.clone().filter(|_| row.status == MessageStatus::Success))
        .field("thread", |row| row.thread)
        .field("user", |row| row.user.clone().filter(|_| !row.hidden))
        .field("agent", |row| row.agent.clone())
        .field("role", |row| row.role().as_str())
        .field("status", |row| row.status.as_str())
        .field("tool", |row| row.tool)
        .field("order", |row| i64::try_from(row.order).unwrap_or(i64::MAX))
        .field("created", |row| row.created)
}

/// Returns the index over the titles of threads.
///
/// Filter fields: `user`, which an anonymous thread does not have, `status`, `tag`, `created`.
pub fn titles() -> Index<Thread> {
    Index::new(TITLES)
        .text("title", |thread: &Thread| {
            thread.title.as_deref().filter(|_| thread.is_seen()).unwrap_or_default()
        })
        .field("user", |thread| thread.user.clone())
        .field("status", |thread| thread.status.as_str())
        .field("tag", |thread| thread.tags.clone())
        .field("created", |thread| thread.created)
}

/// Returns the index over edits: by their snippets, and by vectors of them.
///
/// Filter fields: `thread`, `target`, `kind`, `author`, `created`.
pub fn edits() -> Index<Edit> {
    Index::new(EDITS)
        .text("snippet", |edit: &Edit| edit.snippet.as_str())
        .embed(|edit| Some(edit.snippet.clone()))
        .field("thread", |edit| edit.thread)
        .field("target", |edit| edit.target.clone())
        .field("kind", |edit| edit.kind.clone())
        .field("author", |edit| edit.author.clone())
        .field("created", |edit| edit.created)
}

/// Whose threads are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Those that a user owns.
    User(&'a str),
    /// Those of nobody.
    Anonymous,
    /// Those of all users, for who looks after the whole.
    Everyone,
}

impl Whose<'_> {
    fn filter(self) -> Filter {
        match self {
            Self::User(user) => Filter::eq("user", user),
            Self::Anonymous => !Filter::has("user"),
            Self::Everyone => Filter::Everything,
        }
    }
}

/// Finds threads by their titles, in the index of [`titles`], within the query's own filter. Those that are
/// being deleted are never found.
///
/// # Errors
/// As [`Search::find`].
pub async fn search_titles(
    search: &Search,
    whose: Whose<'_>,
    which: Which,
    query: Query,
) -> loomwork_search::Result<Hits<Thread>> {
    let status = match which.status() {
        Some(status) => Filter::eq("status", status.as_str()),
        None => !Filter::eq("status", ThreadStatus::Deleting.as_str()),
    };
    let filter = whose.filter().and(status).and(query.filter);
    search.find(TITLES, Query { filter, ..query }).await
}

/// Finds edits of one thread by words, a vector or both, in the index of [`edits`], within the query's own
/// filter; of one target where that is named.
///
/// # Errors
/// As [`Search::find`].
pub async fn search_edits(
    search: &Search,
    thread: ThreadId,
    target: Option<&str>,
    query: Query,
) -> loomwork_search::Result<Hits<Edit>> {
    let of_target = target.map_or(Filter::Everything, |target| Filter::eq("target", target));
    let filter = Filter::eq("thread", thread).and(of_target).and(query.filter);
    search.find(EDITS, Query { filter, ..query }).await
}
