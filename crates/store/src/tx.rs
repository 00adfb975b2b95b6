//! The transaction: what every function of every component takes.

mod left_out;
mod run;
mod seen;
mod walk;
mod write;

use std::cell::RefCell;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use loomwork_core::{Ids, Random, RawId, Time};

use crate::cursor::{Cursor, CursorError, Fingerprint, Page, Paged};
use crate::engine::{Logged, Outcome, Seq, Session, Stop, TableNo};
use crate::error::{Error, Problem, Result};
use crate::id::Id;
use crate::overlay::Overlay;
use crate::reads::{ReadSet, Space, log_behind};
use crate::registry::Registry;
use crate::span::Span;
use crate::table::{Row, Table, decode};

pub(crate) use left_out::LeftOut;
pub(crate) use run::{panicked, run_caught};
use seen::Seen;
use walk::{BEHIND_ALL, Walk};

/// What all transactions of a store share.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) tables: Arc<Registry>,
    pub(crate) ids: Ids,
    pub(crate) random: Random,
    /// Counts the openings of the store.
    pub(crate) epoch: u64,
    /// Whether other processes may write to the store.
    pub(crate) shared: bool,
    pub(crate) left_out: Arc<LeftOut>,
}

/// One run of a query or mutation: a snapshot of the store, and over it what this mutation has
/// written so far.
///
/// Queries get a `&Tx`, which reads; mutations a `&mut Tx`, which also writes. Neither can await,
/// so a transaction is short, can be run again, and sees the store as if it were alone.
pub struct Tx {
    session: Box<dyn Session>,
    context: Context,
    now: Time,
    overlay: Overlay,
    /// `None` in a query, which writes nothing.
    seen: RefCell<Option<Seen>>,
    /// `None` while nobody asks for the read ranges.
    reads: RefCell<Option<ReadSet>>,
    trim: Option<Seq>,
    /// Set when the engine stops a read: a closure may swallow the error and return `Ok`.
    stopped: RefCell<Option<Stop>>,
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("now", &self.now).field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

/// Reading.
impl Tx {
    /// Returns the transaction's time: one moment of the store's clock for the whole run.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Returns the store's source of randomness. A mutation that runs again draws anew.
    pub fn random(&self) -> &Random {
        &self.context.random
    }

    /// Returns the number of this opening of the store. Where one process owns the store, what
    /// an earlier epoch had claimed is free.
    pub fn epoch(&self) -> u64 {
        self.context.epoch
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.context.shared
    }

    /// Returns the row with this id, or `None`.
    ///
    /// # Errors
    /// When the row cannot be read, as for every read here.
    pub fn get<T: Table>(&self, id: Id<T>) -> Result<Option<Row<T>>> {
        let number = self.context.tables.of::<T>()?.number;
        let mut row = None;
        self.load(number, id.raw(), &mut |version, body| {
            row = Some(self.shown(number, id.raw(), version, body));
        })?;
        row.transpose().map(|record| record.map(|record| Row { id, record }))
    }

    /// Returns the row with this id, or `None` also where it is there and cannot be read, which is told
    /// once: as a [readable](Span::readable) span leaves such rows out.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn get_readable<T: Table>(&self, id: Id<T>) -> Result<Option<Row<T>>> {
        let number = self.context.tables.of::<T>()?.number;
        let mut row = None;
        self.load(number, id.raw(), &mut |version, body| {
            row = self.readable(number, id.raw(), version, body);
        })?;
        Ok(row)
    }

    /// Returns the row with this id.
    ///
    /// # Errors
    /// [`Problem::NotFound`] when there is none.
    pub fn require<T: Table>(&self, id: Id<T>) -> Result<Row<T>> {
        self.get(id)?.ok_or_else(|| not_found(id))
    }

