//! Composing an app: what it has, before anything runs.

#[cfg(feature = "cli")]
mod file;
mod start;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use loomwork_agent::Agent;
use loomwork_core::{Clock, Fault, Kind, Random, Secret};
use loomwork_files::Blobs;
use loomwork_models::{EmbeddingModel, OfflineEmbedder};
use loomwork_rate_limiter::Limit;
use loomwork_store::engine::Engine;
use loomwork_store::{Result, Store, TableDef, Tx};
#[cfg(feature = "workflow")]
use loomwork_workflow::{Flow, Workflow};
use loomwork_workpool::{self as workpool, Job, JobContext, PoolOptions, Schedule, cron};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agents::Agents;
use crate::api::Operation;
use crate::app::App;
use crate::auth::access::Approvers;
use crate::auth::{self, Caller, Describe};
use crate::error::Result as AppResult;
use crate::functions::{self, MAX_NAME, is_name};
use crate::runs::{BeforeRun, RunAsked};

type ToPool = Box<dyn FnOnce(workpool::Builder) -> workpool::Builder + Send>;
#[cfg(feature = "workflow")]
type ToWorkflows = Box<dyn FnOnce(loomwork_workflow::Builder) -> loomwork_workflow::Builder + Send>;
type AtStart = Box<dyn Fn(&mut Tx) -> Result<()> + Send + Sync>;
type OnStart = Box<dyn FnOnce(App) -> BoxFuture<'static, AppResult<()>> + Send>;
#[cfg(feature = "rag")]
type ToRag = Box<dyn FnOnce(loomwork_rag::Builder) -> loomwork_rag::Builder + Send>;

#[cfg(feature = "cli")]
pub(crate) use start::{Work, folder_beside};

/// Describes an [`App`]; nothing runs before [`build`](Self::build).
#[must_use = "nothing runs before `build` is awaited"]
pub struct Builder {
    store: loomwork_store::Builder,
    /// Where the database lies, and what is kept in folders beside it; `None` is memory.
    path: Option<PathBuf>,
    blobs: Option<Blobs>,
    embedder: Arc<dyn EmbeddingModel>,
    agents: Agents,
    limits: BTreeMap<String, Limit<'static>>,
    to_pool: Vec<ToPool>,
    #[cfg(feature = "workflow")]
    to_workflows: Vec<ToWorkflows>,
    #[cfg(feature = "rag")]
    to_rag: Vec<ToRag>,
    #[cfg(feature = "rag")]
    knowledge: Vec<crate::knowledge::Knowledge>,
    /// The application's own tables.
    own_tables: Vec<TableDef>,
    at_start: Vec<AtStart>,
    on_start: Vec<OnStart>,
    before_run: Vec<Box<BeforeRun>>,
    approvers: Option<Box<Approvers>>,
    crons: Vec<String>,
    gate: Describe,
    random: Random,
    #[cfg(feature = "http")]
    http: crate::http::Options,
    #[cfg(feature = "http")]
    routes: axum::Router,
    #[cfg(feature = "http")]
    hooks: Vec<crate::hook::Hook>,
    /// The application's own.
    functions: Vec<Operation>,
    /// The first mistake; `build` tells it.
    mistake: Option<BuildError>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("path", &self.path)
            .field("agents", &self.agents)
            .field("limits", &self.limits.keys())
            .field("crons", &self.crons)
            .finish_non_exhaustive()
    }
}

/// Why an app cannot be built as it was described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two things of one name.
    #[error("the {what} {name:?} is registered twice; give each its own name")]
    Twice {
        /// What they are: agent, limit, cron.
        what: &'static str,
        /// Their name.
        name: String,
    },
    /// A name that cannot be part of a path.
    #[error(
        "the {what} name {name:?} has other letters than `a-z`, `A-Z`, `0-9`, `.`, `_`, `-`, or not 1 to {MAX_NAME}"
    )]
    BadName {
        /// What it names: query, mutation, action, hook.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A secret that could be guessed.
    #[error("{what} has {bytes} bytes, and at least {min} are needed; draw it at random")]
    Weak {
        /// What it is.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it has to be.
        min: usize,
    },
    /// Issuers whose users could not be told from each other.
    #[error(
        "tokens of the issuer {issuer:?} are taken beside those of others, and the prefix {prefix:?} does not tell its \
         users from theirs; give it one in `JwtOptions::user_prefix` that neither begins another nor begins with it"
    )]
    Prefix {
        /// The issuer.
        issuer: String,
        /// What stands before the names of its users.
        prefix: String,
    },
    /// What cannot be in one of the options of the API.
    #[error("`http::Options::{option}` has {value:?}; {right}")]
    Option {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        right: &'static str,
    },
    /// A database that this build cannot open.
    #[error(
        "{address:?} is opened by the engine for {engine}, which this build does not have; give the path of a file"
    )]
    NoEngine {
        /// What was to be opened.
        address: String,
        /// The engine that it takes.
        engine: &'static str,
    },
}

