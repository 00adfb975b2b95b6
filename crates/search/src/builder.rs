//! Starting to search: which indexes, where, and with which models.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use loomwork_core::Tasks;
use loomwork_models::EmbeddingModel;
use loomwork_store::{Result as StoreResult, Store, Table, Tx};

use crate::budget::{Budget, MEMORY};
use crate::follow::{Follower, Located, repeated};
use crate::pipeline::{self, Batch, Embedder, OnEmbedded};
use crate::place::Place;
use crate::search::{Inner, Open};
use crate::source::Source;
use crate::vector::{Costs, GRAPH_ROWS, Keeping};
use crate::{Error, Index, Result, Search, Space};

/// The most letters of an index's name.
pub const MAX_NAME: usize = 60;

/// Describes a [`Search`]; nothing runs before [`start`](Self::start).
#[must_use = "nothing runs before `start` is awaited"]
pub struct Builder {
    store: Store,
    place: Place,
    node: String,
    indexes: Vec<Declared>,
    embedder: Option<Arc<dyn EmbeddingModel>>,
    embedders: HashMap<String, Arc<dyn EmbeddingModel>>,
    formers: HashMap<String, (Space, Arc<dyn EmbeddingModel>)>,
    on_embedded: Option<OnEmbedded>,
    memory: usize,
    graph_rows: usize,
}

/// An index that is to be opened.
struct Declared {
    source: Arc<dyn Source>,
    index: Arc<dyn Any + Send + Sync>,
    space: Option<Space>,
    is_fed: bool,
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.indexes.iter().map(Declared::name).collect();
        formatter
            .debug_struct("Builder")
            .field("place", &self.place)
            .field("indexes", &names)
            .field("embedder", &self.embedder)
            .finish_non_exhaustive()
    }
}

impl Declared {
    fn name(&self) -> &str {
        &self.source.schema().name
    }

    fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::BadIndex { index: self.name().to_owned(), reason: reason.into() }
    }

    fn check(&self) -> Result<()> {
        let name = self.name();
        let is_good = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_good) {
            let right = format!("a name has 1 to {MAX_NAME} lowercase letters, digits and `_`");
            return Err(self.wrong(right));
        }
        let schema = self.source.schema();
        if !self.is_fed {
            let table = schema.table;
            return Err(self.wrong(format!(
                "its table `{table}` does not tell the feed of its changes; write `#[table(.., feed)]`"
            )));
        }
        let texts = schema.texts.iter().map(|(name, _)| name.as_str());
        if let Some(name) = repeated(texts).or_else(|| repeated(schema.fields.iter().map(String::as_str))) {
            return Err(self.wrong(format!("it has two fields `{name}`; give each its own name")));
        }
        Ok(())
    }
}

