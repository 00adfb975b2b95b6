//! How entries settle: published, overtaken, failed, called off, deleted.
//!
//! An entry becomes the live one of its key in one transaction that changes two rows, whatever its size.
//! A search keeps out the chunks of entries that are `hidden`: not live, and still known to the index. So
//! the chunks of a version may be written before it is live, and taken away after it was.
//!
//! What is settled is told, and kept for as long as the knowledge base says that settles it. What comes later,
//! out of the index and out of the store, is done by any of those that share the store: see `sweep`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use loomwork_search::Space;
use loomwork_store::{Result as StoreResult, Row, Tx};
use loomwork_workpool as workpool;

use crate::tables::{EntryId, EntryRow, EntryStatus, InputRow, NamespaceRow, NamespaceStatus};
use crate::{Error, migrate, namespaces};

/// How long the chunks of an entry that is no longer live stay in the index, so that searches which began
/// before find them all.
pub const GRACE: Duration = Duration::from_secs(10);

/// How long whoever adds an entry may be silent before it counts as dead. It is heard of several times within
/// that, however long its content or its model take.
pub const LEASE: Duration = Duration::from_secs(10 * 60);

/// How long it can be seen of an entry that it was replaced before it was ever found: that it was the same as the
/// live one, or that a newer one came first. It is no version that could be restored.
pub const TOLD: Duration = Duration::from_secs(60 * 60);

/// How many versions of a key, besides the live one, are kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many there are at most. Default: 10. One that was replaced within [`GRACE`] is there besides.
    pub versions: usize,
    /// How long they are kept after they were replaced, and what failed or was called off after that; `None`
    /// is for ever. Default: a week.
    pub age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { versions: 10, age: Some(Duration::from_secs(7 * 24 * 60 * 60)) }
    }
}

/// What has come to its end, for [`Builder::on_settled`](crate::Builder::on_settled).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Settled {
    /// An entry is no longer pending: it is ready, or was replaced before that, failed or was called off.
    Entry {
        /// The entry, as it is now.
        entry: Box<Row<EntryRow>>,
        /// The one whose place it took.
        replaced: Option<Box<Row<EntryRow>>>,
    },
    /// A namespace is no longer pending: it is ready, or was replaced before that.
    Namespace {
        /// The namespace, as it is now.
        namespace: Row<NamespaceRow>,
        /// Those whose place it took.
        replaced: Vec<Row<NamespaceRow>>,
    },
}

impl Settled {
    fn of(entry: &Row<EntryRow>, replaced: Option<&Row<EntryRow>>) -> Self {
        Self::Entry { entry: Box::new(entry.clone()), replaced: replaced.cloned().map(Box::new) }
    }
}

pub(crate) type OnSettled = Arc<dyn Fn(&mut Tx, &Settled) -> StoreResult<()> + Send + Sync>;

/// Changes where entries stand, and tells of it.
#[derive(Clone, Default)]
pub(crate) struct Settling {
    pub(crate) hook: Option<OnSettled>,
    pub(crate) retention: Retention,
}

impl fmt::Debug for Settling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Settling").field("retention", &self.retention).finish_non_exhaustive()
    }
}

/// What became of an entry that was to be published.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) entry: Row<EntryRow>,
    pub(crate) replaced: Option<Row<EntryRow>>,
    /// It was dropped, since this one is live and the same.
    pub(crate) is_same: bool,
}

impl Published {
    fn of(entry: Row<EntryRow>, replaced: Option<Row<EntryRow>>) -> Self {
        Self { entry, replaced, is_same: false }
    }
}

pub(crate) fn require(tx: &Tx, id: EntryId) -> StoreResult<Row<EntryRow>> {
    Ok(tx.get(id)?.ok_or_else(|| Error::UnknownEntry { id: id.to_string() })?)
}

pub(crate) fn wrong_status(entry: &Row<EntryRow>, action: &'static str) -> Error {
    Error::WrongStatus { entry: entry.id.to_string(), status: entry.status.as_str(), action }
}

