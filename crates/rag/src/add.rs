//! Adding: an entry is written and published, or nothing of it is found.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use loomwork_core::crash_point;
use loomwork_models::Usage;
use loomwork_search::Space;
use loomwork_store::{Result as StoreResult, Row, Tx};
use sha2::{Digest as _, Sha256};

use crate::content::{Chunked, Content, NewChunk, NewEntry, chunk_hash};
use crate::embed::{Embedder, Prepared, Task, Used, known, texts_of};
use crate::error::unwrapped;
use crate::namespaces::{self, get_or_create};
use crate::rag::Rag;
use crate::settle::Published;
use crate::tables::{EntryId, EntryRow, EntryStatus, NamespaceId, NamespaceRow, NamespaceStatus};
use crate::write::{Begun, begin, complete, describe, same, write};
use crate::{Error, Result};

/// How many chunks are embedded and written at once. An entry of up to so many is one transaction.
pub const BATCH_CHUNKS: usize = 100;

/// How many batches are embedded at the same time.
pub const BATCHES_AT_ONCE: usize = 4;

/// Where something is added: a namespace by its name, which is made where there is none, or one of its
/// versions by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The ready version of this name.
    Name(String),
    /// This version, whether it is ready or still pending.
    Id(NamespaceId),
}

impl From<&str> for Target {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Target {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<NamespaceId> for Target {
    fn from(id: NamespaceId) -> Self {
        Self::Id(id)
    }
}

/// What adding came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// The entry: the new one, or the one that was the same. Its status is
    /// [`Replaced`](EntryStatus::Replaced) where a newer version of its key came first.
    pub entry: Row<EntryRow>,
    /// Whether it was made and published.
    pub created: bool,
    /// The version whose place it took.
    pub replaced: Option<Row<EntryRow>>,
    /// What embedding used.
    pub usage: Usage,
}

impl Added {
    fn of(published: Published, usage: Usage) -> Self {
        let Published { entry, replaced } = published;
        Self { created: entry.status == EntryStatus::Ready, entry, replaced, usage }
    }

    fn same(entry: Row<EntryRow>) -> Self {
        Self { entry, created: false, replaced: None, usage: Usage::default() }
    }
}

/// What has been written of an entry.
pub(crate) struct Filled {
    pub(crate) chunks: u32,
    pub(crate) hash: String,
    pub(crate) usage: Usage,
}

/// A batch of chunks, ready to be written.
struct Batch {
    chunks: Arc<Vec<Prepared>>,
    used: Vec<Used>,
}

impl Batch {
    fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.used.iter().for_each(|used| usage += &used.usage);
        usage
    }
}

impl Rag {
    /// Adds an entry: cuts its content, embeds what has no vector yet, and publishes it in place of the live
    /// version of its key. Searches find all of the old version until then, and all of the new one after.
    ///
    /// An entry that is the same as the live one, by key, hash, importance and filter values, costs nothing;
    /// its title and metadata are brought up to date.
    ///
    /// # Errors
    /// What is wrong with the entry; when the content cannot be cut, the model fails, or the store cannot
    /// be written. The live version stays then, and one of more than [`BATCH_CHUNKS`] chunks is left as
    /// failed.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the entry pending; it counts as failed when its
    /// [`LEASE`](crate::LEASE) is over.
    pub async fn add(
        &self,
        target: impl Into<Target>,
        new: NewEntry,
        content: impl Into<Content>,
    ) -> Result<Added> {
        let content = content.into();
        new.check(&self.inner.wanted.filter_names)?;
        let namespace = self.namespace_of(target.into()).await?;
        let hash = new.content_hash.clone().or_else(|| content.hash(&*self.inner.chunker));
        let new = Arc::new(new);
        if let Some(entry) = self.unchanged(namespace.id, &new, &hash).await? {
            return Ok(Added::same(entry));
        }
        let chunks = match self.cut_content(content).await? {
            Chunked::Here(chunks) if chunks.len() <= BATCH_CHUNKS => {
                return self.add_at_once(namespace, new, hash, chunks).await;
            }
            Chunked::Here(chunks) => {
                check_count(chunks.len())?;
                futures_util::stream::iter(chunks.into_iter().map(Ok)).boxed()
            }
            Chunked::Stream(chunks) => chunks,
        };
        let (id, beginning) = (namespace.id, new.clone());
        let begun =
            self.inner.store.mutate(move |tx| begin(tx, id, &beginning, hash)).await.map_err(unwrapped)?;
        let entry = match begun {
            Begun::Same(entry) => return Ok(Added::same(entry)),
            Begun::New(entry) => entry,
        };
        let filled = self.fill(entry.id, &namespace, new.user.clone(), chunks, |_| async { Ok(()) }).await;
        match filled {
            Ok(filled) => {
                let usage = filled.usage.clone();
                Ok(Added::of(self.publish(entry.id, &namespace, filled).await?, usage))
            }
            Err(Error::Overtaken { .. }) => {
                let id = entry.id;
                let entry = self.inner.store.query(move |tx| crate::settle::require(tx, id)).await;
                Ok(Added::same(entry.map_err(unwrapped)?))
            }
            Err(error) => {
                self.fail(entry.id, &error).await?;
                Err(error)
            }
        }
    }

