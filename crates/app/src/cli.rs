//! The program `loomwork`: without a word it serves the demo over `./loomwork.db`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::demo;

/// Where the program listens.
const ADDRESS: &str = "127.0.0.1:3210";

/// The database, in the folder where the program is started.
const DATABASE: &str = "loomwork.db";

/// Which log lines are written, unless `LOOMWORK_LOG` says so.
const LOG: &str = "warn,loomwork=info";

/// Runs the program. `LOOMWORK_LOG` filters its log, and `LOOMWORK_LOG_FORMAT=json` makes each line an object.
pub fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("LOOMWORK_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    if std::env::var("LOOMWORK_LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.init();
    }
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")
        .and_then(|runtime| runtime.block_on(serve()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is the program that speaks to people")]
async fn serve() -> anyhow::Result<()> {
    let model = loomwork_models::detect().await?;
    let listener = TcpListener::bind(ADDRESS).await.with_context(|| format!("cannot listen at {ADDRESS}"))?;
    let address = format!("http://{}", listener.local_addr()?);
    let app = demo::open(DATABASE, model.model.clone()).await?;
    let key = app.new_key().map(|key| key.expose().to_owned()).unwrap_or_default();
    println!(
        "Loomwork is at {address}, over ./{DATABASE}.
  key    {key}
  model  {model}

Three things to try, each in a thread of yours:
  export KEY={key}
  THREAD=$(curl -sH \"Authorization: Bearer $KEY\" --json '{{\"user\":\"me\"}}' {address}/api/threads | grep -o 'thread_[a-z0-9]*')
  1. curl -H \"Authorization: Bearer $KEY\" --json '{{\"agent\":\"weather\",\"prompt\":\"Use weather with place Oslo.\"}}' {address}/api/threads/$THREAD/runs
  2. curl -N -H \"Authorization: Bearer $KEY\" {address}/api/threads/$THREAD/live
  3. curl -H \"Authorization: Bearer $KEY\" --json '{{\"topic\":\"returns\"}}' {address}/api/mutation/research.start
"
    );
    Ok(app.serve_on(listener).await?)
}
