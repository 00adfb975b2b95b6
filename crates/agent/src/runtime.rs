//! What agents run on: a store, and what this process does beside it.

use std::time::Duration;

use loomwork_core::Tasks;
use loomwork_files::Files;
use loomwork_messages::runs::Host;
use loomwork_messages::streams::{self, Live};
use loomwork_messages::{deletion, fork};
use loomwork_search::Search;
use loomwork_store::engine::Engine;
use loomwork_store::{Builder, Error, Result, Store, TableDef};

use crate::approvals;
use crate::generate::cut_upkeep;
use crate::humans;
use crate::journal;
use crate::outbox::{Handler, Outbox};
use crate::tables::own;

/// What agents run on: a store, the process's part in its runs and streams, and search and files where there
/// are some. A clone is the same.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(crate) store: Store,
    pub(crate) host: Host,
    pub(crate) live: Live,
    pub(crate) search: Option<Search>,
    pub(crate) files: Option<Files>,
    pub(crate) outbox: Outbox,
    pub(crate) tasks: Tasks,
}

/// Returns all tables that agents need: their own, and those of messages, search, files and jobs.
pub fn tables() -> Vec<TableDef> {
    let tables = own().into_iter().chain(loomwork_messages::tables()).chain(loomwork_search::tables());
    tables.chain(loomwork_files::tables()).chain(loomwork_workpool::tables()).collect()
}

impl Runtime {
    /// Opens a store in memory and starts on it: for tests, and for a first try.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn memory() -> Result<Self> {
        Self::open(Store::memory()).await
    }

    /// Opens a store over an engine and starts on it.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn over(engine: impl Engine) -> Result<Self> {
        Self::open(Store::builder(engine)).await
    }

    async fn open(builder: Builder) -> Result<Self> {
        Self::start(&builder.tables(tables()).open().await?).await
    }

    /// Starts on a store that was opened with these [`tables`]: takes runs, writes streams, and cleans up
    /// behind both.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn start(store: &Store) -> Result<Self> {
        let tasks = Tasks::new();
        let host = Host::start(store, &tasks).await?;
        let live = Live::start(store, &tasks);
        let of_messages = [streams::upkeep(), deletion::upkeep(), fork::upkeep()];
        let own = [journal::upkeep(), cut_upkeep(), approvals::upkeep(), humans::upkeep()];
        for upkeep in of_messages.into_iter().chain(own) {
            store.start_upkeep(&tasks, upkeep);
        }
        let outbox = Outbox::start(store, &tasks);
        Ok(Self { store: store.clone(), host, live, search: None, files: None, outbox, tasks })
    }

    /// Gives agents a search over what was said.
    #[must_use]
    pub fn with_search(self, search: Search) -> Self {
        Self { search: Some(search), ..self }
    }

    /// Gives agents files: large parts go there, and come back when a model is asked.
    #[must_use]
    pub fn with_files(self, files: Files) -> Self {
        let live = self.live.with_files(files.clone());
        Self { files: Some(files), live, ..self }
    }

    /// Makes handlers known before an agent that has them is asked something here: so what a process that is gone
    /// has left for them in the [outbox](crate::outbox) is told.
    #[must_use]
    pub fn with_handlers(self, handlers: impl IntoIterator<Item = Handler>) -> Self {
        for handler in handlers {
            self.outbox.know(handler);
        }
        self
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the streams of this process, to follow them.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Ends what runs in the background: answers that are [durable](crate::Options::durable) are given back, so that
    /// others go on with them, and any other one is called off with what it had said.
    ///
    /// # Errors
    /// When a task does not end in time.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        self.tasks.shutdown(deadline).await.map_err(Error::from)
    }
}
