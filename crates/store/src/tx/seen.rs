//! The engine's rows that a mutation was shown: whoever writes one of them need not read it again.

use std::any::Any;
use std::collections::HashMap;

use loomwork_core::RawId;

use super::write::Found;
use crate::engine::TableNo;
use crate::table::Table;

/// How many bytes of rows are kept; a mutation that is shown more begins anew.
const MOST_BYTES: usize = 1 << 20;

/// How many rows are kept.
const MOST_ROWS: usize = 512;

#[derive(Default)]
pub(super) struct Seen {
    /// Each is the [`Found`] of its table.
    rows: HashMap<(TableNo, RawId), Box<dyn Any + Send>>,
    bytes: usize,
}

impl Seen {
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }

    pub(super) fn remember<T: Table>(
        &mut self,
        table: TableNo,
        id: RawId,
        version: u32,
        body: &[u8],
        record: &T,
    ) {
        if self.rows.contains_key(&(table, id)) {
            return;
        }
        if self.rows.len() == MOST_ROWS || self.bytes + body.len() > MOST_BYTES {
            self.clear();
        }
        if body.len() <= MOST_BYTES {
            self.bytes += body.len();
            let found = Found { record: record.clone(), version, body: body.to_vec() };
            self.rows.insert((table, id), Box::new(found));
        }
    }

    /// Takes a row that was shown and is about to be written.
    pub(super) fn take<T: Table>(&mut self, table: TableNo, id: RawId) -> Option<Found<T>> {
        let found = self.rows.remove(&(table, id))?.downcast::<Found<T>>().ok()?;
        self.bytes -= found.body.len();
        Some(*found)
    }
}
