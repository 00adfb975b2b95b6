//! Forking: a new thread that begins as another one did.
//!
//! [`start`] makes the thread and copies its first batch in the caller's transaction; where that was not
//! all, [`upkeep`] or [`finish`] copies the rest, batch by batch. How far it is, is a row that each batch
//! moves along, so a restart repeats nothing. Until the copy is whole it is read, and takes no messages.

mod copy;

use std::ops::ControlFlow;

use loomwork_core::{Fault, Kind, Time};
use loomwork_store::{Next, Page, Paged, Result, Row, Store, Tx, Upkeep};

use crate::deletion::rest_if_failed;
use crate::list::last;
use crate::runs;
use crate::save::MAX_NUMBER;
use crate::tables::{
    Fork, MessageId, MessageRow, MessageStatus, Position, Stage, Thread, ThreadId, ThreadStatus,
};
use crate::threads::{self, NewThread};

pub(crate) use copy::step;

/// How many rows one transaction reads if nothing else is said.
pub const BATCH: usize = 100;

/// The most rows that one transaction may read.
pub const MAX_BATCH: usize = 1_000;

/// About how many bytes of messages one transaction copies: no message is begun beyond it.
pub const BATCH_BYTES: usize = 4 << 20;

/// Why a thread is not forked. Nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message that the thread does not have.
    #[error("thread {thread} has no message {message}, so it cannot be forked there")]
    OtherMessage {
        /// The thread.
        thread: ThreadId,
        /// The message.
        message: MessageId,
    },
    /// An option that makes no sense.
    #[error("the {what} of a fork is {found}; it has to be {right}")]
    BadOption {
        /// Which one.
        what: &'static str,
        /// What it is.
        found: u64,
        /// What it may be.
        right: &'static str,
    },
    /// Turns that are there already.
    #[error("thread {thread} has turn {order} already, which the copy would take; insert at a later order")]
    Taken {
        /// The thread that was to be copied into.
        thread: ThreadId,
        /// The first turn that both have.
        order: u64,
    },
    /// A thread to copy into, in which runs still write.
    #[error("thread {thread} has runs that have not ended; copy into it when they have, or abort them")]
    Busy {
        /// The thread that was to be copied into.
        thread: ThreadId,
    },
    /// A thread that was to be copied into itself.
    #[error("thread {thread} cannot be copied into itself")]
    Itself {
        /// The thread.
        thread: ThreadId,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::OtherMessage { .. } => Kind::NotFound,
            Self::Busy { .. } => Kind::Conflict,
            Self::BadOption { .. } | Self::Taken { .. } | Self::Itself { .. } => Kind::Invalid,
        }
    }
}

/// Up to where a thread is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// To its end, as it is when the fork begins.
    #[default]
    End,
    /// To the end of this message's turn.
    Turn(MessageId),
    /// To this position, which is copied too.
    Position(Position),
}

impl From<MessageId> for At {
    fn from(message: MessageId) -> Self {
        Self::Turn(message)
    }
}

impl From<Position> for At {
    fn from(position: Position) -> Self {
        Self::Position(position)
    }
}

/// What the copy becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Target {
    /// A new thread like the one that is copied: user, title, summary, tags, metadata, responder and agent.
    #[default]
    Alike,
    /// A new thread.
    New(NewThread),
    /// Part of a thread that is there. Its parentage stays as it is.
    Into(ThreadId),
}

/// How a thread is forked. New fields may come, so end a literal with `..Options::default()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What the copy becomes. Default: a thread like the one that is copied.
    pub target: Target,
    /// How many messages are copied at most: the last ones. Default: all.
    pub limit: Option<usize>,
    /// Whether calls and results of tools are left out. Default: no.
    pub exclude_tools: bool,
    /// Which messages are copied. Default: all that are settled. A pending one belongs to its run and is
    /// never copied.
    pub statuses: Vec<MessageStatus>,
    /// What is added to the number of each turn. Default: 0.
    pub insert_at_order: u64,
    /// Whether copies are found in their thread only, so that a search over all that their user has written
    /// finds the first of them alone. Default: yes. A hidden message stays hidden.
    pub hidden: bool,
    /// Whether edits go along. Default: yes.
    pub edits: bool,
    /// How many rows one transaction reads, up to [`MAX_BATCH`]. Default: [`BATCH`].
    pub batch: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: Target::Alike,
            limit: None,
            exclude_tools: false,
            statuses: vec![MessageStatus::Success, MessageStatus::Failed, MessageStatus::Aborted],
            insert_at_order: 0,
            hidden: true,
            edits: true,
            batch: BATCH,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let bad = |what, found: usize, right| {
            Err(Error::BadOption { what, found: u64::try_from(found).unwrap_or(u64::MAX), right })
        };
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return bad("batch", self.batch, "1 to 1000");
        }
        if self.limit == Some(0) {
            return bad("limit", 0, "at least 1, or none");
        }
        Ok(())
    }

    fn copies(&self, message: &MessageRow) -> bool {
        copies(&self.statuses, self.exclude_tools, message)
    }
}

