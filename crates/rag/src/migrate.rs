//! From one embedding model to another, while searches go on.
//!
//! A namespace has one space, and while it migrates also another: its chunks get vectors in both, those that
//! are added as well. Which entries lack one is read off an index, so a job that is killed goes on where it
//! stopped, and nothing is missed that was added meanwhile. Cutting over and rolling back swap the two.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_search::{Space, vectors};
use loomwork_store::{Error as StoreError, Result as StoreResult, Row, Tx};
use loomwork_workpool::{self as workpool, Completion, Done, Job, JobContext, Options, Outcome, Repeat};

use crate::content::chunk_hash;
use crate::embed::{Bill, EMBED_TEXTS, Embedder, Task, texts_of};
use crate::error::unwrapped;
use crate::ingest::{RAG_POOL, first};
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
            start(tx, namespace.id).map(drop)
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

/// Returns an entry that has vectors in a space, or one that has none.
fn one_that(tx: &Tx, id: NamespaceId, space: &Space, has_it: bool) -> StoreResult<Option<Row<EntryRow>>> {
    let mut next = tx.first(EntryRow::embedded.eq(id))?;
    while let Some(entry) = next {
        let key = entry.spaces_key();
        if has(&key, space) == has_it {
            return Ok(Some(entry));
        }
        next = tx.first(EntryRow::embedded.eq(id).gt(&key))?;
    }
    Ok(None)
}

fn start(tx: &mut Tx, id: NamespaceId) -> StoreResult<workpool::JobId> {
    let options = Options {
        unique: Some(id.to_string()),
        // One that runs may have looked for the last time.
        repeat: Repeat::Replace { within: None },
        on_done: Some(MIGRATED.with(id)),
        ..Options::default()
    };
    workpool::enqueue(tx, &MIGRATE, id, options)
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
        match tx.first(MigrationRow::by_namespace.eq(done.context))? {
            Some(row) => tx.update(row.id, |row| row.error = error).map(drop),
            None => Ok(()),
        }
    })
}

/// Gives all entries of a namespace the vectors that they lack.
async fn give_vectors(rags: &[Rag], job: &JobContext, id: NamespaceId) -> StoreResult<()> {
    let rag = first(rags)?;
    let standing = job.store().query(move |tx| migration(tx, id)).await?;
    let (lacking, mut given) = (standing.map_or(0, |standing| standing.lacking), 0);
    let mut from: Option<(Space, EntryId, u32)> = None;
    loop {
        let begun = from.clone();
        let read = job.store().query(move |tx| lacking_chunks(tx, id, begun.as_ref()));
        let Some((namespace, space, parts)) = read.await? else { return Ok(()) };
        let all = rags.iter().flat_map(|rag| [Some(&rag.inner.own), rag.inner.former.as_ref()]);
        let Some(embedder) = all.flatten().find(|embedder| embedder.space == space).cloned() else {
            let reason = format!("no knowledge base here has the model {}", space.model());
            return Err(Error::BadMigration { namespace: id.to_string(), reason }.into());
        };
        let last = parts.last().filter(|last| !last.is_end);
        from = last.map(|last| (space.clone(), last.entry, last.next));
        given += parts.iter().filter(|part| part.is_end).count();
        tokio::select! {
            done = rag.give(&namespace, &embedder, parts) => done?,
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
    /// When there is no such namespace, it is of this model, or migrates to yet another one; when the store
    /// cannot be read or written.
    pub fn migrate(&self, tx: &mut Tx, id: NamespaceId) -> StoreResult<()> {
        let namespace = require(tx, id)?;
        let to = self.inner.own.space.clone();
        let wrong =
            |reason: &str| Error::BadMigration { namespace: id.to_string(), reason: reason.to_owned() };
        match &namespace.also {
            Some(_) if namespace.space == to => {}
            Some(also) if *also == to => {}
            Some(_) => return Err(wrong("it migrates to another model; finish that first").into()),
            None if namespace.space == to => return Err(wrong("it is of this model already").into()),
            None => drop(tx.update(id, |row| row.also = Some(to.clone()))?),
        }
        let job = start(tx, id)?;
        match tx.first(MigrationRow::by_namespace.eq(id))? {
            Some(row) => tx.update(row.id, |row| (row.job, row.error) = (Some(job), None)).map(drop),
            None => {
                let (from, job) = (namespace.record.space, Some(job));
                let row = MigrationRow { namespace: id, from, to, chunks: 0, tokens: 0, job, error: None };
                tx.insert(row).map(drop)
            }
        }
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
        if let Some(entry) = one_that(tx, namespace.id, &also, false)? {
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
        let mut from = 0;
        loop {
            let space = other.clone();
            let step = self.inner.store.mutate(move |tx| {
                let Some(entry) = one_that(tx, id, &space, true)? else {
                    forget(tx, id)?;
                    return Ok(None);
                };
                drop_vectors(tx, &entry, from, &space).map(Some)
            });
            match step.await.map_err(unwrapped)? {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Gives chunks the vectors that they lack in the space of a model.
    async fn give(&self, namespace: &Row<NamespaceRow>, by: &Embedder, parts: Vec<Part>) -> Result<()> {
        let chunks = parts.iter().flat_map(|part| &part.chunks);
        let texts = texts_of(chunks.map(|(_, text)| text.as_str()));
        let bill = Bill::new(Task::EmbedChunks, Some(&namespace.name), None);
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

/// Deletes vectors of an entry in a space, from a place on, and returns where to go on.
fn drop_vectors(tx: &mut Tx, entry: &Row<EntryRow>, from: u32, space: &Space) -> StoreResult<u32> {
    let chunks = tx.scan(ChunkRow::by_entry.eq(entry.id).ge(from).take(SWEEP_STEP))?;
    for chunk in &chunks {
        if let Some(row) = vectors::of(tx, space, chunk.id)? {
            vectors::delete(tx, row.id)?;
        }
    }
    match chunks.last() {
        Some(last) if chunks.len() == SWEEP_STEP => Ok(last.order + 1),
        _ => {
            tx.update(entry.id, |row| row.spaces.retain(|other| other != space))?;
            Ok(0)
        }
    }
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
