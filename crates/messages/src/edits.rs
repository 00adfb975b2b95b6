//! Edits: what was done to a document or canvas beside the conversation.
//!
//! They are kept with a thread as points of reference for later ones, and are no part of its messages. An
//! agent reads the [`latest`] of a target, or those whose snippets are found.
//!
//! ```
//! use loomwork_messages::EditChange;
//! use loomwork_messages::edits::{self, NewEdit};
//! use loomwork_messages::threads::{self, NewThread};
//! use loomwork_store::{Result, Store};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
//! let store = Store::memory().tables(tables).open().await?;
//! store
//!     .mutate(|tx| {
//!         let thread = threads::create(tx, NewThread::for_user("alice"))?.id;
//!         let edit = NewEdit::new(thread, "headline", "replace", "The headline says: Carpets of winter");
//!         let change = EditChange::Replaced { before: json!("Carpets"), after: json!("Carpets of winter") };
//!         edits::append(tx, NewEdit { change, author: Some("alice".into()), ..edit })?;
//!         let latest = edits::latest(tx, thread, "headline")?;
//!         assert_eq!(latest.map(|edit| edit.version), Some(1));
//!         Ok(())
//!     })
//!     .await
//! # }
//! ```

mod retention;

use loomwork_core::{Fault, Kind};
use loomwork_search::vectors;
use loomwork_store::{Page, Paged, Result, Row, Tx};

use crate::metadata::MAX_METADATA_BYTES;
use crate::size::json_bytes;
use crate::tables::{Edit, EditChange, EditLog, EditTarget, MessageId, Metadata, ThreadId};
use crate::threads;

pub use retention::{RETENTION_STEP, Retention, retention};

/// The most bytes of a target's name.
pub const MAX_TARGET_BYTES: usize = 500;

/// The most bytes of the name of a kind, and of an author.
pub const MAX_NAME_BYTES: usize = 200;

/// The most bytes of a snippet.
pub const MAX_SNIPPET_BYTES: usize = 16 << 10;

/// The most bytes of what was changed, as JSON; what is larger belongs in files.
pub const MAX_CHANGE_BYTES: usize = 64 << 10;

/// Why an edit is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name of no letters.
    #[error("the {what} of an edit is empty; name what was edited, and what was done")]
    Empty {
        /// Target or kind.
        what: &'static str,
    },
    /// Something beyond its limit.
    #[error("the {what} of the edit of {target:?} takes {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// What was edited.
        target: String,
        /// Which part of the edit.
        what: &'static str,
        /// What it takes.
        bytes: usize,
        /// What it may take.
        limit: usize,
    },
    /// A message of another thread, or one that is not there.
    #[error("the edit of {target:?} names message {message}, which thread {thread} does not have")]
    OtherMessage {
        /// What was edited.
        target: String,
        /// The message.
        message: MessageId,
        /// The thread of the edit.
        thread: ThreadId,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// An edit to keep. [`new`](Self::new) says what each has; more comes by `NewEdit { .., ..edit }`.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEdit {
    /// Its thread.
    pub thread: ThreadId,
    /// What was edited: the name of a document, a cell, a node.
    pub target: String,
    /// What was done to it: `insert`, `replace`, `style`.
    pub kind: String,
    /// The text that an agent reads, and by which the edit is found.
    pub snippet: String,
    /// What was changed.
    pub change: EditChange,
    /// Who did it.
    pub author: Option<String>,
    /// The message that asked for it or told of it, one of the thread's.
    pub message: Option<MessageId>,
    /// What the application keeps with it.
    pub metadata: Metadata,
}

