//! How long edits are kept.

use std::time::Duration;

use loomwork_store::{Next, Result, Tx, Upkeep};

use super::remove;
use crate::tables::{Edit, EditLog, EditTarget};

/// How many edits one step of the retention deletes.
pub const RETENTION_STEP: usize = 64;

/// How many edits are kept, and how long: the oldest go first. The default keeps all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The most of one target.
    pub per_target: Option<u64>,
    /// The most of one thread.
    pub per_thread: Option<u64>,
    /// The greatest age.
    pub max_age: Option<Duration>,
}

/// Deletes the edits that a retention does not keep. Versions are counted on from those that are gone.
pub fn retention(retention: Retention) -> Upkeep {
    Upkeep::new("edit retention", move |tx| {
        if let Some(most) = retention.per_target
            && let Some(crowded) = tx.first(EditTarget::by_kept.gt(most).readable())?
        {
            let edits = Edit::by_target.eq(crowded.thread).eq(crowded.target.as_str());
            return trim(tx, edits, crowded.kept - most);
        }
        if let Some(most) = retention.per_thread
            && let Some(crowded) = tx.first(EditLog::by_kept.gt(most).readable())?
        {
            return trim(tx, Edit::by_thread.eq(crowded.thread), crowded.kept - most);
        }
        let Some(max_age) = retention.max_age else { return Ok(Next::Idle) };
        let old = tx.scan(Edit::by_age.le(tx.now() - max_age).readable().take(RETENTION_STEP))?;
        for edit in &old {
            remove(tx, edit)?;
        }
        if !old.is_empty() {
            return Ok(Next::More);
        }
        let oldest = tx.first(Edit::by_age.all().readable())?;
        Ok(oldest.map_or(Next::Idle, |edit| Next::At(edit.created + max_age)))
    })
}

/// Deletes the first `count` edits of a span, some in each step.
fn trim<K>(tx: &mut Tx, edits: loomwork_store::Span<Edit, K>, count: u64) -> Result<Next> {
    let count = usize::try_from(count).map_or(RETENTION_STEP, |count| count.min(RETENTION_STEP));
    for edit in tx.scan(edits.readable().take(count))? {
        remove(tx, &edit)?;
    }
    Ok(Next::More)
}
