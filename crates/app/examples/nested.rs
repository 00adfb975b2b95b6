//! The API nested in a service that is there already, and a route of one's own beside it.
#![expect(clippy::print_stdout, reason = "examples speak to people")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use loomwork::{Agent, App, OfflineModel};
use serde_json::Map;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let assistant = Agent::new("assistant", Arc::new(OfflineModel::default()));
    let app = App::memory().agent(assistant).build().await?;
    let service: Router =
        Router::new().route("/about", get(async || "A service of ours.")).merge(app.router());
    let paths = app.openapi()["paths"].as_object().map_or(0, Map::len);
    println!("{paths} paths beside /about: {}", service.has_routes());
    app.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
