//! The door by the database itself.
//!
//! What only reads opens it for reading, also beside a server. What writes owns the file while it works, so it is
//! refused while another process has it, and told which one and where that answers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use loomwork_core::{Clock, Kind};
use loomwork_files::About;
use loomwork_messages::{ThreadId, ViewEvent};
use loomwork_store::{IdError, Problem, Store, Tx};
use loomwork_store_sqlite::SqliteError;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;

use super::{Args, Followed, Happened, operations, value_of};
use crate::api::files::FileView;
use crate::api::messages::{ListMessages, MessagePage};
use crate::api::operation::{Call, Prepared, Reading, json_of};
use crate::api::{Args as Given, Operation, Run};
use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::builder::{Builder, Work};
use crate::cli::of_io;
use crate::error::{Error, Result};

/// How often what is followed is read again: SQLite does not tell of what another process writes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long what a command has started may take to end.
const END: Duration = Duration::from_secs(10);

/// An app that is reached by its database.
pub(crate) struct FileDoor {
    path: PathBuf,
    work: Work,
    /// Whether the database is made if it is not there.
    makes: bool,
    clock: Clock,
    state: Mutex<State>,
}

/// How far it is open.
struct State {
    /// What the app is made of, until it runs.
    builder: Option<Builder>,
    reader: Option<Store>,
    app: Option<App>,
}

/// A read with its arguments, and what it reads of the app besides its rows.
type Read = Arc<dyn Fn(&Tx) -> Result<String> + Send + Sync>;

