//! Whether a thread has become too long.

use std::collections::BTreeMap;

use loomwork_messages::{MessageRow, Position, ThreadId};
use loomwork_store::{Result, Tx};

use super::{Compaction, CompactionRow, start};
use crate::context::{Context, Origin};
use crate::runtime::Runtime;

/// What a context tells of its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// The turns that are older than those that stay have too many tokens, or are too many.
    is_above: bool,
    /// The first turn behind the summary.
    from: u64,
    /// The oldest turn that the model is told.
    oldest: u64,
}

impl Compaction {
    /// Looks at the context of an answer, and starts a job if the thread has become too long. A failure is none of
    /// the answer's.
    pub(crate) async fn consider(&self, runtime: &Runtime, thread: ThreadId, context: &Context) {
        let Some(seen) = self.seen(context) else { return };
        // Turns have fallen out of the window, or were deleted.
        let may_have_a_gap = seen.oldest > seen.from;
        if !seen.is_above && !may_have_a_gap {
            return;
        }
        let started = async {
            if runtime.store.query(move |tx| is_due(tx, thread, seen)).await? {
                let compaction = self.clone();
                runtime.store.mutate(move |tx| start(tx, &compaction, thread).map(drop)).await?;
            }
            Ok::<_, loomwork_store::Error>(())
        };
        if let Err(error) = started.await {
            tracing::warn!(%thread, compaction = self.name, %error, "a long thread is not summarised now");
        }
    }

    fn seen(&self, context: &Context) -> Option<Seen> {
        let mut turns: BTreeMap<u64, u64> = BTreeMap::new();
        let mut from = 0;
        for piece in &context.pieces {
            match (&piece.origin, piece.position) {
                (Origin::Summary { last, .. }, _) => from = last + 1,
                (Origin::Recent, Some(position)) => *turns.entry(position.order).or_default() += piece.tokens,
                _ => {}
            }
        }
        let oldest = *turns.keys().next()?;
        let old = turns.len().saturating_sub(self.limits.keep_turns);
        let tokens: u64 = turns.values().take(old).sum();
        let is_above = old > self.limits.above_turns || tokens > self.limits.above_tokens;
        Some(Seen { is_above, from, oldest })
    }
}

/// Whether a job is to be started: none waits or runs, and the thread is too long, or has turns that neither the
/// summary nor the window has.
fn is_due(tx: &Tx, thread: ThreadId, seen: Seen) -> Result<bool> {
    if tx.first(CompactionRow::by_thread.eq(thread))?.is_some() {
        return Ok(false);
    }
    if seen.is_above {
        return Ok(true);
    }
    let between = MessageRow::by_position.eq(thread).ge(Position::start_of(seen.from));
    Ok(tx.first(between.lt(Position::start_of(seen.oldest)))?.is_some())
}
