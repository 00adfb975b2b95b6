//! Reading messages.

use std::ops::{Bound, ControlFlow};

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Row, Tx};

use crate::size::json_bytes;
use crate::tables::{MessageId, MessageRow, MessageStatus, Position, ThreadId};
use crate::threads;

/// How many messages a page has unless somebody says otherwise.
pub const PAGE: usize = 100;

/// How many messages a page may have beyond its size to end with a whole turn.
pub const MAX_TURN_REST: usize = 1_000;

/// How many messages that are not asked for a page passes over, and as many more within a turn that it has
/// begun. Such a page may hold fewer messages than it could, or none, and still be followed by others.
pub const MAX_PASSED_OVER: usize = 1_000;

/// Which messages of a thread, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Whether the last message comes first; so by default.
    pub newest_first: bool,
    /// Only these statuses; any by default.
    pub statuses: Option<Vec<MessageStatus>>,
    /// Whether tool calls and tool results are left out.
    pub without_tools: bool,
    /// Nothing behind the turn of this message.
    pub up_to: Option<MessageId>,
    /// What comes behind this position, in the order that is asked for: the cursor of the page before.
    pub after: Option<Position>,
    /// How many; [`PAGE`] by default.
    pub size: usize,
    /// Whether the page goes on until its last turn is whole, by [`MAX_TURN_REST`] messages at most.
    pub whole_turns: bool,
    /// About how many bytes of JSON the page may have: no message is begun beyond it, so that a turn may be cut there;
    /// any number by default.
    pub bytes: Option<usize>,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest_first: true,
            statuses: None,
            without_tools: false,
            up_to: None,
            after: None,
            size: PAGE,
            whole_turns: false,
            bytes: None,
        }
    }
}

impl List {
    /// Returns the last messages first.
    pub fn newest(size: usize) -> Self {
        Self { size, ..Self::default() }
    }

    /// Returns the first messages first.
    pub fn oldest(size: usize) -> Self {
        Self { size, newest_first: false, ..Self::default() }
    }

    fn wants(&self, row: &MessageRow) -> bool {
        let status = self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&row.status));
        status && !(self.without_tools && row.tool)
    }

    fn is_visible_only(&self) -> bool {
        self.without_tools && self.statuses.as_deref() == Some(&[MessageStatus::Success])
    }

    fn is_pending_only(&self) -> bool {
        self.statuses.as_deref() == Some(&[MessageStatus::Pending])
    }
}

/// A page of messages.
#[derive(Clone, Debug)]
pub struct MessagePage {
    /// The messages, in the order that was asked for.
    pub messages: Vec<Row<MessageRow>>,
    /// Behind which position the next page begins; none where there is nothing left. A page may be short, or
    /// empty, and still say so: see [`MAX_PASSED_OVER`].
    pub next: Option<Position>,
}

/// The positions that a page shows.
pub(crate) type Part = (Bound<Position>, Bound<Position>);

/// Returns a page of a thread's messages. A thread that is not there has none.
///
/// A page goes on behind its cursor whatever is saved or deleted meanwhile.
///
/// # Errors
/// [`ListError`] for a page of no messages, and an end that is no message of the thread.
pub fn list(tx: &Tx, thread: ThreadId, list: &List) -> Result<MessagePage> {
    part(tx, thread, list).map(|(page, _)| page)
}

/// As [`list`], with the positions that the page shows. Those of one page begin where those of the page before
/// it end.
pub(crate) fn part(tx: &Tx, thread: ThreadId, list: &List) -> Result<(MessagePage, Part)> {
    if list.size == 0 {
        return Err(ListError::EmptyPage.into());
    }
    let mut page = MessagePage { messages: Vec::new(), next: None };
    if threads::get(tx, thread)?.is_none() {
        return Ok((page, (Bound::Unbounded, Bound::Unbounded)));
    }
    let last_order = list.up_to.map(|id| order_of(tx, thread, id)).transpose()?;
    let (mut passed_over, mut last, mut bytes) = (0, None, 0_usize);
    let visit = |row: Row<MessageRow>| {
        let is_in_turn =
            list.whole_turns && page.messages.last().is_some_and(|before| before.order == row.order);
        let (rows, others) = if is_in_turn {
            (list.size.saturating_add(MAX_TURN_REST), 2 * MAX_PASSED_OVER)
        } else {
            (list.size, MAX_PASSED_OVER)
        };
        let is_wanted = list.wants(&row);
        let is_heavy = list.bytes.is_some_and(|most| bytes >= most);
        let is_full = is_heavy || if is_wanted { page.messages.len() >= rows } else { passed_over >= others };
        if is_full {
            page.next = last;
            return Ok(ControlFlow::Break(()));
        }
        last = Some(row.position());
        if is_wanted {
            if list.bytes.is_some() {
                bytes = bytes.saturating_add(json_bytes(&row.record));
            }
            page.messages.push(row);
        } else {
            passed_over += 1;
        }
        Ok(ControlFlow::Continue(()))
    };
    let index = if list.is_visible_only() {
        MessageRow::visible
    } else if list.is_pending_only() {
        MessageRow::pending
    } else {
        MessageRow::by_position
    };
    let span = index.eq(thread).ge(Position::FIRST);
    let span = match (list.after, list.newest_first) {
        (Some(after), true) => span.lt(after).desc(),
        (Some(after), false) => span.gt(after),
        (None, true) => span.desc(),
        (None, false) => span,
    };
    let span = match last_order {
        Some(order) => span.le(Position::end_of(order)),
        None => span,
    };
    tx.each(span, visit)?;
    let begins = list.after.map_or(Bound::Unbounded, Bound::Excluded);
    let ends = page.next.map_or(Bound::Unbounded, Bound::Included);
    let (low, high) = if list.newest_first { (ends, begins) } else { (begins, ends) };
    let high = match (high, last_order) {
        (Bound::Unbounded, Some(order)) => Bound::Included(Position::end_of(order)),
        (high, _) => high,
    };
    Ok((page, (low, high)))
}

fn order_of(tx: &Tx, thread: ThreadId, id: MessageId) -> Result<u64> {
    let row = tx.get(id)?.filter(|row| row.thread == thread);
    row.map(|row| row.order).ok_or_else(|| ListError::NotInThread { message: id, thread }.into())
}

/// Returns the messages with these ids, in their order, and nothing for those that are not there.
///
/// # Errors
/// When a message cannot be read.
pub fn get_all(tx: &Tx, ids: &[MessageId]) -> Result<Vec<Option<Row<MessageRow>>>> {
    ids.iter().map(|id| tx.get(*id)).collect()
}

/// Returns the last message of a thread, whatever its status.
///
/// # Errors
/// When it cannot be read.
pub fn last(tx: &Tx, thread: ThreadId) -> Result<Option<Row<MessageRow>>> {
    tx.first(MessageRow::by_position.eq(thread).desc())
}

/// Why messages cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A page of no messages.
    #[error("a page of 0 messages; ask for at least 1")]
    EmptyPage,
    /// An end that is no message of the thread.
    #[error("{thread} has no {message} to list up to")]
    NotInThread {
        /// The message.
        message: MessageId,
        /// The thread.
        thread: ThreadId,
    },
}

impl Fault for ListError {
    fn kind(&self) -> Kind {
        match self {
            Self::EmptyPage => Kind::Invalid,
            Self::NotInThread { .. } => Kind::NotFound,
        }
    }
}
