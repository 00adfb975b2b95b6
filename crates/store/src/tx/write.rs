//! Writing rows, into the overlay.

use super::{Tx, key_parts, not_found, run_caught};
use crate::engine::{Seq, Stored, TableNo};
use crate::error::{Problem, Result};
use crate::id::Id;
use crate::key::Shown;
use crate::table::{Keys, Row, Table, decode, encode, entry_keys};

/// A row as the engine or the overlay holds it.
pub(super) struct Found<T> {
    pub(super) record: T,
    pub(super) version: u32,
    pub(super) body: Vec<u8>,
}

/// Writing.
impl Tx {
    /// Returns a new id, greater than all that were made since the store was opened and than all
    /// of the rows that were there then.
    pub fn new_id<T: Table>(&mut self) -> Id<T> {
        Id::from_raw(self.context.ids.next())
    }

    /// Adds a row under a new id.
    ///
    /// # Errors
    /// [`Problem::Duplicate`] when a unique index holds its key already; [`Problem::RecordTooLarge`]
    /// and [`Problem::KeyTooLarge`] beyond the limits.
    pub fn insert<T: Table>(&mut self, record: T) -> Result<Row<T>> {
        let id = self.new_id();
        self.store(id, record, None)
    }

    /// Adds a row under an id that was made before.
    ///
    /// # Errors
    /// [`Problem::Exists`] when there is such a row; else as [`insert`](Self::insert).
    pub fn insert_at<T: Table>(&mut self, id: Id<T>, record: T) -> Result<Row<T>> {
        match self.find(id)? {
            Some(_) => Err(Problem::Exists { table: T::NAME, prefix: T::ID, id: id.raw() }.into()),
            None => self.store(id, record, None),
        }
    }

    /// Changes a row in place.
    ///
    /// # Errors
    /// [`Problem::NotFound`] when there is no such row; else as [`insert`](Self::insert).
    pub fn update<T: Table>(&mut self, id: Id<T>, change: impl FnOnce(&mut T)) -> Result<Row<T>> {
        let found = self.find(id)?.ok_or_else(|| not_found(id))?;
        let mut record = found.record.clone();
        change(&mut record);
        self.store(id, record, Some(found))
    }

    /// Puts a record in place of the one that a row has.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn replace<T: Table>(&mut self, id: Id<T>, record: T) -> Result<Row<T>> {
        let found = self.find(id)?.ok_or_else(|| not_found(id))?;
        self.store(id, record, Some(found))
    }

    /// Deletes a row and returns what it was, or `None` if there was none.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub fn delete<T: Table>(&mut self, id: Id<T>) -> Result<Option<Row<T>>> {
        let Some(found) = self.find(id)? else { return Ok(None) };
        let number = self.context.tables.of::<T>()?.number;
        let keys = entry_keys(id.raw(), &found.record)?;
        self.overlay.write(number, id.raw(), None, || Some(keys));
        Ok(Some(Row { id, record: found.record }))
    }

    /// Runs `scope` so that its error or panic undoes only what it wrote itself; what it read
    /// stays read. The error is returned; a panic becomes [`Problem::Panicked`].
    ///
    /// # Errors
    /// What `scope` returns.
    pub fn nested<R>(&mut self, scope: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let mark = self.overlay.begin_scope();
        let trim = self.trim;
        let result = run_caught("nested scope", || scope(self));
        self.overlay.end_scope(mark, result.is_ok());
        if result.is_err() {
            self.trim = trim;
        }
        result
    }

    fn find<T: Table>(&self, id: Id<T>) -> Result<Option<Found<T>>> {
        let number = self.context.tables.of::<T>()?.number;
        if self.overlay.row(number, id.raw()).is_none()
            && let Some(seen) = &mut *self.seen.borrow_mut()
            && let Some(found) = seen.take(number, id.raw())
        {
            self.record_row(number, id.raw());
            return Ok(Some(found));
        }
        let mut found = None;
        self.load(number, id.raw(), &mut |version, body| {
            let record = decode(id.raw(), version, body);
            found = Some(record.map(|record| Found { record, version, body: body.to_vec() }));
        })?;
        found.transpose()
    }

    /// Lays a record over the row `id`, which holds `found` so far.
    fn store<T: Table>(&mut self, id: Id<T>, record: T, found: Option<Found<T>>) -> Result<Row<T>> {
        let number = self.context.tables.of::<T>()?.number;
        let keys = entry_keys(id.raw(), &record)?;
        let old = found.as_ref().map(|found| entry_keys(id.raw(), &found.record)).transpose()?;
        // Of an older version's fields, the upgrade has taken what goes on.
        let before = found.as_ref().filter(|found| found.version == T::VERSION).map(|found| &*found.body);
        let body = encode(&record, before)?;
        if before == Some(&body) {
            return Ok(Row { id, record });
        }
        self.check_unique::<T>(number, &keys, old.as_ref())?;
        let stored = Stored { version: T::VERSION, body, keys };
        self.overlay.write(number, id.raw(), Some(stored), || old);
        Ok(Row { id, record })
    }

    /// Refuses keys that another row holds in a unique index.
    fn check_unique<T: Table>(&self, number: TableNo, keys: &Keys, old: Option<&Keys>) -> Result<()> {
        for (at, index) in T::INDEXES.iter().enumerate().filter(|(_, index)| index.unique) {
            let Some(key) = &keys[at] else { continue };
            if old.is_some_and(|old| old[at].as_ref() == Some(key)) {
                continue;
            }
            let parts = key_parts(key);
            if let Some(holder) = self.holder(number, at, parts)? {
                return Err(Problem::Duplicate {
                    table: T::NAME,
                    index: index.name,
                    key: Shown(parts).to_string(),
                    prefix: T::ID,
                    id: holder,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Has the change log forgotten up to and with `seq` when this mutation commits.
    pub(crate) fn trim_log(&mut self, seq: Seq) {
        self.trim = self.trim.max(Some(seq));
    }
}
