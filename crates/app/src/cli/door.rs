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
    File(Box<FileDoor>),
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

#[cfg(test)]
mod tests {
    use loomwork_core::Kind;
    use loomwork_store::{Row, Table};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::{Args, Door, FileDoor};
    use crate::Builder;
    use crate::builder::Work;

    #[derive(Clone, Serialize, Deserialize, Table)]
    #[table(name = "ideas", id = "idea")]
    #[index(by_text(text))]
    struct Idea {
        text: String,
    }

    #[derive(Clone, Deserialize, JsonSchema)]
    struct NewIdea {
        text: String,
    }

    fn door(folder: &std::path::Path) -> Door {
        let path = folder.join("ideas.db");
        let builder = Builder::at(&path)
            .tables([Idea::table()])
            .query("ideas.all", |tx, _, _: Args| {
                let ideas: Vec<Row<Idea>> = tx.scan(Idea::by_text.all())?;
                Ok(ideas.into_iter().map(|idea| idea.record.text).collect::<Vec<_>>())
            })
            .mutation("ideas.add", |tx, caller, NewIdea { text }| {
                assert_eq!(caller.as_user(), None, "whoever holds the file is nobody's user");
                Ok(tx.insert(Idea { text })?.id.to_string())
            })
            .action("ideas.shout", async |_, _, NewIdea { text }| Ok(text.to_uppercase()));
        Door::File(Box::new(FileDoor::new(path, builder, Work::Upkeep, true)))
    }

    fn args(args: Value) -> Args {
        args.as_object().cloned().unwrap_or_default()
    }

    #[tokio::test]
    async fn functions_of_ones_own_are_asked_through_the_file_and_what_reads_does_not_own_it() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (door(folder.path()), door(folder.path()));
        assert_eq!(
            one.functions().await.unwrap(),
            ["query.ideas.all", "mutation.ideas.add", "action.ideas.shout"]
        );
        one.ask("mutation.ideas.add", args(json!({ "text": "a loom" }))).await.unwrap();
        assert_eq!(one.ask("action.ideas.shout", args(json!({ "text": "hm" }))).await.unwrap(), "HM");
        assert_eq!(one.ask("query.ideas.all", Args::new()).await.unwrap(), json!(["a loom"]));

        assert_eq!(
            other.ask("query.ideas.all", Args::new()).await.unwrap(),
            json!(["a loom"]),
            "beside the first"
        );
        let refused = other.ask("mutation.ideas.add", args(json!({ "text": "two" }))).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");
        let missing = one.ask("query.ideas.none", Args::new()).await.unwrap_err();
        assert_eq!(missing.kind(), Kind::NotFound, "{missing}");
        one.close().await.unwrap();
        other.close().await.unwrap();
    }
}
