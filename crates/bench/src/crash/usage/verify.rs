//! What must hold of events, lines, totals, budgets and invoices: between two kills, and when all is billed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::{Clock, Tasks};
use loomwork_store::{Page, Store, Table as _, Tx};
use loomwork_usage::{
    Amount, Currency, Dimension, EventRow, FOLD_PAUSE, GenerateOptions, InvoiceRow, Money, UsageError,
    amended_lines, balance, ever_total, generate, invoices, is_intact, periods, set_price, standing,
    waiting_for_totals,
};

use super::Promises;
use super::world::{BUDGET, PAYERS, Sale, key, open, price};
use crate::crash::tally::{Fault, Tally};

/// Longer than any period, grace or hold of the rounds.
const LATER: Duration = Duration::from_secs(60 * 60);

/// The most invoices that are looked at.
const INVOICES: usize = 1_000_000;

/// Checks a file between two kills.
pub(super) async fn between(place: &Path, promises: &Promises, tally: &mut Tally) -> Result<()> {
    let store = open(place, Clock::system()).await?;
    check(&store, promises, tally).await?;
    store.close().await;
    Ok(())
}

/// Gives all usage its price, bills all of it, and checks that nothing was left out.
pub(super) async fn at_the_end(place: &Path, promises: &Promises, tally: &mut Tally) -> Result<()> {
    let clock = Clock::manual(Clock::system().now() + LATER);
    let store = open(place, clock.clock()).await?;
    store.mutate(|tx| set_price(tx, price("late"))).await?;
    let tasks = Tasks::new();
    for upkeep in loomwork_usage::upkeep().into_iter().chain(loomwork_rate_limiter::upkeep()) {
        store.start_upkeep(&tasks, upkeep);
    }
    let left = |tx: &Tx| {
        let held = standing(tx, BUDGET)?.held.to_string() != "0";
        Ok(tx.count(EventRow::unpriced.all())? + waiting_for_totals(tx)? + usize::from(held))
    };
    // The upkeep rests between its steps, by the clock of the rounds.
    while store.query(left).await? > 0 {
        clock.advance(FOLD_PAUSE);
        Clock::system().sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..2 {
        // What is carried or adjusted falls into the period of now, so time passes twice.
        clock.advance(LATER);
        let report = generate(&store, clock.clock().now(), GenerateOptions::default()).await?;
        tally.same("the count of periods that cannot be billed", report.failed, 0);
    }
    check(&store, promises, tally).await?;
    let billed = store.query(sums_of_lines).await?;
    let owed = store.query(|tx| sums_of_events(tx, |row| row.charge.is_some())).await?;
    let all = store.query(|tx| sums_of_events(tx, |_| true)).await?;
    tally.same("what has a price in the end", owed, all);
    tally.same("what is billed in the end", billed, owed);
    let (asked, worth) = store.query(|tx| Ok((sums_asked(tx)?, sums_worth(tx)?))).await?;
    tally.same("what is to be paid in the end", asked, worth);
    let open = store.query(|tx| {
        let periods = PAYERS.iter().map(|payer| periods(tx, payer, Currency::USD));
        Ok(periods
            .collect::<loomwork_store::Result<Vec<_>>>()?
            .concat()
            .iter()
            .filter(|row| !row.closed)
            .count())
    });
    tally.count("periods open in the end", open.await? as u64);
    store.close().await;
    Ok(())
}

/// How many tokens, and how much money.
type Sums = (i64, Money);

fn sums_of_events(tx: &Tx, counts: impl Fn(&EventRow) -> bool) -> loomwork_store::Result<Sums> {
    let mut sums = (0, Money::ZERO);
    for row in tx.scan(EventRow::all())?.iter().filter(|row| counts(row)) {
        let sign = if row.reverses.is_some() { -1 } else { 1 };
        sums.0 += sign * row.event.quantities.tokens() as i64;
        if let Some(charge) = &row.charge {
            sums.1 = sums.1.plus(charge.amount).map_err(UsageError::from)?;
        }
    }
    Ok(sums)
}

/// What the lines of all periods say that has a price, as they are now.
fn sums_of_lines(tx: &Tx) -> loomwork_store::Result<Sums> {
    let mut sums = (0, Money::ZERO);
    for payer in PAYERS {
        for period in periods(tx, payer, Currency::USD)?.iter().filter(|row| row.carried_into.is_none()) {
            let lines = amended_lines(tx, period.id, Default::default())?;
            for line in lines.iter().filter(|line| line.price.is_some()) {
                sums.0 += line.quantity;
                sums.1 = sums.1.plus(line.unrounded).map_err(UsageError::from)?;
            }
        }
    }
    Ok(sums)
}

/// What all invoices ask for, and what the next ones make up for.
fn sums_asked(tx: &Tx) -> loomwork_store::Result<Money> {
    let mut sum = Money::ZERO;
    for payer in PAYERS {
        sum = sum.plus(balance(tx, payer, Currency::USD)?).map_err(UsageError::from)?;
        for invoice in invoices(tx, payer, Page::first(INVOICES))?.rows {
            sum = sum.plus(invoice.total).map_err(UsageError::from)?;
        }
    }
    Ok(sum)
}

/// What the usage is worth that stands, where it has an invoice: rounded by its lines.
fn sums_worth(tx: &Tx) -> loomwork_store::Result<Money> {
    let mut sum = Money::ZERO;
    for payer in PAYERS {
        for invoice in invoices(tx, payer, Page::first(INVOICES))?.rows {
            for line in amended_lines(tx, invoice.period, invoice.rounding)? {
                sum = sum.plus(line.amount).map_err(UsageError::from)?;
            }
        }
    }
    Ok(sum)
}

async fn check(store: &Store, promises: &Promises, tally: &mut Tally) -> Result<()> {
    let indexes = store.check().await?;
    tally.fact(indexes.is_clean(), Fault::Broken, || {
        format!("index entries do not fit: {:?}", indexes.mismatches)
    });
    check_events(store, promises, tally).await?;

    let priced = store.query(|tx| sums_of_events(tx, |row| row.charge.is_some())).await?;
    tally.same("what the lines add up to", store.query(sums_of_lines).await?, priced);
    let all = store.query(|tx| sums_of_events(tx, |_| true)).await?;
    let total = store.query(|tx| ever_total(tx, Dimension::Run, "all")).await?;
    let total = (total.tokens(), total.charge.get(&Currency::USD).copied().unwrap_or_default());
    tally.same("what the totals add up to", total, all);
    let spent = store.query(|tx| standing(tx, BUDGET)).await?.spent;
    tally.same("what the budget has spent", spent, Amount::Money(all.1));
    check_invoices(store, promises, tally).await
}

/// Each sale has its event and each event its sale; what was promised is there.
async fn check_events(store: &Store, promises: &Promises, tally: &mut Tally) -> Result<()> {
    let (events, reversed, sales) = store
        .query(|tx| {
            let rows = tx.scan(EventRow::all())?;
            let of = |is_reversal: bool| {
                let rows = rows.iter().filter(|row| row.reverses.is_some() == is_reversal);
                rows.map(|row| row.event.key.clone()).collect::<Vec<_>>()
            };
            let sales: Vec<u64> = tx.scan(Sale::by_number.all())?.iter().map(|row| row.number).collect();
            Ok((of(false), of(true), sales))
        })
        .await?;
    let own: BTreeSet<_> = sales.iter().map(|number| key(*number)).collect();
    let found: BTreeSet<_> = events.iter().cloned().collect();
    let taken_back: BTreeSet<_> = reversed.iter().cloned().collect();
    tally.fact(found.len() == events.len(), Fault::Doubled, || "a key is there twice".to_owned());
    tally.fact(taken_back.len() == reversed.len(), Fault::Doubled, || "a reversal is there twice".to_owned());
    tally.same("the events beside the sales", found == own, true);
    for number in &promises.recorded {
        tally.fact(found.contains(&key(*number)), Fault::Lost, || format!("sale {number} has no event"));
    }
    for number in &promises.reversed {
        let is_there = taken_back.contains(&format!("reversal:{}", key(*number)));
        tally.fact(is_there, Fault::Lost, || format!("sale {number} was taken back, and is not"));
    }
    tally.count("events", events.len() as u64);
    Ok(())
}

/// Numbers have no gaps, and an invoice that was told of is what it was.
async fn check_invoices(store: &Store, promises: &Promises, tally: &mut Tally) -> Result<()> {
    let rows =
        store.query(|tx| Ok(tx.page(InvoiceRow::by_number.all(), Page::first(INVOICES))?.rows)).await?;
    let numbers: Vec<_> = rows.iter().map(|row| row.number.clone().unwrap_or_default()).collect();
    let gapless: Vec<_> = (1..=rows.len()).map(|number| format!("INV-{number:06}")).collect();
    tally.same_list("the numbers of invoices", &numbers, &gapless);
    for row in &rows {
        let id = row.id;
        let intact = store.query(move |tx| is_intact(tx, id)).await?;
        tally.fact(intact, Fault::Broken, || format!("invoice {:?} is not what it was", row.number));
    }
    for (number, hash) in &promises.billed {
        let found = rows.iter().find(|row| row.number.as_ref() == Some(number));
        let is_same = found.is_some_and(|row| row.hash == *hash);
        tally.fact(is_same, Fault::Lost, || format!("invoice {number} is gone, or another one"));
    }
    tally.count("invoices", rows.len() as u64);
    Ok(())
}
