//! `loomwork serve`: the app over HTTP, until the process is asked to end.

use std::path::{Path, PathBuf};

use loomwork_core::Kind;
use serde_json::json;
use tokio::net::TcpListener;

use super::door::{announcement, held};
use super::exit::Exit;
use super::output::Output;
use super::{At, Program};
use crate::app::App;
use crate::builder::{Builder, Work};
use crate::error::{Error, Result};

/// Where a server listens, unless it is told otherwise.
pub(crate) const ADDRESS: &str = "127.0.0.1:3210";

/// An app that is served.
#[derive(Debug)]
pub(crate) struct Served<'a> {
    pub(crate) address: &'a str,
    pub(crate) database: &'a Path,
    /// The key that was made at this start.
    pub(crate) key: Option<&'a str>,
}

pub(crate) async fn serve(program: &impl Program, at: &At, out: &Output, listen: &str) -> Result<Exit> {
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let message = format!(
            "the server cannot listen at {listen}: {error}; another one may be running, and `--listen ADDRESS` names \
             another place"
        );
        Error::new(Kind::Unavailable, message)
    })?;
    let builder = program.describe(Builder::at(&at.database)).await?;
    let builder = match &at.key {
        Some(key) => builder.key_unless_set(key.clone()),
        None => builder,
    };
    let app = builder.open(Work::All).await.map_err(|error| held(error, &at.database))?;
    if let Err(error) = serve_on(&app, program, at, out, listener).await {
        // What was served has been ended; what could not be served has not, and why not is what counts.
        let _ = app.shutdown(crate::http::DRAIN).await;
        return Err(error);
    }
    Ok(Exit::Done)
}

async fn serve_on(
    app: &App,
    program: &impl Program,
    at: &At,
    out: &Output,
    listener: TcpListener,
) -> Result<()> {
    let address = listener.local_addr().map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    let address = format!("http://{address}");
    let _announced = Announced::at(&at.database, &address);
    let served = Served {
        address: &address,
        database: &at.database,
        key: app.new_key().map(loomwork_core::Secret::expose),
    };
    if out.is_json {
        out.json(&json!({ "address": address, "database": at.database, "key": served.key }));
    } else {
        out.line(&greeting(&served));
        let more = program.greeting(&served);
        if !more.is_empty() {
            out.line(&more);
        }
    }
    app.serve_on(listener).await.map_err(|error| Error::new(Kind::Unavailable, error.to_string()))
}

fn greeting(served: &Served<'_>) -> String {
    let Served { address, database, key } = served;
    let key = match key {
        Some(key) => format!("{key}  (of this start; LOOMWORK_KEY sets one that stays)"),
        None => "as it was set".to_owned(),
    };
    format!("Loomwork is at {address}, over {}.\n  key    {key}", database.display())
}

/// The file that says where the server answers, for as long as it does.
struct Announced(PathBuf);

impl Announced {
    fn at(database: &Path, address: &str) -> Option<Self> {
        let file = announcement(database);
        match std::fs::write(&file, format!("{} {address}\n", std::process::id())) {
            Ok(()) => Some(Self(file)),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "where the server answers could not be written down");
                None
            }
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Left behind, it names a process that is gone, and is believed by nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}
