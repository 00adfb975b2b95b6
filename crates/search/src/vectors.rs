//! Vectors as rows of the store, in the caller's transaction.
//!
//! A row has one vector in each [`Space`]: a new one takes the former one's place. Deleting what a search
//! derives from them costs no call to a model, since they are here.
//!
//! ```
//! use loomwork_search::{Space, vectors};
//! use loomwork_store::{Id, Page, Result, Store, Table};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize, Table)]
//! #[table(name = "notes", id = "note", feed)]
//! struct Note {
//!     text: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let store = Store::memory().tables([Note::table()]).tables(loomwork_search::tables()).open().await?;
//! let space = Space::new("by hand", 2)?;
//! store
//!     .mutate(move |tx| {
//!         let note = tx.insert(Note { text: "north".into() })?.id;
//!         vectors::insert(tx, &space, note, vec![0.0, 1.0])?;
//!         vectors::insert(tx, &space, note, vec![0.6, 0.8])?;
//!         let all = vectors::page(tx, &space, Page::first(10))?.rows;
//!         assert_eq!(all.iter().map(|row| row.vector()).collect::<Vec<_>>(), [[0.6, 0.8]]);
//!         assert_eq!(vectors::delete_for(tx, note)?, 1);
//!         Ok(())
//!     })
//!     .await
//! # }
//! ```

use loomwork_core::RawId;
use loomwork_store::{Id, Page, Paged, Result, Row, Table, Tx};

use crate::Space;
use crate::space::{DIGEST_BYTES, check_vector};
use crate::tables::VectorRow;

/// How many vectors [`delete_space`] deletes at most, so that no mutation takes long.
pub const DELETE_STEP: usize = 500;

/// Writes the vector of a row, in place of the one that it may have in this space. The embedding pipeline
/// leaves it alone until it is deleted.
///
/// # Errors
/// When there is no such row; [`Error::WrongDimension`](crate::Error::WrongDimension) and
/// [`Error::NotANumber`](crate::Error::NotANumber); when the store cannot be read or written, as for all
/// functions here.
pub fn insert<T: Table>(tx: &mut Tx, space: &Space, owner: Id<T>, vector: Vec<f32>) -> Result<Id<VectorRow>> {
    space.check(&vector)?;
    tx.require(owner)?;
    put(tx, space, T::NAME, owner.raw(), vector, None)
}

/// Changes a vector.
///
/// # Errors
/// As [`insert`], and when there is no such vector.
pub fn update(tx: &mut Tx, id: Id<VectorRow>, vector: Vec<f32>) -> Result<()> {
    let before = tx.require(id)?;
    check_vector(&before.model, before.dimension as usize, &vector)?;
    tx.update(id, |row| {
        row.vector = vector;
        row.text = None;
    })?;
    Ok(())
}

/// Gives a row the vectors that another one of its table has, in all spaces, in place of its own there, and
/// returns how many these are. The embedding pipeline goes on with them as with that row's.
///
/// # Errors
/// When there is no such row; when the store cannot be read or written.
pub fn copy<T: Table>(tx: &mut Tx, from: Id<T>, to: Id<T>) -> Result<usize> {
    tx.require(to)?;
    let rows = tx.scan(VectorRow::by_owner.eq(T::NAME).eq(from.raw()))?;
    let count = rows.len();
    for row in rows {
        let space = Space::new(row.record.model, row.record.dimension as usize)?;
        let text = row.record.text.and_then(|digest| digest.try_into().ok());
        put(tx, &space, T::NAME, to.raw(), row.record.vector, text)?;
    }
    Ok(count)
}

/// Deletes a vector, and returns whether there was one.
///
/// # Errors
/// When the store cannot be read or written.
pub fn delete(tx: &mut Tx, id: Id<VectorRow>) -> Result<bool> {
    Ok(tx.delete(id)?.is_some())
}

/// Deletes the vectors of a row, in all spaces, and returns how many there were.
///
/// # Errors
/// When the store cannot be read or written.
pub fn delete_for<T: Table>(tx: &mut Tx, owner: Id<T>) -> Result<usize> {
    delete_of(tx, T::NAME, owner.raw())
}

/// Deletes some vectors of a space that is no longer in use, and returns whether there are more.
///
/// # Errors
/// When the store cannot be read or written.
pub fn delete_space(tx: &mut Tx, space: &Space) -> Result<bool> {
    let span = VectorRow::by_space.eq(space.model()).eq(space.dimension() as u32);
    let ids: Vec<_> = tx.scan(span.take(DELETE_STEP))?.into_iter().map(|row| row.id).collect();
    for id in &ids {
        tx.delete(*id)?;
    }
    Ok(ids.len() == DELETE_STEP)
}

/// Returns the vector of a row in a space.
///
/// # Errors
/// When the store cannot be read.
pub fn of<T: Table>(tx: &Tx, space: &Space, owner: Id<T>) -> Result<Option<Row<VectorRow>>> {
    get(tx, space, T::NAME, owner.raw())
}

/// Returns a page of the vectors of a space, by table and row.
///
/// # Errors
/// When the store cannot be read, or the page belongs to another query.
pub fn page(tx: &Tx, space: &Space, page: Page) -> Result<Paged<VectorRow>> {
    tx.page(VectorRow::by_space.eq(space.model()).eq(space.dimension() as u32), page)
}

pub(crate) fn get(tx: &Tx, space: &Space, table: &str, owner: RawId) -> Result<Option<Row<VectorRow>>> {
    let found = tx.get(Id::from_raw(space.counterpart(table, owner)))?;
    // Ids are made from digests; that this one is of another space is as good as impossible.
    Ok(found.filter(|row: &Row<VectorRow>| row.owner_id() == owner && row.owner_table == table))
}

pub(crate) fn put(
    tx: &mut Tx,
    space: &Space,
    table: &str,
    owner: RawId,
    vector: Vec<f32>,
    text: Option<[u8; DIGEST_BYTES]>,
) -> Result<Id<VectorRow>> {
    let id = Id::from_raw(space.counterpart(table, owner));
    let row = VectorRow {
        owner_table: table.to_owned(),
        owner: owner.to_bytes(),
        model: space.model().to_owned(),
        dimension: space.dimension() as u32,
        vector,
        text: text.map(|digest| digest.to_vec()),
    };
    match tx.get(id)? {
        Some(_) => tx.replace(id, row)?,
        None => tx.insert_at(id, row)?,
    };
    Ok(id)
}

pub(crate) fn delete_of(tx: &mut Tx, table: &str, owner: RawId) -> Result<usize> {
    let rows = tx.scan(VectorRow::by_owner.eq(table).eq(owner))?;
    for row in &rows {
        tx.delete(row.id)?;
    }
    Ok(rows.len())
}

/// Returns the vector that another row's same text has.
pub(crate) fn of_text(tx: &Tx, space: &Space, text: &[u8; DIGEST_BYTES]) -> Result<Option<Vec<f32>>> {
    let span = VectorRow::by_text.eq(space.model()).eq(space.dimension() as u32).eq(Some(text.to_vec()));
    Ok(tx.first(span)?.map(|row| row.record.vector))
}