fn copies(statuses: &[MessageStatus], exclude_tools: bool, message: &MessageRow) -> bool {
    let is_settled = message.status != MessageStatus::Pending;
    is_settled && statuses.contains(&message.status) && !(exclude_tools && message.tool)
}

/// Begins to copy a thread, and returns the copy. Messages keep their places, and answer in the copy what
/// they answered; their vectors go along. An edit goes along if its message does, or, if it has none, when
/// it was made before the first message that does not.
///
/// The copy of a small thread is whole at once. Where it is not, its status is
/// [`Copying`](ThreadStatus::Copying).
///
/// # Errors
/// [`Error`], what [`threads::require_open`] says of a thread to copy into, [`threads::Error::NotFound`],
/// and [`threads::Error::Copying`] for a source that is not whole itself.
pub fn start(tx: &mut Tx, source: ThreadId, at: impl Into<At>, options: Options) -> Result<Row<Thread>> {
    options.check()?;
    let thread = threads::require(tx, source)?;
    if thread.status == ThreadStatus::Copying {
        return Err(threads::Error::Copying { thread: source }.into());
    }
    let until = until(tx, source, at.into())?;
    let first = first(tx, source, until, &options)?;
    let messages = MessageRow::by_position.eq(source);
    let last = tx.first(messages.clone().le(until).desc())?.map(|last| last.position());
    let is_beyond = |last: Position| {
        last.order.checked_add(options.insert_at_order).is_none_or(|order| order > MAX_NUMBER)
    };
    if first.is_some() && last.is_some_and(is_beyond) {
        let found = options.insert_at_order;
        let right = "so small that no turn is beyond 2^53 - 2";
        return Err(Error::BadOption { what: "insert_at_order", found, right }.into());
    }
    let target = match options.target {
        Target::Alike => new_target(tx, (source, last), alike(thread.record))?,
        Target::New(new) => new_target(tx, (source, last), new)?,
        Target::Into(target) => {
            let orders = first.zip(last).map(|(first, last)| (first.order, last.order));
            open_target(tx, source, target, options.insert_at_order, orders)?
        }
    };
    let behind = tx.first(messages.gt(until))?;
    let now = tx.now();
    let fork = tx.insert(Fork {
        source,
        thread: target,
        until,
        statuses: options.statuses,
        exclude_tools: options.exclude_tools,
        insert_at_order: options.insert_at_order,
        hidden: options.hidden,
        edits: options.edits,
        edits_before: behind.map_or(Time::MAX, |message| message.created),
        batch: options.batch,
        stage: Stage::Messages(first.and_then(just_before)),
        asked: now,
        due: now,
        rows: 0,
    })?;
    step(tx, &fork)?;
    threads::require(tx, target)
}

/// Copies the rest of a thread that [`start`] has begun, and returns the copy. Where the copy is whole
/// already there is nothing to do.
///
/// # Cancel safety
/// Batches that are copied stay so: the upkeep, or another call, goes on with the next.
///
/// # Errors
/// [`threads::Error::NotFound`]; when the store cannot be read or written.
pub async fn finish(store: &Store, copy: ThreadId) -> Result<Row<Thread>> {
    loop {
        let whole = store.mutate(move |tx| match tx.first(Fork::by_thread.eq(copy))? {
            Some(fork) => step(tx, &fork).map(|()| None),
            None => threads::require(tx, copy).map(Some),
        });
        if let Some(thread) = whole.await? {
            return Ok(thread);
        }
    }
}

