//! Listing threads.

use loomwork_store::{Cursor, Page, Paged, Result, Row, Span, Table, Tx};

use crate::tables::{Member, Thread, ThreadStatus};

/// How many rows one page looks at, where a tag leaves most of them out. Such a page may hold fewer rows
/// than it could, and still be followed by others.
pub const MAX_LOOKED_AT: usize = 1_000;

/// Which threads are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Which {
    /// Those in use.
    #[default]
    Active,
    /// Those put away.
    Archived,
    /// All, with those that a fork is still being copied into.
    All,
}

impl Which {
    /// The one status that is listed.
    pub(crate) fn status(self) -> Option<ThreadStatus> {
        match self {
            Self::Active => Some(ThreadStatus::Active),
            Self::Archived => Some(ThreadStatus::Archived),
            Self::All => None,
        }
    }
}

/// In which order threads are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// What a list shows. The default: threads in use, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Which threads.
    pub which: Which,
    /// In which order.
    pub order: Order,
    /// Only those with this tag.
    pub tag: Option<String>,
}

impl Listing {
    fn keeps(&self, thread: &Thread) -> bool {
        self.tag.as_ref().is_none_or(|tag| thread.tags.contains(tag))
    }

    fn ordered<T, K>(&self, span: Span<T, K>) -> Span<T, K>
    where
        T: Table,
    {
        match self.order {
            Order::Newest => span.desc(),
            Order::Oldest => span,
        }
    }
}

/// A thread, and somebody's place in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seat {
    /// The thread.
    pub thread: Row<Thread>,
    /// The place: role, last activity, what is read.
    pub member: Row<Member>,
}

/// A page of somebody's places.
#[derive(Clone, Debug, PartialEq)]
pub struct Seats {
    /// The places.
    pub rows: Vec<Seat>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// Returns a page of the threads that a user owns, by when they were made; of nobody (`None`), those that
/// are anonymous.
///
/// # Errors
/// When the store cannot be read, or the page belongs to another query.
pub fn list<'a>(
    tx: &Tx,
    user: impl Into<Option<&'a str>>,
    listing: &Listing,
    page: Page,
) -> Result<Paged<Thread>> {
    let user = user.into().map(str::to_owned);
    let keep = |thread: Row<Thread>| Ok(listing.keeps(&thread).then_some(thread));
    let (rows, next) = match listing.which.status() {
        None => page_of(tx, &listing.ordered(Thread::by_user.eq(user)), page, keep)?,
        Some(status) => page_of(tx, &listing.ordered(Thread::by_status.eq(user).eq(status)), page, keep)?,
    };
    Ok(Paged { rows, next })
}

/// Returns a page of the threads that a user is a member of, their own and those of others, by when
/// something last happened there; of nobody (`None`), those that are anonymous.
///
/// # Errors
/// When the store cannot be read, or the page belongs to another query.
pub fn list_by_activity<'a>(
    tx: &Tx,
    user: impl Into<Option<&'a str>>,
    listing: &Listing,
    page: Page,
) -> Result<Seats> {
    let user = user.into().map(str::to_owned);
    let keep = |member: Row<Member>| {
        let thread = tx.get(member.thread)?.filter(|thread| listing.keeps(thread));
        Ok(thread.map(|thread| Seat { thread, member }))
    };
    let (rows, next) = match listing.which.status() {
        None => page_of(tx, &listing.ordered(Member::by_activity.eq(user)), page, keep)?,
        Some(status) => page_of(tx, &listing.ordered(Member::by_status.eq(user).eq(status)), page, keep)?,
    };
    Ok(Seats { rows, next })
}

/// Returns `count` of the users who own threads, each once, in the order of their names, behind `after`.
///
/// # Errors
/// When the store cannot be read.
pub fn users(tx: &Tx, after: Option<&str>, count: usize) -> Result<Vec<String>> {
    let mut users: Vec<String> = Vec::new();
    while users.len() < count {
        let last = users.last().map(String::as_str).or(after).map(str::to_owned);
        // Behind nobody come all who have a name.
        let next = tx.first(Thread::by_user.gt(last))?.and_then(|thread| thread.record.user);
        let Some(next) = next else { break };
        users.push(next);
    }
    Ok(users)
}

/// Returns a page of what `keep` keeps of a span's rows.
fn page_of<T: Table, K, R>(
    tx: &Tx,
    span: &Span<T, K>,
    page: Page,
    keep: impl Fn(Row<T>) -> Result<Option<R>>,
) -> Result<(Vec<R>, Option<Cursor>)> {
    let Page { size, mut after } = page;
    let (mut kept, mut looked_at) = (Vec::new(), 0);
    loop {
        // No more is read than there is room for, so that the cursor is always that of the last row.
        let Paged { rows, next } = tx.page(span.clone(), Page { size: size - kept.len(), after })?;
        looked_at += rows.len();
        for row in rows {
            kept.extend(keep(row)?);
        }
        if next.is_none() || kept.len() == size || looked_at >= MAX_LOOKED_AT {
            return Ok((kept, next));
        }
        after = next;
    }
}
