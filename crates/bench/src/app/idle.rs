//! Ten thousand subscribers that hear nothing.

use anyhow::Result;

use super::clients::Client;
use super::served::Server;
use super::{folder, runtime};
use crate::measure::{Row, Target};

/// One program may have half of the 20,000 seats.
const SUBSCRIBERS: usize = 10_000;

pub(super) fn measure() -> Result<Row> {
    let (folder, runtime) = (folder()?, runtime()?);
    let server = Server::start("app", folder.path())?;
    let each = runtime.block_on(async {
        let mut warm = Client::connect(&server.address).await?;
        warm.follow("/api/threads?user=nobody").await?;
        warm.until("\n\n").await?;
        drop(warm);
        let before = server.memory()?;
        let mut subscribers = Vec::with_capacity(SUBSCRIBERS);
        for number in 1..SUBSCRIBERS {
            let mut client = Client::connect(&server.address).await?;
            client.follow(&format!("/api/threads?user=user-{number}")).await?;
            client.until("\n\n").await?;
            subscribers.push(client);
        }
        anyhow::Ok((server.memory()? - before) / subscribers.len() as f64)
    })?;
    Ok(Row {
        name: "memory of each of 10,000 idle subscribers",
        unit: "KiB",
        ours: vec![each / 1024.0],
        baseline: Vec::new(),
        target: Target::ValueAtMost(20.0),
    })
}
