//! The command line: every operation of an app as words, over its database or a server, and what is done around it.
//!
//! The program `loomwork` has the demo; a program of yours has your app, and calls your functions by their names:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use loomwork::{Agent, OfflineModel};
//!
//! fn main() -> ExitCode {
//!     loomwork::cli::run(async |builder| {
//!         let support = Agent::new("support", Arc::new(OfflineModel::default())).instructions("Be helpful.");
//!         Ok(builder.agent(support))
//!     })
//! }
//! ```

mod arguments;
mod backup;
mod call;
mod chat;
mod check;
mod commands;
mod doctor;
mod door;
mod exit;
mod ingest;
mod output;
mod serve;
mod show;
mod times;
mod words;

use std::cell::RefCell;
use std::error::Error as StdError;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use futures_util::StreamExt as _;
use loomwork_core::{Kind, Secret};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::api::{Operation, Run};
use crate::builder::{Builder, Work};
use crate::demo;
use crate::error::{Error, Result};
use door::{Args, Door, FileDoor, ServerDoor};
use exit::Exit;
use output::{Output, Style};
use serve::Served;
use times::Zone;

/// The database, in the folder where the program is started.
const DATABASE: &str = "loomwork.db";

/// The variable that holds the key of a server, and the one that a server is started with.
const KEY: &str = "LOOMWORK_KEY";

/// Which log lines a server writes, unless `LOOMWORK_LOG` says so.
const LOG_OF_SERVER: &str = "warn,loomwork=info";

/// Which log lines any other command writes: what goes wrong it tells by itself.
const LOG: &str = "error";

/// How long what blocks a thread may take to end with the program: reading a keyboard never does.
const LAST_THREADS: Duration = Duration::from_millis(100);

/// Runs the program `loomwork`, whose app is the demo. Without a word it serves that over `./loomwork.db`.
pub fn main() -> ExitCode {
    start(&Demo::default())
}

/// Runs the command line of an app of your own, which `describe` describes over the database that was named.
///
/// `LOOMWORK_LOG` filters its log, and `LOOMWORK_LOG_FORMAT=json` makes each line an object.
pub fn run<F>(describe: F) -> ExitCode
where
    F: AsyncFn(Builder) -> Result<Builder, Box<dyn StdError + Send + Sync>>,
{
    start(&Own(describe))
}

/// The app that a command line is of.
trait Program {
    async fn describe(&self, builder: Builder) -> Result<Builder>;

    /// Returns what a server says when it begins, besides where it is.
    fn greeting(&self, served: &Served<'_>) -> String;
}

struct Own<F>(F);

impl<F: AsyncFn(Builder) -> Result<Builder, Box<dyn StdError + Send + Sync>>> Program for Own<F> {
    async fn describe(&self, builder: Builder) -> Result<Builder> {
        (self.0)(builder).await.map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }

    fn greeting(&self, _: &Served<'_>) -> String {
        String::new()
    }
}

/// The demo, and the model that answers there.
#[derive(Default)]
struct Demo(RefCell<String>);

impl Program for Demo {
    async fn describe(&self, builder: Builder) -> Result<Builder> {
        let found = loomwork_models::detect().await.map_err(loomwork_store::Error::from)?;
        *self.0.borrow_mut() = found.to_string();
        Ok(demo::describe(builder, found.model)?)
    }

    fn greeting(&self, served: &Served<'_>) -> String {
        demo::greeting(&self.0.borrow(), served.address, served.key)
    }
}

/// Where the app is, as the command line says.
#[derive(Debug)]
struct At {
    database: PathBuf,
    server: Option<String>,
    /// The key of a server: the one to come with, or to begin with.
    key: Option<Secret>,
}

fn start(program: &impl Program) -> ExitCode {
    let matches = commands::all().get_matches();
    log(&matches);
    let zone = if matches.get_flag(commands::UTC) { Zone::Utc } else { Zone::Local };
    let out = Output::new(matches.get_flag(commands::JSON), zone);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&out, &Error::new(Kind::Internal, format!("the program cannot start: {error}")));
            return Exit::Failed.into();
        }
    };
    let done = runtime.block_on(do_it(program, &matches, &out));
    runtime.shutdown_timeout(LAST_THREADS);
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            tell(&out, &error);
            Exit::of(&error).into()
        }
    }
}

