//! Billing everybody: late, twice, beside another run, and by the monthly job.

use std::time::Duration;

use loomwork_store::{Page, Tx};
use loomwork_testkit::soon;
use loomwork_usage::{
    Account, Calendar, Checked, Currency, Cycle, Event, EventRow, GenerateOptions, INVOICES, InvoiceState, MONTHLY,
    RETRY, Report, Unit, Unpriced, UsageError, finalise, generate, invoices_in, is_intact, periods, plan, plan_at, record_all,
    run_invoices, set_account,
};
use loomwork_workpool::{Listed, Schedule, Workpool, cron, list};

use super::desk::{Desk, START, at, money, small};

impl Desk {
    async fn payers(&self, count: usize) {
        for payer in 0..count {
            let used = [(Unit::OutputText, 1_000_000)];
            self.record(self.event(&format!("of-{payer}"), used).paid_by(format!("payer-{payer}"))).await;
        }
    }

    async fn run(&self, due: &str) -> Report {
        let options = GenerateOptions { check_step: 2, ..GenerateOptions::default() };
        soon(generate(&self.store, at(due), options)).await.expect("it succeeds")
    }

    async fn numbers(&self) -> Vec<String> {
        let open = self.read(|tx| invoices_in(tx, InvoiceState::Open, Page::first(1_000))).await;
        let mut numbers: Vec<_> = open.rows.iter().filter_map(|row| row.number.clone()).collect();
        numbers.sort();
        numbers
    }
}

fn gapless(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("INV-{number:06}")).collect()
}

#[tokio::test]
async fn all_that_is_due_is_billed_and_numbered_without_gaps() {
    let desk = Desk::priced().await;
    desk.payers(130).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let report = desk.run("2026-09-02T00:00:00Z").await;
    assert_eq!(report, Report { invoiced: 130, ..Report::default() });
    assert_eq!(desk.numbers().await, gapless(130));
    assert_eq!(desk.run("2026-09-02T00:00:00Z").await, Report::default(), "a second run finds nothing to do");
}

#[tokio::test]
async fn nothing_is_billed_before_its_grace_is_over() {
    let desk = Desk::priced().await;
    desk.payers(1).await;
    desk.now("2026-09-02T00:00:00Z").await;
    assert_eq!(desk.run("2026-09-01T23:59:59.999Z").await, Report::default());
    assert_eq!(desk.run("2026-09-02T00:00:00Z").await.invoiced, 1);
}

#[tokio::test]
async fn runs_beside_each_other_give_one_set() {
    let desk = Desk::priced().await;
    desk.payers(40).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let due = "2026-09-02T00:00:00Z";
    let (one, two, three) = tokio::join!(desk.run(due), desk.run(due), desk.run(due));
    assert_eq!(one.failed + two.failed + three.failed, 0);
    assert_eq!(desk.numbers().await, gapless(40));
}

#[tokio::test]
async fn what_fails_concerns_its_own_payer_only() {
    let desk = Desk::priced().await;
    desk.payers(3).await;
    let event = desk.event("odd", [(Unit::OutputText, 1)]).model("acme", "unknown");
    desk.record(event.paid_by("payer-1")).await;
    let waits = Account { unpriced: Unpriced::Block, ..Account::new("payer-1") };
    desk.commit(move |tx| set_account(tx, waits)).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let report = desk.run("2026-09-02T00:00:00Z").await;
    assert_eq!((report.invoiced, report.failed), (2, 1));
    assert_eq!((report.failures[0].payer.as_str(), report.failures[0].label.as_str()), ("payer-1", "2026-08"));
    assert!(report.failures[0].why.contains("there is no price for \"unknown\""), "{}", report.failures[0].why);
    // It is due still, and billed once the price is there.
    let tasks = desk.keep_up();
    desk.price(loomwork_usage::Price { model: "unknown".to_owned(), ..small() }).await;
    desk.until(|tx| tx.count(EventRow::unpriced.all()), |left| *left == 0).await;
    drop(tasks);
    assert_eq!(desk.run("2026-09-02T00:00:00Z").await.invoiced, 1);
    assert_eq!(desk.numbers().await, gapless(3));
}

#[tokio::test]
async fn a_check_that_was_overtaken_by_usage_counts_it_too() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-01T12:00:00Z").await;
    let period = desk.period(START).await.id;
    let checked = desk.read(move |tx| Ok(Checked::begin(tx, period)?.step(tx, 100)?.0)).await;
    assert_eq!(checked.events(), 1);
    let counted = checked.clone();
    desk.read(move |tx| counted.clone().compare(tx)).await;
    let late = Event { at: at(START), ..desk.event("two", [(Unit::OutputText, 1_000_000)]) };
    desk.record(late).await;
    desk.commit(move |tx| finalise(tx, period, Some(checked))).await;
    let invoice = desk.invoice(START).await;
    assert_eq!(desk.document(invoice).await.invoice.total, money("2.4"));
}