/// Copies the rest of what [`start`] has begun.
pub fn upkeep() -> Upkeep {
    Upkeep::new("thread forks", |tx| {
        let Some(fork) = tx.first(Fork::by_due.all().readable())? else { return Ok(Next::Idle) };
        if fork.due > tx.now() {
            return Ok(Next::At(fork.due));
        }
        let stepped = tx.nested(|tx| step(tx, &fork));
        rest_if_failed(tx, stepped, &fork, |fork, due| fork.due = due)?;
        Ok(Next::More)
    })
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When it was asked for.
    pub asked: Time,
    /// How many messages and edits are copied.
    pub rows: u64,
}

/// Returns how far a copy is; `None` when it is whole.
///
/// # Errors
/// When the store cannot be read.
pub fn progress(tx: &Tx, copy: ThreadId) -> Result<Option<Progress>> {
    let fork = tx.first(Fork::by_thread.eq(copy))?;
    Ok(fork.map(|fork| Progress { asked: fork.asked, rows: fork.rows }))
}

/// Returns a page of the threads that were forked from this one, the oldest first. They know their parent
/// also when that is deleted.
///
/// # Errors
/// When the store cannot be read, or the page belongs to another query.
pub fn list(tx: &Tx, parent: ThreadId, page: Page) -> Result<Paged<Thread>> {
    tx.page(Thread::by_parent.eq(parent), page)
}

/// The last position that is copied.
fn until(tx: &Tx, source: ThreadId, at: At) -> Result<Position> {
    match at {
        At::Position(position) => Ok(position),
        At::End => Ok(last(tx, source)?.map_or(Position::FIRST, |last| last.position())),
        At::Turn(message) => {
            let row = tx.get(message)?.filter(|row| row.thread == source);
            let row = row.ok_or(Error::OtherMessage { thread: source, message })?;
            Ok(Position::end_of(row.order))
        }
    }
}

/// The position of the first message that is copied: with a limit, that many from the end.
fn first(tx: &Tx, source: ThreadId, until: Position, options: &Options) -> Result<Option<Position>> {
    let messages = MessageRow::by_position.eq(source).le(until);
    let Some(limit) = options.limit else {
        return Ok(tx.first(messages)?.map(|first| first.position()));
    };
    let (mut first, mut count) = (None, 0);
    tx.each(messages.desc(), |row| {
        if options.copies(&row) {
            first = Some(row.position());
            count += 1;
        }
        Ok(if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(first)
}

fn just_before(position: Position) -> Option<Position> {
    match (position.order, position.step) {
        (0, 0) => None,
        (order, 0) => Some(Position::end_of(order - 1)),
        (order, step) => Some(Position::new(order, step - 1)),
    }
}

fn alike(thread: Thread) -> NewThread {
    let Thread { user, title, summary, tags, metadata, responder, agent, .. } = thread;
    NewThread { user, title, summary, tags, metadata, responder, agent }
}

fn new_target(tx: &mut Tx, origin: (ThreadId, Option<Position>), new: NewThread) -> Result<ThreadId> {
    Ok(threads::insert(tx, new, ThreadStatus::Copying, Some(origin))?.id)
}

/// Keeps a thread that is there for the copy, if it has none of the turns.
fn open_target(
    tx: &mut Tx,
    source: ThreadId,
    target: ThreadId,
    insert_at_order: u64,
    orders: Option<(u64, u64)>,
) -> Result<ThreadId> {
    if source == target {
        return Err(Error::Itself { thread: target }.into());
    }
    threads::require_open(tx, target)?;
    if !runs::live(tx, target)?.is_empty() {
        return Err(Error::Busy { thread: target }.into());
    }
    if let Some((first, last)) = orders {
        let (first, last) = (first + insert_at_order, last + insert_at_order);
        let turns = MessageRow::by_position.eq(target);
        let turns = turns.ge(Position::start_of(first)).le(Position::end_of(last));
        if let Some(taken) = tx.first(turns)? {
            return Err(Error::Taken { thread: target, order: taken.order }.into());
        }
    }
    threads::set_status(tx, target, ThreadStatus::Copying)?;
    Ok(target)
}
