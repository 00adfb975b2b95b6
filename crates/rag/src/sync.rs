//! Keeping entries in step with something outside.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use loomwork_models::Usage;

use crate::add::{Added, Target};
use crate::content::{Content, NewEntry};
use crate::entries::{self, DELETE_STEP};
use crate::error::unwrapped;
use crate::load::ReadingId;
use crate::namespaces;
use crate::rag::Rag;
use crate::tables::{EntryId, EntryRow, EntryStatus, NamespaceId};
use crate::{Error, Result};

/// How entries are kept in step. New fields may come, so end a literal with `..SyncOptions::of(origin)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncOptions {
    /// What they are from, by a name that is its own in the namespace.
    pub origin: String,
    /// Deletes the entries of this origin that are no longer there: those that were there before the run began,
    /// and if all keys are known. Where nothing is there, all of them go. Default: no.
    pub delete_missing: bool,
    /// Leaves keys alone that are there already, whatever their content is now. Default: no.
    pub only_new: bool,
    /// How many entries are made at the same time. Default: 4.
    pub at_once: usize,
}

impl SyncOptions {
    /// Returns how entries of this origin are added and replaced.
    pub fn of(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), delete_missing: false, only_new: false, at_once: 4 }
    }
}

/// What is there of one thing.
pub(crate) enum Made {
    /// An entry, which may be as it was, and what is to be forgotten once it is there.
    Entry(Box<NewEntry>, Content, Option<ReadingId>),
    /// An entry that is known to be as it was.
    Same(String, EntryId),
    /// Something that could not be made, by its key where that is known.
    Failed(Option<String>, Error),
    /// Something of which all that begins with this key could not be looked at.
    Closed(String, Error),
}

/// What became of one thing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// It was added, or replaced what was there.
    Added(Box<Added>),
    /// It is as it was.
    Same(EntryId),
    /// It is of a kind that is not read here; what was there stays.
    Skipped {
        /// Its key.
        key: String,
        /// What would read it.
        why: Error,
    },
    /// It could not be made; what was there stays.
    Failed {
        /// Its key, where that is known.
        key: Option<String>,
        /// Why.
        error: Error,
    },
    /// It is no longer there, and so neither is its entry.
    Deleted(EntryId),
}

/// What keeping in step came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Synced {
    /// How many entries were added.
    pub added: usize,
    /// How many took the place of another version.
    pub replaced: usize,
    /// How many are as they were.
    pub same: usize,
    /// How many were left out, since nothing here reads them.
    pub skipped: usize,
    /// How many were deleted.
    pub deleted: usize,
    /// What could not be made, and why.
    pub failed: Vec<(Option<String>, Error)>,
    /// What embedding used.
    pub usage: Usage,
}

impl Synced {
    fn count(&mut self, step: Step) {
        match step {
            Step::Added(added) if added.replaced.is_some() => {
                self.replaced += 1;
                self.usage += &added.usage;
            }
            Step::Added(added) => {
                self.added += 1;
                self.usage += &added.usage;
            }
            Step::Same(_) => self.same += 1,
            Step::Skipped { .. } => self.skipped += 1,
            Step::Failed { key, error } => self.failed.push((key, error)),
            Step::Deleted(_) => self.deleted += 1,
        }
    }
}

/// What a step says of the keys that are there.
enum There {
    Key(String),
    /// This one, and perhaps others that begin with it.
    Below(String),
    Unknown,
}

/// What is there, as far as a run has seen it.
#[derive(Debug, Default)]
struct Present {
    /// The last publication before the run.
    before: u64,
    keys: BTreeSet<String>,
    /// What keys begin with that could not be looked at.
    closed: Vec<String>,
    /// Something is there whose key is not known.
    is_unknown: bool,
}

impl Present {
    fn has(&self, entry: &EntryRow) -> bool {
        let is_new = entry.published.is_none_or(|number| number > self.before);
        let is_closed = |key: &String| self.closed.iter().any(|closed| key.starts_with(closed.as_str()));
        is_new || entry.key.as_ref().is_some_and(|key| self.keys.contains(key) || is_closed(key))
    }
}

/// Checks that a live entry may be replaced by one of an origin. Two that replaced each other's entries would do so
/// for ever.
pub(crate) fn check_origin(live: &EntryRow, origin: Option<&str>) -> Result<()> {
    match &live.origin {
        Some(other) if Some(other.as_str()) != origin => {
            let key = live.key.as_deref().unwrap_or_default();
            let found = format!("{key:?}, which is kept in step with {other:?}");
            Err(Error::bad("the key", found, "name that origin, or let keys begin with something else"))
        }
        _ => Ok(()),
    }
}

impl Rag {
    /// Brings the entries of an origin in step with a stream of what is there now. What has not changed costs
    /// no embedding, so doing it again is free, and one that was interrupted goes on. Each entry needs a key, which
    /// no live entry of another origin has.
    /// `progress` hears of each.
    ///
    /// # Errors
    /// When the namespace cannot be used; when the store cannot be read or written. An entry that cannot be
    /// made is counted, and stops no other. What was there of it stays; where its key is not known, nothing is
    /// deleted.
    ///
    /// # Cancel safety
    /// It may be dropped at any time, and goes on when it is called again.
    pub async fn sync<S>(
        &self,
        target: impl Into<Target>,
        sync: SyncOptions,
        entries: S,
        progress: impl FnMut(&Step),
    ) -> Result<Synced>
    where
        S: Stream<Item = Result<(NewEntry, Content)>> + Send,
    {
        let made = entries.map(|entry| {
            std::future::ready(match entry {
                Ok((new, content)) => Made::Entry(Box::new(new), content, None),
                Err(error) => Made::Failed(None, error),
            })
        });
        self.sync_made(target.into(), sync, made, progress).await
    }