    /// Returns the rows of a span.
    ///
    /// # Errors
    /// [`Problem::BadKey`] when a bound is no key.
    pub fn scan<T: Table, K>(&self, span: Span<T, K>) -> Result<Vec<Row<T>>> {
        let mut rows = Vec::new();
        self.each(span, |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// Returns the first row of a span, or `None`.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn first<T: Table, K>(&self, span: Span<T, K>) -> Result<Option<Row<T>>> {
        Ok(self.scan(span.take(1))?.pop())
    }

    /// Shows the rows of a span one by one, for ranges that should not be held in memory at once,
    /// until `visit` fails or breaks off.
    ///
    /// # Errors
    /// As [`scan`](Self::scan), and what `visit` returns.
    pub fn each<T: Table, K>(
        &self,
        span: Span<T, K>,
        visit: impl FnMut(Row<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.each_row(&span, false, visit)
    }

    /// As [`each`](Self::each), but skips the rows that another claim is looking at, and keeps the
    /// rows that it shows from other claims until the transaction ends. It belongs in
    /// [`Store::claim_with`](crate::Store::claim_with).
    ///
    /// # Errors
    /// As [`each`](Self::each).
    pub fn each_unclaimed<T: Table, K>(
        &self,
        span: Span<T, K>,
        visit: impl FnMut(Row<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.each_row(&span, true, visit)
    }

    fn each_row<T: Table, K>(
        &self,
        span: &Span<T, K>,
        claim: bool,
        mut visit: impl FnMut(Row<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (low, high) = bounds(span)?;
        let mut walk = Walk { claim, ..self.walk_over(span, &low, &high)? };
        let number = walk.table;
        if !span.readable {
            return self.walk(&walk, &mut |_, id, version, body| {
                visit(Row { id: Id::from_raw(id), record: self.shown(number, id, version, body)? })
            });
        }
        // The limit is one of rows that are shown, so it is counted here.
        (walk.limit, walk.expect) = (None, span.limit);
        let mut left = span.limit.unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(());
        }
        self.walk(&walk, &mut |_, id, version, body| {
            let Some(row) = self.readable(number, id, version, body) else {
                return Ok(ControlFlow::Continue(()));
            };
            left -= 1;
            let flow = visit(row)?;
            Ok(if left == 0 { ControlFlow::Break(()) } else { flow })
        })
    }

    /// Reads a record that the caller gets to see, and remembers the engine's in a mutation.
    fn shown<T: Table>(&self, table: TableNo, id: RawId, version: u32, body: &[u8]) -> Result<T> {
        let record = decode(id, version, body)?;
        if let Some(seen) = &mut *self.seen.borrow_mut()
            && self.overlay.row(table, id).is_none()
        {
            seen.remember(table, id, version, body, &record);
        }
        Ok(record)
    }

    /// Returns a row, or tells that it is left out because it cannot be read.
    fn readable<T: Table>(&self, table: TableNo, id: RawId, version: u32, body: &[u8]) -> Option<Row<T>> {
        match self.shown(table, id, version, body) {
            Ok(record) => Some(Row { id: Id::from_raw(id), record }),
            Err(error) => {
                self.context.left_out.tell(id, &error);
                None
            }
        }
    }

    /// Returns how many rows a span has, without reading them.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn count<T: Table, K>(&self, span: Span<T, K>) -> Result<usize> {
        let mut count = 0;
        self.each_id(&span, |_| count += 1)?;
        Ok(count)
    }

    /// Returns the ids of a span's rows in its order, without reading the rows: also of those that cannot
    /// be read.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn ids<T: Table, K>(&self, span: Span<T, K>) -> Result<Vec<Id<T>>> {
        let mut ids = Vec::new();
        self.each_id(&span, |id| ids.push(id))?;
        Ok(ids)
    }

    fn each_id<T: Table, K>(&self, span: &Span<T, K>, mut visit: impl FnMut(Id<T>)) -> Result<()> {
        let (low, high) = bounds(span)?;
        let walk = Walk { bodies: false, ..self.walk_over(span, &low, &high)? };
        self.walk(&walk, &mut |_, id, _, _| {
            visit(Id::from_raw(id));
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Counts a whole span as read without reading it: whoever watches hears of every change in it. For
    /// a query that looks at the first rows only, and cannot say yet which others will matter.
    ///
    /// # Errors
    /// [`Problem::BadKey`] when a bound is no key.
    pub fn depend_on<T: Table, K>(&self, span: Span<T, K>) -> Result<()> {
        let (low, high) = bounds(&span)?;
        let number = self.context.tables.of::<T>()?.number;
        let space = span.index.map_or(Space::Rows(number), |index| Space::Index(number, usize::from(index)));
        self.record_read(space, &low, &high);
        Ok(())
    }

    /// Returns one page of a span. The page's size counts, not the span's `take`.
    ///
    /// # Errors
    /// [`Problem::Cursor`] when the page's cursor belongs to another query; else as [`scan`](Self::scan).
    pub fn page<T: Table, K>(&self, mut span: Span<T, K>, page: Page) -> Result<Paged<T>> {
        if page.size == 0 {
            return Err(Problem::from(CursorError::EmptyPage).into());
        }
        let (mut low, mut high) = bounds(&span)?;
        let index = span.index.map_or("id", |number| T::INDEXES[usize::from(number)].name);
        let direction = [u8::from(span.reverse)];
        let query = Fingerprint::of(&[T::NAME.as_bytes(), index.as_bytes(), &low, &high, &direction]);
        if let Some(cursor) = &page.after {
            let key = cursor.key(query).map_err(Problem::from)?;
            // A cursor has been in a client's hands: one that leads out of the span is not ours.
            let key = key.filter(|key| low <= *key && *key < high);
            let key = key.ok_or_else(|| Problem::from(CursorError::Foreign { table: T::NAME, index }))?;
            if span.reverse { high = key } else { low = just_behind(&key) }
        }
        let mut rows = Vec::new();
        let mut last = Vec::new();
        let mut more = false;
        let probe = page.size.saturating_add(1);
        span.limit = if span.readable { None } else { Some(probe) };
        let walk = Walk { expect: Some(probe), ..self.walk_over(&span, &low, &high)? };
        let number = walk.table;
        self.walk(&walk, &mut |key, id, version, body| {
            if rows.len() == page.size {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            if !span.readable {
                rows.push(Row { id: Id::from_raw(id), record: self.shown(number, id, version, body)? });
            } else if let Some(row) = self.readable(number, id, version, body) {
                rows.push(row);
            }
            last = key.to_vec();
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Paged { rows, next: more.then(|| Cursor::new(query, &last)) })
    }

    /// Reads from the engine, and remembers if it stops: it is not asked again in this run.
    fn ask<T>(&self, read: impl FnOnce(&dyn Session) -> Outcome<T>) -> Result<T> {
        if let Some(stop) = &*self.stopped.borrow() {
            return Err(stop.error());
        }
        read(&*self.session).map_err(|stop| {
            let error = stop.error();
            self.stopped.borrow_mut().get_or_insert(stop);
            error
        })
    }

    /// Shows the logged changes behind `after`.
    pub(crate) fn log(&self, after: Seq, visit: &mut dyn FnMut(Logged) -> ControlFlow<()>) -> Result<()> {
        let (low, high) = log_behind(after);
        self.record_read(Space::Log, &low, &high);
        self.ask(|session| session.log(after, visit))
    }

    /// Returns the position of the `count`-th change behind `after`, or `None` when there are fewer.
    /// It is not recorded as read: who forgets the log does not wait for it to grow.
    pub(crate) fn log_step(&self, after: Seq, count: usize) -> Result<Option<Seq>> {
        let (mut left, mut step) = (count, None);
        self.ask(|session| {
            session.log(after, &mut |logged| {
                left -= 1;
                if left == 0 {
                    step = Some(logged.seq);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
        })?;
        Ok(step)
    }

    /// Returns up to where the change log was forgotten, and where it ends.
    pub(crate) fn log_bounds(&self) -> Result<(Seq, Seq)> {
        self.ask(|session| session.log_bounds())
    }

    pub(crate) fn tables(&self) -> &Registry {
        &self.context.tables
    }
}

fn not_found<T: Table>(id: Id<T>) -> Error {
    Problem::NotFound { table: T::NAME, prefix: T::ID, id: id.raw() }.into()
}

/// The least bytes greater than `key`.
fn just_behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// An entry's key without the id at its end, which a damaged one may lack.
pub(crate) fn key_parts(entry: &[u8]) -> &[u8] {
    &entry[..entry.len().saturating_sub(size_of::<RawId>())]
}

/// The byte range of a span; for ids without the tag that marks them in keys.
fn bounds<T: Table, K>(span: &Span<T, K>) -> Result<(Vec<u8>, Vec<u8>)> {
    let index = span.index.map_or("id", |number| T::INDEXES[usize::from(number)].name);
    let (low, high) = span.bounds().map_err(|source| Problem::BadKey { table: T::NAME, index, source })?;
    Ok(match span.index {
        Some(_) => (low, high),
        None => (id_bytes(&low), id_bytes(&high)),
    })
}

/// An encoded id bound as the bytes of an id: behind all ids where it has passed the tag.
fn id_bytes(bound: &[u8]) -> Vec<u8> {
    let tag = crate::key::ID_TAG;
    match bound.first() {
        None => Vec::new(),
        Some(first) if *first == tag => bound[1..].to_vec(),
        Some(_) => BEHIND_ALL.to_vec(),
    }
}
