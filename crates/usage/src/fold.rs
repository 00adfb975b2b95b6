//! What events add to totals and lines: each leaves one small row, and the upkeep folds many of them in at once.
//!
//! So a busy name's total and a busy payer's line are written once for hundreds of events, and two events never
//! wait for each other. Whoever reads a total or a line adds what is left, so both agree with the events at
//! every moment.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loomwork_core::{Kind, Time};
use loomwork_store::{Error, Id, Next, Old, Result, Table, Tx, Upkeep};
use serde::{Deserialize, Serialize};

use crate::amend;
use crate::error::UsageError;
use crate::event::{Billing, Event, Tier};
use crate::line::add_parts;
use crate::tables::{Dimension, EventRow, Grain, Part, PeriodRow, Sums};
use crate::totals::{add_total, start_of};
use crate::unit::Unit;

/// How many events are folded in at once.
pub const FOLD_STEP: usize = 2_000;

/// How long the upkeep rests between two folds, so that events gather.
pub const FOLD_PAUSE: Duration = Duration::from_millis(200);

/// The most events that may wait to be folded in while totals are read. Only a program that does not run the
/// [upkeep](crate::upkeep()) gets there.
pub const MAX_WAITING: usize = 100_000;

/// What an event, or a change of one, adds to totals and to a line, until it is folded in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_deltas", id = "usagedelta", codec = compact, version = 2, upgrade = upgrade)]
pub(crate) struct DeltaRow {
    pub(crate) at: Time,
    /// By whom, of what; none for what is in no total.
    pub(crate) names: Vec<(Dimension, String)>,
    pub(crate) sums: Sums,
    pub(crate) line: Option<LineDelta>,
}

/// What a line is the sum of: usage of one model at one version of its price, in one period.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) period: Id<PeriodRow>,
    pub(crate) adjusts: Option<String>,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) tier: Tier,
    /// None for what has no price yet.
    pub(crate) version: Option<String>,
}

/// What is added to a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineDelta {
    pub(crate) group: Group,
    pub(crate) parts: Vec<(Unit, Part)>,
}

/// Before version 2, lines were written with their events.
fn upgrade(_: u32, old: Old<'_>) -> Result<DeltaRow> {
    let (at, names, sums) = old.decode()?;
    Ok(DeltaRow { at, names, sums, line: None })
}

/// Leaves what an event adds, or takes away with a `sign` of −1. What is in a closed period is entered at once, since
/// nothing is folded into that any more.
pub(crate) fn leave(tx: &mut Tx, row: &EventRow, sign: i64, is_open: bool) -> Result<()> {
    let names = names_of(&row.event);
    let line = match line_of(row, sign)? {
        Some(line) if !is_open => amend::enter(tx, line)?,
        line => line,
    };
    if names.is_empty() && line.is_none() {
        return Ok(());
    }
    tx.insert(DeltaRow { at: row.event.at, names, sums: Sums::of(row, sign), line }).map(drop)
}

fn names_of(event: &Event) -> Vec<(Dimension, String)> {
    if event.billing == Billing::Test {
        return Vec::new();
    }
    let payer = event.payer.clone().unwrap_or_default();
    let mut names = vec![(Dimension::All, String::new()), (Dimension::Payer, payer)];
    names.extend(event.scope.iter().map(|(level, name)| (Dimension::of_level(level), name.to_owned())));
    let named = [(Dimension::Provider, &event.provider), (Dimension::Model, &event.model)];
    let named = named.into_iter().filter(|(_, name)| !name.is_empty());
    names.extend(named.map(|(dimension, name)| (dimension, name.clone())));
    names.extend(event.tool.iter().map(|tool| (Dimension::Tool, tool.clone())));
    names
}

fn line_of(row: &EventRow, sign: i64) -> Result<Option<LineDelta>> {
    let Some(period) = row.period else { return Ok(None) };
    let event = &row.event;
    let part = |(unit, quantity): (&Unit, u64)| {
        let price = row.charge.as_ref().and_then(|charge| charge.prices.get(unit)).copied();
        let price = price.unwrap_or_default();
        // A quantity is far below the limit of signed numbers, since recording checks it.
        let quantity = i64::try_from(quantity).unwrap_or(i64::MAX) * sign * row.sign();
        let amount = price.times(quantity).map_err(UsageError::from)?;
        Ok((unit.clone(), Part { quantity, price, amount }))
    };
    let parts = event.quantities.iter().map(part).collect::<Result<Vec<_>>>()?;
    let group = Group {
        period,
        adjusts: row.adjusts.clone(),
        provider: event.provider.clone(),
        model: event.model.clone(),
        tier: event.tier,
        version: row.charge.as_ref().map(|charge| charge.version.clone()),
    };
    Ok((!parts.is_empty()).then_some(LineDelta { group, parts }))
}

