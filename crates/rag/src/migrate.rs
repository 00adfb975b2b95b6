//! From one embedding model to another, while searches go on.
//!
//! A namespace has one space, and while it migrates also another: its chunks get vectors in both, those that
//! are added as well. Which entries lack one is read off an index, so a job that is killed goes on where it
//! stopped, and nothing is missed that was added meanwhile. Cutting over and rolling back swap the two.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_search::{Space, vectors};
use loomwork_store::{Cursor, Error as StoreError, Page, Paged, Result as StoreResult, Row, Tx};
use loomwork_workpool::{self as workpool, Completion, Done, Job, JobContext, Options, Outcome, State};

use crate::content::chunk_hash;
use crate::embed::{Bill, EMBED_TEXTS, Embedder, Task, texts_of};
use crate::error::unwrapped;
use crate::ingest::RAG_POOL;
use crate::namespaces::require;
use crate::rag::Rag;
use crate::sweep::SWEEP_STEP;
use crate::tables::{
    ChunkId, ChunkRow, EntryId, EntryRow, MigrationRow, NamespaceId, NamespaceRow, space_key,
};
use crate::weight::folded;
use crate::{Error, Result};

const MIGRATE: Job<NamespaceId, ()> = Job::new("rag.migrate").in_pool(RAG_POOL);
const MIGRATED: Completion<NamespaceId, ()> = Completion::new("rag.migrated");

/// How a migration stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Migration {
    /// The space that the namespace has now.
    pub space: Space,
    /// The other one.
    pub also: Option<Space>,
    /// How many of its entries have chunks, live ones and those that can be again.
    pub entries: usize,
    /// How many of them lack vectors in one of the two.
    pub lacking: usize,
    /// How many chunks were embedded for it.
    pub chunks: u64,
    /// How many tokens that took.
    pub tokens: u64,
    /// Why it does not go on, if its job has failed; [`Rag::migrate`] again goes on.
    pub error: Option<String>,
}

/// Returns how the migration of a namespace stands; `None` where there is none. Under `watch` it is live.
///
/// # Errors
/// When there is no such namespace; when the store cannot be read.
pub fn migration(tx: &Tx, id: NamespaceId) -> StoreResult<Option<Migration>> {
    let namespace = require(tx, id)?;
    let Some(row) = tx.first(MigrationRow::by_namespace.eq(id))? else { return Ok(None) };
    let (mut entries, mut lacking) = (0, 0);
    for (key, count) in groups(tx, id)? {
        entries += count;
        if [Some(&namespace.space), namespace.also.as_ref()]
            .into_iter()
            .flatten()
            .any(|space| !has(&key, space))
        {
            lacking += count;
        }
    }
    let NamespaceRow { space, also, .. } = namespace.record;
    let MigrationRow { chunks, tokens, error, .. } = row.record;
    Ok(Some(Migration { space, also, entries, lacking, chunks, tokens, error }))
}

/// Forgets the migration of a namespace that is deleted.
pub(crate) fn forget(tx: &mut Tx, id: NamespaceId) -> StoreResult<()> {
    match tx.first(MigrationRow::by_namespace.eq(id))? {
        Some(row) => tx.delete(row.id).map(drop),
        None => Ok(()),
    }
}

