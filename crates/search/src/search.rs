//! The service: indexes over a store, kept up to date.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::Tasks;
use loomwork_models::{ModelName, Usage};
use loomwork_store::engine::Seq;
use loomwork_store::{Id, Result as StoreResult, Store, Table, Tx, feed};
use loomwork_workpool as workpool;

use crate::builder::Builder;
use crate::find::{find, no_vectors};
use crate::follow::{Filling, Follower, Vectors};
use crate::pipeline::{self, Embedder, Embedding};
use crate::query::{Hit, Hits, MAX_LIMIT, Query, QueryVector};
use crate::{Error, Index, Result};

/// Text, vector and hybrid search over the tables of a store.
///
/// A handle is cheap to clone. [`shutdown`](Self::shutdown) ends it; when the last handle is dropped
/// instead, what was not committed is read again from the feed at the next start.
#[derive(Clone)]
pub struct Search {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) indexes: BTreeMap<String, Open>,
    pub(crate) tasks: Tasks,
}

/// An index that is open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) follower: Arc<Follower>,
    pub(crate) embedder: Option<Arc<Embedder>>,
    /// The former model, for queries alone.
    pub(crate) former: Option<Arc<Embedder>>,
    /// The `Arc<Index<T>>`, for those who know `T`.
    pub(crate) index: Arc<dyn Any + Send + Sync>,
}

/// How an index stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The index.
    pub index: String,
    /// How far it is filled from the rows while it is made anew.
    pub filling: Option<Filling>,
    /// How its embedding stands, if it has any.
    pub embedding: Option<Embedding>,
}

/// What an index holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The index.
    pub index: String,
    /// Up to where it has followed the feed.
    pub seen: Seq,
    /// How many rows are committed to it.
    pub rows: usize,
    /// How many rows have come in since.
    pub pending: usize,
    /// How many vectors it has.
    pub vectors: usize,
    /// How many rows are found by the vector of a former model, as they have no newer one yet.
    pub former_vectors: usize,
    /// How many of both a graph finds; the others are scanned.
    pub in_graphs: usize,
    /// How many of them have their codes on disk alone, since
    /// [`Builder::memory`](crate::Builder::memory) has no room for them.
    pub on_disk: usize,
    /// About how many bytes of memory it holds, for text and vectors and their filter values.
    pub bytes: usize,
}

impl fmt::Debug for Search {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Search").field("indexes", &self.inner.indexes).finish_non_exhaustive()
    }
}

impl Search {
    /// Begins to describe what is searched.
    pub fn builder(store: &Store) -> Builder {
        Builder::new(store.clone())
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Binds the embedding of texts to a pool, which has to run somewhere for texts to be embedded.
    pub fn bind(&self, pool: workpool::Builder) -> workpool::Builder {
        let embedders = self.inner.indexes.iter().filter_map(|(name, open)| {
            let embedder = open.embedder.clone()?;
            Some((name.clone(), embedder))
        });
        let embedders: HashMap<_, _> = embedders.collect();
        pipeline::bind(pool, embedders)
    }

    /// Finds rows, best first. It sees each write whose answer was there before it began, and each vector
    /// that was stored before.
    ///
    /// # Errors
    /// What is wrong with the query; when the store or the index fails.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn find<T: Table>(&self, index: &str, query: Query) -> Result<Hits<T>> {
        let open = self.open(index)?;
        find(&open.follower, self.typed::<T>(index)?, query).await
    }