/// Shows what is not folded in yet.
///
/// # Errors
/// [`UsageError::Behind`] where that is more than [`MAX_WAITING`] rows.
pub(crate) fn each_left(tx: &Tx, mut visit: impl FnMut(&DeltaRow) -> Result<()>) -> Result<()> {
    let mut seen = 0;
    tx.each(DeltaRow::all().readable(), |row| {
        seen += 1;
        if seen > MAX_WAITING {
            return Err(UsageError::Behind.into());
        }
        visit(&row)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Returns how many events, and changes of events, wait to be folded in; each reader adds them up until then.
///
/// # Errors
/// When the store cannot be read.
pub fn waiting_for_totals(tx: &Tx) -> Result<usize> {
    tx.count(DeltaRow::all())
}

/// Folds in what is left, again and again.
pub(crate) fn upkeep() -> Upkeep {
    let is_tired = AtomicBool::new(false);
    Upkeep::new("usage totals", move |tx| {
        // At rest nothing is read, so no commit wakes it before the time.
        if is_tired.swap(false, Ordering::Relaxed) {
            return Ok(Next::At(tx.now() + FOLD_PAUSE));
        }
        let folded = fold(tx)?;
        is_tired.store((1..FOLD_STEP).contains(&folded), Ordering::Relaxed);
        Ok(if folded == 0 { Next::Idle } else { Next::More })
    })
}

/// Folds all in, for whoever has to have it in this transaction.
pub(crate) fn fold_all(tx: &mut Tx) -> Result<()> {
    while fold(tx)? == FOLD_STEP {}
    Ok(())
}

/// Folds in some of what is left, and says how much that was.
pub(crate) fn fold(tx: &mut Tx) -> Result<usize> {
    let left = tx.scan(DeltaRow::all().readable().take(FOLD_STEP))?;
    let mut totals: BTreeMap<(Dimension, &str, Grain, Time), Result<Sums, UsageError>> = BTreeMap::new();
    let mut lines: BTreeMap<&Group, Result<BTreeMap<Unit, Part>, UsageError>> = BTreeMap::new();
    for row in &left {
        for (dimension, name) in &row.names {
            for grain in dimension.grains() {
                let Ok(start) = start_of(*grain, row.at) else {
                    tracing::error!(at = %row.at, ?dimension, name, "no span of totals can be found, and one is left out");
                    continue;
                };
                let sums =
                    totals.entry((*dimension, name, *grain, start)).or_insert_with(|| Ok(Sums::default()));
                merge(sums, |sums| sums.add(&row.sums));
            }
        }
        if let Some(line) = &row.line {
            let parts = lines.entry(&line.group).or_insert_with(|| Ok(BTreeMap::new()));
            merge(parts, |parts| add_all(parts, &line.parts));
        }
    }
    for ((dimension, name, grain, start), sums) in totals {
        let what = || format!("the total of {dimension:?} {name:?} from {start}");
        set_aside(tx, what, |tx| add_total(tx, (dimension, name, grain, start), sums))?;
    }
    for (group, parts) in lines {
        let what = || format!("a line of {} for {:?}", group.period, group.model);
        set_aside(tx, what, |tx| add_parts(tx, group, false, parts?))?;
    }
    for row in &left {
        tx.delete(row.id)?;
    }
    Ok(left.len())
}

fn merge<T>(sum: &mut Result<T, UsageError>, add: impl FnOnce(&mut T) -> Result<(), UsageError>) {
    if let Ok(so_far) = sum
        && let Err(error) = add(so_far)
    {
        *sum = Err(error);
    }
}

fn add_all(parts: &mut BTreeMap<Unit, Part>, more: &[(Unit, Part)]) -> Result<(), UsageError> {
    for (unit, part) in more {
        match parts.entry(unit.clone()) {
            Entry::Vacant(empty) => drop(empty.insert(*part)),
            Entry::Occupied(mut sum) => sum.get_mut().add(part, unit)?,
        }
    }
    Ok(())
}

/// Lets what cannot be added up concern its own name only. Whoever reads that total, or bills that line, is told.
fn set_aside(
    tx: &mut Tx,
    what: impl FnOnce() -> String,
    add: impl FnOnce(&mut Tx) -> Result<()>,
) -> Result<()> {
    let is_lasting = |error: &Error| !matches!(error.kind(), Kind::Unavailable | Kind::Conflict);
    match tx.nested(add) {
        Err(error) if is_lasting(&error) => {
            tracing::error!(what = what(), %error, "usage cannot be added up, and is left out there");
            Ok(())
        }
        went => went,
    }
}