impl Builder {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            place: Place::Memory,
            node: String::new(),
            indexes: Vec::new(),
            embedder: None,
            embedders: HashMap::new(),
            formers: HashMap::new(),
            on_embedded: None,
            memory: MEMORY,
            graph_rows: GRAPH_ROWS,
        }
    }

    /// Keeps what is derived in a folder. It may be deleted while no program uses it, and is then made
    /// anew from the rows.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.place = Place::Folder(folder.into());
        self
    }

    /// Keeps what is derived in memory, and makes it anew at each start. This is the default.
    pub fn in_memory(mut self) -> Self {
        self.place = Place::Memory;
        self
    }

    /// Names this process among those that share the store; each with a folder needs a name of its own.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = name.into();
        self
    }

    /// Adds an index.
    pub fn index<T: Table>(mut self, index: Index<T>) -> Self {
        let (index, is_fed) = (Arc::new(index), T::FEED);
        let space = index.space().cloned();
        self.indexes.push(Declared { source: index.clone(), index, space, is_fed });
        self
    }

    /// Embeds with this model what indexes say is embedded.
    pub fn embedder(mut self, model: impl EmbeddingModel + 'static) -> Self {
        self.embedder = Some(Arc::new(model));
        self
    }

    /// Embeds with this model what one index says is embedded. A model that others use too goes in as
    /// an [`Arc`].
    pub fn embedder_for(mut self, index: impl Into<String>, model: Arc<dyn EmbeddingModel>) -> Self {
        self.embedders.insert(index.into(), model);
        self
    }

    /// Says with which model an index was embedded before, and in which space. While its present model embeds
    /// the rows anew, those that it has not come to are found by their former vectors, and queries are
    /// embedded by both. When no row is left for it, the former model is not asked any more.
    pub fn former(mut self, index: impl Into<String>, space: Space, model: Arc<dyn EmbeddingModel>) -> Self {
        self.formers.insert(index.into(), (space, model));
        self
    }

    /// Calls this in each transaction that stores vectors which a model made: for what it used, say.
    pub fn on_embedded(
        mut self,
        hook: impl Fn(&mut Tx, &Batch) -> StoreResult<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_embedded = Some(Arc::new(hook));
        self
    }

    /// Bounds the memory that the codes and graphs of committed vectors may hold, of all indexes together;
    /// [`MEMORY`] by default. Nothing is refused beyond it: codes are then read from the folder, and large
    /// segments are scanned. [`Stats`](crate::Stats) tell what is held where.
    ///
    /// An index that is kept in memory holds its vectors whatever this says, and at most its graphs heed it.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Says from how many vectors on a part of an index may have a graph, where searches would be quicker
    /// by one; [`GRAPH_ROWS`] by default. `usize::MAX` means that all searches are scans, which miss nothing.
    pub fn graphs_from(mut self, vectors: usize) -> Self {
        self.graph_rows = vectors;
        self
    }

    /// Opens the indexes and begins to follow the store, as background tasks of this process.
    ///
    /// What is on disk and not of this store, of another declaration or unreadable is made anew in the
    /// background; see [`Search::progress`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::BadIndex`] for what cannot be searched as it was declared; when the store or the folder
    /// cannot be written.
    pub async fn start(self) -> Result<Search> {
        if let Some(name) = repeated(self.indexes.iter().map(Declared::name)) {
            let reason = "there are two of this name; give each its own".to_owned();
            return Err(Error::BadIndex { index: name.to_owned(), reason });
        }
        let tasks = Tasks::new();
        let (budget, costs) = (Budget::new(self.memory), Costs::default());
        let keeping = Keeping { budget, graph_rows: self.graph_rows, costs };
        if let Some(name) = self.formers.keys().find(|name| self.indexes.iter().all(|it| it.name() != *name))
        {
            let reason = "a former model is named for it, but it is not declared".to_owned();
            return Err(Error::BadIndex { index: name.clone(), reason });
        }
        let mut embedded = HashMap::new();
        let mut indexes = BTreeMap::new();
        for declared in &self.indexes {
            declared.check()?;
            let embedder = self.embedder_of(declared)?.map(Arc::new);
            if let Some(embedder) = &embedder {
                let key = (embedder.source.schema().table, embedder.space.clone());
                if let Some(other) = embedded.insert(key, declared.name()) {
                    return Err(declared.wrong(format!(
                        "`{other}` embeds the same table with the same model; one index may do that"
                    )));
                }
            }
            let space = embedder.as_ref().map(|embedder| embedder.space.clone());
            let space = space.or_else(|| declared.space.clone());
            let former = self.former_of(declared, space.as_ref())?.map(Arc::new);
            let former_space = former.as_ref().map(|former| former.space.clone());
            let source = declared.source.clone();
            let place = Located { place: self.place.clone(), node: &self.node, keeping: keeping.clone() };
            let follower = Follower::open(&self.store, source, space, former_space, place).await?;
            let open = Open { follower, embedder, former, index: declared.index.clone() };
            indexes.insert(declared.name().to_owned(), open);
        }
        for (name, open) in &indexes {
            let follower = open.follower.clone();
            tasks.spawn(format!("search {name}"), |shutdown| follower.run(shutdown));
            if open.follower.vectors.is_some() {
                let follower = open.follower.clone();
                tasks.spawn(format!("graphs of {name}"), |shutdown| follower.build_graphs(shutdown));
            }
            if let Some(embedder) = &open.embedder {
                self.store.start_upkeep(&tasks, pipeline::upkeep(embedder.clone()));
            }
        }
        Ok(Search::new(Inner { store: self.store, indexes, tasks }))
    }

    fn former_of(&self, declared: &Declared, space: Option<&Space>) -> Result<Option<Embedder>> {
        let Some((former, model)) = self.formers.get(declared.name()).cloned() else { return Ok(None) };
        let name = model.name().to_string();
        if former.model() != name {
            let of = former.model();
            return Err(
                declared.wrong(format!("its former vectors are of `{of}`, but the model is `{name}`"))
            );
        }
        if space.is_none_or(|space| *space == former) {
            return Err(
                declared.wrong(format!("its former model `{name}` is the one that it has, or it has none"))
            );
        }
        Ok(Some(Embedder { source: declared.source.clone(), model, space: former, on_embedded: None }))
    }

    fn embedder_of(&self, declared: &Declared) -> Result<Option<Embedder>> {
        let model = self.embedders.get(declared.name()).or(self.embedder.as_ref()).cloned();
        let schema = declared.source.schema();
        let Some(model) = model.filter(|_| schema.embeds) else {
            if schema.embeds && declared.space.is_none() {
                return Err(declared.wrong("it embeds texts, which needs a model; name one with `embedder`"));
            }
            return Ok(None);
        };
        let name = model.name().to_string();
        let space = match (&declared.space, Space::of(&*model)?) {
            (Some(space), _) if space.model() != name => {
                let declared_model = space.model();
                return Err(declared.wrong(format!(
                    "its vectors are of the model `{declared_model}`, but `{name}` is to embed its texts"
                )));
            }
            (Some(space), _) => space.clone(),
            (None, Some(space)) => space,
            (None, None) => {
                return Err(declared.wrong(format!(
                    "the model `{name}` does not say how long its vectors are; name it with `Index::vectors`"
                )));
            }
        };
        let (source, on_embedded) = (declared.source.clone(), self.on_embedded.clone());
        Ok(Some(Embedder { source, model, space, on_embedded }))
    }
}