impl fmt::Debug for FileDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileDoor").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileDoor {
    /// Returns the door of a database. `builder` describes the app; `makes` says whether the database is made if it
    /// is not there.
    pub(crate) fn new(path: PathBuf, builder: Builder, work: Work, makes: bool) -> Self {
        let state = State { builder: Some(builder), reader: None, app: None };
        Self { path, work, makes, clock: Clock::system(), state: Mutex::new(state) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the database for writing, and starts what this command needs.
    pub(crate) async fn app(&self) -> Result<App> {
        let mut state = self.state.lock().await;
        if let Some(app) = &state.app {
            return Ok(app.clone());
        }
        if !self.makes && !self.path.exists() {
            return Err(missing(&self.path));
        }
        if let Some(reader) = state.reader.take() {
            reader.close().await;
        }
        let Some(builder) = state.builder.take() else { return Err(given_up(&self.path)) };
        let app = builder.open(self.work).await.map_err(|error| held(error, &self.path))?;
        state.app = Some(app.clone());
        Ok(app)
    }

    /// Opens the database to read it. Where it was never opened by this version of the program, it has to be
    /// opened for writing once, and that is done.
    pub(crate) async fn store(&self) -> Result<Store> {
        {
            let mut state = self.state.lock().await;
            if let Some(store) = state.app.as_ref().map(App::store).or(state.reader.as_ref()) {
                return Ok(store.clone());
            }
            let Some(builder) = &mut state.builder else { return Err(given_up(&self.path)) };
            match builder.open_to_read().await {
                Ok(reader) => {
                    state.reader = Some(reader.clone());
                    return Ok(reader);
                }
                Err(error) if is_to_be_written(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.app().await?.store().clone())
    }

    pub(crate) async fn ask(&self, id: &str, args: Args) -> Result<Value> {
        if let Some(prepared) = self.prepared(id, args.clone()).await? {
            let (store, read) = (self.store().await?, self.read(prepared).await?);
            return value_of(&store.try_query(move |tx| read(tx)).await?);
        }
        let app = self.app().await?;
        let acted = match &find(&app.inner().operations, id)?.run {
            Run::Action(act) => {
                let call = Call { app: app.clone(), caller: Caller::operator(), claim: None };
                act(call, Given::from(args))
            }
            Run::Query(_) => return Err(Error::new(Kind::Internal, format!("{id} is a read"))),
        };
        value_of(&acted.await?)
    }

    /// Watches what this process writes; beside another one, it reads again and again.
    pub(crate) async fn follow(&self, id: &str, args: Args) -> Result<Followed<Value>> {
        let Some(prepared) = self.prepared(id, args).await? else { return Err(no_read(id)) };
        let (store, read) = (self.store().await?, self.read(prepared).await?);
        if self.state.lock().await.app.is_some() {
            let watched = unfold(store.try_watch(move |tx| read(tx)), |mut watched| async move {
                let answer = watched.next().await?;
                Some((answer.and_then(|answer| value_of(&answer)), watched))
            });
            return Ok(watched.boxed_local());
        }
        let start = Some((store, read, None::<String>, self.clock.clone()));
        let answers = unfold(start, |state| async move {
            let (store, read, known, clock) = state?;
            loop {
                let again = read.clone();
                match store.try_query(move |tx| again(tx)).await {
                    Ok(answer) if known.as_ref() == Some(&answer) => clock.sleep(LOOK_AGAIN).await,
                    Ok(answer) => return Some((value_of(&answer), Some((store, read, Some(answer), clock)))),
                    Err(error) => return Some((Err(error), None)),
                }
            }
        });
        Ok(answers.boxed_local())
    }

    pub(crate) async fn live(&self, thread: &str) -> Result<Followed<Happened>> {
        let app = self.app().await?;
        let id: ThreadId = thread.parse().map_err(|error: IdError| Error::from(error).about("thread"))?;
        let mut asked = Args::new();
        asked.insert("thread".to_owned(), thread.into());
        let list = Given::from(asked).read::<ListMessages>()?.list()?;
        let follower = app.runtime().live().follow(id, list, Default::default());
        let happening = unfold(follower, |mut follower| async move {
            let happened = match follower.next().await? {
                Ok(ViewEvent::View(view)) => {
                    let json = json_of(&MessagePage::from(view));
                    json.and_then(|json| value_of(&json)).map(Happened::View)
                }
                Ok(ViewEvent::Slice { stream, slice }) => value_of(slice.chunks.get()).map(|chunks| {
                    Happened::Chunks(json!({ "stream": stream.to_string(), "chunks": chunks }))
                }),
                Err(error) => Err(error.into()),
            };
            Some((happened, follower))
        });
        Ok(happening.boxed_local())
    }

    pub(crate) async fn upload(&self, path: &Path, name: &str) -> Result<Value> {
        let app = self.app().await?;
        let file = tokio::fs::File::open(path).await.map_err(|error| of_io(path, &error))?;
        let about = About { name: Some(name.to_owned()), ..About::default() };
        let file = app.files().put_stream(ReaderStream::new(file), about).await?;
        value_of(&FileView::of(&file).to_json()?)
    }

    pub(crate) async fn functions(&self) -> Vec<String> {
        let state = self.state.lock().await;
        let operations = match (&state.app, &state.builder) {
            (Some(app), _) => &app.inner().operations,
            (None, Some(builder)) => builder.functions(),
            (None, None) => return Vec::new(),
        };
        operations
            .iter()
            .filter(|operation| is_function(operation))
            .map(|operation| operation.id.clone())
            .collect()
    }

    pub(crate) async fn close(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        if let Some(reader) = state.reader.take() {
            reader.close().await;
        }
        match state.app.take() {
            Some(app) => Ok(app.shutdown(END).await?),
            None => Ok(()),
        }
    }
}

impl FileDoor {
    /// Reads the arguments of a read; `None` for what acts.
    async fn prepared(&self, id: &str, args: Args) -> Result<Option<Prepared>> {
        let prepare = |operation: &Operation| match &operation.run {
            Run::Query(prepare) => prepare(Given::from(args)).map(Some),
            Run::Action(_) => Ok(None),
        };
        if let Ok(operation) = find(operations(), id) {
            return prepare(operation);
        }
        let state = self.state.lock().await;
        match (&state.app, &state.builder) {
            (Some(app), _) => prepare(find(&app.inner().operations, id)?),
            (None, Some(builder)) => prepare(find(builder.functions(), id)?),
            (None, None) => Err(given_up(&self.path)),
        }
    }

    async fn read(&self, prepared: Prepared) -> Result<Read> {
        // The operator may do everything, so every operation's scope is there.
        let scope = Scope::Manage;
        let state = self.state.lock().await;
        let (agents, limits) = match (&state.app, &state.builder) {
            (Some(app), _) => (app.inner().agents.clone(), app.inner().limits.clone()),
            (None, Some(builder)) => (builder.agents().clone(), builder.limits().clone()),
            (None, None) => return Err(given_up(&self.path)),
        };
        Ok(Arc::new(move |tx| prepared(&Reading::of(tx, &Caller::operator(), &agents, &limits, scope)?)))
    }
}

/// Whether an operation is a function of the application's own, and not the live form of one.
fn is_function(operation: &Operation) -> bool {
    let is_live = operation.tag == "query" && operation.id.ends_with(".live");
    matches!(operation.tag, "query" | "mutation" | "action") && !is_live
}

fn find<'a>(operations: &'a [Operation], id: &str) -> Result<&'a Operation> {
    let found = operations.iter().find(|operation| operation.id == id);
    found.ok_or_else(|| Error::new(Kind::NotFound, format!("the app has no {id}")))
}

/// Whether a database has to be opened for writing before it can be read.
fn is_to_be_written(error: &loomwork_store::Error) -> bool {
    matches!(error.downcast_ref(), Some(SqliteError::Missing { .. }))
        || matches!(error.downcast_ref(), Some(Problem::BadSchema(_)))
}

pub(super) fn no_read(id: &str) -> Error {
    Error::new(Kind::Invalid, format!("{id} is no read, so there is nothing to follow; leave `--follow` out"))
}

fn missing(path: &Path) -> Error {
    let path = path.display();
    let message = format!(
        "there is no database {path}; `loomwork serve` makes one, and `--db PATH` or `--server URL` names another"
    );
    Error::new(Kind::NotFound, message)
}

fn given_up(path: &Path) -> Error {
    let message = format!("{} could not be opened before; call the command again", path.display());
    Error::new(Kind::Unavailable, message)
}

/// Says of a database that another process has where that process answers.
pub(crate) fn held(error: loomwork_store::Error, path: &Path) -> Error {
    let Some(SqliteError::Held { holder, .. }) = error.downcast_ref() else { return error.into() };
    let at = match announced(path, holder) {
        Some(address) => {
            format!("that serves it at {address}: say `--server {address}`, with a key in LOOMWORK_KEY")
        }
        None => "end that one first, or ask it by `--server URL`".to_owned(),
    };
    let path = path.display();
    let message =
        format!("this has to write, and {path} is open in {holder}; {at}. What only reads works beside it");
    Error::new(Kind::Unavailable, message)
}

/// Returns the file in which a server says where it answers, beside its database.
pub(crate) fn announcement(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".server");
    name.into()
}

/// Returns where the process answers that has a database, if it says so: `holder` begins with `process NUMBER`.
fn announced(path: &Path, holder: &str) -> Option<String> {
    let text = std::fs::read_to_string(announcement(path)).ok()?;
    let (process, address) = text.trim().split_once(' ')?;
    let number = holder.strip_prefix("process ")?.split(' ').next()?;
    (number == process).then(|| address.to_owned())
}