impl Settling {
    pub(crate) fn tell(&self, tx: &mut Tx, settled: &Settled) -> StoreResult<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(tx, settled))
    }

    /// Makes an entry the live one of its key, unless a newer one is.
    pub(crate) fn publish(&self, tx: &mut Tx, id: EntryId) -> StoreResult<Published> {
        let entry = require(tx, id)?;
        match entry.status {
            EntryStatus::Ready | EntryStatus::Replaced => return Ok(Published::of(entry, None)),
            EntryStatus::Pending => {}
            _ => return Err(wrong_status(&entry, "published").into()),
        }
        let namespace = namespaces::require(tx, entry.namespace)?;
        check_namespace(tx, &namespace, &entry)?;
        if entry.chunks > 0 {
            check_spaces(&namespace, &entry.spaces, id)?;
        }
        let live = match &entry.key {
            Some(key) => tx.first(EntryRow::live.eq(entry.namespace).eq(key.as_str()))?,
            None => None,
        };
        if live.as_ref().is_some_and(|live| live.version > entry.version) {
            let entry = self.settle(tx, id, EntryStatus::Replaced, None)?;
            return Ok(Published::of(entry, None));
        }
        let number = namespace.published + 1;
        tx.update(namespace.id, |row| row.published = number)?;
        let inherited = live.as_ref().filter(|_| entry.inherits).map(|live| live.importance);
        let replaced = live.map(|live| self.retire(tx, live.id, EntryStatus::Replaced, Some(number)));
        let replaced = replaced.transpose()?;
        let now = tx.now();
        let entry = tx.update(id, |row| {
            row.status = EntryStatus::Ready;
            row.published = Some(number);
            if let Some(importance) = inherited.filter(|importance| *importance != row.importance) {
                // The version before was weighed while this one was made.
                (row.importance, row.weighing) = (importance, Some(0));
            }
            row.due = row.weighing.map(|_| now);
            (row.hidden, row.swept, row.over) = (false, 0, None);
            (row.settled, row.error) = (now, None);
        })?;
        drop_input(tx, id)?;
        migrate::on_published(tx, &entry)?;
        self.tell(tx, &Settled::of(&entry, replaced.as_ref()))?;
        if let Some(key) = entry.key.clone() {
            self.overtake(tx, &entry, &key)?;
            self.retain(tx, &entry, &key)?;
        }
        Ok(Published::of(entry, replaced))
    }

    /// Ends a pending entry and tells of it.
    pub(crate) fn settle(
        &self,
        tx: &mut Tx,
        id: EntryId,
        status: EntryStatus,
        error: Option<String>,
    ) -> StoreResult<Row<EntryRow>> {
        self.retire(tx, id, status, None)?;
        let entry = tx.update(id, |row| row.error = error)?;
        if status == EntryStatus::Replaced {
            drop_input(tx, id)?;
        }
        self.tell(tx, &Settled::of(&entry, None))?;
        Ok(entry)
    }

    /// Takes an entry out of what searches find, and keeps it as long as this knowledge base says.
    fn retire(
        &self,
        tx: &mut Tx,
        id: EntryId,
        status: EntryStatus,
        over: Option<u64>,
    ) -> StoreResult<Row<EntryRow>> {
        let entry = leave(tx, id, status)?;
        let age = if entry.is_of_no_use() { Some(TOLD) } else { self.retention.age };
        let expires = age.map(|age| tx.now() + age);
        tx.update(id, |row| (row.expires, row.over) = (expires, over))
    }

    /// Ends what is pending of older versions.
    fn overtake(&self, tx: &mut Tx, entry: &Row<EntryRow>, key: &str) -> StoreResult<()> {
        let older = tx.scan(EntryRow::by_key.eq(entry.namespace).eq(key).lt(entry.version))?;
        for row in older.into_iter().filter(|row| row.status == EntryStatus::Pending) {
            if let Some(job) = row.job {
                workpool::cancel(tx, job)?;
            }
            self.settle(tx, row.id, EntryStatus::Replaced, None)?;
        }
        Ok(())
    }

    /// Gives up the oldest versions beyond those that are kept.
    fn retain(&self, tx: &mut Tx, entry: &Row<EntryRow>, key: &str) -> StoreResult<()> {
        let versions = tx.scan(EntryRow::by_key.eq(entry.namespace).eq(key).desc())?;
        let former =
            versions.into_iter().filter(|row| row.status == EntryStatus::Replaced && !row.is_of_no_use());
        for row in former.skip(self.retention.versions) {
            if row.hidden {
                // Searches that began before may need it yet.
                tx.update(row.id, |row| row.expires = Some(row.settled))?;
            } else {
                leave(tx, row.id, EntryStatus::Deleting)?;
            }
        }
        Ok(())
    }
}

/// Takes an entry out of what searches find. Its chunks leave the index when no search needs them.
pub(crate) fn leave(tx: &mut Tx, id: EntryId, status: EntryStatus) -> StoreResult<Row<EntryRow>> {
    let now = tx.now();
    tx.update(id, |row| {
        let was_found = row.published.is_some() && status == EntryStatus::Replaced;
        (row.status, row.settled) = (status, now);
        let due = if was_found { now + GRACE } else { now };
        (row.hidden, row.due, row.swept) = (true, Some(due), 0);
    })
}

/// Leaves a former version that was to be live again as the former version that it was.
pub(crate) fn call_off(tx: &mut Tx, id: EntryId) -> StoreResult<()> {
    leave(tx, id, EntryStatus::Replaced).map(drop)
}

/// Checks that an entry would be found where it is to be published.
fn check_namespace(tx: &Tx, namespace: &Row<NamespaceRow>, entry: &Row<EntryRow>) -> StoreResult<()> {
    let is_wrong = match namespace.status {
        NamespaceStatus::Deleting => true,
        NamespaceStatus::Replaced => entry.by_name,
        NamespaceStatus::Pending | NamespaceStatus::Ready => false,
    };
    if is_wrong { Err(namespaces::no_longer_answers(tx, namespace, entry.id)?.into()) } else { Ok(()) }
}

/// Checks that an entry's vectors are those that searches of its namespace need. What it is being given by a
/// migration may come later; what is of a former model is of no use.
pub(crate) fn check_spaces(
    namespace: &Row<NamespaceRow>,
    spaces: &[Space],
    entry: EntryId,
) -> Result<(), Error> {
    let is_of_it = |space: &Space| *space == namespace.space || Some(space) == namespace.also.as_ref();
    if spaces.contains(&namespace.space) && spaces.iter().all(is_of_it) {
        return Ok(());
    }
    let change = format!("went over to the model {}", namespace.space.model());
    Err(Error::NamespaceChanged { namespace: namespace.id.to_string(), change, entry: entry.to_string() })
}

pub(crate) fn drop_input(tx: &mut Tx, id: EntryId) -> StoreResult<()> {
    tx.delete(loomwork_store::Id::<InputRow>::from_raw(id.raw())).map(drop)
}
