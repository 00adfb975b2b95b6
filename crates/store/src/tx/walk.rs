//! Reading ranges: the overlay's entries merged into the engine's, and what was read recorded.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loomwork_core::RawId;

use super::{Tx, just_behind};
use crate::engine::{Entry, EntryKey, Scan, Stored, TableNo};
use crate::error::Result;
use crate::key::after_prefix;
use crate::overlay::Own;
use crate::reads::Space;
use crate::span::Span;
use crate::table::{Keys, Table};

/// A range of a space, ready to be read.
pub(super) struct Walk<'a> {
    pub(super) table: TableNo,
    pub(super) index: Option<usize>,
    pub(super) low: &'a [u8],
    pub(super) high: &'a [u8],
    pub(super) reverse: bool,
    pub(super) limit: Option<usize>,
    /// How many rows are likely to be shown, where there is no limit.
    pub(super) expect: Option<usize>,
    pub(super) bodies: bool,
    pub(super) claim: bool,
}

/// Behind every id and every index entry, none of which begins with `0xff` seventeen times.
pub(super) const BEHIND_ALL: &[u8] = &[0xff; 17];

impl Walk<'_> {
    fn whole(table: TableNo, index: Option<usize>) -> Self {
        let (low, high) = (&[], BEHIND_ALL);
        Self {
            table,
            index,
            low,
            high,
            reverse: false,
            limit: None,
            expect: None,
            bodies: true,
            claim: false,
        }
    }
}

pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], RawId, u32, &[u8]) -> Result<ControlFlow<()>>;