fn log(matches: &ArgMatches) {
    let is_server = matches.subcommand_name().is_none_or(|name| name == "serve");
    let lines = if is_server { LOG_OF_SERVER } else { LOG };
    let filter = EnvFilter::try_from_env("LOOMWORK_LOG").unwrap_or_else(|_| EnvFilter::new(lines));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal() && output::wants_colours());
    if std::env::var("LOOMWORK_LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.init();
    }
}

/// Tells what went wrong: people in words, programs as the one shape of errors.
fn tell(out: &Output, error: &Error) {
    if out.is_json {
        let told = json!({
            "kind": error.kind().as_str(),
            "message": error.to_string(),
            "field": error.field(),
            "data": error.data(),
        });
        return out.remark(&told.to_string());
    }
    let field = error.field().map(|field| format!(" ({})", words::kebab(field))).unwrap_or_default();
    out.remark(&format!("{} {error}{field}", out.paint(Style::Wrong, "error:")));
}

/// Returns the error of a file or a folder.
fn of_io(path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        std::io::ErrorKind::PermissionDenied => Kind::Denied,
        std::io::ErrorKind::AlreadyExists => Kind::Invalid,
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("{}: {error}", path.display()))
}

/// Waits for Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn do_it(program: &impl Program, matches: &ArgMatches, out: &Output) -> Result<Exit> {
    let at = at(matches)?;
    let listen = |matches: &ArgMatches| matches.get_one::<String>(commands::LISTEN).cloned();
    let (word, inner) = match matches.subcommand() {
        None => return serve::serve(program, &at, out, serve::ADDRESS).await,
        Some((word, inner)) => (word, inner),
    };
    match word {
        "completions" => {
            commands::complete(inner, out);
            Ok(Exit::Done)
        }
        "serve" => serve::serve(program, &at, out, &listen(inner).unwrap_or(serve::ADDRESS.to_owned())).await,
        "backup" => {
            only_by_file(&at, word)?;
            let to = inner.get_one::<PathBuf>(commands::TO).cloned().unwrap_or_default();
            until_interrupted(async { backup::backup(program, &at, out, &to).await.map(|()| Exit::Done) })
                .await
        }
        "check" => {
            only_by_file(&at, word)?;
            let asked = check::Asked { contents: inner.get_flag("contents"), mend: inner.get_flag("mend") };
            let builder = program.describe(Builder::at(&at.database)).await?;
            let has_files_beside = !builder.has_own_blobs();
            let door = FileDoor::new(at.database.clone(), builder, Work::Upkeep, false);
            let checked = until_interrupted(check::check(&door, out, asked, has_files_beside)).await;
            door.close().await.and(checked)
        }
        "doctor" => {
            let door = open(program, &at, out, Work::Upkeep, false).await;
            let listen = listen(inner).unwrap_or(serve::ADDRESS.to_owned());
            let found = doctor::doctor(door.as_ref(), &at, out, &listen).await;
            if let Ok(door) = door {
                door.close().await?;
            }
            found
        }
        "chat" => {
            let asked = commands::chat(inner);
            let door = open(program, &at, out, Work::All, true).await?;
            let talked = chat::chat(&door, out, asked).await;
            door.close().await.and(talked)
        }
        _ => {
            let makes = word == "ingest";
            let door = open(program, &at, out, Work::Upkeep, makes).await?;
            let done = until_interrupted(by_door(&door, out, word, inner)).await;
            door.close().await.and(done)
        }
    }
}

/// Does what is asked through a door.
async fn by_door(door: &Door, out: &Output, word: &str, matches: &ArgMatches) -> Result<Exit> {
    match word {
        "ingest" => ingest::ingest(door, out, &commands::ingest(matches)?).await,
        "run" => {
            let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
            let is_followed = matches.get_flag(commands::FOLLOW);
            call::call(door, out, text("name"), text("args"), is_followed).await?;
            Ok(Exit::Done)
        }
        group => {
            let (operation, matches) = commands::operation(group, matches)?;
            carry_out(door, out, operation, matches).await?;
            Ok(Exit::Done)
        }
    }
}

