//! The door to an app: its database, or a server. Behind both are the same operations, asked for by their names.

mod events;
mod file;
mod server;

use std::path::Path;
use std::sync::OnceLock;

use futures_util::stream::LocalBoxStream;
use loomwork_core::Kind;
use serde_json::{Map, Value};

pub(crate) use file::{FileDoor, announcement, held};
pub(crate) use server::ServerDoor;

use crate::api::{self, Operation};
use crate::error::{Error, Result};

/// The arguments of an operation, by name.
pub(crate) type Args = Map<String, Value>;

/// What comes of something that is followed, one after another.
pub(crate) type Followed<T> = LocalBoxStream<'static, Result<T>>;

/// How to reach an app.
#[derive(Debug)]
pub(crate) enum Door {
    /// By its database.
    File(FileDoor),
    /// By its server.
    Server(ServerDoor),
}

/// What happens in a thread.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Its messages are others, or a stream has begun or ended.
    View(Value),
    /// A stream has grown: its `stream`, and the `chunks`.
    Chunks(Value),
}

/// Returns the operations of the app's own.
pub(crate) fn operations() -> &'static [Operation] {
    static OPERATIONS: OnceLock<Vec<Operation>> = OnceLock::new();
    OPERATIONS.get_or_init(api::operations)
}

/// Reads an answer, which is JSON.
fn value_of(json: &str) -> Result<Value> {
    serde_json::from_str(json)
        .map_err(|error| Error::new(Kind::Corrupt, format!("an answer is no JSON: {error}")))
}

impl Door {
    /// Carries out an operation, and returns its answer.
    pub(crate) async fn ask(&self, id: &str, args: Args) -> Result<Value> {
        match self {
            Self::File(file) => file.ask(id, args).await,
            Self::Server(server) => server.ask(id, &args).await,
        }
    }

    /// Follows a read: its answer now, and whenever it is another one.
    pub(crate) async fn follow(&self, id: &str, args: Args) -> Result<Followed<Value>> {
        match self {
            Self::File(file) => file.follow(id, args).await,
            Self::Server(server) => server.follow(id, &args),
        }
    }

    /// Follows a thread.
    pub(crate) async fn live(&self, thread: &str) -> Result<Followed<Happened>> {
        match self {
            Self::File(file) => file.live(thread).await,
            Self::Server(server) => server.live(thread),
        }
    }

    /// Takes a file in, and returns what is known of it.
    pub(crate) async fn upload(&self, path: &Path, name: &str) -> Result<Value> {
        match self {
            Self::File(file) => file.upload(path, name).await,
            Self::Server(server) => server.upload(path, name).await,
        }
    }

    /// Returns the names of the application's own functions, with what each is: `query.ideas.of`.
    pub(crate) async fn functions(&self) -> Result<Vec<String>> {
        match self {
            Self::File(file) => Ok(file.functions().await),
            Self::Server(server) => server.functions().await,
        }
    }

    /// Ends what was opened.
    pub(crate) async fn close(&self) -> Result<()> {
        match self {
            Self::File(file) => file.close().await,
            Self::Server(_) => Ok(()),
        }
    }
}
