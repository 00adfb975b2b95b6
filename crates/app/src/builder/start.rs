//! Starting an app: its parts, in the order in which they need each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loomwork_agent::Runtime;
use loomwork_agent::durable::{AGENT_POOL, AGENT_POOL_PARALLEL};
use loomwork_core::{Kind, Tasks};
use loomwork_files::{Blobs, Files};
use loomwork_messages::find;
use loomwork_search::Search;
use loomwork_store::{Result, Table as _, TableDef};
#[cfg(feature = "workflow")]
use loomwork_workflow::Workflows;
use loomwork_workpool::{PoolOptions, Workpool};

use super::Builder;
use crate::api;
use crate::app::{App, Inner, Parts};
use crate::auth::{self, Gate};
use crate::idempotency::{self, RequestRow};
use crate::uploads::{self, UploadRow};

impl Builder {
    /// Opens the store and starts what runs in the background: runs that a former process left go on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`](crate::BuildError) and the errors of components, for what does not fit together; when the
    /// database or a folder cannot be opened; as what is [run at the start](Self::on_start).
    pub async fn build(self) -> Result<App> {
        self.start(Work::All).await
    }

    /// Opens the store and starts as much as is said.
    pub(crate) async fn start(mut self, work: Work) -> Result<App> {
        self.check()?;
        let is_at_work = work == Work::All;
        #[cfg(feature = "http")]
        let http = crate::http::Http::new(self.http, self.routes)?;
        let store = self.store.tables(tables()).tables(self.own_tables).open().await?;
        let tasks = Tasks::new();
        let gate = Gate::new(
            self.gate,
            #[cfg(feature = "http")]
            &http.options,
            store.clock(),
            &tasks,
            &self.random,
        )?;
        let at_start = Arc::new(self.at_start);
        store.mutate(move |tx| at_start.iter().try_for_each(|mutation| mutation(tx))).await?;

        let folder = |what: &str| self.path.as_ref().map(|path| folder_beside(path, what));
        for folder in [folder("search"), folder("knowledge")].into_iter().flatten() {
            make_private(&folder)?;
        }
        let blobs = match (self.blobs, folder("files")) {
            (Some(blobs), _) => blobs,
            (None, Some(folder)) => Blobs::folder(folder)?,
            (None, None) => Blobs::memory(),
        };
        let files = Files::new(&store, blobs, loomwork_files::Options::default());
        files.start_vacuum(&tasks);

        let mut search = Search::builder(&store);
        for index in [find::MESSAGES, find::TITLES, find::EDITS] {
            search = search.embedder_for(index, self.embedder.clone());
        }
        search = search.index(find::messages()).index(find::titles()).index(find::edits());
        if let Some(folder) = folder("search") {
            search = search.folder(folder);
        }
        let search = search.start().await?;
        let runtime = Runtime::start(&store).await?.with_search(search.clone()).with_files(files.clone());

        #[cfg(feature = "rag")]
        let rag = {
            let mut rag = loomwork_rag::Rag::builder_with(&store, self.embedder).files(files.clone());
            if let Some(folder) = folder("knowledge") {
                rag = rag.folder(folder);
            }
            for describe in self.to_rag {
                rag = describe(rag);
            }
            let rag = rag.start().await?;
            self.knowledge.iter().for_each(|knowledge| knowledge.connect(&rag));
            rag
        };

        // What nobody is bound to waits where it is, for a process that is at work.
        let mut pool = Workpool::builder(&store);
        if is_at_work {
            let parallel = PoolOptions::from(AGENT_POOL_PARALLEL);
            pool = self.agents.bind(&runtime, pool.pool(AGENT_POOL, parallel));
        }
        for describe in self.to_pool.into_iter().filter(|_| is_at_work) {
            pool = describe(pool);
        }
        #[cfg(feature = "workflow")]
        if is_at_work {
            pool = loomwork_workflow::with_steps(pool);
        }
        pool = search.bind(pool);
        #[cfg(feature = "rag")]
        let pool = rag.bind(pool);
        let pool = pool.start().await?;

        #[cfg(feature = "workflow")]
        let workflows = {
            let mut workflows = Workflows::builder(&store);
            for describe in self.to_workflows.into_iter().filter(|_| is_at_work) {
                workflows = describe(workflows);
            }
            workflows.start().await?
        };

        store.start_upkeep(&tasks, idempotency::upkeep());
        store.start_upkeep(&tasks, uploads::upkeep());
        for upkeep in loomwork_rate_limiter::upkeep() {
            store.start_upkeep(&tasks, upkeep);
        }
        #[cfg(feature = "usage")]
        for upkeep in loomwork_usage::upkeep() {
            store.start_upkeep(&tasks, upkeep);
        }

        let app = App::new(Inner {
            parts: Parts {
                #[cfg(feature = "workflow")]
                workflows,
                pool,
                runtime,
                #[cfg(feature = "rag")]
                rag,
                search,
                files,
                tasks,
                store,
            },
            agents: self.agents,
            before_run: self.before_run,
            approvers: self.approvers,
            limits: self.limits,
            operations: api::operations().into_iter().chain(self.functions).collect(),
            gate,
            random: self.random,
            #[cfg(feature = "http")]
            http,
            #[cfg(feature = "http")]
            hooks: self.hooks,
        });
        for action in self.on_start.into_iter().filter(|_| is_at_work) {
            if let Err(error) = action(app.clone()).await {
                // The store is given up as in a crash: nothing was taken up that the next start would not find.
                return Err(loomwork_store::Error::message(error.kind(), error.to_string()));
            }
        }
        Ok(app)
    }

    /// Tells the first mistake of the description.
    pub(super) fn check(&mut self) -> Result<()> {
        self.mistake.take().map_or(Ok(()), |mistake| Err(mistake.into()))
    }
}

/// How much of an app is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// All of it.
    All,
    /// What keeps indexes and knowledge, and none of the application's own: no job is run, no workflow goes on.
    #[cfg(feature = "cli")]
    Upkeep,
}

/// Returns the folder beside a database in which its `files` lie, or what is searched.
pub(crate) fn folder_beside(database: &Path, what: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!("-{what}"));
    name.into()
}

/// Makes a folder that is its owner's alone; one that is there is left as it is.
fn make_private(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).map_err(|error| {
        let message = format!("the folder {} cannot be made: {error}", folder.display());
        loomwork_store::Error::message(Kind::Unavailable, message)
    })
}

/// Returns the tables of all components that this build has.
pub(super) fn tables() -> Vec<TableDef> {
    let mut tables = loomwork_agent::tables();
    tables.push(RequestRow::table());
    tables.push(UploadRow::table());
    #[cfg(feature = "http")]
    tables.push(crate::protocols::ConversationRow::table());
    tables.extend(auth::keys::tables());
    tables.extend(loomwork_rate_limiter::tables());
    #[cfg(feature = "workflow")]
    tables.extend(loomwork_workflow::tables());
    #[cfg(feature = "usage")]
    tables.extend(loomwork_usage::tables());
    #[cfg(feature = "rag")]
    tables.extend(loomwork_rag::tables());
    tables
}
