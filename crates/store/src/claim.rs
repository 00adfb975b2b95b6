//! Claims: taking rows that nobody else is taking.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::id::Id;
use crate::span::Span;
use crate::store::{Mutate, Store};
use crate::table::{Row, Table};
use crate::tx::Tx;

impl Store {
    /// Takes up to `count` rows of a span, in its order: `take` is shown each row that no other
    /// claim is looking at, changes it (who has it, until when) and says whether it takes it. The
    /// changed rows are returned.
    ///
    /// A claim has an isolation of its own, so that many workers can take from one queue: it
    /// writes only the rows that it takes, and what else it reads through the `&Tx` is a
    /// snapshot that may already be old. So the taken row itself has to name its owner, and
    /// the owner's later mutations check that it still does.
    ///
    /// # Errors
    /// What `take` returns; nothing is taken then.
    pub async fn claim<T, K, F>(&self, span: Span<T, K>, count: usize, take: F) -> Result<Vec<Row<T>>>
    where
        T: Table,
        K: 'static,
        F: FnMut(&Tx, &mut T) -> Result<bool> + Clone + Send + 'static,
    {
        self.claim_with(move |tx| claim_rows(tx, span, count, take)).await
    }

    /// Runs a mutation under a claim's isolation, for takers whose choice is more than a span: they
    /// weigh several queues, or count what is taken already. Await what it returns.
    ///
    /// It finds the rows that it takes by [`Tx::each_unclaimed`]. What [`claim`](Self::claim) says of
    /// rows that are only read holds here too. A claim that
    /// enforces a limit over many rows therefore also writes one row that all such claims write:
    /// then no two of them go by the same count.
    #[track_caller]
    pub fn claim_with<T, F>(&self, claim: F) -> Mutate<F, T>
    where
        F: FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
        T: Send + 'static,
    {
        self.mutate(claim).claiming()
    }
}

fn claim_rows<T: Table, K>(
    tx: &mut Tx,
    span: Span<T, K>,
    count: usize,
    mut take: impl FnMut(&Tx, &mut T) -> Result<bool>,
) -> Result<Vec<Row<T>>> {
    let mut taken: Vec<(Id<T>, T)> = Vec::new();
    if count == 0 {
        return Ok(Vec::new());
    }
    tx.each_unclaimed(span, |mut row| {
        if take(tx, &mut row.record)? {
            taken.push((row.id, row.record));
        }
        Ok(if taken.len() == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    taken.into_iter().map(|(id, record)| tx.replace(id, record)).collect()
}
