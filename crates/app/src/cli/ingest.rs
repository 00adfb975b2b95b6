//! `loomwork ingest`: files and folders into knowledge.
//!
//! Each file is an entry under its path, so what is there unchanged costs nothing: whoever calls it again goes on
//! where it was broken off.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use loomwork_core::Kind;
use serde_json::{Value, json};

use super::door::{Args, Door};
use super::exit::Exit;
use super::of_io;
use super::output::{Output, Style};
use crate::error::{Error, Result};

/// How often a bar moves that does not know how far it is.
const TICK: Duration = Duration::from_millis(120);

/// What is added, and where.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) namespace: String,
    /// What the keys of the entries begin with.
    pub(crate) prefix: String,
    /// How many files are on their way at once.
    pub(crate) at_once: usize,
}

/// A file, and the key of its entry.
#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    key: String,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    Added,
    Unchanged,
    Failed,
}

impl Became {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

pub(crate) async fn ingest(door: &Door, out: &Output, asked: &Asked) -> Result<Exit> {
    let sources = sources(asked)?;
    if sources.is_empty() {
        out.remark("There are no files. Those whose names begin with a dot are passed over.");
        return Ok(Exit::Done);
    }
    let bars = Bars::new(sources.len() as u64);
    let mut counts = [0_usize; 3];
    let mut adding = stream::iter(sources)
        .map(|source| {
            let bar = bars.of(&source.key);
            async move {
                let added = add(door, &asked.namespace, &source, &bar).await;
                bar.finish_and_clear();
                (source, added)
            }
        })
        .buffer_unordered(asked.at_once.max(1));
    while let Some((source, added)) = adding.next().await {
        let (became, entry, why) = match added {
            Ok((became, entry)) => (became, entry, None),
            // What ends them all is told once.
            Err(error) if matches!(error.kind(), Kind::Denied | Kind::Unavailable) => return Err(error),
            Err(error) => (Became::Failed, Value::Null, Some(error.to_string())),
        };
        counts[became as usize] += 1;
        bars.all.inc(1);
        if out.is_json {
            out.json(&json!({ "key": source.key, "became": became.as_str(), "entry": entry, "error": why }));
        } else {
            bars.all.suspend(|| tell(out, &source, became, why.as_deref()));
        }
    }
    bars.all.finish_and_clear();
    let [added, unchanged, failed] = counts;
    if !out.is_json {
        out.line(&format!(
            "{added} added, {unchanged} unchanged, {failed} failed, in {:?}.",
            asked.namespace
        ));
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

fn tell(out: &Output, source: &Source, became: Became, why: Option<&str>) {
    match became {
        Became::Added => out.line(&format!("{} {}", out.paint(Style::Good, "added    "), source.key)),
        Became::Unchanged => out.line(&format!("{} {}", out.paint(Style::Dim, "unchanged"), source.key)),
        Became::Failed => {
            let failed = out.paint(Style::Wrong, "failed   ");
            out.line(&format!("{failed} {}: {}", source.key, why.unwrap_or_default()));
        }
    }
}

/// Adds a file, and waits until it is found or has failed.
async fn add(door: &Door, namespace: &str, source: &Source, bar: &ProgressBar) -> Result<(Became, Value)> {
    let name = source.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    bar.set_message("is sent");
    let file = door.upload(&source.path, &name).await?;
    let asked = json!({
        "namespace": namespace,
        "file": file["id"],
        "about": { "key": source.key, "title": name },
    });
    let Value::Object(asked) = asked else {
        return Err(Error::new(Kind::Internal, "arguments are an object"));
    };
    let entry = door.ask("knowledge.ingest", asked).await?;
    if entry["status"] == "ready" {
        return Ok((Became::Unchanged, entry));
    }
    let mut args = Args::new();
    args.insert("entry".to_owned(), entry["id"].clone());
    let mut entries = door.follow("knowledge.entry", args).await?;
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        match entry["status"].as_str().unwrap_or_default() {
            "pending" => bar.set_message(format!("{} chunks", entry["chunks"])),
            // A newer version of its key has come while it was made.
            "ready" | "replaced" => return Ok((Became::Added, entry)),
            status => {
                let why = entry["error"].as_str().unwrap_or(status).to_owned();
                return Err(Error::new(Kind::Invalid, why));
            }
        }
    }
    Err(Error::new(Kind::Unavailable, "the app has ended; call the command again, and it goes on"))
}

/// Returns the files to add, by their keys.
fn sources(asked: &Asked) -> Result<Vec<Source>> {
    let mut found = BTreeMap::new();
    for path in &asked.paths {
        let about = fs::metadata(path).map_err(|error| of_io(path, &error))?;
        let before = found.len();
        if about.is_dir() {
            walk(path, path, &asked.prefix, &mut found)?;
        } else {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            enter(&mut found, path.clone(), format!("{}{name}", asked.prefix))?;
        }
        tracing::debug!(path = %path.display(), files = found.len() - before, "files were found");
    }
    Ok(found.into_values().collect())
}

fn walk(root: &Path, folder: &Path, prefix: &str, found: &mut BTreeMap<String, Source>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| of_io(folder, &error))? {
        let entry = entry.map_err(|error| of_io(folder, &error))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(|error| of_io(folder, &error))?);
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // Links are not followed: they may lead out of the folder, or in a circle.
        if kind.is_dir() {
            walk(root, &path, prefix, found)?;
        } else if kind.is_file() {
            let within = path.strip_prefix(root).unwrap_or(&path);
            let parts: Vec<_> = within.iter().map(|part| part.to_string_lossy()).collect();
            enter(found, path.clone(), format!("{prefix}{}", parts.join("/")))?;
        }
    }
    Ok(())
}

fn enter(found: &mut BTreeMap<String, Source>, path: PathBuf, key: String) -> Result<()> {
    if let Some(other) = found.get(&key).filter(|other| other.path != path) {
        let (one, other) = (path.display(), other.path.display());
        let message =
            format!("{one} and {other} have one key, {key:?}; add them one by one, with a `--prefix` each");
        return Err(Error::new(Kind::Invalid, message));
    }
    found.insert(key.clone(), Source { path, key });
    Ok(())
}

/// Bars before a terminal; elsewhere nothing is drawn.
struct Bars {
    all: ProgressBar,
    bars: MultiProgress,
}

impl Bars {
    fn new(files: u64) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let all = bars.add(ProgressBar::new(files));
        all.set_style(style("{bar:30} {pos}/{len} files, {elapsed}"));
        Self { all, bars }
    }

    fn of(&self, key: &str) -> ProgressBar {
        let bar = self.bars.insert_before(&self.all, ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {prefix} {msg}"));
        bar.set_prefix(key.to_owned());
        bar.enable_steady_tick(TICK);
        bar
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