    /// As [`sync`](Self::sync), of entries that are yet to be made.
    pub(crate) async fn sync_made<S, W>(
        &self,
        target: Target,
        sync: SyncOptions,
        entries: S,
        mut progress: impl FnMut(&Step),
    ) -> Result<Synced>
    where
        S: Stream<Item = W> + Send,
        W: Future<Output = Made> + Send,
    {
        if !(1..=200).contains(&sync.at_once) || sync.origin.is_empty() {
            let found = format!("{} entries at once of {:?}", sync.at_once, sync.origin);
            return Err(Error::bad("keeping in step", found, "takes 1 to 200 of an origin with a name"));
        }
        let namespace = self.namespace_of(target.clone()).await?.id;
        // What is published from now on is another run's, or this one's.
        let read = self.inner.store.query(move |tx| Ok(namespaces::require(tx, namespace)?.published));
        let before = read.await.map_err(unwrapped)?;
        let steps = entries.map(|made| {
            let (sync, target) = (&sync, &target);
            async move { self.step(target, namespace, sync, made.await).await }
        });
        let mut steps: BoxStream<'_, (There, Step)> = steps.buffer_unordered(sync.at_once).boxed();
        let mut synced = Synced::default();
        let mut present = Present { before, ..Present::default() };
        while let Some((there, step)) = steps.next().await {
            match there {
                There::Key(key) => drop(present.keys.insert(key)),
                There::Below(key) => present.closed.push(key),
                There::Unknown => present.is_unknown = true,
            }
            progress(&step);
            synced.count(step);
        }
        drop(steps);
        if sync.delete_missing && !present.is_unknown {
            self.delete_missing(namespace, &sync.origin, present, &mut synced, progress).await?;
        }
        Ok(synced)
    }

    async fn step(
        &self,
        target: &Target,
        namespace: NamespaceId,
        sync: &SyncOptions,
        made: Made,
    ) -> (There, Step) {
        let (new, content, reading) = match made {
            Made::Entry(new, content, reading) => (*new, content, reading),
            Made::Same(key, entry) => return (There::Key(key), Step::Same(entry)),
            Made::Failed(Some(key), why @ Error::NoReader { .. }) => {
                return (There::Key(key.clone()), Step::Skipped { key, why });
            }
            Made::Failed(key, error) => {
                let there = key.clone().map_or(There::Unknown, There::Key);
                return (there, Step::Failed { key, error });
            }
            Made::Closed(key, error) => {
                return (There::Below(key.clone()), Step::Failed { key: Some(key), error });
            }
        };
        let Some(key) = new.key.clone() else {
            let error = Error::bad("an entry of an origin has", "no key", "give it one");
            return (There::Unknown, Step::Failed { key: None, error });
        };
        let made = async {
            let step = self.add_in_step(target, namespace, sync, new, content).await?;
            self.forget_reading(reading).await?;
            Ok(step)
        };
        let step = match made.await {
            Ok(step) => step,
            Err(error) => Step::Failed { key: Some(key.clone()), error },
        };
        (There::Key(key), step)
    }

    async fn add_in_step(
        &self,
        target: &Target,
        namespace: NamespaceId,
        sync: &SyncOptions,
        new: NewEntry,
        content: Content,
    ) -> Result<Step> {
        let key = new.key.clone().unwrap_or_default();
        let live = self.inner.store.query(move |tx| entries::by_key(tx, namespace, &key)).await?;
        if let Some(live) = &live {
            check_origin(live, Some(&sync.origin))?;
        }
        if let Some(live) = live.filter(|_| sync.only_new) {
            return Ok(Step::Same(live.id));
        }
        // Each key has an entry of its own, whatever another one's content is.
        let new = NewEntry { origin: Some(sync.origin.clone()), dedupe: false, ..new };
        let added = self.add(target.clone(), new, content).await?;
        Ok(if added.created { Step::Added(Box::new(added)) } else { Step::Same(added.entry.id) })
    }

    /// Deletes the live entries of an origin that are not among these keys.
    async fn delete_missing(
        &self,
        namespace: NamespaceId,
        origin: &str,
        present: Present,
        synced: &mut Synced,
        mut progress: impl FnMut(&Step),
    ) -> Result<()> {
        let (asked, present) = (origin.to_owned(), Arc::new(present));
        let read = self.inner.store.query(move |tx| {
            let mut missing = Vec::new();
            tx.each(EntryRow::of_origin.eq(namespace).eq(Some(asked.clone())), |entry| {
                if !present.has(&entry) {
                    missing.push(entry.id);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(missing)
        });
        for ids in read.await?.chunks(DELETE_STEP) {
            let (rag, ids) = (self.clone(), ids.to_vec());
            let gone = self.inner.store.mutate(move |tx| {
                let mut gone = Vec::new();
                for id in ids {
                    if tx.get(id)?.is_some_and(|entry| entry.status == EntryStatus::Ready) {
                        rag.delete(tx, id)?;
                        gone.push(id);
                    }
                }
                Ok(gone)
            });
            for id in gone.await.map_err(unwrapped)? {
                let step = Step::Deleted(id);
                progress(&step);
                synced.count(step);
            }
        }
        Ok(())
    }
}
