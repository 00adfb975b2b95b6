//! Deleting a file by hand.

use loomwork_store::{Result, Row, Tx};

use crate::error::FileError;
use crate::owners::release;
use crate::tables::{File, FileId, Reference, is_usable};

/// What deleting a file does to owners that it still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfOwned {
    /// The file stays, and the error says how many owners it has.
    Refuse,
    /// All of them lose it. Where they mention its id, that leads nowhere from now on.
    Detach,
}

/// Deletes a file, without waiting for its grace, and returns how many owners have lost it.
///
/// Its content goes with the last file that has it, once nobody can be about to store it again
/// ([`Options::lease`](crate::Options::lease) after it was last stored).
///
/// # Errors
/// When there is no such file; [`FileError::Owned`] when it has owners and they are to keep it.
pub fn delete(tx: &mut Tx, file: FileId, if_owned: IfOwned) -> Result<usize> {
    let owners = tx.require(file)?.owners;
    if owners > 0 && if_owned == IfOwned::Refuse {
        return Err(FileError::Owned { file, owners }.into());
    }
    let references = tx.scan(Reference::by_file.eq(file))?;
    for reference in &references {
        release(tx, reference)?;
    }
    let row = tx.require(file)?;
    remove(tx, &row)?;
    Ok(references.len())
}

/// Removes a file's row, and its claim on the content.
pub(crate) fn remove(tx: &mut Tx, file: &Row<File>) -> Result<()> {
    tx.delete(file.id)?;
    if is_usable(tx, file.blob)? {
        tx.update(file.blob, |blob| blob.files = blob.files.saturating_sub(1))?;
    }
    Ok(())
}