#[tokio::test]
async fn a_check_of_events_of_one_moment_goes_on_where_it_stopped() {
    let desk = Desk::priced().await;
    let events: Vec<_> = (0..25).map(|key| desk.event(&key.to_string(), [(Unit::OutputText, 100_000)])).collect();
    desk.commit(move |tx| record_all(tx, events)).await;
    desk.now("2026-09-01T12:00:00Z").await;
    let period = desk.period(START).await.id;
    let mut checked = desk.read(move |tx| Checked::begin(tx, period)).await;
    let mut steps = Vec::new();
    loop {
        let from = checked.clone();
        let (next, all) = desk.read(move |tx| from.clone().step(tx, 10)).await;
        checked = next;
        steps.push(checked.events());
        if all {
            break;
        }
    }
    assert_eq!(steps, [10, 20, 25]);
    // What comes later is read behind it, also when it is asked again and again.
    for count in [26, 27] {
        let late = Event { at: at(START), ..desk.event(&format!("late-{count}"), [(Unit::OutputText, 100_000)]) };
        desk.record(late).await;
        let from = checked.clone();
        checked = desk.read(move |tx| Ok(from.clone().step(tx, 10)?.0)).await;
        assert_eq!(checked.events(), count);
    }
    desk.commit(move |tx| finalise(tx, period, Some(checked))).await;
}

#[tokio::test]
async fn a_check_of_what_was_changed_since_is_made_anew() {
    let desk = Desk::open().await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let period = desk.period(START).await.id;
    let checked = desk.read(move |tx| Ok(Checked::begin(tx, period)?.step(tx, 100)?.0)).await;
    let tasks = desk.keep_up();
    desk.price(small()).await;
    desk.until(|tx| tx.count(EventRow::unpriced.all()), |left| *left == 0).await;
    drop(tasks);
    let refused = desk.refused(move |tx| finalise(tx, period, Some(checked))).await;
    assert!(matches!(refused, UsageError::Stale), "{refused}");
    assert_eq!(desk.run("2026-09-02T00:00:00Z").await.invoiced, 1);
}

#[tokio::test]
async fn usage_that_comes_while_periods_are_closed_is_billed_once() {
    let desk = Desk::priced().await;
    desk.payers(20).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let recording = async {
        for key in 0..100_u64 {
            let event = desk.event(&format!("late-{key}"), [(Unit::OutputText, 1_000_000)]);
            let event = Event { at: at(START), ..event.paid_by(format!("payer-{}", key % 20)) };
            desk.record(event).await;
        }
    };
    let ((), report) = tokio::join!(recording, desk.run("2026-09-02T00:00:00Z"));
    assert_eq!((report.invoiced, report.failed), (20, 0));
    desk.now("2026-10-02T00:00:00Z").await;
    desk.run("2026-10-02T00:00:00Z").await;
    let open = desk.read(|tx| invoices_in(tx, InvoiceState::Open, Page::first(1_000))).await;
    let mut billed = 0;
    for invoice in &open.rows {
        billed += desk.document(invoice.id).await.lines.iter().map(|line| line.quantity).sum::<i64>();
        let id = invoice.id;
        assert!(desk.read(move |tx| is_intact(tx, id)).await);
    }
    assert_eq!(billed, 120 * 1_000_000);
}

