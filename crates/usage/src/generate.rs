//! Billing all periods that are due: in parallel, resumable, in bounded memory; and the monthly job.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use loomwork_core::{Kind, Time, crash_point};
use loomwork_store::{Error, Id, Page, Result, Row, Store, Tx};
use loomwork_workpool::cron::{self, Tick};
use loomwork_workpool::{Due, Job, JobContext, Options, Repeat, Schedule, enqueue};
use serde::{Deserialize, Serialize};

use crate::account::account;
use crate::check::{CHECK_STEP, Checked};
use crate::close::{Closed, ensure_priced, finalise};
use crate::currency::Currency;
use crate::error::UsageError;
use crate::fold::{FOLD_STEP, fold};
use crate::tables::PeriodRow;

/// How many periods are looked up at once.
pub const GENERATE_PAGE: usize = 100;

/// How often the check of one period begins anew because its events were changed meanwhile.
pub const CHECK_ATTEMPTS: u32 = 10;

/// How often a check begins anew because it does not agree with the lines, before all events are read in the transaction
/// that closes the period.
pub const MISSED_CHECKS: u32 = 3;

/// How long after a run in which periods could not be billed the next one follows.
pub const RETRY: Duration = Duration::from_secs(60 * 60);

/// The most failures that a report names; the others are counted.
pub const MAX_FAILURES: usize = 100;

/// The job that bills what is due at its scheduled time; bind it with `pool.on(INVOICES, run_invoices)`.
pub const INVOICES: Job<Tick, Report> = Job::new("usage-invoices");

/// The name of the monthly cron.
pub const MONTHLY: &str = "usage-invoices";

/// What became of the periods that were due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many have an invoice now.
    pub invoiced: u64,
    /// How many were carried into a later one.
    pub carried: u64,
    /// How many had nothing to pay.
    pub skipped: u64,
    /// How many failed, and are due still.
    pub failed: u64,
    /// Why, of the first [`MAX_FAILURES`].
    pub failures: Vec<Failure>,
}

/// A period that could not be billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who pays.
    pub payer: String,
    /// The period.
    pub label: String,
    /// What was wrong.
    pub why: String,
}

/// Options of [`generate`]. New fields may come, so end a literal with `..GenerateOptions::default()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerateOptions {
    /// How many periods are closed at once, each of another payer. Each reads its events with a connection and a cache of its own.
    pub workers: usize,
    /// How many events one step of a check reads.
    pub check_step: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { workers: 2, check_step: CHECK_STEP }
    }
}

/// Sets the monthly cron: on the second day at 00:00 UTC, when months of UTC have had their day of grace.
///
/// Payers in zones west of UTC are due some hours later: each run is followed by one for when the next period is
/// due. Those with shorter periods, whose first one begins between two runs, are better served by a run
/// [more often](plan_at).
///
/// # Errors
/// As [`cron::set`].
pub fn plan(tx: &mut Tx) -> Result<()> {
    plan_at(tx, Schedule::monthly(2, 0, 0))
}

/// Sets the cron to run at other times, such as each hour: a run bills all that is due by then, and nothing
/// else.
///
/// # Errors
/// As [`cron::set`].
pub fn plan_at(tx: &mut Tx, schedule: Schedule) -> Result<()> {
    cron::set(tx, MONTHLY, &INVOICES, schedule, (), ())
}

/// What the job does. It goes by its scheduled time: late, twice or beside another one it bills the same.
///
/// # Errors
/// When the store does not answer, so that the job is tried again.
///
/// It enqueues itself once more for when the next period is due, as those of payers in zones west of UTC are some
/// hours later, and [`RETRY`] from now while there are periods that cannot be billed.
pub async fn run_invoices(job: JobContext, tick: Tick) -> Result<Report> {
    let report = generate(job.store(), tick.scheduled, GenerateOptions::default()).await?;
    let has_failed = report.failed > 0;
    job.store().mutate(move |tx| follow_up(tx, tick.scheduled, has_failed)).await?;
    Ok(report)
}

fn follow_up(tx: &mut Tx, billed: Time, has_failed: bool) -> Result<()> {
    let next = tx.first(PeriodRow::due.gt(billed))?.map(|row| row.due);
    if let Some(scheduled) = next {
        let unique = Some(format!("due at {}", scheduled.millis()));
        let options = Options { due: Due::At(scheduled), unique, ..Options::default() };
        enqueue(tx, &INVOICES, Tick { scheduled, args: () }, options)?;
    }
    if has_failed {
        // However many runs meet a period that cannot be billed, one waits to try it again.
        let scheduled = tx.now() + RETRY;
        let (unique, repeat) = (Some("retry".to_owned()), Repeat::Replace { within: None });
        let options = Options { due: Due::At(scheduled), unique, repeat, ..Options::default() };
        enqueue(tx, &INVOICES, Tick { scheduled, args: () }, options)?;
    }
    Ok(())
}

