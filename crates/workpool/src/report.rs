//! What a process tells of itself each minute.

use std::sync::Arc;
use std::time::Duration;

use loomwork_core::Shutdown;

use crate::counters::Counters;
use crate::loops::is_closed;
use crate::process::Process;
use crate::tables::JobRow;

/// How often a process that works writes a report to its log.
pub const REPORT_EVERY: Duration = Duration::from_secs(60);

/// A report counts a pool's ready jobs up to this number.
pub const REPORTED_BACKLOG: usize = 10_000;

/// Reports what was done since the report before. A minute in which nothing happened has none, so an
/// idle process reads nothing for it.
pub(crate) async fn report(process: Arc<Process>, pools: Vec<&'static str>, shutdown: Shutdown) {
    let mut before = Counters::default();
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = process.store.clock().sleep(REPORT_EVERY) => {}
        }
        let now = process.counting.read();
        if now == before && now.running == 0 {
            continue;
        }
        let done = now.since(&before);
        before = now;
        let pools = pools.clone();
        let counted = process.store.query(move |tx| {
            let ready = |pool: &&str| tx.count(JobRow::ready.eq(*pool).take(REPORTED_BACKLOG));
            pools.iter().map(ready).sum::<loomwork_store::Result<usize>>()
        });
        let backlog = match counted.await {
            Ok(backlog) => backlog,
            Err(error) if is_closed(&error) => return,
            Err(error) => {
                tracing::warn!(%error, "a report has no backlog: it cannot be counted");
                continue;
            }
        };
        tracing::info!(
            completed = done.completed(),
            succeeded = done.succeeded,
            failed = done.failed,
            retries = done.retried,
            cancelled = done.cancelled,
            handed_over = done.handed_over,
            dropped = done.dropped,
            taken_over = done.taken_over,
            interrupted = done.interrupted,
            running = done.running,
            backlog,
            failure_rate = done.failure_rate(),
            permanent_failure_rate = done.permanent_failure_rate(),
            "workpool report"
        );
    }
}