    async fn add_at_once(
        &self,
        namespace: Row<NamespaceRow>,
        new: Arc<NewEntry>,
        hash: Option<String>,
        chunks: Vec<NewChunk>,
    ) -> Result<Added> {
        let batch = self.prepare(&namespace, chunks, new.user.as_deref()).await?;
        let usage = batch.usage();
        let (rag, spaces, id) = (self.clone(), self.spaces(&namespace), namespace.id);
        let tokens = usage.total();
        let added = self.inner.store.mutate(move |tx| {
            let entry = match begin(tx, id, &new, hash)? {
                Begun::Same(entry) => return Ok(Added::same(entry)),
                Begun::New(entry) => entry,
            };
            write(tx, entry.id, 0, &batch.chunks, tokens)?;
            rag.tell_used(tx, &batch.used)?;
            let count = u32::try_from(batch.chunks.len()).unwrap_or(u32::MAX);
            complete(tx, entry.id, count, &spaces, None)?;
            let published = rag.inner.settling.publish(tx, entry.id)?;
            Ok(Added::of(published, usage))
        });
        added.await.map_err(unwrapped)
    }

    /// Writes the chunks of a pending entry; those that an earlier attempt has written keep their vectors.
    pub(crate) async fn fill<W: Future<Output = Result<()>>>(
        &self,
        id: EntryId,
        namespace: &Row<NamespaceRow>,
        user: Option<String>,
        chunks: BoxStream<'static, Result<NewChunk>>,
        mut progress: impl FnMut(u32) -> W,
    ) -> Result<Filled> {
        let mut filled = Filled { chunks: 0, hash: String::new(), usage: Usage::default() };
        let mut hasher = Sha256::new();
        let batches = chunks.try_chunks(BATCH_CHUNKS).map_err(|error| error.1);
        let user = user.as_deref();
        let prepared = batches.map(|chunks| async move { self.prepare(namespace, chunks?, user).await });
        let mut prepared = std::pin::pin!(prepared.buffered(BATCHES_AT_ONCE));
        while let Some(batch) = prepared.next().await {
            let batch = batch?;
            let (first, usage) = (filled.chunks, batch.usage());
            let count = batch.chunks.len();
            check_count(first as usize + count)?;
            for prepared in &*batch.chunks {
                hasher.update(chunk_hash(&prepared.chunk.text));
            }
            let (rag, tokens) = (self.clone(), usage.total());
            let written = self.inner.store.mutate(move |tx| {
                write(tx, id, first, &batch.chunks, tokens)?;
                rag.tell_used(tx, &batch.used)
            });
            written.await.map_err(unwrapped)?;
            crash_point("rag.written");
            filled.chunks += count as u32;
            filled.usage += &usage;
            progress(filled.chunks).await?;
        }
        filled.hash = data_encoding::HEXLOWER.encode(&hasher.finalize());
        Ok(filled)
    }

    /// Publishes an entry that has been filled.
    pub(crate) async fn publish(
        &self,
        id: EntryId,
        namespace: &Row<NamespaceRow>,
        filled: Filled,
    ) -> Result<Published> {
        let (settling, spaces) = (self.inner.settling.clone(), self.spaces(namespace));
        crash_point("rag.filled");
        let published = self.inner.store.mutate(move |tx| {
            complete(tx, id, filled.chunks, &spaces, Some(filled.hash))?;
            settling.publish(tx, id)
        });
        let published = published.await.map_err(unwrapped);
        crash_point("rag.published");
        published
    }

    /// Leaves an entry as failed, unless it was settled meanwhile.
    async fn fail(&self, id: EntryId, error: &Error) -> Result<()> {
        let (settling, error) = (self.inner.settling.clone(), error.to_string());
        let failed = self.inner.store.mutate(move |tx| match tx.get(id)? {
            Some(entry) if entry.status == EntryStatus::Pending => {
                settling.settle(tx, id, EntryStatus::Failed, Some(error)).map(drop)
            }
            _ => Ok(()),
        });
        failed.await.map_err(unwrapped)
    }

    /// Returns the live entry that is the same as what is added.
    async fn unchanged(
        &self,
        namespace: NamespaceId,
        new: &Arc<NewEntry>,
        hash: &Option<String>,
    ) -> Result<Option<Row<EntryRow>>> {
        let (asked, hash) = (new.clone(), hash.clone());
        let found = self.inner.store.query(move |tx| same(tx, namespace, &asked, hash.as_deref()));
        let Some(entry) = found.await.map_err(unwrapped)? else { return Ok(None) };
        if entry.title == new.title && entry.metadata == new.metadata && entry.origin == new.origin {
            return Ok(Some(entry));
        }
        let (id, new) = (entry.id, new.clone());
        let described = self.inner.store.mutate(move |tx| match tx.get(id)? {
            Some(entry) if entry.is_live() => describe(tx, entry, &new).map(Some),
            _ => Ok(None),
        });
        described.await.map_err(unwrapped)
    }

