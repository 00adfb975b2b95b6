//! The group `usage`: events recorded with their messages, totals, and the close of a large month.

mod month;
mod recording;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Time;
use loomwork_usage::{COST_BOOK, Event, Level, Money, Price, Unit};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Options as CommandLine;
use crate::measure::Row;

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("sqlite") => {}
        Some(other) => bail!("the group `usage` has no engine {other:?}; it has `sqlite`"),
    }
    let mut rows = recording::measure()?;
    rows.extend(month::measure()?);
    Ok(rows)
}

/// An answer of a small model in a conversation, paid by one of a hundred.
fn event(key: String, number: u64, at: Time) -> Event {
    let event = Event::new("bench", key, at).paid_by(format!("payer-{}", number % 100));
    event
        .used_by(Level::User, format!("user-{}", number % 1_000))
        .used_by(Level::Agent, "writer")
        .used_by(Level::Thread, format!("thread-{}", number % 5_000))
        .model("acme", "small")
        .used([(Unit::InputFresh, 200), (Unit::InputCacheRead, 800), (Unit::OutputText, 100 + number % 7)])
}

fn price() -> Result<Price> {
    let per_million = |text: &str| text.parse::<Money>()?.per_million();
    Ok(Price::new(COST_BOOK, "acme", "small", Time::EPOCH)
        .unit(Unit::InputFresh, per_million("0.30")?)
        .unit(Unit::InputCacheRead, per_million("0.15")?)
        .unit(Unit::OutputText, per_million("1.20")?))
}

/// The runtime of a small server: this machine's two cores.
fn two_threads() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    tempfile::Builder::new().prefix("bench-").tempdir_in(root).context("failed to make a folder under target")
}
