//! The handle: a knowledge base over a store, with a model.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::Tasks;
use loomwork_files::Files;
use loomwork_models::EmbeddingModel;
use loomwork_search::{Search, Space};
use loomwork_store::{Result as StoreResult, Row, Store, Tx};

use crate::asked::Asked;
use crate::content::{Content, check_declared};
use crate::cut::{Chunker, Paragraphs};
use crate::embed::{Embedder, Used};
use crate::error::unwrapped;
use crate::ingest::{Source, Sources, Sourcing};
use crate::load::Reader;
use crate::namespaces::{self, Wanted};
use crate::settle::{Retention, Settled, Settling};
use crate::tables::{NamespaceId, NamespaceRow};
use crate::{Error, Result, index, sweep};

/// A knowledge base: entries in namespaces, found by words and by meaning. One is for one embedding model;
/// several may share a store. A handle is cheap to clone.
#[derive(Clone)]
pub struct Rag {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) type Access = Arc<dyn Fn(Option<&str>, &str) -> bool + Send + Sync>;
pub(crate) type OnUsed = Arc<dyn Fn(&mut Tx, &Used) -> StoreResult<()> + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) search: Search,
    /// The index that is searched.
    pub(crate) index: String,
    pub(crate) own: Embedder,
    /// The model from before; what has no vector of its own is found by that.
    pub(crate) former: Option<Embedder>,
    pub(crate) wanted: Wanted,
    pub(crate) chunker: Arc<dyn Chunker>,
    pub(crate) reader: Reader,
    pub(crate) files: Option<Files>,
    pub(crate) settling: Settling,
    pub(crate) on_used: Option<OnUsed>,
    pub(crate) access: Option<Access>,
    pub(crate) sources: Sources,
    pub(crate) asked: Asked,
    tasks: Tasks,
}

impl fmt::Debug for Rag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rag").field("space", &self.inner.own.space).finish_non_exhaustive()
    }
}

/// Describes a [`Rag`]; nothing runs before [`start`](Self::start).
#[must_use = "nothing runs before `start` is awaited"]
pub struct Builder {
    store: Store,
    model: Arc<dyn EmbeddingModel>,
    dimension: Option<usize>,
    former: Option<(Arc<dyn EmbeddingModel>, Option<usize>)>,
    filter_names: Vec<String>,
    chunker: Arc<dyn Chunker>,
    reader: Reader,
    files: Option<Files>,
    folder: Option<PathBuf>,
    node: String,
    memory: usize,
    settling: Settling,
    on_used: Option<OnUsed>,
    access: Option<Access>,
    sources: Sources,
    repeated: Option<&'static str>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("model", &self.model)
            .field("filter_names", &self.filter_names)
            .field("chunker", &self.chunker)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets the length of the vectors, where the model does not say it or can give several.
    pub fn dimension(mut self, dimension: usize) -> Self {
        self.dimension = Some(dimension);
        self
    }

    /// Names the model that namespaces were made with before. They go on to answer: what has no vector of
    /// the present model is found by its former one. [`Rag::migrate`] gives all of it the present one.
    pub fn former(mut self, model: Arc<dyn EmbeddingModel>, dimension: Option<usize>) -> Self {
        self.former = Some((model, dimension));
        self
    }

    /// Declares the names of filter values, as many as one likes.
    pub fn filters<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.filter_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how texts are cut; [`Paragraphs`] by default.
    pub fn chunker(mut self, chunker: impl Chunker + 'static) -> Self {
        self.chunker = Arc::new(chunker);
        self
    }

    /// Sets how documents are read.
    pub fn reader(mut self, reader: Reader) -> Self {
        self.reader = reader;
        self
    }

    /// Says where the files are that entries are made from.
    pub fn files(mut self, files: Files) -> Self {
        self.files = Some(files);
        self
    }

