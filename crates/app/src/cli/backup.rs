//! `loomwork backup`: a copy of a database with its files, while it is in use.
//!
//! The contents of files never change and are never written twice under one name. So the copy is whole when it has
//! what was there before the database was copied, and what has come until then: contents that go meanwhile were
//! copied before, and those that came behind it are not of the copy.

use std::fs;
use std::path::{Path, PathBuf};

use loomwork_core::{Kind, Stopwatch};
use loomwork_files::{Blobs, CheckOptions, Files, Finding, Options, Report};
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use serde_json::json;

use super::output::Output;
use super::times::took;
use super::{At, Program, of_io};
use crate::builder::{Builder, folder_beside};
use crate::error::{Error, Result};

/// Between the number of an upload that is under way and its object's name.
const UNFINISHED: char = '#';

/// What was copied.
#[derive(Debug, Default)]
struct Copied {
    files: usize,
    bytes: u64,
}

pub(crate) async fn backup(program: &impl Program, at: &At, out: &Output, to: &Path) -> Result<()> {
    let stopwatch = Stopwatch::start();
    let builder = program.describe(Builder::at(&at.database)).await?;
    let is_elsewhere = builder.has_own_blobs();
    let (database, to) = (at.database.clone(), to.to_owned());
    let (from_files, to_files) = (folder_beside(&database, "files"), folder_beside(&to, "files"));
    if to_files.exists() {
        let message = format!("{} exists already; a backup never overwrites", to_files.display());
        return Err(Error::new(Kind::Invalid, message));
    }
    let source = Sqlite::read_only(&database)?;
    let has_files = !is_elsewhere && from_files.is_dir();
    let copying = {
        let (to, from_files, to_files) = (to.clone(), from_files.clone(), to_files.clone());
        move || -> Result<()> {
            if has_files {
                copy_new(&from_files, &to_files)?;
            }
            source.backup(&to)?;
            if has_files {
                copy_new(&from_files, &to_files)?;
            }
            Ok(())
        }
    };
    let done = tokio::task::spawn_blocking(copying).await;
    done.map_err(|error| Error::new(Kind::Internal, format!("the copy was given up: {error}")))??;
    let copied = if has_files { only_its_own(&to, &to_files).await? } else { Copied::default() };

    let bytes = fs::metadata(&to).map_err(|error| of_io(&to, &error))?.len();
    if out.is_json {
        out.json(&json!({
            "database": to, "bytes": bytes, "files": copied.files, "fileBytes": copied.bytes,
            "filesElsewhere": is_elsewhere,
        }));
        return Ok(());
    }
    let size = indicatif::HumanBytes(bytes);
    let files = indicatif::HumanBytes(copied.bytes);
    out.line(&format!(
        "{} has the database ({size}) and {} contents of files ({files}), in {}.",
        to.display(),
        copied.files,
        took(stopwatch.elapsed())
    ));
    if is_elsewhere {
        out.remark("Files lie in a place of the application's own, and are not in this copy.");
    }
    Ok(())
}

/// Copies what is not there yet.
fn copy_new(from: &Path, to: &Path) -> Result<()> {
    let mut private = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    private.recursive(true).create(to).map_err(|error| of_io(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| of_io(from, &error))? {
        let entry = entry.map_err(|error| of_io(from, &error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_new(&source, &target)?;
        } else if !is_unfinished(&source) && !target.exists() {
            copy_one(&source, &target)?;
        }
    }
    Ok(())
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(UNFINISHED))
}

/// Copies a content, which appears under its name when it is whole. One that has gone meanwhile is of no copy.
fn copy_one(source: &Path, target: &Path) -> Result<()> {
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    match fs::copy(source, &unfinished) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !source.exists() => return Ok(()),
        Err(error) => return Err(of_io(source, &error)),
    }
    let synced = fs::File::open(&unfinished).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(&unfinished, target)).map_err(|error| of_io(target, &error))
}

/// Takes away contents that the copy does not know, and makes sure that it has all others.
async fn only_its_own(database: &Path, folder: &Path) -> Result<Copied> {
    let store = Store::builder(Sqlite::read_only(database)?).tables(loomwork_files::tables()).open().await?;
    let files = Files::new(&store, Blobs::folder(folder)?, Options::default());
    let checked = files.check(CheckOptions::default()).await;
    store.close().await;
    let Report { contents, findings, found, .. } = checked?;
    let mut lacks = None;
    for finding in &findings {
        match finding {
            Finding::Stray { key } => {
                let path = folder.join(key);
                fs::remove_file(&path).map_err(|error| of_io(&path, &error))?;
            }
            other => lacks = lacks.or(Some(other.to_string())),
        }
    }
    if let Some(lacks) = lacks {
        let message = format!("the copy is not whole, {found} findings: {lacks}; `loomwork check` says more");
        return Err(Error::new(Kind::Corrupt, message));
    }
    Ok(Copied { files: contents, bytes: bytes_in(folder)? })
}

fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(|error| of_io(folder, &error))? {
        let path = entry.map_err(|error| of_io(folder, &error))?.path();
        let about = fs::metadata(&path).map_err(|error| of_io(&path, &error))?;
        bytes += if about.is_dir() { bytes_in(&path)? } else { about.len() };
    }
    Ok(bytes)
}
