//! Who owns which file: references that are counted in the transaction that changes them.

use loomwork_store::{Id, Page, Paged, Result, Row, Table, Tx};

use crate::error::{FileError, beginning};
use crate::tables::{File, FileId, Reference, is_usable};

/// The most bytes of an owner's table name.
pub const MAX_OWNER_TABLE_BYTES: usize = 60;

/// The most bytes of an owner's id.
pub const MAX_OWNER_ID_BYTES: usize = 200;

/// Whatever holds on to a file: a row of any table, or anything else that has a name.
///
/// An [`Id`] is an owner by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The table that it is a row of.
    pub table: String,
    /// Its id there, as text.
    pub id: String,
}

impl Owner {
    /// An owner by the names that it goes by.
    pub fn new(table: impl Into<String>, id: impl Into<String>) -> Self {
        Self { table: table.into(), id: id.into() }
    }

    fn checked(self) -> Result<Self, FileError> {
        let is_within = |text: &str, limit| (1..=limit).contains(&text.len());
        if is_within(&self.table, MAX_OWNER_TABLE_BYTES) && is_within(&self.id, MAX_OWNER_ID_BYTES) {
            Ok(self)
        } else {
            Err(FileError::BadOwner { given: beginning(&format!("{}/{}", self.table, self.id)) })
        }
    }
}

impl<T: Table> From<Id<T>> for Owner {
    fn from(id: Id<T>) -> Self {
        Self::new(T::NAME, id.to_string())
    }
}

/// Makes somebody an owner of a file, and says whether it was none before: owning twice counts once.
///
/// # Errors
/// When there is no such file; [`FileError::BadOwner`].
pub fn attach(tx: &mut Tx, file: FileId, owner: impl Into<Owner>) -> Result<bool> {
    let owner = owner.into().checked()?;
    tx.require(file)?;
    if reference(tx, file, &owner)?.is_some() {
        return Ok(false);
    }
    tx.insert(Reference { file, table: owner.table, owner: owner.id })?;
    tx.update(file, |file| file.owners += 1)?;
    Ok(true)
}

/// Ends somebody's hold on a file, and says whether there was one. A file without owners stays for
/// its grace.
///
/// # Errors
/// When the store cannot be read or written.
pub fn detach(tx: &mut Tx, file: FileId, owner: impl Into<Owner>) -> Result<bool> {
    match reference(tx, file, &owner.into())? {
        Some(reference) => release(tx, &reference).map(|()| true),
        None => Ok(false),
    }
}

/// Ends somebody's hold on all files, as when it is deleted itself, and returns on how many.
///
/// # Errors
/// As [`detach`].
pub fn detach_all(tx: &mut Tx, owner: impl Into<Owner>) -> Result<usize> {
    let references = references(tx, &owner.into())?;
    for reference in &references {
        release(tx, reference)?;
    }
    Ok(references.len())
}

/// Makes somebody the owner of exactly these files: of no others any more, so of none if there are none.
///
/// # Errors
/// As [`attach`]; nothing has changed then.
pub fn set_owned(tx: &mut Tx, owner: impl Into<Owner>, files: &[FileId]) -> Result<()> {
    let owner = owner.into();
    tx.nested(|tx| {
        for file in files {
            attach(tx, *file, owner.clone())?;
        }
        let others = references(tx, &owner)?;
        for reference in others.iter().filter(|reference| !files.contains(&reference.file)) {
            release(tx, reference)?;
        }
        Ok(())
    })
}

/// Moves all that one owner holds to another, as from a stream to its message.
///
/// # Errors
/// As [`attach`].
pub fn hand_over(tx: &mut Tx, from: impl Into<Owner>, to: impl Into<Owner>) -> Result<()> {
    let (from, to) = (from.into(), to.into());
    if from == to {
        return Ok(());
    }
    for reference in references(tx, &from)? {
        // In this order, so that a file is never without an owner in between.
        attach(tx, reference.file, to.clone())?;
        release(tx, &reference)?;
    }
    Ok(())
}

/// Returns the owners of a file, page by page.
///
/// # Errors
/// When the page's cursor belongs to another listing.
pub fn owners(tx: &Tx, file: FileId, page: Page) -> Result<Paged<Reference>> {
    tx.page(Reference::by_file.eq(file), page)
}

/// Returns all files of an owner, oldest first.
///
/// # Errors
/// When the store cannot be read.
pub fn files_of(tx: &Tx, owner: impl Into<Owner>) -> Result<Vec<Row<File>>> {
    let references = references(tx, &owner.into())?;
    let files = references.into_iter().map(|reference| tx.get(reference.file));
    files.filter_map(Result::transpose).collect()
}

fn reference(tx: &Tx, file: FileId, owner: &Owner) -> Result<Option<Row<Reference>>> {
    tx.first(Reference::by_owner.eq(&owner.table).eq(&owner.id).eq(file))
}

/// One that cannot be read is left out: it must not keep its owner from letting go of the others.
fn references(tx: &Tx, owner: &Owner) -> Result<Vec<Row<Reference>>> {
    tx.scan(Reference::by_owner.eq(&owner.table).eq(&owner.id).readable())
}

pub(crate) fn release(tx: &mut Tx, reference: &Row<Reference>) -> Result<()> {
    tx.delete(reference.id)?;
    let now = tx.now();
    if is_usable(tx, reference.file)? {
        tx.update(reference.file, |file| {
            file.owners = file.owners.saturating_sub(1);
            if file.owners == 0 {
                file.touched = now;
            }
        })?;
    }
    Ok(())
}
