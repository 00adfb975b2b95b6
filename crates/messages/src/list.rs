//! Reading messages.

use std::ops::ControlFlow;

use loomwork_core::{Fault, Kind};
use loomwork_store::{Result, Row, Tx};

use crate::tables::{MessageId, MessageRow, MessageStatus, Position, ThreadId};
use crate::threads;

/// How many messages a page has unless somebody says otherwise.
pub const PAGE: usize = 100;

/// How many messages a page may have beyond its size to end with a whole turn.
pub const MAX_TURN_REST: usize = 1_000;

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
    /// Behind which position the next page begins; none where there is nothing left.
    pub next: Option<Position>,
}

/// Returns a page of a thread's messages. A thread that is not there has none.
///
/// A page goes on behind its cursor whatever is saved or deleted meanwhile.
///
/// # Errors
/// [`ListError`] for a page of no messages, and an end that is no message of the thread.
pub fn list(tx: &Tx, thread: ThreadId, list: &List) -> Result<MessagePage> {
    if list.size == 0 {
        return Err(ListError::EmptyPage.into());
    }
    if threads::get(tx, thread)?.is_none() {
        return Ok(MessagePage { messages: Vec::new(), next: None });
    }
    let last_order = list.up_to.map(|id| order_of(tx, thread, id)).transpose()?;
    let mut page = MessagePage { messages: Vec::new(), next: None };
    let mut visit = |row: Row<MessageRow>| {
        if !list.wants(&row) {
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(last) = page.messages.last().filter(|_| page.messages.len() >= list.size) {
            let goes_on = list.whole_turns
                && last.order == row.order
                && page.messages.len() < list.size + MAX_TURN_REST;
            if !goes_on {
                page.next = Some(last.position());
                return Ok(ControlFlow::Break(()));
            }
        }
        page.messages.push(row);
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
    tx.each(span, &mut visit)?;
    Ok(page)
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
