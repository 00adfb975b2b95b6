//! Adding: an entry is written and published, or nothing of it is found.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use loomwork_core::crash_point;
use loomwork_models::Usage;
use loomwork_search::Space;
use loomwork_store::{Result as StoreResult, Row, Tx};

use crate::asked::Taken;
use crate::content::{Chunked, ChunksHash, Content, NewChunk, NewEntry, chunk_hash};
use crate::embed::{Batch, Bill, Embedder, Prepared, Task, texts_of};
use crate::error::unwrapped;
use crate::namespaces::{self, get_or_create};
use crate::rag::{Inner, Rag};
use crate::settle::{LEASE, Published};
use crate::sweep::delete_from;
use crate::tables::{EntryId, EntryRow, EntryStatus, NamespaceId, NamespaceRow, NamespaceStatus};
use crate::write::{
    Begun, Maker, begin, complete, describe, drop_same, is_described, pending, renew, same, write,
};
use crate::{Error, Result};

/// How many chunks are embedded and written at once. An entry of up to so many is one transaction.
pub const BATCH_CHUNKS: usize = 100;

/// How many batches are embedded at the same time.
pub const BATCHES_AT_ONCE: usize = 4;

/// How often a lease is renewed while it lasts.
const RENEWALS: u32 = 4;

/// How an entry stands whose maker has come to its end, or is about to hear of it.
const IS_SETTLED: [&str; 2] = [EntryStatus::Ready.as_str(), EntryStatus::Replaced.as_str()];

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
        let Published { entry, replaced, is_same } = published;
        Self { created: entry.status == EntryStatus::Ready && !is_same, entry, replaced, usage }
    }

    fn same(entry: Row<EntryRow>, usage: Usage) -> Self {
        Self { entry, created: false, replaced: None, usage }
    }
}

/// What has been written of an entry.
pub(crate) struct Filled {
    pub(crate) chunks: u32,
    pub(crate) hash: String,
}

/// What is to be added, and where.
struct Adding {
    namespace: Row<NamespaceRow>,
    by_name: bool,
    new: NewEntry,
    hash: Option<String>,
}

impl Adding {
    fn begin(&self, tx: &mut Tx) -> StoreResult<Begun> {
        begin(tx, self.namespace.id, self.by_name, &self.new, self.hash.clone())
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
    /// be written; [`Error::Overtaken`] when it is called off or deleted meanwhile;
    /// [`Error::NamespaceChanged`] when its namespace is replaced or goes over to another model. The live
    /// version stays then, and one of more than [`BATCH_CHUNKS`] chunks is left as failed.
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
        let target = target.into();
        let by_name = matches!(target, Target::Name(_));
        let namespace = self.namespace_of(target).await?;
        let hash = new.content_hash.clone().or_else(|| content.hash(&*self.inner.chunker));
        let bill = Bill::new(Task::EmbedChunks, [&namespace.name], new.user.as_deref());
        let mut adding = Adding { namespace, by_name, new, hash };
        if let Some(entry) = self.unchanged(&adding).await? {
            return Ok(Added::same(entry, bill.spent()));
        }
        let chunks = self.cut_content(content).await?.gathered(BATCH_CHUNKS).await?;
        if adding.hash.is_none() {
            adding.hash = chunks.hash();
            if let Some(entry) = self.unchanged(&adding).await? {
                return Ok(Added::same(entry, bill.spent()));
            }
        }
        match chunks {
            Chunked::Here(chunks) if chunks.len() <= BATCH_CHUNKS => {
                self.add_at_once(Arc::new(adding), chunks, &bill).await
            }
            Chunked::Here(chunks) => {
                check_count(chunks.len())?;
                let chunks = futures_util::stream::iter(chunks.into_iter().map(Ok)).boxed();
                self.add_in_batches(Arc::new(adding), chunks, &bill).await
            }
            Chunked::Stream(chunks) => self.add_in_batches(Arc::new(adding), chunks, &bill).await,
        }
    }

    async fn add_at_once(&self, adding: Arc<Adding>, chunks: Vec<NewChunk>, bill: &Bill) -> Result<Added> {
        let (prepared, taken) = self.prepare(&adding.namespace, chunks, bill).await?;
        let (rag, spaces, usage) = (self.clone(), self.spaces(&adding.namespace), bill.spent());
        let added = self.inner.store.mutate(move |tx| {
            let entry = match adding.begin(tx)? {
                Begun::Same(entry) => return Ok(Added::same(entry, usage)),
                Begun::New(entry) => entry,
            };
            let maker = Maker::default();
            write(tx, entry.id, maker, 0, &prepared, usage.total())?;
            let count = u32::try_from(prepared.chunks.len()).unwrap_or(u32::MAX);
            complete(tx, entry.id, maker, count, &spaces, None)?;
            let published = rag.inner.settling.publish(tx, entry.id)?;
            Ok(Added::of(published, usage))
        });
        let added = added.await.map_err(unwrapped);
        drop(taken);
        added
    }