impl Fault for BuildError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Builder {
    pub(crate) fn new(store: loomwork_store::Builder, path: Option<&Path>) -> Self {
        Self {
            store,
            path: path.map(Path::to_owned),
            blobs: None,
            embedder: Arc::new(OfflineEmbedder::default()),
            agents: Agents::default(),
            limits: BTreeMap::new(),
            to_pool: Vec::new(),
            #[cfg(feature = "workflow")]
            to_workflows: Vec::new(),
            #[cfg(feature = "rag")]
            to_rag: Vec::new(),
            #[cfg(feature = "rag")]
            knowledge: Vec::new(),
            own_tables: Vec::new(),
            at_start: Vec::new(),
            on_start: Vec::new(),
            before_run: Vec::new(),
            approvers: None,
            crons: Vec::new(),
            gate: Describe::default(),
            random: Random::system(),
            #[cfg(feature = "http")]
            http: crate::http::Options::default(),
            #[cfg(feature = "http")]
            routes: axum::Router::new(),
            #[cfg(feature = "http")]
            hooks: Vec::new(),
            functions: Vec::new(),
            mistake: None,
        }
    }

    pub(crate) fn over(engine: impl Engine) -> Self {
        Self::new(Store::builder(engine), None)
    }

    /// Adds tables of your own.
    pub fn tables(mut self, tables: impl IntoIterator<Item = TableDef>) -> Self {
        self.own_tables.extend(tables);
        self
    }

