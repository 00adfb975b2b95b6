//! Firing the ticks that are due.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::{Next, Result, Row, Tx, Upkeep};

use super::{CronRow, Misfire, Overlap, RunRow, Tick};
use crate::enqueue::insert_row;
use crate::tables::{JobId, JobRow, State};

/// A tick that is fired so much later counts as missed.
pub const MISSED_AFTER: Duration = Duration::from_secs(60);

/// How many runs of a cron its history keeps.
pub const HISTORY: usize = 100;

/// Fires what is due, one cron in each step.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("workpool crons", |tx| {
        for row in tx.scan(CronRow::due.le(tx.now()).readable())? {
            let name = row.name.clone();
            match tx.nested(|tx| fire_unless_queued(tx, row)) {
                Ok(true) => return Ok(Next::More),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(cron = name, %error, "a cron cannot fire; the others go on");
                }
            }
        }
        let later = tx.first(CronRow::due.gt(tx.now()).readable())?.and_then(|row| row.next);
        Ok(later.map_or(Next::Idle, Next::At))
    })
}

/// Fires a cron, and says whether it did: one that queues its runs waits for the run before.
fn fire_unless_queued(tx: &mut Tx, row: Row<CronRow>) -> Result<bool> {
    if row.overlap == Overlap::Queue && is_pending(tx, row.last_job)? {
        // That job was read just now, so its end wakes this upkeep.
        return Ok(false);
    }
    fire(tx, row)?;
    Ok(true)
}

/// Deals with the ticks that are due: runs one of them, or none, and moves on.
fn fire(tx: &mut Tx, row: Row<CronRow>) -> Result<()> {
    let (Some(first), now) = (row.next, tx.now()) else { return Ok(()) };
    let latest = latest_tick(&row, first, now);
    let tick = match row.misfire {
        Misfire::All => Some(first),
        Misfire::Once => Some(latest),
        Misfire::Skip => (now.since(latest) <= MISSED_AFTER).then_some(latest),
    };
    let is_blocked = row.overlap == Overlap::Skip && is_pending(tx, row.last_job)?;
    let run = tick.filter(|_| !is_blocked);
    let left_out = run.is_none() || run.is_some_and(|run| run > first);
    if left_out {
        tracing::info!(cron = row.name, %first, %latest, is_blocked, "ticks are left out");
    }
    let job = run.map(|scheduled| start(tx, &row, scheduled)).transpose()?;
    let passed = if row.misfire == Misfire::All { first } else { latest };
    let next = row.schedule.next_after(passed, row.anchor);
    tx.update(row.id, |row| {
        row.next = next;
        row.skipped += u64::from(left_out);
        if job.is_some() {
            row.last = run;
            row.last_job = job;
        }
    })
    .map(drop)
}

/// Enqueues the run of a tick.
pub(super) fn start(tx: &mut Tx, cron: &CronRow, scheduled: Time) -> Result<JobId> {
    let args = serde_json::value::to_raw_value(&Tick { scheduled, args: &cron.args })
        .map_err(|error| loomwork_store::Error::message(loomwork_core::Kind::Corrupt, error.to_string()))?;
    let now = tx.now();
    let jitter = match cron.jitter_ms {
        0 => Duration::ZERO,
        most => Duration::from_millis(tx.random().below(most)),
    };
    let due = (scheduled + jitter).max(now);
    let unique = format!("cron:{}:{}", cron.name, scheduled.millis());
    if let Some(pending) = tx.first(JobRow::by_unique.eq(&cron.template.name).eq(unique.as_str()))? {
        return Ok(pending.id);
    }
    let job = JobRow {
        state: if due <= now { State::Ready } else { State::Scheduled },
        unique: Some(unique),
        scheduled,
        due,
        enqueued: now,
        ..cron.template.clone()
    };
    let job = insert_row(tx, job, None, args)?;
    tx.insert(RunRow { cron: cron.name.clone(), scheduled, job })?;
    let kept = tx.scan(RunRow::by_cron.eq(cron.name.as_str()).desc().take(HISTORY + 1))?;
    if kept.len() > HISTORY {
        tx.delete(kept[HISTORY].id)?;
    }
    Ok(job)
}

fn is_pending(tx: &Tx, job: Option<JobId>) -> Result<bool> {
    let Some(job) = job else { return Ok(false) };
    Ok(tx.get(job)?.is_some_and(|job| job.state != State::Ended))
}

/// The last tick up to `now`. It looks back from there, twice as far each time, so that a second's
/// interval after a year's outage is no year of ticks to walk through.
fn latest_tick(cron: &CronRow, first: Time, now: Time) -> Time {
    let tick_after = |time| cron.schedule.next_after(time, cron.anchor).filter(|tick| *tick <= now);
    let mut window = Duration::from_secs(1);
    let mut latest = loop {
        let start = now - window;
        if start <= first {
            break first;
        }
        if let Some(tick) = tick_after(start) {
            break tick;
        }
        window *= 2;
    };
    while let Some(tick) = tick_after(latest) {
        latest = tick;
    }
    latest
}