/// Sees to it that an entry gets the vectors that it lacks.
pub(crate) fn on_published(tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<()> {
    let namespace = require(tx, entry.namespace)?;
    let lacks = |space: &Space| !entry.spaces.contains(space);
    match &namespace.also {
        Some(also) if entry.chunks > 0 && (lacks(also) || lacks(&namespace.space)) => {
            keep_going(tx, namespace.id)
        }
        _ => Ok(()),
    }
}

fn has(key: &str, space: &Space) -> bool {
    key.split_inclusive('\n').any(|part| part == space_key(space))
}

/// Returns in which spaces entries have vectors, and how many there are of each kind.
fn groups(tx: &Tx, id: NamespaceId) -> StoreResult<Vec<(String, usize)>> {
    let mut groups = Vec::new();
    let mut next = tx.first(EntryRow::embedded.eq(id))?;
    while let Some(entry) = next {
        let key = entry.spaces_key();
        groups.push((key.clone(), tx.count(EntryRow::embedded.eq(id).eq(&key))?));
        next = tx.first(EntryRow::embedded.eq(id).gt(&key))?;
    }
    Ok(groups)
}

/// Returns an entry that lacks vectors in a space.
fn one_without(tx: &Tx, id: NamespaceId, space: &Space) -> StoreResult<Option<Row<EntryRow>>> {
    let mut next = tx.first(EntryRow::embedded.eq(id))?;
    while let Some(entry) = next {
        let key = entry.spaces_key();
        if !has(&key, space) {
            return Ok(Some(entry));
        }
        next = tx.first(EntryRow::embedded.eq(id).gt(&key))?;
    }
    Ok(None)
}

/// Whether entries of a namespace lack vectors in one of its two spaces.
fn is_lacking(tx: &Tx, id: NamespaceId) -> StoreResult<bool> {
    let Some(namespace) = tx.get(id)? else { return Ok(false) };
    let Some(also) = &namespace.also else { return Ok(false) };
    Ok(one_without(tx, id, also)?.is_some() || one_without(tx, id, &namespace.space)?.is_some())
}

/// Sees to it that a namespace that migrates has a job: one, which looks again whether something is lacking in the
/// transaction that ends it.
fn keep_going(tx: &mut Tx, id: NamespaceId) -> StoreResult<()> {
    let Some(row) = tx.first(MigrationRow::by_namespace.eq(id))? else { return Ok(()) };
    let job = row.job.map(|job| workpool::status(tx, job)).transpose()?.flatten();
    if job.is_some_and(|job| job.state != State::Ended && !job.is_cancelling) {
        return Ok(());
    }
    let options = Options { on_done: Some(MIGRATED.with(id)), ..Options::default() };
    let job = workpool::enqueue(tx, &MIGRATE, id, options)?;
    tx.update(row.id, |row| (row.job, row.error) = (Some(job), None)).map(drop)
}

pub(crate) fn bind(pool: workpool::Builder, rags: Arc<[Rag]>) -> workpool::Builder {
    let pool = pool.on(MIGRATE, move |job, id| {
        let rags = rags.clone();
        async move { give_vectors(&rags, &job, id).await }
    });
    pool.on_done(MIGRATED, |tx, done: Done<NamespaceId, ()>| {
        let error = match done.outcome {
            Outcome::Success(()) => None,
            Outcome::Failed(reason) => Some(reason),
            Outcome::Cancelled => Some("it was cancelled".to_owned()),
            Outcome::Interrupted => Some("it was interrupted".to_owned()),
        };
        let id = done.context;
        let row = tx.first(MigrationRow::by_namespace.eq(id))?;
        let Some(row) = row.filter(|row| row.job == Some(done.job)) else { return Ok(()) };
        let has_succeeded = error.is_none();
        tx.update(row.id, |row| (row.job, row.error) = (None, error))?;
        // Something may have been published since it looked for the last time.
        if has_succeeded && is_lacking(tx, id)? { keep_going(tx, id) } else { Ok(()) }
    })
}

/// Gives all entries of a namespace the vectors that they lack.
async fn give_vectors(rags: &[Rag], job: &JobContext, id: NamespaceId) -> StoreResult<()> {
    let standing = job.store().query(move |tx| migration(tx, id)).await?;
    let (lacking, mut given) = (standing.map_or(0, |standing| standing.lacking), 0);
    let mut from: Option<(Space, EntryId, u32)> = None;
    loop {
        let begun = from.clone();
        let read = job.store().query(move |tx| lacking_chunks(tx, id, begun.as_ref()));
        let Some((namespace, space, parts)) = read.await? else { return Ok(()) };
        // Whose model it is hears of what it uses, and knows what it is asked for.
        let own = rags.iter().map(|rag| (rag, Some(&rag.inner.own)));
        let mut all = own.chain(rags.iter().map(|rag| (rag, rag.inner.former.as_ref())));
        let of_space = all.find_map(|(rag, by)| Some((rag, by.filter(|by| by.space == space)?)));
        let Some((rag, embedder)) = of_space else {
            let reason = format!("no knowledge base here has the model {}", space.model());
            return Err(Error::BadMigration { namespace: id.to_string(), reason }.into());
        };
        let last = parts.last().filter(|last| !last.is_end);
        from = last.map(|last| (space.clone(), last.entry, last.next));
        given += parts.iter().filter(|part| part.is_end).count();
        tokio::select! {
            done = rag.give(&namespace, embedder, parts) => done?,
            () = job.cancelled() => {
                return Err(StoreError::message(loomwork_core::Kind::Cancelled, "the migration was called off"));
            }
        }
        let fraction = given as f64 / lacking.max(given).max(1) as f64;
        job.progress(fraction, format!("{given} of {} entries", lacking.max(given))).await?;
    }
}

/// Some chunks of an entry, those of them that lack a vector with their texts.
#[derive(Clone, Debug)]
struct Part {
    entry: EntryId,
    chunks: Vec<(ChunkId, String)>,
    /// The place behind these chunks.
    next: u32,
    /// There are no more behind them.
    is_end: bool,
}

type Lacking = (Row<NamespaceRow>, Space, Vec<Part>);

/// Returns chunks that lack vectors in one of the two spaces of a namespace, as many as a model is asked for at
/// once: of the entry that was begun, from a place on, and of those after it.
fn lacking_chunks(
    tx: &Tx,
    id: NamespaceId,
    from: Option<&(Space, EntryId, u32)>,
) -> StoreResult<Option<Lacking>> {
    let Some(namespace) = tx.get(id)? else { return Ok(None) };
    let Some(also) = namespace.also.clone() else { return Ok(None) };
    for space in [also, namespace.space.clone()] {
        let mut parts: Vec<Part> = Vec::new();
        let mut left = EMBED_TEXTS;
        if let Some((_, begun, place)) = from.filter(|(of, _, _)| *of == space)
            && tx.get(*begun)?.is_some_and(|entry| entry.is_kept() && !entry.spaces.contains(&space))
        {
            parts.push(part_of(tx, &space, *begun, *place, &mut left)?);
        }
        let mut next = tx.first(EntryRow::embedded.eq(id))?;
        while let Some(group) = next {
            let key = group.spaces_key();
            if left > 0 && !has(&key, &space) {
                tx.each(EntryRow::embedded.eq(id).eq(&key), |entry| {
                    if parts.first().is_none_or(|first| first.entry != entry.id) {
                        parts.push(part_of(tx, &space, entry.id, 0, &mut left)?);
                    }
                    let is_enough = left == 0 || parts.len() == EMBED_TEXTS;
                    Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })?;
            }
            next = tx.first(EntryRow::embedded.eq(id).gt(&key))?;
        }
        if !parts.is_empty() {
            return Ok(Some((namespace, space, parts)));
        }
    }
    Ok(None)
}

/// Returns up to `left` chunks of an entry from a place on, and counts them off.
fn part_of(tx: &Tx, space: &Space, entry: EntryId, from: u32, left: &mut usize) -> StoreResult<Part> {
    let mut read = tx.scan(ChunkRow::by_entry.eq(entry).ge(from).take(*left + 1))?;
    let is_end = read.len() <= *left;
    read.truncate(*left);
    *left -= read.len();
    let next = read.last().map_or(from, |last| last.order + 1);
    let mut chunks = Vec::new();
    for chunk in read {
        if vectors::of(tx, space, chunk.id)?.is_none() {
            chunks.push((chunk.id, chunk.record.text));
        }
    }
    Ok(Part { entry, chunks, next, is_end })
}

impl Rag {
    /// Begins to give the chunks of a namespace vectors of this knowledge base's model, by a job that goes on
    /// after a crash. Searches through the former model find all meanwhile, and so do those here if that is
    /// [named](crate::Builder::former). [`cut_over`](Self::cut_over) makes the present model the namespace's.
    ///
    /// # Errors
    /// When there is no such namespace, it is of this model, migrates to yet another one, or has not finished its
    /// last migration; when the store cannot be read or written.
    pub fn migrate(&self, tx: &mut Tx, id: NamespaceId) -> StoreResult<()> {
        let namespace = require(tx, id)?;
        let to = self.inner.own.space.clone();
        let wrong =
            |reason: &str| Error::BadMigration { namespace: id.to_string(), reason: reason.to_owned() };
        let row = tx.first(MigrationRow::by_namespace.eq(id))?;
        match &namespace.also {
            Some(_) if namespace.space == to => {}
            Some(also) if *also == to => {}
            Some(_) => return Err(wrong("it migrates to another model; finish that first").into()),
            None if row.is_some() => {
                let reason =
                    "its last migration is not finished; call `finish_migration` again, and wait for it";
                return Err(wrong(reason).into());
            }
            None if namespace.space == to => return Err(wrong("it is of this model already").into()),
            None => {
                tx.update(id, |row| row.also = Some(to.clone()))?;
                let from = namespace.record.space;
                let row =
                    MigrationRow { namespace: id, from, to, chunks: 0, tokens: 0, job: None, error: None };
                tx.insert(row)?;
            }
        }
        keep_going(tx, id)
    }

    /// Makes the other space the namespace's, once no entry lacks vectors in it.
    ///
    /// # Errors
    /// When the namespace does not migrate, or entries lack vectors; when the store cannot be read or
    /// written.
    pub fn cut_over(&self, tx: &mut Tx, id: NamespaceId) -> StoreResult<Row<NamespaceRow>> {
        let (row, namespace) = migrating(tx, id)?;
        if namespace.space == row.to {
            return Ok(namespace);
        }
        self.swap(tx, &namespace)
    }

    /// Makes the former space the namespace's again. Nothing was lost of it: what was added since has vectors
    /// in both.
    ///
    /// # Errors
    /// As [`cut_over`](Self::cut_over).
    pub fn roll_back(&self, tx: &mut Tx, id: NamespaceId) -> StoreResult<Row<NamespaceRow>> {
        let (row, namespace) = migrating(tx, id)?;
        if namespace.space == row.from {
            return Ok(namespace);
        }
        self.swap(tx, &namespace)
    }

    fn swap(&self, tx: &mut Tx, namespace: &Row<NamespaceRow>) -> StoreResult<Row<NamespaceRow>> {
        let wrong = |reason: String| Error::BadMigration { namespace: namespace.id.to_string(), reason };
        let also = namespace.also.clone().ok_or_else(|| wrong("it has no other space".to_owned()))?;
        if let Some(entry) = one_without(tx, namespace.id, &also)? {
            let (entry, model) = (entry.id, also.model());
            let reason = format!(
                "the entry {entry} and perhaps others lack vectors of {model}; call `migrate` again, and wait for it"
            );
            return Err(wrong(reason).into());
        }
        tx.update(namespace.id, |row| row.also = Some(std::mem::replace(&mut row.space, also)))
    }

    /// Ends the migration of a namespace and deletes the vectors of the space that is not its own. It cannot
    /// be rolled back from then on.
    ///
    /// # Errors
    /// When the namespace does not migrate; when the store cannot be read or written. What is left is
    /// deleted when it is called again.
    pub async fn finish_migration(&self, id: NamespaceId) -> Result<()> {
        let began = self.inner.store.mutate(move |tx| {
            let (row, namespace) = migrating(tx, id)?;
            if let Some(job) = row.job {
                workpool::cancel(tx, job)?;
            }
            tx.update(id, |row| row.also = None)?;
            Ok(if namespace.space == row.to { row.record.from } else { row.record.to })
        });
        let other = began.await.map_err(unwrapped)?;
        let mut at = Some(Place::default());
        while let Some(from) = at {
            let space = other.clone();
            let step = self.inner.store.mutate(move |tx| {
                let next = drop_vectors(tx, id, from.clone(), &space)?;
                if next.is_none() {
                    forget(tx, id)?;
                }
                Ok(next)
            });
            at = step.await.map_err(unwrapped)?;
        }
        Ok(())
    }

    /// Gives chunks the vectors that they lack in the space of a model.
    async fn give(&self, namespace: &Row<NamespaceRow>, by: &Embedder, parts: Vec<Part>) -> Result<()> {
        let chunks = parts.iter().flat_map(|part| &part.chunks);
        let texts = texts_of(chunks.map(|(_, text)| text.as_str()));
        let bill = Bill::new(Task::EmbedChunks, [&namespace.name], None);
        let (id, space) = (namespace.id, by.space.clone());
        let (vectors, taken) = self.complete(by, id, &texts, &bill).await?;
        let tokens = bill.spent().total();
        let given = Arc::new((parts, vectors));
        let stored = self.inner.store.mutate(move |tx| {
            let namespace = require(tx, id)?;
            // The migration may have been finished meanwhile.
            if namespace.space != space && namespace.also.as_ref() != Some(&space) {
                return Ok(());
            }
            let (parts, vectors) = &*given;
            let mut count = 0;
            for part in parts {
                count += store_given(tx, part, &space, vectors)?;
            }
            match tx.first(MigrationRow::by_namespace.eq(id))? {
                Some(row) => tx
                    .update(row.id, |row| {
                        (row.chunks, row.tokens) = (row.chunks + count, row.tokens + tokens);
                    })
                    .map(drop),
                None => Ok(()),
            }
        });
        let stored = stored.await.map_err(unwrapped);
        drop(taken);
        stored
    }
}

/// Stores the vectors of some chunks of an entry, and returns how many these are.
fn store_given(
    tx: &mut Tx,
    part: &Part,
    space: &Space,
    vectors: &HashMap<String, Vec<f32>>,
) -> StoreResult<u64> {
    let Some(entry) = tx.get(part.entry)?.filter(|entry| entry.is_kept()) else { return Ok(0) };
    let mut count = 0;
    for (chunk, text) in &part.chunks {
        let Some(vector) = vectors.get(&chunk_hash(text)) else { continue };
        if tx.get(*chunk)?.is_some() {
            vectors::insert(tx, space, *chunk, folded(vector, entry.importance))?;
            count += 1;
        }
    }
    if part.is_end && !entry.spaces.contains(space) {
        tx.update(entry.id, |row| row.spaces.push(space.clone()))?;
    }
    Ok(count)
}

/// How far the vectors of a space have been deleted: up to an entry, and of that up to a chunk.
#[derive(Clone, Debug, Default)]
struct Place {
    before: Option<Cursor>,
    chunk: u32,
}

/// Deletes some vectors of the entries of a namespace in a space, whether these are kept or not, and returns where
/// to go on.
fn drop_vectors(tx: &mut Tx, id: NamespaceId, mut at: Place, space: &Space) -> StoreResult<Option<Place>> {
    let mut left = SWEEP_STEP;
    for _ in 0..SWEEP_STEP {
        let page = Page { size: 1, after: at.before.clone() };
        let Paged { rows, next } = tx.page(EntryRow::by_namespace.eq(id), page)?;
        let Some(entry) = rows.into_iter().next() else { return Ok(None) };
        let chunks = tx.scan(ChunkRow::by_entry.eq(entry.id).ge(at.chunk).take(left))?;
        for chunk in &chunks {
            if let Some(row) = vectors::of(tx, space, chunk.id)? {
                vectors::delete(tx, row.id)?;
            }
        }
        if let Some(last) = chunks.last().filter(|_| chunks.len() == left) {
            return Ok(Some(Place { chunk: last.order + 1, ..at }));
        }
        left -= chunks.len();
        if entry.spaces.contains(space) {
            tx.update(entry.id, |row| row.spaces.retain(|other| other != space))?;
        }
        let Some(next) = next else { return Ok(None) };
        at = Place { before: Some(next), chunk: 0 };
    }
    Ok(Some(at))
}

fn migrating(tx: &Tx, id: NamespaceId) -> StoreResult<(Row<MigrationRow>, Row<NamespaceRow>)> {
    let namespace = require(tx, id)?;
    match tx.first(MigrationRow::by_namespace.eq(id))? {
        Some(row) => Ok((row, namespace)),
        None => {
            let reason = "it does not migrate; begin with `Rag::migrate`".to_owned();
            Err(Error::BadMigration { namespace: id.to_string(), reason }.into())
        }
    }
}