    async fn add_in_batches(
        &self,
        adding: Arc<Adding>,
        chunks: BoxStream<'static, Result<NewChunk>>,
        bill: &Bill,
    ) -> Result<Added> {
        let beginning = adding.clone();
        let begun = self.inner.store.mutate(move |tx| beginning.begin(tx)).await.map_err(unwrapped)?;
        let entry = match begun {
            Begun::Same(entry) => return Ok(Added::same(entry, bill.spent())),
            Begun::New(entry) => entry,
        };
        let (id, maker, namespace) = (entry.id, Maker::default(), &adding.namespace);
        let making = async {
            let filled = self.fill(id, maker, namespace, bill, chunks, |_| async { Ok(()) }).await?;
            self.publish(id, maker, namespace, filled).await
        };
        let made = tokio::select! {
            made = making => made,
            error = self.keep_alive(id, maker) => Err(error),
        };
        match made {
            Ok(published) => Ok(Added::of(published, bill.spent())),
            Err(error) => {
                let entry = self.inner.store.query(move |tx| tx.get(id)).await?;
                match entry.filter(|entry| entry.status == EntryStatus::Replaced) {
                    Some(entry) if matches!(error, Error::Overtaken { .. }) => {
                        Ok(Added::same(entry, bill.spent()))
                    }
                    _ => {
                        self.fail(id, &error).await?;
                        Err(error)
                    }
                }
            }
        }
    }

    /// Renews the lease of a pending entry again and again. Returns why nobody wants it any more.
    async fn keep_alive(&self, id: EntryId, maker: Maker) -> Error {
        loop {
            self.inner.store.clock().sleep(LEASE / RENEWALS).await;
            let renewed = self.inner.store.mutate(move |tx| renew(tx, id, maker)).relaxed().await;
            match renewed.map_err(unwrapped) {
                // Whoever makes it has published it, or hears of it when it writes next.
                Err(Error::Overtaken { status, .. }) if IS_SETTLED.contains(&status) => {
                    return std::future::pending().await;
                }
                Err(error @ (Error::Overtaken { .. } | Error::UnknownEntry { .. })) => return error,
                // A store that fails for a moment leaves time for the next one.
                Err(_) | Ok(()) => {}
            }
        }
    }

    /// Writes the chunks of a pending entry; those that an earlier attempt has written keep their vectors.
    pub(crate) async fn fill<W: Future<Output = Result<()>>>(
        &self,
        id: EntryId,
        maker: Maker,
        namespace: &Row<NamespaceRow>,
        bill: &Bill,
        chunks: BoxStream<'static, Result<NewChunk>>,
        mut progress: impl FnMut(u32) -> W,
    ) -> Result<Filled> {
        let (mut filled, mut noted) = (0_u32, 0);
        let mut hash = ChunksHash::default();
        let batches = chunks.try_chunks(BATCH_CHUNKS).map_err(|error| error.1);
        let prepared = batches.map(|chunks| async move { self.prepare(namespace, chunks?, bill).await });
        let mut prepared = std::pin::pin!(prepared.buffered(BATCHES_AT_ONCE));
        while let Some(batch) = prepared.next().await {
            let (first, (batch, taken)) = (filled, batch?);
            let count = batch.chunks.len();
            check_count(first as usize + count)?;
            batch.chunks.iter().for_each(|prepared| hash.add(&prepared.chunk));
            let tokens = bill.spent().total() - noted;
            let written = self.inner.store.mutate(move |tx| write(tx, id, maker, first, &batch, tokens));
            written.await.map_err(unwrapped)?;
            drop(taken);
            crash_point("rag.written");
            noted += tokens;
            filled += count as u32;
            progress(filled).await?;
        }
        Ok(Filled { chunks: filled, hash: hash.end() })
    }

