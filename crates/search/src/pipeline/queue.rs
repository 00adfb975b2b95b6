//! Finding what has to be embedded.

use std::collections::BTreeMap;
use std::sync::Arc;

use loomwork_core::RawId;
use loomwork_store::engine::{Op, Seq};
use loomwork_store::{Id, Next, Result, Row, Tx, Upkeep, feed};
use loomwork_workpool as workpool;

use super::{EMBED, EMBEDDED, Embedder};
use crate::follow::is_trimmed;
use crate::tables::{BatchRow, EmbedderRow};
use crate::vectors;

/// How many rows one job embeds at most.
pub const BATCH_ROWS: usize = 100;

/// How many changes one step reads.
const CHANGE_STEP: usize = 500;

/// Returns the name under which the feed knows an index's embedding.
pub(crate) fn consumer(index: &str) -> String {
    format!("search.embed/{index}")
}

pub(super) fn enqueue(tx: &mut Tx, batch: Id<BatchRow>) -> Result<()> {
    workpool::enqueue(tx, &EMBED, batch, EMBEDDED.with(batch)).map(drop)
}

/// The upkeep that finds what has to be embedded: all rows at first, then those that change.
pub(crate) fn upkeep(embedder: Arc<Embedder>) -> Upkeep {
    Upkeep::new("search.embed", move |tx| embedder.find_work(tx))
}

impl Embedder {
    fn find_work(&self, tx: &mut Tx) -> Result<Next> {
        let schema = self.source.schema();
        let consumer = consumer(&schema.name);
        let position = feed::subscribe(tx, &consumer)?;
        let row = self.begin(tx)?;
        if !row.filled {
            self.look_at_rows(tx, &row, position)?;
            return Ok(Next::More);
        }
        let changes = match feed::changes(tx, position, CHANGE_STEP) {
            Ok(changes) => changes,
            Err(error) if is_trimmed(&error) => {
                feed::unsubscribe(tx, &consumer)?;
                tx.update(row.id, |row| (row.filled, row.after) = (false, None))?;
                return Ok(Next::More);
            }
            Err(error) => return Err(error),
        };
        let Some(end) = changes.last().map(|change| change.seq) else { return Ok(Next::Idle) };
        let mut changed = BTreeMap::new();
        for change in changes.iter().filter(|change| *change.table == *schema.table) {
            let from = changed.get(&change.id).map_or(change.seq, |(from, _): &(Seq, Op)| *from);
            changed.insert(change.id, (from, change.op));
        }
        let mut wanting = Vec::new();
        for (owner, (from, op)) in changed {
            // One that is there again keeps what it has.
            if op == Op::Delete && self.source.doc(tx, owner)?.is_none() {
                vectors::delete_of(tx, schema.table, owner)?;
                continue;
            }
            let text = self.source.text(tx, owner)?;
            if self.wants(tx, owner, text)? {
                wanting.push((from, owner));
            }
        }
        self.queue(tx, wanting)?;
        feed::advance(tx, &consumer, end)?;
        // What it has deleted itself is a change as well, and its own commits do not wake it.
        Ok(Next::More)
    }

    /// Returns the index's row, which begins anew when the model or the declaration is another one.
    fn begin(&self, tx: &mut Tx) -> Result<Row<EmbedderRow>> {
        match self.row(tx)? {
            Some(row) if self.is_current(&row) => Ok(row),
            Some(row) => tx.replace(row.id, self.fresh_row()),
            None => tx.insert(self.fresh_row()),
        }
    }

    /// Whether all rows have been looked at for this model and declaration.
    pub(super) fn is_filled(&self, tx: &Tx) -> Result<bool> {
        Ok(self.row(tx)?.is_some_and(|row| row.filled && self.is_current(&row)))
    }

    fn row(&self, tx: &Tx) -> Result<Option<Row<EmbedderRow>>> {
        tx.first(EmbedderRow::by_index.eq(self.source.schema().name.as_str()))
    }

    fn is_current(&self, row: &EmbedderRow) -> bool {
        let (filled, after) = (row.filled, row.after);
        *row == EmbedderRow { filled, after, ..self.fresh_row() }
    }

    fn fresh_row(&self) -> EmbedderRow {
        let schema = self.source.schema();
        EmbedderRow {
            index: schema.name.clone(),
            model: self.space.model().to_owned(),
            dimension: self.space.dimension() as u32,
            version: schema.version,
            filled: false,
            after: None,
        }
    }

    fn look_at_rows(&self, tx: &mut Tx, row: &Row<EmbedderRow>, position: Seq) -> Result<()> {
        let texts = self.source.texts_after(tx, row.after.map(RawId::from_bytes), BATCH_ROWS)?;
        let (read, last) = (texts.len(), texts.last().map(|(owner, _)| owner.to_bytes()));
        let mut wanting = Vec::new();
        for (owner, text) in texts {
            if self.wants(tx, owner, text)? {
                wanting.push((position, owner));
            }
        }
        self.queue(tx, wanting)?;
        tx.update(row.id, |row| (row.filled, row.after) = (read < BATCH_ROWS, last.or(row.after)))?;
        Ok(())
    }

    /// Returns whether a row has to be embedded; one that has nothing to embed loses its vector.
    fn wants(&self, tx: &mut Tx, owner: RawId, text: Option<String>) -> Result<bool> {
        if text.is_none()
            && let Some(row) = vectors::get(tx, &self.space, self.source.schema().table, owner)?
            && row.is_of_text()
        {
            tx.delete(row.id)?;
        }
        Ok(self.lacking(tx, owner, text)?.is_some())
    }

    fn queue(&self, tx: &mut Tx, mut wanting: Vec<(Seq, RawId)>) -> Result<()> {
        wanting.sort_unstable();
        for rows in wanting.chunks(BATCH_ROWS) {
            let from = rows.first().map_or(0, |(from, _)| from.0);
            let owners = rows.iter().map(|(_, owner)| owner.to_bytes()).collect();
            let index = self.source.schema().name.clone();
            let batch = tx.insert(BatchRow { index, from, owners, failed: None })?;
            enqueue(tx, batch.id)?;
        }
        Ok(())
    }
}