impl NewEdit {
    /// Returns an edit that says no more than this.
    pub fn new(
        thread: ThreadId,
        target: impl Into<String>,
        kind: impl Into<String>,
        snippet: impl Into<String>,
    ) -> Self {
        Self {
            thread,
            target: target.into(),
            kind: kind.into(),
            snippet: snippet.into(),
            change: EditChange::Unsaid,
            author: None,
            message: None,
            metadata: Metadata::new(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        for (what, text) in [("target", &self.target), ("kind", &self.kind)] {
            if text.is_empty() {
                return Err(Error::Empty { what });
            }
        }
        let author = self.author.as_ref().map_or(0, String::len);
        let sizes = [
            ("target", self.target.len(), MAX_TARGET_BYTES),
            ("kind", self.kind.len(), MAX_NAME_BYTES),
            ("author", author, MAX_NAME_BYTES),
            ("snippet", self.snippet.len(), MAX_SNIPPET_BYTES),
            ("change", json_bytes(&self.change), MAX_CHANGE_BYTES),
            ("metadata", json_bytes(&self.metadata), MAX_METADATA_BYTES),
        ];
        match sizes.into_iter().find(|(_, bytes, limit)| bytes > limit) {
            None => Ok(()),
            Some((what, bytes, limit)) => {
                let target = self.target.chars().take(MAX_NAME_BYTES).collect();
                Err(Error::TooLarge { target, what, bytes, limit })
            }
        }
    }
}

/// Keeps an edit, as the next version of its target.
///
/// # Errors
/// [`Error`], what [`threads::require_open`] returns, and when the store cannot be written.
pub fn append(tx: &mut Tx, new: NewEdit) -> Result<Row<Edit>> {
    new.check()?;
    threads::require_open(tx, new.thread)?;
    if let Some(message) = new.message
        && tx.get(message)?.is_none_or(|row| row.thread != new.thread)
    {
        return Err(Error::OtherMessage { target: new.target, message, thread: new.thread }.into());
    }
    let NewEdit { thread, target, kind, snippet, change, author, message, metadata } = new;
    let created = tx.now();
    insert(tx, Edit { thread, target, kind, version: 1, change, snippet, author, message, metadata, created })
}

/// Inserts an edit, under a version that is the edit's own unless that, or a later one, was given before.
pub(crate) fn insert(tx: &mut Tx, mut edit: Edit) -> Result<Row<Edit>> {
    let (thread, target) = (edit.thread, edit.target.clone());
    match tx.first(EditTarget::by_target.eq(thread).eq(target.as_str()))? {
        Some(before) => {
            edit.version = edit.version.max(before.version + 1);
            tx.update(before.id, |row| (row.version, row.kept) = (edit.version, row.kept + 1))?
        }
        None => tx.insert(EditTarget { thread, target, version: edit.version, kept: 1 })?,
    };
    match tx.first(EditLog::by_thread.eq(thread))? {
        Some(log) => tx.update(log.id, |log| log.kept += 1)?,
        None => tx.insert(EditLog { thread, kept: 1 })?,
    };
    tx.insert(edit)
}

/// Deletes an edit with its vectors; its version is not given again.
fn remove(tx: &mut Tx, edit: &Row<Edit>) -> Result<()> {
    vectors::delete_for(tx, edit.id)?;
    if tx.delete(edit.id)?.is_none() {
        return Ok(());
    }
    if let Some(target) = tx.first(EditTarget::by_target.eq(edit.thread).eq(edit.target.as_str()))? {
        tx.update(target.id, |row| row.kept = row.kept.saturating_sub(1))?;
    }
    if let Some(log) = tx.first(EditLog::by_thread.eq(edit.thread))? {
        tx.update(log.id, |log| log.kept = log.kept.saturating_sub(1))?;
    }
    Ok(())
}

/// Returns a page of the edits of a thread, the newest first.
///
/// # Errors
/// [`threads::Error::NotFound`]; when the store cannot be read, or the page belongs to another query.
pub fn list(tx: &Tx, thread: ThreadId, page: Page) -> Result<Paged<Edit>> {
    threads::require(tx, thread)?;
    tx.page(Edit::by_thread.eq(thread).desc(), page)
}

/// Returns a page of the edits of a target, the newest first.
///
/// # Errors
/// As [`list`].
pub fn list_of(tx: &Tx, thread: ThreadId, target: &str, page: Page) -> Result<Paged<Edit>> {
    threads::require(tx, thread)?;
    tx.page(Edit::by_target.eq(thread).eq(target).desc(), page)
}

/// Returns the newest edit of a target.
///
/// # Errors
/// [`threads::Error::NotFound`]; when the store cannot be read.
pub fn latest(tx: &Tx, thread: ThreadId, target: &str) -> Result<Option<Row<Edit>>> {
    threads::require(tx, thread)?;
    tx.first(Edit::by_target.eq(thread).eq(target).desc())
}

/// Returns the newest edit of each of a thread's targets, by the targets' names: a page of as many targets,
/// of which those whose edits are all forgotten are left out.
///
/// # Errors
/// As [`list`].
pub fn latest_of_each(tx: &Tx, thread: ThreadId, page: Page) -> Result<Paged<Edit>> {
    threads::require(tx, thread)?;
    let targets = tx.page(EditTarget::by_target.eq(thread), page)?;
    let newest = |target: &Row<EditTarget>| {
        tx.first(Edit::by_target.eq(thread).eq(target.target.as_str()).desc()).transpose()
    };
    let rows = targets.rows.iter().filter_map(newest).collect::<Result<_>>()?;
    Ok(Paged { rows, next: targets.next })
}