impl Tx {
    pub(super) fn walk_over<'a, T: Table, K>(
        &self,
        span: &Span<T, K>,
        low: &'a [u8],
        high: &'a [u8],
    ) -> Result<Walk<'a>> {
        let (table, index) = (self.context.tables.of::<T>()?.number, span.index.map(usize::from));
        Ok(Walk { low, high, reverse: span.reverse, limit: span.limit, ..Walk::whole(table, index) })
    }

    /// Shows one row's version and body, the overlay's before the engine's.
    pub(super) fn load(&self, table: TableNo, id: RawId, visit: &mut dyn FnMut(u32, &[u8])) -> Result<bool> {
        self.record_row(table, id);
        match self.overlay.row(table, id) {
            Some(pending) => Ok(pending.now.as_ref().map(|now| visit(now.version, &now.body)).is_some()),
            None => self.ask(|session| session.get(table, id, visit)),
        }
    }

    /// Shows the rows of a range, the overlay's entries merged into the engine's, and records
    /// what was read: the whole range, or up to the row where the reader stopped.
    pub(super) fn walk(&self, walk: &Walk<'_>, visit: Visit<'_>) -> Result<()> {
        if walk.low >= walk.high || walk.limit == Some(0) {
            return Ok(());
        }
        let space = walk.index.map_or(Space::Rows(walk.table), |index| Space::Index(walk.table, index));
        let mut own = self.overlay.added_in(space, walk.low, walk.high, walk.reverse).peekable();
        let mut left = walk.limit.unwrap_or(usize::MAX);
        let mut stopped_at: Option<Vec<u8>> = None;
        let mut failure = None;
        let mut panic = None;
        let mut show = |key: &[u8], id, version, body: &[u8]| {
            left -= 1;
            // A panic goes on when the scan is over: what was read counts, and no engine sees it.
            let shown = catch_unwind(AssertUnwindSafe(|| visit(key, id, version, body)));
            let flow = match shown {
                Ok(Ok(flow)) => flow,
                Ok(Err(error)) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
                Err(payload) => {
                    panic = Some(payload);
                    ControlFlow::Break(())
                }
            };
            if flow.is_break() || left == 0 {
                stopped_at = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let comes_first =
            |own: &Own<'_>, key: &[u8]| if walk.reverse { own.key > key } else { own.key < key };
        let hidden = || self.overlay.hidden_in(space, walk.low, walk.high);
        let scan = Scan {
            table: walk.table,
            index: walk.index,
            low: walk.low,
            high: walk.high,
            reverse: walk.reverse,
            expect: walk.limit.or(walk.expect).map(|rows| rows.saturating_add(hidden())),
            bodies: walk.bodies,
            claim: walk.claim,
        };
        let mut broken = false;
        let mut visit_merged = |entry: Entry<'_>| {
            while let Some(own) = own.next_if(|own| comes_first(own, entry.key)) {
                if show(own.key, own.id, own.stored.version, &own.stored.body).is_break() {
                    broken = true;
                    return ControlFlow::Break(());
                }
            }
            if self.overlay.hides(space, entry.key, entry.id) {
                return ControlFlow::Continue(());
            }
            let flow = show(entry.key, entry.id, entry.version, entry.body);
            broken = flow.is_break();
            flow
        };
        let scanned = self.ask(|session| session.scan(&scan, &mut visit_merged));
        if scanned.is_ok() && !broken {
            let _ = own.try_for_each(|own| show(own.key, own.id, own.stored.version, &own.stored.body));
        }
        match (&stopped_at, walk.reverse) {
            (None, _) => self.record_read(space, walk.low, walk.high),
            (Some(last), false) => self.record_read(space, walk.low, &just_behind(last)),
            (Some(last), true) => self.record_read(space, last, walk.high),
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        failure.map_or(scanned, Err)
    }

    pub(super) fn record_row(&self, table: TableNo, id: RawId) {
        if self.reads.borrow().is_some() {
            self.record_read(Space::Rows(table), id.as_bytes(), &just_behind(id.as_bytes()));
        }
    }

    pub(super) fn record_read(&self, space: Space, low: &[u8], high: &[u8]) {
        if let Some(reads) = self.reads.borrow_mut().as_mut() {
            reads.add(space, low, high);
        }
    }
}

/// Rows without their type, for opening and checking a store.
impl Tx {
    /// Shows every row of a table, or every entry of one of its indexes.
    pub(crate) fn each_raw(&self, table: TableNo, index: Option<usize>, visit: Visit<'_>) -> Result<()> {
        self.walk(&Walk::whole(table, index), visit)
    }

    /// Returns the encoded rows behind `after`, `count` at most.
    pub(crate) fn raw_rows(
        &self,
        table: TableNo,
        after: Option<RawId>,
        count: usize,
    ) -> Result<Vec<(RawId, u32, Vec<u8>)>> {
        let low = after.map(|id| just_behind(id.as_bytes())).unwrap_or_default();
        let mut rows = Vec::new();
        let walk = Walk { low: &low, limit: Some(count), ..Walk::whole(table, None) };
        self.walk(&walk, &mut |_, id, version, body| {
            rows.push((id, version, body.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// Returns the greatest id of a table.
    pub(crate) fn newest_id(&self, table: TableNo) -> Result<Option<RawId>> {
        let mut newest = None;
        let walk = Walk { reverse: true, limit: Some(1), bodies: false, ..Walk::whole(table, None) };
        self.walk(&walk, &mut |_, id, _, _| {
            newest = Some(id);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(newest)
    }

    /// Whether an index has exactly this entry.
    pub(crate) fn has_entry(&self, table: TableNo, index: usize, key: &EntryKey) -> Result<bool> {
        let mut found = false;
        let high = just_behind(key);
        let walk = Walk { low: key, high: &high, bodies: false, ..Walk::whole(table, Some(index)) };
        self.walk(&walk, &mut |_, _, _, _| {
            found = true;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Writes the keys that a row lacks: `held` are those it has. Its body stays as it is.
    pub(crate) fn write_keys(&mut self, table: TableNo, id: RawId, held: Keys, row: Stored) {
        self.overlay.write(table, id, Some(row), || Some(held));
    }

    /// Returns the row that holds a key in an index, if any.
    pub(crate) fn holder(&self, table: TableNo, index: usize, parts: &[u8]) -> Result<Option<RawId>> {
        let high = after_prefix(parts);
        let mut holder = None;
        let walk = Walk {
            low: parts,
            high: &high,
            limit: Some(1),
            bodies: false,
            ..Walk::whole(table, Some(index))
        };
        self.walk(&walk, &mut |_, id, _, _| {
            holder = Some(id);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(holder)
    }
}
