//! Runs that cannot go on: they rest, and are tried again when other code may be there.

use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Kind, RetryPolicy, Shutdown, Time};
use loomwork_store::{Cursor, Id, Next, Page, Paged, Result, Row, Store, Tx, Upkeep};

use crate::journal::end_of;
use crate::mail::serve_all;
use crate::tables::{Blocked, HostRow, State, Stumbles, WorkflowRow};

/// How long a blocked run rests before its code is tried again, the first time; then longer and longer, until it
/// comes further.
pub const BLOCKED_PAUSE: Duration = Duration::from_secs(10);

/// The longest that a blocked run rests before its code is tried again.
pub const BLOCKED_CEILING: Duration = Duration::from_secs(600);

/// How long a run that is tried again is left to others than who has blocked it: theirs may be the code that it waits
/// for.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(5);

/// Whether a process leaves a ready run to others for now.
pub(crate) fn is_left_to_others(run: &WorkflowRow, host: Id<HostRow>, now: Time) -> bool {
    run.stumbles.by == Some(host) && now < run.woken + LEFT_TO_OTHERS
}

/// How many blocked runs one step tries again.
const BLOCKED_STEP: usize = 256;

/// How often a run could not go on where it stands now: what was at another place of its journal counts no more.
pub(crate) fn stumbles(tx: &Tx, run: &Row<WorkflowRow>) -> Result<Stumbles> {
    match end_of(tx, run.id, run.chapter) {
        Ok(end) if end.position != run.stumbles.place => {
            Ok(Stumbles { place: end.position, ..Stumbles::default() })
        }
        Ok(_) => Ok(run.stumbles),
        Err(error) if error.kind() == Kind::Corrupt => Ok(run.stumbles),
        Err(error) => Err(error),
    }
}

/// Has a run rest that cannot go on, until [`unblock`] has it tried again.
pub(crate) fn block(tx: &mut Tx, run: &Row<WorkflowRow>, why: String) -> Result<()> {
    let stumbles = stumbles(tx, run)?;
    if stumbles.blocks == 0 {
        tracing::error!(workflow = %run.id, name = run.name, why, "a workflow is blocked");
    } else {
        tracing::debug!(workflow = %run.id, name = run.name, why, "a workflow is still blocked");
    }
    let stumbles = Stumbles { blocks: stumbles.blocks.saturating_add(1), by: run.host, ..stumbles };
    let pauses = RetryPolicy::default().with_initial(BLOCKED_PAUSE).with_ceiling(BLOCKED_CEILING);
    let now = tx.now();
    let again = now + pauses.delay(stumbles.blocks, tx.random());
    tx.update(run.id, |row| {
        row.state = State::Blocked;
        row.host = None;
        row.blocked = Some(Blocked { why, since: now });
        row.stumbles = stumbles;
        row.woken = again;
    })
    .map(drop)
}

/// Has a blocked run tried again, with the events that came meanwhile.
pub(crate) fn unblock(tx: &mut Tx, run: &Row<WorkflowRow>) -> Result<()> {
    let now = tx.now();
    tx.update(run.id, |row| {
        row.state = State::Ready;
        row.blocked = None;
        row.woken = now;
    })?;
    match tx.nested(|tx| serve_all(tx, run.id, run.chapter)) {
        // Whoever takes it finds that too, and blocks it again with what it says.
        Err(error) if error.kind() == Kind::Corrupt => Ok(()),
        served => served,
    }
}

/// Tries the runs again that were blocked when this engine began, each once: this may be the code that they wait
/// for. An engine of other code that blocks them again meanwhile makes no more work of it.
pub(crate) async fn try_at_start(store: Store, names: Arc<[&'static str]>, shutdown: Shutdown) {
    let begun = store.clock().now();
    for name in &*names {
        let name = *name;
        let mut page = Some(Page::first(BLOCKED_STEP));
        while let Some(next) = page.take()
            && !shutdown.is_requested()
        {
            match store.mutate(move |tx| try_page(tx, name, begun, next)).await {
                Ok(cursor) => page = cursor.map(|cursor| Page::after(cursor, BLOCKED_STEP)),
                Err(error) => {
                    tracing::warn!(name, %error, "what is blocked is tried again later, and not at the start");
                }
            }
        }
    }
}

fn try_page(tx: &mut Tx, name: &str, begun: Time, page: Page) -> Result<Option<Cursor>> {
    let Paged { rows, next } = tx.page(WorkflowRow::blocked.eq(name).readable(), page)?;
    let before = |run: &&Row<WorkflowRow>| run.blocked.as_ref().is_none_or(|blocked| blocked.since <= begun);
    rows.iter().filter(before).try_for_each(|run| unblock(tx, run))?;
    Ok(next)
}

/// Tries blocked runs again from time to time: where two versions of a program share the work, what one of them
/// blocks may be the other's to go on with.
pub(crate) fn trying_again(names: Arc<[&'static str]>) -> Upkeep {
    Upkeep::new("workflow blocked", move |tx| {
        let mut next: Option<Time> = None;
        for name in &*names {
            let due = WorkflowRow::blocked.eq(*name).le(tx.now()).readable().take(BLOCKED_STEP);
            let due = tx.scan(due)?;
            due.iter().try_for_each(|run| unblock(tx, run))?;
            if due.len() == BLOCKED_STEP {
                return Ok(Next::More);
            }
            let first = tx.first(WorkflowRow::blocked.eq(*name).readable())?.map(|run| run.woken);
            next = [next, first].into_iter().flatten().min();
        }
        Ok(next.map_or(Next::Idle, Next::At))
    })
}
