//! `loomwork check`: whether everything in a database fits together.

use loomwork_core::{Kind, Stopwatch};
use loomwork_files::{Blobs, CheckOptions, Files};
use loomwork_store::{Id, Store, Table as _};
use loomwork_usage::{CHECK_STEP, Checked, PeriodRow};
use serde_json::json;

use super::door::FileDoor;
use super::exit::Exit;
use super::output::{Output, Style};
use super::times::took;
use crate::builder::folder_beside;
use crate::error::{Error, Result};

/// The most findings of a part that are shown.
const MOST_SHOWN: usize = 50;

/// How thorough a check is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether the contents of all files are read.
    pub(crate) contents: bool,
    /// Whether what is wrong with files is mended.
    pub(crate) mend: bool,
}

/// What was looked at, and what is wrong with it.
struct Part {
    name: &'static str,
    looked_at: String,
    wrong: Vec<String>,
    found: usize,
}

impl Part {
    fn of(name: &'static str, looked_at: String, wrong: Vec<String>) -> Self {
        let found = wrong.len();
        Self { name, looked_at, wrong, found }
    }
}

/// Checks the database of a door, beside whichever process owns it.
pub(crate) async fn check(
    door: &FileDoor,
    out: &Output,
    asked: Asked,
    has_files_beside: bool,
) -> Result<Exit> {
    let stopwatch = Stopwatch::start();
    let store = if asked.mend { door.app().await?.store().clone() } else { door.store().await? };
    let mut parts = vec![found("pages", pages(door).await)?, found("rows", rows(&store).await)?];
    if has_files_beside {
        parts.push(found("files", files(door, &store, asked).await)?);
    }
    parts.push(found("usage", usage(&store).await)?);
    let found: usize = parts.iter().map(|part| part.found).sum();
    if out.is_json {
        let parts = parts.iter().map(|part| {
            json!({ "part": part.name, "lookedAt": part.looked_at, "found": part.found, "wrong": part.wrong })
        });
        out.json(&json!({ "ok": found == 0, "parts": parts.collect::<Vec<_>>() }));
    } else {
        parts.iter().for_each(|part| show(out, part));
        let took = took(stopwatch.elapsed());
        out.line(&match found {
            0 => format!("{} is sound. ({took})", door.path().display()),
            found => format!("{} has {found} findings. ({took})", door.path().display()),
        });
    }
    Ok(if found == 0 { Exit::Done } else { Exit::FoundWrong })
}

/// What cannot be read because it is damaged is a finding, too, and other parts are looked at all the same.
fn found(name: &'static str, part: Result<Part>) -> Result<Part> {
    match part {
        Err(error) if error.kind() == Kind::Corrupt => {
            Ok(Part::of(name, "as far as they can be read".to_owned(), vec![error.to_string()]))
        }
        part => part,
    }
}

fn show(out: &Output, part: &Part) {
    let verdict =
        if part.found == 0 { out.paint(Style::Good, "ok   ") } else { out.paint(Style::Wrong, "wrong") };
    out.line(&format!("{verdict} {:6} {}", part.name, part.looked_at));
    part.wrong.iter().take(MOST_SHOWN).for_each(|wrong| out.line(&format!("        {wrong}")));
    if part.found > MOST_SHOWN {
        out.line(&format!("        and {} more", part.found - MOST_SHOWN));
    }
}

/// What SQLite says of its file.
async fn pages(door: &FileDoor) -> Result<Part> {
    let path = door.path().to_owned();
    let checked =
        tokio::task::spawn_blocking(move || loomwork_store_sqlite::Sqlite::read_only(path)?.integrity())
            .await;
    let wrong = checked.map_err(|error| Error::new(Kind::Internal, error.to_string()))??;
    Ok(Part::of("pages", "the pages of the file".to_owned(), wrong))
}

/// Every row, against every index.
async fn rows(store: &Store) -> Result<Part> {
    let report = store.check().await?;
    let looked_at = format!("{} rows and {} entries of indexes", report.rows, report.entries);
    Ok(Part::of("rows", looked_at, report.mismatches.iter().map(ToString::to_string).collect()))
}

/// The counts of files, and their contents.
async fn files(door: &FileDoor, store: &Store, asked: Asked) -> Result<Part> {
    let options = CheckOptions { contents: asked.contents, mend: asked.mend };
    let report = if asked.mend {
        door.app().await?.files().check(options).await?
    } else {
        let folder = folder_beside(door.path(), "files");
        if !folder.is_dir() {
            return Ok(Part::of("files", "none".to_owned(), Vec::new()));
        }
        let files = Files::new(store, Blobs::folder(folder)?, loomwork_files::Options::default());
        files.check(options).await?
    };
    let read = if asked.contents { ", read to their ends" } else { "" };
    let looked_at = format!("{} files and {} contents{read}", report.files, report.contents);
    let wrong = report.findings.iter().map(ToString::to_string).collect();
    Ok(Part { name: "files", looked_at, wrong, found: report.found })
}

/// The lines of open periods, against the events that they add up.
async fn usage(store: &Store) -> Result<Part> {
    let open = store
        .query(|tx| {
            let periods = tx.scan(PeriodRow::all())?;
            Ok(periods
                .into_iter()
                .filter(|period| !period.closed)
                .map(|period| period.id)
                .collect::<Vec<_>>())
        })
        .await?;
    let (mut events, mut wrong) = (0, Vec::new());
    for period in &open {
        match period_agrees(store, *period).await {
            Ok(read) => events += read,
            Err(error) if error.kind() == Kind::Corrupt => wrong.push(error.to_string()),
            // A server has corrected an event meanwhile.
            Err(error) if error.kind() == Kind::Conflict => events += period_agrees(store, *period).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Part::of("usage", format!("{} open periods and their {events} events", open.len()), wrong))
}

async fn period_agrees(store: &Store, period: Id<PeriodRow>) -> loomwork_store::Result<u64> {
    let mut checked = store.query(move |tx| Checked::begin(tx, period)).await?;
    loop {
        let (next, is_all) = store.query(move |tx| checked.clone().step(tx, CHECK_STEP)).await?;
        checked = next;
        if is_all {
            break;
        }
    }
    let events = checked.events();
    store.query(move |tx| checked.clone().compare(tx)).await?;
    Ok(events)
}
