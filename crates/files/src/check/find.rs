//! What is wrong with a table's rows, and how a finding is mended.

use loomwork_core::RawId;
use loomwork_store::{Id, Result, Row, Span, Table, Tx};

use super::{CHECK_STEP, Finding};
use crate::tables::{Blob, File, Reference};

/// How many of the files that share a damaged content a finding names.
const NAMED_FILES: usize = 10;

/// Some rows of a table, looked at.
pub(super) struct Part {
    pub(super) rows: usize,
    pub(super) findings: Vec<Finding>,
    /// Behind which row to go on, if there may be more.
    pub(super) next: Option<RawId>,
}

/// The next rows of a table behind an id.
pub(super) fn behind<T: Table>(after: RawId) -> Span<T, loomwork_store::Bounded<Id<T>>> {
    T::all().gt(Id::from_raw(after)).take(CHECK_STEP)
}

fn part<T: Table>(
    tx: &Tx,
    after: RawId,
    find: impl Fn(&Row<T>, &mut Vec<Finding>) -> Result<()>,
) -> Result<Part> {
    let rows = tx.scan(behind::<T>(after))?;
    let mut findings = Vec::new();
    for row in &rows {
        find(row, &mut findings)?;
    }
    let next = rows.last().filter(|_| rows.len() == CHECK_STEP).map(|row| row.id.raw());
    Ok(Part { rows: rows.len(), findings, next })
}

pub(super) fn in_files(tx: &Tx, after: RawId) -> Result<Part> {
    part(tx, after, |file: &Row<File>, findings| {
        let found = owners(tx, file.id)?;
        if file.owners != found {
            findings.push(Finding::OwnersMiscounted { file: file.id, counted: file.owners, found });
        }
        let blob = tx.get(file.blob)?;
        if !blob.is_some_and(|blob| blob.is_stored() && blob.hash == Some(file.hash)) {
            findings.push(Finding::Unbacked { file: file.id });
        }
        Ok(())
    })
}

pub(super) fn in_references(tx: &Tx, after: RawId) -> Result<Part> {
    part(tx, after, |reference: &Row<Reference>, findings| {
        if tx.get(reference.file)?.is_none() {
            findings.push(Finding::Dangling {
                file: reference.file,
                owner: reference.owner(),
                reference: reference.id,
            });
        }
        Ok(())
    })
}

pub(super) fn in_blobs(tx: &Tx, after: RawId) -> Result<Part> {
    part(tx, after, |blob: &Row<Blob>, findings| {
        let found = files(tx, blob.id)?;
        if blob.files != found {
            findings.push(Finding::FilesMiscounted { blob: blob.id, counted: blob.files, found });
        }
        Ok(())
    })
}

/// A content whose object is not right, unless it was given up meanwhile.
pub(super) fn damaged(tx: &Tx, blob: Id<Blob>, found: Option<u64>) -> Result<Option<Finding>> {
    let Some(row) = tx.get(blob)? else { return Ok(None) };
    let Some(hash) = row.hash.filter(|_| row.is_stored()) else { return Ok(None) };
    let files = tx.scan(File::by_blob.eq(blob).take(NAMED_FILES))?;
    let files = files.into_iter().map(|file| file.id).collect();
    Ok(Some(Finding::Damaged { blob, hash, size: row.size, found, files }))
}

/// Mends what rows can mend, by what is there now.
pub(super) fn mend(tx: &mut Tx, finding: Finding) -> Result<()> {
    match finding {
        Finding::OwnersMiscounted { file, .. } if tx.get(file)?.is_some() => {
            let (found, now) = (owners(tx, file)?, tx.now());
            tx.update(file, |file| {
                file.owners = found;
                // What had no owner all along gets its grace from here.
                file.touched = now;
            })?;
        }
        Finding::FilesMiscounted { blob, .. } if tx.get(blob)?.is_some() => {
            let found = files(tx, blob)?;
            tx.update(blob, |blob| blob.files = found)?;
        }
        Finding::Dangling { file, reference, .. } if tx.get(file)?.is_none() => {
            tx.delete(reference)?;
        }
        Finding::Damaged { blob, .. } if tx.get(blob)?.is_some() => {
            tx.update(blob, |blob| blob.damaged = true)?;
        }
        _ => {}
    }
    Ok(())
}

fn owners(tx: &Tx, file: Id<File>) -> Result<u64> {
    Ok(tx.count(Reference::by_file.eq(file))? as u64)
}

fn files(tx: &Tx, blob: Id<Blob>) -> Result<u64> {
    Ok(tx.count(File::by_blob.eq(blob))? as u64)
}