    /// Takes the time from `clock`. Default: the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.store = self.store.clock(clock);
        self
    }

    /// Takes randomness, that of ids and keys too, from `random`. Default: the system's.
    pub fn random(mut self, random: Random) -> Self {
        self.store = self.store.random(random.clone());
        self.random = random;
        self
    }

    /// Says where files lie. Default: a folder beside the database, or memory where that is in memory.
    pub fn blobs(mut self, blobs: Blobs) -> Self {
        self.blobs = Some(blobs);
        self
    }

    /// Embeds what is searched by meaning with this model. Default: the offline one, which knows words and no
    /// meaning.
    pub fn embeddings(mut self, model: Arc<dyn EmbeddingModel>) -> Self {
        self.embedder = model;
        self
    }

    /// Adds an agent, which is asked by its name. Its runs are durable, and made by the app's workpool, and so are the
    /// summaries of its [compaction](loomwork_agent::Compaction).
    pub fn agent<S: Send + Sync + 'static>(mut self, agent: Agent<S>) -> Self {
        let name = agent.name().to_owned();
        if !self.agents.add(agent) {
            self.refuse(BuildError::Twice { what: "agent", name });
        }
        self
    }

    /// Asks a function before each run that a caller starts, in the transaction that saves what is said: an error
    /// refuses it, and nothing is saved or taken from limits. What runs and their calls use is for the agents'
    /// [admissions](loomwork_agent::Admission), which hear of each call of a model.
    ///
    /// ```
    /// use loomwork::rate_limiter::{Limit, SECOND, limit};
    /// use loomwork::App;
    ///
    /// const SEND: Limit<'static> = Limit::fixed_window("send-message", 1, SECOND.saturating_mul(5)).capacity(2);
    ///
    /// let app = App::memory().limit(SEND).before_run(|tx, asked| match asked.user {
    ///     Some(user) => limit(tx, &SEND, user, 1).map(drop),
    ///     None => Ok(()),
    /// });
    /// # drop(app);
    /// ```
    pub fn before_run(
        mut self,
        ask: impl Fn(&mut Tx, &RunAsked<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.before_run.push(Box::new(ask));
        self
    }

    /// Says which users may let a call of a tool run, or not. Default: all who may write in its thread, the one who asked
    /// included. Programs and whoever manages may always.
    ///
    /// ```
    /// use loomwork::App;
    ///
    /// let app = App::memory().approvers(|_, caller, approval| {
    ///     Ok(approval.site.tool != "refund" || caller.as_user() == Some("carol"))
    /// });
    /// # drop(app);
    /// ```
    pub fn approvers(
        mut self,
        may: impl Fn(&Tx, &Caller, &loomwork_agent::approvals::ApprovalRow) -> Result<bool>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.approvers = Some(Box::new(may));
        self
    }

    /// Binds a job to the action that runs it; see [`workpool::Builder::on`].
    pub fn job<A, R, F, W>(self, job: Job<A, R>, handler: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(JobContext, A) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R>> + Send + 'static,
    {
        self.workpool(move |pool| pool.on(job, handler))
    }

    /// Says how a pool runs its jobs.
    pub fn pool(self, name: &'static str, options: impl Into<PoolOptions>) -> Self {
        let options = options.into();
        self.workpool(move |pool| pool.pool(name, options))
    }

    /// Says what else the app's workpool runs: mutations, external jobs, completions.
    pub fn workpool(
        mut self,
        describe: impl FnOnce(workpool::Builder) -> workpool::Builder + Send + 'static,
    ) -> Self {
        self.to_pool.push(Box::new(describe));
        self
    }

    /// Binds a workflow to its code; see [`loomwork_workflow::Builder::on`].
    #[cfg(feature = "workflow")]
    pub fn workflow<I, R, F, W>(self, workflow: Workflow<I, R>, code: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(Flow, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R>> + Send + 'static,
    {
        self.workflows(move |workflows| workflows.on(workflow, code))
    }

    /// Says what else runs the app's workflows: completions, how long a run rests in memory.
    #[cfg(feature = "workflow")]
    pub fn workflows(
        mut self,
        describe: impl FnOnce(loomwork_workflow::Builder) -> loomwork_workflow::Builder + Send + 'static,
    ) -> Self {
        self.to_workflows.push(Box::new(describe));
        self
    }

    /// Says how knowledge is kept: names of filters, how texts are cut, sources.
    #[cfg(feature = "rag")]
    pub fn rag(
        mut self,
        describe: impl FnOnce(loomwork_rag::Builder) -> loomwork_rag::Builder + Send + 'static,
    ) -> Self {
        self.to_rag.push(Box::new(describe));
        self
    }

    /// Connects tools to the app's knowledge base: they were made before it.
    #[cfg(feature = "rag")]
    pub fn knowledge(mut self, knowledge: &crate::knowledge::Knowledge) -> Self {
        self.knowledge.push(knowledge.clone());
        self
    }

    /// Shows a limit to clients: how it stands for them, live. What it limits takes from it wherever that is.
    pub fn limit(mut self, limit: Limit<'static>) -> Self {
        let name = limit.name();
        if self.limits.insert(name.to_owned(), limit).is_some() {
            self.refuse(BuildError::Twice { what: "limit", name: name.to_owned() });
        }
        self
    }

    /// Sets prices, at each start: those that are there already stay as they are, unless the list has another from
    /// a later time on. What differs and begins no later is left out, and the log says so.
    #[cfg(feature = "usage")]
    pub fn prices(self, prices: impl IntoIterator<Item = loomwork_usage::Price>) -> Self {
        let prices: Vec<_> = prices.into_iter().collect();
        self.at_start(move |tx| {
            let imported = loomwork_usage::import_prices(tx, prices.clone())?;
            if imported.not_later > 0 {
                let count = imported.not_later;
                tracing::warn!(count, "prices of the list differ from those that are there and begin no later, so they were left out; give the changed list a later time");
            }
            Ok(())
        })
    }

    /// Runs a job by the calendar. What its row says of the last run stays from start to start.
    pub fn cron<R: 'static>(
        mut self,
        name: impl Into<String>,
        schedule: Schedule,
        job: Job<cron::Tick<()>, R>,
    ) -> Self {
        let name = name.into();
        if self.crons.contains(&name) {
            self.refuse(BuildError::Twice { what: "cron", name: name.clone() });
        }
        self.crons.push(name.clone());
        self.at_start(move |tx| cron::set(tx, &name, &job, schedule.clone(), (), ()))
    }

    /// Runs a mutation at each start, before anything else runs: for rows that have to be there.
    pub fn at_start(mut self, mutation: impl Fn(&mut Tx) -> Result<()> + Send + Sync + 'static) -> Self {
        self.at_start.push(Box::new(mutation));
        self
    }

    /// Runs an action at each start, behind all that starts: for knowledge that has to be there, say.
    pub fn on_start<F, W>(mut self, action: F) -> Self
    where
        F: FnOnce(App) -> W + Send + 'static,
        W: Future<Output = AppResult<()>> + Send + 'static,
    {
        self.on_start.push(Box::new(move |app| Box::pin(action(app))));
        self
    }

    /// Exports a query of your own: a plain function of a snapshot, for a caller. It is asked by `POST
    /// /api/query/NAME`, followed live by `GET`, and described with the others. Whose rows the caller may see is for it
    /// to ask, by [`allow`](crate::allow) or the [`Caller`]'s user.
    pub fn query<A, R, F>(mut self, name: &str, query: F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Fn(&Tx, &Caller, A) -> Result<R> + Send + Sync + 'static,
    {
        self.check_name("query", name);
        self.functions.extend(functions::of_query(name, query));
        self
    }

    /// Exports a mutation of your own: `POST /api/mutation/NAME`, all or nothing. Under an idempotency key it takes
    /// effect once.
    pub fn mutation<A, R, F>(mut self, name: &str, mutation: F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Clone + Send + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Fn(&mut Tx, &Caller, A) -> Result<R> + Send + Sync + 'static,
    {
        self.check_name("mutation", name);
        self.functions.push(functions::of_mutation(name, mutation));
        self
    }

    /// Exports an action of your own: `POST /api/action/NAME`. It may do anything, and runs again if its process dies.
    pub fn action<A, R, F, W>(mut self, name: &str, action: F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Fn(App, Caller, A) -> W + Send + Sync + 'static,
        W: Future<Output = AppResult<R>> + Send + 'static,
    {
        self.check_name("action", name);
        self.functions.push(functions::of_action(name, action));
        self
    }

    /// Turns signed requests of another service to `POST /hooks/NAME` into jobs: each delivery becomes one, in the
    /// transaction that notes that it came. Signatures are those of Standard Webhooks, Stripe and GitHub.
    #[cfg(feature = "http")]
    pub fn hook<R: 'static>(
        mut self,
        name: impl Into<String>,
        secret: Secret,
        job: Job<crate::hook::Hooked, R>,
    ) -> Self {
        let name = name.into();
        self.check_name("hook", &name);
        if self.hooks.iter().any(|hook| hook.name == name) {
            self.refuse(BuildError::Twice { what: "hook", name: name.clone() });
        }
        self.hooks.push(crate::hook::Hook::new(name, secret, job));
        self
    }

    /// Sets the key of whoever runs the app. Default: a new one at each start; see [`App::new_key`].
    pub fn key(mut self, key: Secret) -> Self {
        self.gate.key = Some(key);
        self
    }

    /// Accepts the tokens of an issuer for end users; call it again for another, whose users then have a
    /// [prefix](auth::JwtOptions::user_prefix).
    #[cfg(feature = "http")]
    pub fn jwt(mut self, options: auth::JwtOptions) -> Self {
        self.gate.jwt.push(options);
        self
    }

    /// Says in a way of your own who a request is from, by its headers: a session of a service that this one is a
    /// part of, say. `None` leaves it to keys and tokens.
    #[cfg(feature = "http")]
    pub fn identify<F, W>(mut self, identify: F) -> Self
    where
        F: Fn(axum::http::HeaderMap) -> W + Send + Sync + 'static,
        W: Future<Output = crate::error::Result<Option<Caller>>> + Send + 'static,
    {
        self.gate.own = Some(Arc::new(move |headers| Box::pin(identify(headers))));
        self
    }

    /// Sets limits and manners of the API.
    #[cfg(feature = "http")]
    pub fn http(mut self, options: crate::http::Options) -> Self {
        self.http = options;
        self
    }

    /// Adds routes of your own beside the API. They are open to all, unless they ask who comes by an argument of the
    /// type [`Caller`]. A fallback of theirs is not served: name a route `/{*path}` instead.
    #[cfg(feature = "http")]
    pub fn routes(mut self, routes: axum::Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    fn check_name(&mut self, what: &'static str, name: &str) {
        if !is_name(name) {
            self.refuse(BuildError::BadName { what, name: name.to_owned() });
        }
        let id = format!("{what}.{name}");
        if self.functions.iter().any(|function| function.id == id) {
            self.refuse(BuildError::Twice { what, name: name.to_owned() });
        }
    }

    fn refuse(&mut self, mistake: BuildError) {
        self.mistake.get_or_insert(mistake);
    }
}