/// Carries out an operation and shows its answer.
async fn carry_out(door: &Door, out: &Output, operation: &Operation, matches: &ArgMatches) -> Result<()> {
    let fields = arguments::of(operation);
    let args = arguments::given(&fields, matches, out.zone)?;
    let has = |name: &str| matches.try_get_one::<bool>(name).ok().flatten().is_some_and(|given| *given);
    if matches!(operation.run, Run::Query(_)) && has(commands::FOLLOW) {
        return follow(door, out, &operation.id, args).await;
    }
    let mut answer = door.ask(&operation.id, args.clone()).await?;
    if has(commands::ALL) {
        add_all_pages(door, operation, args, &mut answer).await?;
    }
    show::answer(out, &operation.id, &answer);
    Ok(())
}

/// Adds the pages behind a page to it.
async fn add_all_pages(door: &Door, operation: &Operation, mut args: Args, page: &mut Value) -> Result<()> {
    while let Some(next) = page["next"].as_str() {
        args.insert("after".to_owned(), next.into());
        let mut further = door.ask(&operation.id, args.clone()).await?;
        for name in ["items", "messages"] {
            let Some(more) = further[name].as_array_mut().map(std::mem::take) else { continue };
            // Pages of messages go back, and the messages of each go forth.
            let is_backwards = name == "messages" && args.get("oldestFirst") != Some(&Value::Bool(true));
            if let Some(items) = page[name].as_array_mut() {
                if is_backwards { items.splice(0..0, more).for_each(drop) } else { items.extend(more) }
            }
        }
        let next = further.as_object_mut().and_then(|further| further.remove("next"));
        if let Some(page) = page.as_object_mut() {
            page.remove("next");
            page.extend(next.map(|next| ("next".to_owned(), next)));
        }
    }
    Ok(())
}

/// Shows an answer whenever it is another one, until it ends or nobody reads any more.
async fn follow(door: &Door, out: &Output, id: &str, args: Args) -> Result<()> {
    let mut answers = door.follow(id, args).await?;
    let mut is_first = true;
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        if !out.is_json {
            out.clear();
            if !is_first && !out.is_terminal() {
                out.line("");
            }
        }
        is_first = false;
        show::answer(out, id, &answer);
        if out.is_gone() {
            break;
        }
    }
    Ok(())
}

/// Gives up at Ctrl-C; what was done until then stays.
async fn until_interrupted(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    tokio::select! {
        done = work => done,
        () = interrupted() => Ok(Exit::Interrupted),
    }
}

async fn open(program: &impl Program, at: &At, out: &Output, work: Work, makes: bool) -> Result<Door> {
    if let Some(server) = &at.server {
        let server = ServerDoor::new(server, at.key.clone())?;
        if server.tells_its_key() {
            out.remark(&format!(
                "warning: {} is far and without `https`; the key can be read on the way",
                server.address()
            ));
        }
        return Ok(Door::Server(server));
    }
    let builder = program.describe(Builder::at(&at.database)).await?;
    Ok(Door::File(Box::new(FileDoor::new(at.database.clone(), builder, work, makes))))
}

fn at(matches: &ArgMatches) -> Result<At> {
    let file = matches.get_one::<PathBuf>(commands::KEY_FILE);
    let key = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| of_io(path, &error))?;
            Some(text)
        }
        None => std::env::var(KEY).ok(),
    };
    let key = key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    Ok(At {
        database: matches
            .get_one::<PathBuf>(commands::DB)
            .cloned()
            .unwrap_or_else(|| PathBuf::from(DATABASE)),
        server: matches.get_one::<String>(commands::SERVER).cloned(),
        key: key.map(Secret::from),
    })
}

fn only_by_file(at: &At, word: &str) -> Result<()> {
    if at.server.is_none() {
        return Ok(());
    }
    let message =
        format!("`{word}` works on the database itself: call it with `--db PATH` where the server runs");
    Err(Error::new(Kind::Invalid, message).about("server"))
}