    /// Returns the namespace to add to.
    pub(crate) async fn namespace_of(&self, target: Target) -> Result<Row<NamespaceRow>> {
        let (wanted, asked) = (self.inner.wanted.clone(), target.clone());
        let found = self.inner.store.query(move |tx| match &asked {
            Target::Id(id) => {
                let namespace = namespaces::require(tx, *id)?;
                wanted.check(&namespace)?;
                Ok(Some(namespace))
            }
            Target::Name(name) => {
                let names = wanted.filter_names.iter().map(String::as_str);
                namespaces::find(tx, name, NamespaceStatus::Ready, &wanted, names)
            }
        });
        match (found.await.map_err(unwrapped)?, target) {
            (Some(namespace), _) => Ok(namespace),
            (None, Target::Id(id)) => Err(Error::UnknownNamespace { name: id.to_string() }),
            (None, Target::Name(name)) => self.namespace(&name, NamespaceStatus::Ready).await,
        }
    }

    /// Returns the newest version of a name that stands so and is of this knowledge base's model and filter
    /// names; a new one where there is none. A pending one is filled by its id and then
    /// [promoted](Self::promote).
    ///
    /// # Errors
    /// For a name that is empty or too long; when the store cannot be written.
    pub async fn namespace(&self, name: &str, status: NamespaceStatus) -> Result<Row<NamespaceRow>> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        let made = self
            .inner
            .store
            .mutate(move |tx| get_or_create(tx, &inner.settling, &name, status, &inner.wanted));
        made.await.map_err(unwrapped)
    }

    pub(crate) async fn cut_content(&self, content: Content) -> Result<Chunked> {
        if let Content::Chunks(chunks) = content {
            return Ok(Chunked::Here(chunks));
        }
        let chunker = self.inner.chunker.clone();
        let cut = tokio::task::spawn_blocking(move || content.cut(&*chunker));
        cut.await.unwrap_or(Err(Error::Panicked("cut a text")))
    }

    /// The models whose vectors the chunks of a namespace get here.
    fn embedders<'a>(&'a self, namespace: &'a NamespaceRow) -> impl Iterator<Item = &'a Embedder> {
        let all = [Some(&self.inner.own), self.inner.former.as_ref()].into_iter().flatten();
        all.filter(|embedder| {
            embedder.space == namespace.space || Some(&embedder.space) == namespace.also.as_ref()
        })
    }

    fn spaces(&self, namespace: &NamespaceRow) -> Vec<Space> {
        self.embedders(namespace).map(|embedder| embedder.space.clone()).collect()
    }

    /// Gives chunks their vectors: given, known in the namespace, or by a model.
    async fn prepare(
        &self,
        namespace: &Row<NamespaceRow>,
        chunks: Vec<NewChunk>,
        user: Option<&str>,
    ) -> Result<Batch> {
        let own = &self.inner.own.space;
        chunks.iter().try_for_each(|chunk| chunk.check(own))?;
        let mut prepared: Vec<Prepared> = chunks.into_iter().map(Prepared::of).collect();
        let mut used = Vec::new();
        for embedder in self.embedders(namespace) {
            let is_own = embedder.space == *own;
            let lacks = |prepared: &&Prepared| !(is_own && prepared.chunk.embedding.is_some());
            let texts = texts_of(prepared.iter().filter(lacks).map(|prepared| prepared.chunk.text.as_str()));
            let (id, space) = (namespace.id, embedder.space.clone());
            let hashes: Vec<String> = texts.keys().cloned().collect();
            let vectors = self.inner.store.query(move |tx| known(tx, id, &space, &hashes)).await?;
            let (vectors, usage) = embedder.complete(&texts, vectors).await?;
            if !usage.is_empty() {
                used.push(Used {
                    task: Task::EmbedChunks,
                    model: embedder.model.name().clone(),
                    usage,
                    namespace: Some(namespace.name.clone()),
                    user: user.map(str::to_owned),
                });
            }
            for prepared in &mut prepared {
                let given = prepared.chunk.embedding.as_ref().filter(|_| is_own);
                let vector = given.or_else(|| vectors.get(&chunk_hash(&prepared.chunk.text)));
                if let Some(vector) = vector.cloned() {
                    prepared.vectors.push((embedder.space.clone(), vector));
                }
            }
        }
        Ok(Batch { chunks: Arc::new(prepared), used })
    }

    pub(crate) fn tell_used(&self, tx: &mut Tx, used: &[Used]) -> StoreResult<()> {
        let Some(hook) = &self.inner.on_used else { return Ok(()) };
        used.iter().try_for_each(|used| hook(tx, used))
    }
}

impl Prepared {
    /// A text whose vector was given is none that others may take it for.
    fn of(chunk: NewChunk) -> Self {
        let hash = chunk.embedding.is_none().then(|| chunk_hash(&chunk.text));
        Self { chunk, hash, vectors: Vec::new() }
    }
}

fn check_count(chunks: usize) -> Result<()> {
    match u32::try_from(chunks) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::bad("an entry of", format!("{chunks} chunks"), "give it fewer")),
    }
}
