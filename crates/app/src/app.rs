//! A running app: its parts, and its end.

use std::collections::BTreeMap;
use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::Runtime;
use loomwork_core::{Clock, Random, Secret, Tasks};
use loomwork_files::Files;
use loomwork_rate_limiter::Limit;
use loomwork_search::Search;
use loomwork_store::engine::Engine;
use loomwork_store::{Memory, Result, Store};
use loomwork_workpool::Workpool;

use crate::agents::Agents;
use crate::api::Operation;
use crate::auth::Gate;
use crate::auth::access::Approvers;
use crate::builder::Builder;
use crate::runs::BeforeRun;

/// How long the loops behind the work may take to end, whatever its deadline is: they only store what they have.
const LOOPS_END: Duration = Duration::from_secs(5);

/// A running app: agents, jobs, workflows, knowledge and limits over one store. A clone is the same app.
///
/// [`shutdown`](Self::shutdown) ends it. When the last clone is dropped instead, its work is given up as in a crash,
/// and taken up by the next start.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) agents: Agents,
    pub(crate) before_run: Vec<Box<BeforeRun>>,
    pub(crate) approvers: Option<Box<Approvers>>,
    pub(crate) limits: BTreeMap<String, Limit<'static>>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) gate: Gate,
    pub(crate) random: Random,
    #[cfg(feature = "http")]
    pub(crate) http: crate::http::Http,
    #[cfg(feature = "http")]
    pub(crate) hooks: Vec<crate::hook::Hook>,
}

/// What runs. It ends in this order.
pub(crate) struct Parts {
    #[cfg(feature = "workflow")]
    pub(crate) workflows: loomwork_workflow::Workflows,
    pub(crate) pool: Workpool,
    pub(crate) runtime: Runtime,
    #[cfg(feature = "rag")]
    pub(crate) rag: loomwork_rag::Rag,
    pub(crate) search: Search,
    pub(crate) files: Files,
    pub(crate) tasks: Tasks,
    pub(crate) store: Store,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("store", &self.inner.parts.store)
            .field("agents", &self.inner.agents)
            .finish_non_exhaustive()
    }
}

impl App {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Opens the database in a file, and makes it if it is not there; what is searched and files lie in folders
    /// beside it.
    ///
    /// # Errors
    /// When another process has the file, or it is none of ours; [`BuildError::NoEngine`](crate::BuildError::NoEngine)
    /// for the address of another kind of database.
    #[cfg(feature = "sqlite")]
    #[expect(clippy::unused_async, reason = "other engines connect here")]
    pub async fn open(path: impl AsRef<Path>) -> Result<Builder> {
        let path = path.as_ref();
        if let Some(address) = path.to_str().filter(|text| text.contains("://")) {
            let address = address.split("://").next().unwrap_or_default().to_owned() + "://";
            return Err(crate::BuildError::NoEngine { address, engine: "databases behind an address" }.into());
        }
        let engine = loomwork_store_sqlite::Sqlite::open(path)?;
        Ok(Builder::new(Store::builder(engine), Some(path)))
    }

    /// Begins an app in memory, for tests and a first try: it ends with its process.
    pub fn memory() -> Builder {
        Builder::over(Memory::new())
    }

    /// Begins an app over any engine. Files and what is searched are kept in memory, unless
    /// [`blobs`](Builder::blobs) says otherwise.
    pub fn over(engine: impl Engine) -> Builder {
        Builder::over(engine)
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// Returns the clock of the store.
    pub fn clock(&self) -> &Clock {
        self.store().clock()
    }

    /// Returns what agents run on, to ask them from code.
    pub fn runtime(&self) -> &Runtime {
        &self.inner.parts.runtime
    }

    /// Returns the files.
    pub fn files(&self) -> &Files {
        &self.inner.parts.files
    }

    /// Returns the search over what was said.
    pub fn search(&self) -> &Search {
        &self.inner.parts.search
    }

    /// Returns the workpool.
    pub fn pool(&self) -> &Workpool {
        &self.inner.parts.pool
    }

    /// Returns the knowledge base.
    #[cfg(feature = "rag")]
    pub fn knowledge(&self) -> &loomwork_rag::Rag {
        &self.inner.parts.rag
    }

    /// Returns the key that was made at this start, if [`Builder::key`] gave none. It is kept nowhere else.
    pub fn new_key(&self) -> Option<&Secret> {
        self.inner.gate.new_key()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    #[cfg(feature = "http")]
    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// Ends what runs in the background: takes no further work, lets what runs come to its end until `deadline` (real
    /// time), and gives the rest back, so that the next start takes it up at once. Then the store is closed.
    ///
    /// # Cancel safety
    /// The request to end stays; call again to wait again.
    ///
    /// # Errors
    /// That of the first part that could not end in time; the others are ended all the same.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let parts = &self.inner.parts;
        #[cfg(feature = "http")]
        self.inner.http.end();
        #[cfg(feature = "workflow")]
        let flowed = parts.workflows.shutdown(deadline).await;
        #[cfg(not(feature = "workflow"))]
        let flowed = Ok(());
        // Runs are jobs of the pool. Those that do not end in time are given back while there is somebody to do that.
        let worked = flowed.and(parts.pool.shutdown(deadline).await);
        let moment = deadline.max(LOOPS_END);
        let answered = parts.runtime.shutdown(moment).await;
        #[cfg(feature = "rag")]
        let known = parts.rag.shutdown(moment).await.map_err(loomwork_store::Error::from);
        #[cfg(not(feature = "rag"))]
        let known = Ok(());
        let searched = parts.search.shutdown(moment).await.map_err(loomwork_store::Error::from);
        let upkept = parts.tasks.shutdown(moment).await.map_err(loomwork_store::Error::from);
        self.store().close().await;
        worked.and(answered).and(known).and(searched).and(upkept)
    }
}