#[tokio::test]
async fn the_monthly_job_runs_on_the_second_and_a_late_one_bills_the_right_month() {
    let desk = Desk::priced().await;
    desk.commit(plan).await;
    let next = desk.read(|tx| cron::get(tx, MONTHLY)).await.and_then(|cron| cron.next);
    assert_eq!(next, Some(at("2026-09-02T00:00:00Z")));
    desk.payers(2).await;
    // Nobody runs until the fourteenth of September, when there is usage of September too.
    desk.now("2026-09-14T00:00:00Z").await;
    desk.record(desk.event("september", [(Unit::OutputText, 1_000_000)]).paid_by("payer-0")).await;
    let builder = Workpool::builder(&desk.store).pool("default", 2).on(INVOICES, run_invoices);
    let pool = builder.start().await.expect("it succeeds");
    let open = |tx: &Tx| Ok(invoices_in(tx, InvoiceState::Open, Page::first(10))?.rows.len());
    desk.until(open, |count| *count == 2).await;
    soon(pool.shutdown(Duration::from_secs(5))).await.expect("it succeeds");
    let labels = desk.read(|tx| Ok(invoices_in(tx, InvoiceState::Open, Page::first(10))?.rows)).await;
    assert!(labels.iter().all(|row| row.label == "2026-08"), "September has not ended");
    let periods = desk.read(|tx| periods(tx, "payer-0", Currency::USD)).await;
    assert_eq!(periods.iter().map(|row| row.closed).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn payers_in_the_west_are_billed_when_they_are_due_and_failures_an_hour_later() {
    let desk = Desk::priced().await;
    desk.commit(plan).await;
    let calendar = Calendar { cycle: Cycle::Month, zone: "America/New_York".parse().unwrap_or_default() };
    desk.commit(move |tx| set_account(tx, Account { calendar, ..Account::new("payer-1") })).await;
    let waits = Account { unpriced: Unpriced::Block, ..Account::new("payer-2") };
    desk.commit(move |tx| set_account(tx, waits)).await;
    desk.payers(2).await;
    let unknown = desk.event("unknown", [(Unit::OutputText, 1_000_000)]).model("acme", "unknown");
    desk.record(unknown.paid_by("payer-2")).await;
    let pool = Workpool::builder(&desk.store).pool("default", 2).on(INVOICES, run_invoices).start().await;
    let pool = pool.expect("it succeeds");
    let payers = |tx: &Tx| {
        let open = invoices_in(tx, InvoiceState::Open, Page::first(10))?.rows;
        Ok(open.iter().map(|row| row.payer.clone()).collect::<std::collections::BTreeSet<_>>().len())
    };
    let has_run = |tx: &Tx| {
        let last = cron::history(tx, MONTHLY, 1)?.pop().and_then(|run| run.status);
        Ok(last.is_some_and(|status| status.attempts > 0))
    };
    desk.now("2026-09-02T00:00:00Z").await;
    desk.until(payers, |count| *count == 1).await;
    desk.until(has_run, |has_run| *has_run).await;
    // The price comes an hour later, and the other payer's month is over in New York by four.
    desk.price(loomwork_usage::Price { model: "unknown".to_owned(), ..small() }).await;
    let tasks = desk.keep_up();
    desk.until(|tx| tx.count(EventRow::unpriced.all()), |left| *left == 0).await;
    desk.clock.advance(RETRY);
    desk.until(payers, |count| *count == 2).await;
    desk.now("2026-09-02T04:00:00Z").await;
    desk.until(payers, |count| *count == 3).await;
    drop(tasks);
    soon(pool.shutdown(Duration::from_secs(5))).await.expect("it succeeds");
}

#[tokio::test]
async fn a_late_run_closes_the_periods_of_a_payer_in_their_order() {
    let desk = Desk::priced().await;
    desk.commit(|tx| set_account(tx, Account { minimum: money("3"), ..Account::new("weavers") })).await;
    // It takes long to check August, and September is checked at once.
    for key in 0..100 {
        desk.output(&key.to_string(), 10_000).await;
    }
    desk.now("2026-09-10T00:00:00Z").await;
    desk.output("september", 2_000_000).await;
    desk.now("2026-10-14T00:00:00Z").await;
    let report = desk.run("2026-10-02T00:00:00Z").await;
    assert_eq!(report, Report { invoiced: 1, carried: 1, ..Report::default() });
    let all = desk.read(|tx| invoices_in(tx, InvoiceState::Open, Page::first(10))).await.rows;
    assert_eq!(all.iter().map(|row| (row.label.as_str(), row.total)).collect::<Vec<_>>(), [("2026-09", money("3.6"))]);
}

#[tokio::test]
async fn one_run_waits_to_try_again_however_many_have_failed() {
    let desk = Desk::priced().await;
    desk.commit(|tx| plan_at(tx, Schedule::hourly(0))).await;
    let waits = Account { unpriced: Unpriced::Block, ..Account::new("weavers") };
    desk.commit(move |tx| set_account(tx, waits)).await;
    desk.record(desk.event("unknown", [(Unit::OutputText, 1)]).model("acme", "unknown")).await;
    let pool = Workpool::builder(&desk.store).pool("default", 2).on(INVOICES, run_invoices).start().await;
    let pool = pool.expect("it succeeds");
    desk.now("2026-09-02T00:00:00Z").await;
    let idle = |tx: &Tx| {
        let is_due = cron::get(tx, MONTHLY)?.and_then(|cron| cron.next).is_none_or(|next| next <= tx.now());
        let has_ended = list(tx, Listed::Pending("default"), Page::first(100))?.0.iter().all(|job| job.due > tx.now());
        Ok(!is_due && has_ended)
    };
    // Runs of the cron and those that try again come at other times.
    for _ in 0..6 {
        desk.until(idle, |idle| *idle).await;
        desk.clock.advance(Duration::from_secs(40 * 60));
    }
    desk.until(idle, |idle| *idle).await;
    let waiting = desk.read(|tx| Ok(list(tx, Listed::Scheduled, Page::first(100))?.0)).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    soon(pool.shutdown(Duration::from_secs(5))).await.expect("it succeeds");
}

#[tokio::test]
async fn a_clock_that_goes_back_holds_up_nobody() {
    let desk = Desk::priced().await;
    desk.now("2026-09-02T00:00:00Z").await;
    let used = |key: String| Event { at: at(START), ..desk.event(&key, [(Unit::OutputText, 1_000_000)]) };
    for key in 0..20 {
        desk.record(used(format!("first-{key}"))).await;
    }
    // Each event is recorded earlier than the one before, behind what the check has read.
    let recording = async {
        for key in 0..20_u64 {
            desk.clock.set(at("2026-09-02T00:00:00Z") - Duration::from_secs(key));
            desk.record(used(format!("late-{key}"))).await;
        }
    };
    let ((), report) = tokio::join!(recording, desk.run("2026-09-02T00:00:00Z"));
    assert_eq!((report.invoiced, report.failed), (1, 0), "{report:?}");
}