    /// Finds `depth` rows, hands them to `rerank`, and returns as many as the query wants of what that
    /// returns.
    ///
    /// # Errors
    /// As [`find`](Self::find), and what `rerank` returns.
    pub async fn find_reranked<T, W>(
        &self,
        index: &str,
        query: Query,
        depth: usize,
        rerank: impl FnOnce(Vec<Hit<T>>) -> W,
    ) -> Result<Hits<T>>
    where
        T: Table,
        W: Future<Output = Result<Vec<Hit<T>>>>,
    {
        let limit = query.limit;
        if !(limit.max(1)..=MAX_LIMIT).contains(&depth) {
            let right = format!("{} to {MAX_LIMIT}, from the limit on", limit.max(1));
            return Err(Error::BadNumber { what: "depth", found: depth.to_string(), right });
        }
        let limit_of_query = if limit == 0 { 0 } else { depth };
        let Hits { hits, filling } = self.find(index, Query { limit: limit_of_query, ..query }).await?;
        let mut hits = rerank(hits).await?;
        hits.truncate(limit);
        Ok(Hits { hits, filling })
    }

    /// Returns the vector of a text, by the model of an index; and by its former model too, while rows are
    /// found by that.
    ///
    /// # Errors
    /// When the index has no model, or a model fails; for an empty text.
    pub async fn embed(&self, index: &str, text: &str) -> Result<QueryVector> {
        Ok(self.embed_counted(index, text).await?.0)
    }

