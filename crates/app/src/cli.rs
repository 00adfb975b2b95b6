//! The program `loomwork`: without a word it serves an app with demo agents over `./loomwork.db`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::{Agent, App};

/// Where the program listens.
const ADDRESS: &str = "127.0.0.1:3210";

/// The database, in the folder where the program is started.
const DATABASE: &str = "loomwork.db";

/// Runs the program.
pub fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_env("LOOMWORK_LOG").unwrap_or_else(|_| EnvFilter::new("warn,loomwork=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
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
    let assistant =
        Agent::new("assistant", Arc::clone(&model.model)).instructions("You are a helpful assistant.");
    let app = App::open(DATABASE).await?.agent(assistant).build().await?;
    let listener = TcpListener::bind(ADDRESS).await.with_context(|| format!("cannot listen at {ADDRESS}"))?;
    println!("Loomwork listens at http://{}", listener.local_addr()?);
    if let Some(key) = app.new_key() {
        println!("Key: {}", key.expose());
    }
    println!("Model: {model}");
    Ok(app.serve_on(listener).await?)
}
