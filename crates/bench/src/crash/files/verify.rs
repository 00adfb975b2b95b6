//! What must hold of rows and objects: between two kills, and when everything was given up.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Clock;
use loomwork_files::{CheckOptions, File, Files, Hash, detach_all, files_of};
use loomwork_store::{Row, Store, Table as _, Tx};

use super::letters::{Letter, content, open};
use super::{Promise, Promises};
use crate::crash::tally::{Fault, Tally};

/// Longer than any grace or lease of the rounds.
const LATER: Duration = Duration::from_secs(60 * 60);

/// Checks a place between two kills: rows fit objects, and promised letters have their enclosures.
pub(super) async fn between(place: &Path, promises: &Promises, tally: &mut Tally) -> Result<()> {
    let (store, files) = open(place, Clock::system()).await?;
    check(&store, &files, tally).await?;
    let found = store.query(letters).await?;
    for (number, promise) in &promises.0 {
        let is_right = match promise {
            Promise::Sent => found.contains_key(number),
            Promise::Leaving => true,
            Promise::Dropped => !found.contains_key(number),
        };
        tally.fact(is_right, Fault::Lost, || format!("letter {number} is not as promised: {promise:?}"));
    }
    for (number, enclosed) in &found {
        let hashes: Vec<_> = enclosed.iter().map(|file| file.hash).collect();
        tally.same(format_args!("what letter {number} encloses"), hashes, vec![Hash::of(&content(*number))]);
    }
    tally.count("letters", found.len() as u64);
    store.close().await;
    Ok(())
}

/// Gives up what is left of a place, first all but the letters, then those too.
pub(super) async fn at_the_end(place: &Path, tally: &mut Tally) -> Result<()> {
    let clock = Clock::manual(Clock::system().now() + LATER);
    let (store, files) = open(place, clock.clock()).await?;
    files.vacuum().await?;
    let report = check(&store, &files, tally).await?;
    tally.same("the count of objects", report.objects, report.contents);
    tally.same("the count of files in the folder", files_in(&place.join("files"))?, report.objects);
    let found = store.query(letters).await?;
    for file in found.values().flatten() {
        let content = files.read(file.id).await?;
        tally.same(format_args!("the content of {}", file.id), Hash::of(&content), file.hash);
    }
    store
        .mutate(|tx| {
            for letter in tx.scan(Letter::all())? {
                detach_all(tx, letter.id)?;
            }
            Ok(())
        })
        .await?;
    clock.advance(LATER);
    files.vacuum().await?;
    let report = check(&store, &files, tally).await?;
    tally.same("what is left in the end", (report.files, report.references, report.contents), (0, 0, 0));
    tally.same("the count of files that are left in the folder", files_in(&place.join("files"))?, 0);
    store.close().await;
    Ok(())
}

async fn check(store: &Store, files: &Files, tally: &mut Tally) -> Result<loomwork_files::Report> {
    let indexes = store.check().await?;
    tally.fact(indexes.is_clean(), Fault::Broken, || {
        format!("index entries do not fit: {:?}", indexes.mismatches)
    });
    let report = files.check(CheckOptions { contents: true, ..CheckOptions::default() }).await?;
    tally.fact(report.found == 0, Fault::Broken, || format!("a check found {:?}", report.findings));
    Ok(report)
}

/// All letters by their numbers, with what they enclose.
fn letters(tx: &Tx) -> loomwork_store::Result<BTreeMap<u64, Vec<Row<File>>>> {
    let letters = tx.scan(Letter::by_number.all())?;
    letters.into_iter().map(|letter| Ok((letter.number, files_of(tx, letter.id)?))).collect()
}

/// Counts the files below a folder, those too that the object store does not show.
fn files_in(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { files_in(&entry.path())? } else { 1 };
    }
    Ok(count)
}