    /// As [`embed`](Self::embed), and says what each model that was asked has used.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub async fn embed_counted(
        &self,
        index: &str,
        text: &str,
    ) -> Result<(QueryVector, Vec<(ModelName, Usage)>)> {
        let open = self.open(index)?;
        let embedder = open.embedder.as_ref().ok_or_else(|| no_vectors(index))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::EmptyQuery { index: index.to_owned() });
        }
        let embed = async |embedder: &Embedder| {
            let (vectors, usage) = embedder.embed(vec![text.to_owned()]).await?;
            let vector = vectors.into_iter().next().unwrap_or_default();
            Ok::<_, Error>((vector, (embedder.model.name().clone(), usage)))
        };
        let former = open.former.as_ref().filter(|_| open.follower.is_found_by_former());
        let former = async {
            match former {
                Some(former) => embed(former).await.map(Some),
                None => Ok(None),
            }
        };
        let ((vector, used), former) = tokio::try_join!(embed(embedder), former)?;
        let (former, used_too) = former.unzip();
        Ok((QueryVector { vector, former }, std::iter::once(used).chain(used_too).collect()))
    }

    /// Returns the vector that a row of an index has already; `None` where it has none, and while rows are
    /// found by two models, for which [`embed`](Self::embed) makes one of each.
    ///
    /// # Errors
    /// When there is no such index; when the store cannot be read.
    pub async fn vector_of<T: Table>(&self, index: &str, row: Id<T>) -> Result<Option<QueryVector>> {
        let follower = &self.open(index)?.follower;
        let Some(vectors) = follower.vectors.as_ref().filter(|_| !follower.is_found_by_former()) else {
            return Ok(None);
        };
        let space = vectors.space.clone();
        let known = self.inner.store.query(move |tx| crate::vectors::of(tx, &space, row)).await?;
        Ok(known.map(|row| row.vector().into()))
    }

    /// Waits until what was changed up to `seq` is embedded, in all indexes, and so is found by its
    /// vectors. [`Store::committed`] is the position of what was written so far.
    ///
    /// A row that has changed again since is found by the text of that change, which a later `seq` waits for.
    /// It waits for ever where no pool runs that [`bind`](Self::bind) has seen.
    ///
    /// # Errors
    /// [`Error::NotEmbedded`] when batches failed for good; when the store cannot be read.
    ///
    /// # Cancel safety
    /// It changes nothing and may be dropped at any time.
    pub async fn embedded(&self, seq: Seq) -> Result<()> {
        for embedder in self.inner.indexes.values().filter_map(|open| open.embedder.as_ref()) {
            embedder.embedded(&self.inner.store, seq).await?;
        }
        Ok(())
    }

    /// Has what could not be embedded tried again, in all indexes, and returns how many batches there are.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn retry(&self) -> Result<usize> {
        let names: Vec<String> = self.inner.indexes.keys().cloned().collect();
        let retried = self
            .inner
            .store
            .mutate(move |tx| names.iter().map(|name| pipeline::retry(tx, name)).sum::<StoreResult<usize>>());
        Ok(retried.await?)
    }

    /// Returns how each index stands.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn progress(&self) -> Result<Vec<Progress>> {
        let mut all = Vec::new();
        for (name, open) in &self.inner.indexes {
            let embedding = match open.embedder.clone() {
                None => None,
                Some(embedder) => Some(self.inner.store.query(move |tx| embedder.status(tx)).await?),
            };
            all.push(Progress { index: name.clone(), filling: open.follower.filling(), embedding });
        }
        Ok(all)
    }

    /// Returns what each index holds.
    pub fn stats(&self) -> Vec<Stats> {
        let stats = self.inner.indexes.iter().map(|(name, open)| {
            let text = open.follower.text.stats();
            let stats = |vectors: &Option<Vectors>| {
                vectors.as_ref().map(|vectors| vectors.index.stats()).unwrap_or_default()
            };
            let (vectors, former) = (stats(&open.follower.vectors), stats(&open.follower.former));
            Stats {
                index: name.clone(),
                seen: open.follower.seen(),
                rows: text.committed,
                pending: text.pending,
                vectors: vectors.vectors,
                former_vectors: former.vectors,
                in_graphs: vectors.in_graphs + former.in_graphs,
                on_disk: vectors.on_disk + former.on_disk,
                bytes: text.bytes + vectors.bytes + former.bytes,
            }
        });
        stats.collect()
    }

    /// Commits what came in, without waiting for its time; a start after that reads nothing again.
    ///
    /// # Errors
    /// When the store or an index fails.
    pub async fn commit(&self) -> Result<()> {
        for open in self.inner.indexes.values() {
            open.follower.commit_all().await?;
        }
        Ok(())
    }

    /// Waits until each index has been filled from the rows.
    ///
    /// # Errors
    /// When the store or an index fails.
    pub async fn filled(&self) -> Result<()> {
        for open in self.inner.indexes.values() {
            while !open.follower.fill().await? {}
        }
        Ok(())
    }

    /// Makes what was deleted unreadable in the folders too. Searches don't find it from its deletion on;
    /// this is for those who must not leave a trace of it.
    ///
    /// # Errors
    /// When the store or an index fails.
    pub async fn purge(&self) -> Result<()> {
        for open in self.inner.indexes.values() {
            open.follower.purge().await?;
        }
        Ok(())
    }

    /// Commits what came in, ends the background tasks, and lets go of the folder; `deadline` is real time.
    ///
    /// # Errors
    /// When tasks did not end in time and were aborted.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        Ok(self.inner.tasks.shutdown(deadline).await.map_err(loomwork_store::Error::from)?)
    }

    fn open(&self, index: &str) -> Result<&Open> {
        self.inner.indexes.get(index).ok_or_else(|| {
            let known = self.inner.indexes.keys().cloned().collect::<Vec<_>>().join(", ");
            Error::UnknownIndex { index: index.to_owned(), known }
        })
    }

    fn typed<T: Table>(&self, index: &str) -> Result<Arc<Index<T>>> {
        let open = self.open(index)?;
        open.index.clone().downcast::<Index<T>>().map_err(|_| Error::OtherTable {
            index: index.to_owned(),
            table: open.follower.source.schema().table,
            asked: T::NAME,
        })
    }
}

/// Lets the feed no longer wait for an index that no program opens any more. `node` is the name that the
/// builder was given, or empty.
///
/// # Errors
/// When the store cannot be read or written.
pub fn forget(tx: &mut Tx, index: &str, node: &str) -> StoreResult<()> {
    feed::unsubscribe(tx, &crate::follow::consumer(index, node))?;
    feed::unsubscribe(tx, &pipeline::consumer(index))
}