    /// Publishes an entry that has been filled; one that turns out to be as the live one is dropped.
    pub(crate) async fn publish(
        &self,
        id: EntryId,
        maker: Maker,
        namespace: &Row<NamespaceRow>,
        filled: Filled,
    ) -> Result<Published> {
        let (settling, spaces) = (self.inner.settling.clone(), self.spaces(namespace));
        crash_point("rag.filled");
        // An attempt before may have written more.
        while maker.job.is_some() {
            let step = self.inner.store.mutate(move |tx| {
                pending(tx, id, maker)?;
                delete_from(tx, id, filled.chunks)
            });
            if step.await.map_err(unwrapped)? {
                break;
            }
        }
        let published = self.inner.store.mutate(move |tx| {
            let entry = pending(tx, id, maker)?;
            if entry.content_hash.is_none()
                && let Some(live) = drop_same(tx, &settling, &entry, &filled.hash)?
            {
                return Ok(Published { entry: live, replaced: None, is_same: true });
            }
            complete(tx, id, maker, filled.chunks, &spaces, Some(filled.hash))?;
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
    async fn unchanged(&self, adding: &Adding) -> Result<Option<Row<EntryRow>>> {
        let (namespace, new, hash) = (adding.namespace.id, adding.new.clone(), adding.hash.clone());
        let new = Arc::new(new);
        let asked = new.clone();
        let found = self.inner.store.query(move |tx| same(tx, namespace, &asked, hash.as_deref()));
        let Some(entry) = found.await.map_err(unwrapped)? else { return Ok(None) };
        if is_described(&entry, &new) {
            return Ok(Some(entry));
        }
        let id = entry.id;
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
            Target::Id(id) => namespaces::get(tx, *id),
            Target::Name(name) => wanted.answering(tx, name),
        });
        if let Some(namespace) =
            found.await.map_err(unwrapped)?.filter(|it| self.inner.wanted.is_known_to(it))
        {
            self.inner.wanted.check(&namespace)?;
            return Ok(namespace);
        }
        let rag = self.clone();
        self.inner.store.mutate(move |tx| rag.namespace_in(tx, &target)).await.map_err(unwrapped)
    }

    /// Returns the namespace to add to, which knows the filter names of this knowledge base from then on.
    pub(crate) fn namespace_in(&self, tx: &mut Tx, target: &Target) -> StoreResult<Row<NamespaceRow>> {
        let Inner { settling, wanted, .. } = &*self.inner;
        match target {
            Target::Name(name) => get_or_create(tx, settling, name, NamespaceStatus::Ready, wanted),
            Target::Id(id) => {
                let namespace = namespaces::require(tx, *id)?;
                wanted.check(&namespace)?;
                wanted.learn(tx, namespace)
            }
        }
    }

    /// Returns the newest version of a name that stands so and is of this knowledge base's model, or its former
    /// one; a new one where there is none. It knows the filter names of this knowledge base from then on. A pending one is filled by its id and then
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

    /// Gives chunks their vectors: given, known in the namespace, or by a model. The texts that it asked for are
    /// its own until they are written.
    async fn prepare(
        &self,
        namespace: &Row<NamespaceRow>,
        chunks: Vec<NewChunk>,
        bill: &Bill,
    ) -> Result<(Arc<Batch>, Vec<Taken>)> {
        let own = &self.inner.own.space;
        chunks.iter().try_for_each(|chunk| chunk.check(own))?;
        let mut prepared: Vec<Prepared> = chunks.into_iter().map(|chunk| Prepared::of(chunk, own)).collect();
        let mut taken = Vec::new();
        for embedder in self.embedders(namespace) {
            let lacks = |prepared: &&Prepared| !prepared.has(&embedder.space);
            let texts = texts_of(prepared.iter().filter(lacks).map(|prepared| prepared.chunk.text.as_str()));
            let (vectors, of_model) = self.complete(embedder, namespace.id, &texts, bill).await?;
            taken.extend(of_model);
            for prepared in prepared.iter_mut().filter(|prepared| !prepared.has(&embedder.space)) {
                if let Some(vector) = vectors.get(&chunk_hash(&prepared.chunk.text)) {
                    prepared.vectors.push((embedder.space.clone(), vector.clone()));
                }
            }
        }
        Ok((Arc::new(Batch { chunks: prepared, spaces: self.spaces(namespace) }), taken))
    }
}

impl Prepared {
    /// A text whose vector was given is none that others may take it for.
    fn of(chunk: NewChunk, own: &Space) -> Self {
        let hash = chunk.embedding.is_none().then(|| chunk_hash(&chunk.text));
        // Where the namespace is still of a former model, it is there when it migrates.
        let vectors = chunk.embedding.iter().map(|vector| (own.clone(), vector.clone())).collect();
        Self { chunk, hash, vectors }
    }

    fn has(&self, space: &Space) -> bool {
        self.vectors.iter().any(|(of, _)| of == space)
    }
}

fn check_count(chunks: usize) -> Result<()> {
    match u32::try_from(chunks) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::bad("an entry of", format!("{chunks} chunks"), "give it fewer")),
    }
}