/// Bills all periods whose grace was over at a time. Each is closed in a transaction of its own, so a crash
/// loses nothing and the next run goes on; what fails concerns its own payer only.
///
/// # Errors
/// When the store does not answer.
pub async fn generate(store: &Store, due: Time, options: GenerateOptions) -> Result<Report> {
    // In steps, so that no period has much left to fold in when it is closed.
    while store.mutate(fold).await? == FOLD_STEP {}
    let mut report = Report::default();
    let mut page = Some(Page::first(GENERATE_PAGE));
    while let Some(this) = page {
        // Periods that are closed leave the index, behind the cursor.
        let found = store.query(move |tx| tx.page(PeriodRow::due.le(due), this.clone())).await?;
        // What one period carries is in the next one of its payer, so these are closed in their order.
        let mut of_payers: BTreeMap<(String, Currency), Vec<Row<PeriodRow>>> = BTreeMap::new();
        for row in found.rows {
            of_payers.entry((row.payer.clone(), row.currency)).or_default().push(row);
        }
        let mut closing = stream::iter(of_payers.into_values())
            .map(|rows| async move {
                let mut closed = Vec::with_capacity(rows.len());
                for row in rows {
                    let ended = close_one(store, row.id, options).await;
                    closed.push((row, ended));
                }
                closed
            })
            .buffer_unordered(options.workers.max(1));
        while let Some(closed) = closing.next().await {
            for (row, ended) in closed {
                match ended {
                    Ok(Closed::Invoiced(_)) => report.invoiced += 1,
                    Ok(Closed::Carried(_)) => report.carried += 1,
                    Ok(Closed::Skipped) => report.skipped += 1,
                    Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                    Err(error) => report.fail(&row, &error),
                }
            }
        }
        page = found.next.map(|next| Page::after(next, GENERATE_PAGE));
    }
    tracing::info!(%due, ?report, "periods were billed");
    Ok(report)
}

impl Report {
    fn fail(&mut self, row: &PeriodRow, error: &Error) {
        tracing::error!(payer = row.payer, period = row.label, %error, "a period cannot be billed");
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            let (payer, label) = (row.payer.clone(), row.label.clone());
            self.failures.push(Failure { payer, label, why: error.to_string() });
        }
    }
}

/// Checks a period in steps, outside of any long transaction, and closes it in a short one.
async fn close_one(store: &Store, period: Id<PeriodRow>, options: GenerateOptions) -> Result<Closed> {
    // Whoever waits for a price has no use for a check.
    store.query(move |tx| wait_for_prices(tx, period)).await?;
    let mut checks = 0;
    loop {
        let checked = check(store, period, options).await?;
        checks += 1;
        crash_point("usage.checked");
        let mut closed = store.mutate(move |tx| finalise(tx, period, Some(checked))).await;
        // Where clocks differ, events may have come behind the point that the check had reached: a new one reads them.
        let has_missed = is(&closed, |error| matches!(error, UsageError::Mismatch { .. }));
        let is_stale = is(&closed, |error| matches!(error, UsageError::Stale));
        if is_stale && checks < CHECK_ATTEMPTS || has_missed && checks < MISSED_CHECKS {
            continue;
        }
        if has_missed {
            closed = store.mutate(move |tx| finalise(tx, period, None)).await;
        }
        crash_point("usage.closed");
        return closed;
    }
}

fn wait_for_prices(tx: &Tx, period: Id<PeriodRow>) -> Result<()> {
    let of = tx.require(period)?;
    if of.closed {
        return Ok(());
    }
    ensure_priced(tx, &of, &account(tx, &of.payer)?)
}

async fn check(store: &Store, period: Id<PeriodRow>, options: GenerateOptions) -> Result<Checked> {
    let mut checked = store.query(move |tx| Checked::begin(tx, period)).await?;
    loop {
        let from = checked.clone();
        let (next, all) = store.query(move |tx| from.clone().step(tx, options.check_step.max(1))).await?;
        checked = next;
        if all {
            return Ok(checked);
        }
    }
}

fn is<T>(went: &Result<T>, what: impl FnOnce(&UsageError) -> bool) -> bool {
    went.as_ref().err().and_then(Error::downcast_ref).is_some_and(what)
}
