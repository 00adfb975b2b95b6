//! The group `rag`: processes that replace documents are killed, and what searches find of each document is
//! compared with what was said of it: one whole version, no older than the last that was published.

mod child;
mod verify;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::Random;
use loomwork_models::OfflineEmbedder;
use loomwork_rag::{Content, Rag, Source};
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use loomwork_testkit::crash::{Moment, Sign};

use super::deck::{READY, at_point};
use super::rounds::strike;
use super::tally::Tally;
use super::{Plan, folder, within_time};

const NAMESPACE: &str = "crash";

/// Makes a document and a version of it, for jobs.
const VERSIONS_OF: Source<(u64, u64)> = Source::new("versions");

/// How many documents there are, and how many chunks one has at least and in addition.
const DOCUMENTS: u64 = 3;
const LEAST: u64 = 20;
const MORE: u64 = 330;

/// How long the vectors are: short, so that a round has many versions.
const DIMENSION: usize = 16;

/// What the process says.
const BEGUN: &str = "begun";
const PUBLISHED: &str = "published";

/// Where a process is killed, besides at any moment.
const POINTS: [&str; 5] = ["rag.written", "rag.filled", "rag.published", "commit.before", "commit.after"];

/// A point is awaited up to this many times.
const TIMES: u64 = 12;

/// The longest pause behind the sign.
const WORKING: Duration = Duration::from_millis(900);

/// What is known of a document: the version that was published last, and those that were begun since.
#[derive(Debug, Default)]
struct Known {
    published: Option<u64>,
    begun: Vec<u64>,
}

pub(super) fn child(words: &[String]) -> Result<()> {
    child::run(words)
}

pub(super) fn run(plan: &Plan, tally: &mut Tally) -> Result<()> {
    let folder = folder()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let place = folder.path().to_path_buf();
    let mut known: BTreeMap<u64, Known> = BTreeMap::new();
    for round in 0..plan.rounds {
        let random = plan.random(&[round]);
        let moment = draw(&random);
        tally.begin_round(plan.rounds, &moment);
        let said = strike("rag", plan, round, &place, moment, tally)?;
        hear(&said, &mut known, tally)?;
        within_time(&runtime, verify::check(&place, &mut known, tally))?;
        if !tally.is_clean() {
            println!("the files are kept in {}", folder.keep().display());
            return Ok(());
        }
    }
    Ok(())
}

fn draw(random: &Random) -> Moment {
    let point = random.below(2 * POINTS.len() as u64) as usize;
    match POINTS.get(point) {
        Some(name) => at_point(name, TIMES, random),
        None => Moment::at(Sign::Said(READY)).pause(WORKING.mul_f64(random.unit())),
    }
}

/// Writes down what a process has said.
fn hear(said: &[String], known: &mut BTreeMap<u64, Known>, tally: &mut Tally) -> Result<()> {
    for line in said {
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let (Some(document), Some(version)) = (words.next(), words.next()) else { continue };
        let document = known.entry(document.parse()?).or_default();
        let version = version.parse().context("a version is a number")?;
        if word == PUBLISHED {
            (document.published, document.begun) = (Some(version), Vec::new());
            tally.count("published", 1);
        } else {
            document.begun.push(version);
            tally.count("begun", 1);
        }
    }
    Ok(())
}

async fn open(place: &Path) -> Result<(Store, Rag)> {
    let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::builder(Sqlite::open(place.join("store.db"))?);
    let store = store.tables(tables).tables(loomwork_workpool::tables()).open().await?;
    let rag = Rag::builder(&store, OfflineEmbedder::new(DIMENSION))
        .folder(place.join("index"))
        .source(
            VERSIONS_OF,
            |_, (document, version)| async move { Ok(Content::chunks(texts(document, version))) },
        )
        .start()
        .await?;
    Ok((store, rag))
}

/// The texts of a version, as many as its number says.
fn texts(document: u64, version: u64) -> impl Iterator<Item = String> {
    let count = LEAST + version.wrapping_mul(2_654_435_761) % MORE;
    // Some chunks stay the same from version to version, and keep their vectors.
    (0..count).map(move |at| match at % 3 {
        0 => format!("document{document} part{at} stays"),
        _ => format!("document{document} part{at} version{version}"),
    })
}