    /// Keeps what searching needs in a folder; in memory by default, where it is made anew at each start,
    /// without a call to a model.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Names this process among those that share the store and have a folder each.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = name.into();
        self
    }

    /// Bounds the memory for vectors; see [`loomwork_search::Builder::memory`].
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Sets which versions are kept that are no longer live.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settling.retention = retention;
        self
    }

    /// Calls this once for each entry and namespace that settles, in the transaction in which it does. If it
    /// fails, that does not happen.
    pub fn on_settled(
        mut self,
        hook: impl Fn(&mut Tx, &Settled) -> StoreResult<()> + Send + Sync + 'static,
    ) -> Self {
        self.settling.hook = Some(Arc::new(hook));
        self
    }

    /// Calls this for each call of a model that used something, as soon as it has answered, in a transaction of
    /// its own: it is to be paid, whatever comes of it. If it fails, so does what the model was asked for.
    pub fn on_used(
        mut self,
        hook: impl Fn(&mut Tx, &Used) -> StoreResult<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_used = Some(Arc::new(hook));
        self
    }

    /// Says whether a user, if a query names one, may search a namespace of this name. Everybody may by
    /// default.
    pub fn access(mut self, may: impl Fn(Option<&str>, &str) -> bool + Send + Sync + 'static) -> Self {
        self.access = Some(Arc::new(may));
        self
    }

    /// Binds a source to the function that makes the content of entries.
    pub fn source<A, F, W>(mut self, source: Source<A>, make: F) -> Self
    where
        A: serde::de::DeserializeOwned + 'static,
        F: Fn(Sourcing, A) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Content>> + Send + 'static,
    {
        if !self.sources.bind(source, make) {
            self.repeated.get_or_insert(source.name);
        }
        self
    }

    /// Opens the knowledge base and begins its upkeep, as background tasks of this process.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Errors
    /// For a model whose vectors have no known length, and filter names that are none; when the store or
    /// the folder cannot be written.
    pub async fn start(self) -> Result<Rag> {
        check_declared(&self.filter_names)?;
        if let Some(name) = self.repeated {
            return Err(Error::bad("the source", format!("{name:?}"), "is bound twice; bind it once"));
        }
        let own = embedder(self.model, self.dimension)?;
        let former = self.former.map(|(model, dimension)| embedder(model, dimension)).transpose()?;
        let name = index::name(&own.space);
        let mut search = Search::builder(&self.store).index(index::chunks(&own.space)).memory(self.memory);
        if let Some(former) = &former {
            search = search.former(&name, former.space.clone(), former.model.clone());
        }
        if let Some(folder) = self.folder {
            search = search.folder(folder).node(self.node);
        }
        let search = search.start().await?;
        let wanted = Wanted {
            space: own.space.clone(),
            former: former.as_ref().map(|former| former.space.clone()),
            filter_names: self.filter_names,
        };
        let tasks = Tasks::new();
        self.store.start_upkeep(&tasks, sweep::upkeep());
        self.store.start_upkeep(&tasks, sweep::leases(self.settling.clone(), wanted.clone()));
        let inner = Inner {
            store: self.store,
            search,
            index: name,
            own,
            former,
            wanted,
            chunker: self.chunker,
            reader: self.reader,
            files: self.files,
            settling: self.settling,
            on_used: self.on_used,
            access: self.access,
            sources: self.sources,
            asked: Asked::default(),
            tasks,
        };
        Ok(Rag { inner: Arc::new(inner) })
    }
}

fn embedder(model: Arc<dyn EmbeddingModel>, dimension: Option<usize>) -> Result<Embedder> {
    let name = model.name().to_string();
    let dimension = dimension.or_else(|| model.dimensions()).ok_or_else(|| {
        let right = "does not say how long its vectors are; name it with `Builder::dimension`";
        Error::bad("the model", &name, right)
    })?;
    Ok(Embedder { space: Space::new(name, dimension)?, model })
}

impl Rag {
    /// Begins to describe a knowledge base whose texts are embedded by a model.
    pub fn builder(store: &Store, model: impl EmbeddingModel + 'static) -> Builder {
        Self::builder_with(store, Arc::new(model))
    }

    /// As [`builder`](Self::builder), with a model that others use too.
    pub fn builder_with(store: &Store, model: Arc<dyn EmbeddingModel>) -> Builder {
        Builder {
            store: store.clone(),
            model,
            dimension: None,
            former: None,
            filter_names: Vec::new(),
            chunker: Arc::new(Paragraphs::default()),
            reader: Reader::default(),
            files: None,
            folder: None,
            node: String::new(),
            memory: loomwork_search::MEMORY,
            settling: Settling::default(),
            on_used: None,
            access: None,
            sources: Sources::default(),
            repeated: None,
        }
    }

    /// Returns the store that it is in.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Returns the model's name and the length of its vectors.
    pub fn space(&self) -> &Space {
        &self.inner.own.space
    }

    /// Returns the names of filter values that it declares.
    pub fn filter_names(&self) -> &[String] {
        &self.inner.wanted.filter_names
    }

    /// Returns the search below, for its progress and its figures.
    pub fn searching(&self) -> &Search {
        &self.inner.search
    }

    /// Makes a pending namespace the one that answers by its name, in place of all its other versions, and
    /// returns those that answered before. One that was replaced already is returned itself.
    ///
    /// # Errors
    /// When there is no such namespace; when the store cannot be read or written.
    pub fn promote(&self, tx: &mut Tx, id: NamespaceId) -> StoreResult<Vec<Row<NamespaceRow>>> {
        namespaces::promote(tx, &self.inner.settling, id)
    }

    /// Waits until the index has been filled from the rows that there were at the start. Searches before that
    /// answer from a part of them.
    ///
    /// # Errors
    /// When the store or the index fails.
    pub async fn filled(&self) -> Result<()> {
        Ok(self.inner.search.filled().await?)
    }

    /// Ends the upkeep and the search, and lets go of the folder; `deadline` is real time.
    ///
    /// # Errors
    /// When tasks did not end in time and were aborted.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        self.inner.tasks.shutdown(deadline).await.map_err(loomwork_store::Error::from)?;
        Ok(self.inner.search.shutdown(deadline).await?)
    }

    /// Tells what a model used.
    pub(crate) async fn tell(&self, used: Used) -> Result<()> {
        let Some(hook) = self.inner.on_used.clone() else { return Ok(()) };
        if used.usage.is_empty() {
            return Ok(());
        }
        self.inner.store.mutate(move |tx| hook(tx, &used)).await.map_err(unwrapped)
    }
}
