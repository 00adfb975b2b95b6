//! Live totals: what a user, a model or a team has used in a month, in an hour, or ever.
//!
//! Recording leaves a row with what is to be added, and the upkeep adds up many of them at once; a reader
//! adds what is left. So totals agree with the events at every moment, and a busy name's row is written
//! once for hundreds of events.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use loomwork_core::Time;
use loomwork_store::{Next, Result, Table as _, Tx, Upkeep};

use crate::calendar::Calendar;
use crate::error::UsageError;
use crate::event::{Billing, Level};
use crate::line::add_up;
use crate::money::{Money, MoneyError};
use crate::tables::{DeltaRow, Dimension, EventRow, Grain, Sums, TotalRow};

/// How many events are added to totals in one step of the upkeep.
pub const TOTALS_STEP: usize = 500;

const HOUR_MS: i64 = 60 * 60 * 1000;

impl Dimension {
    /// The spans that totals are kept for. Threads and runs are many, and asked about as a whole.
    fn grains(self) -> &'static [Grain] {
        match self {
            Self::Run => &[Grain::Ever],
            Self::Thread => &[Grain::Month, Grain::Ever],
            _ => &[Grain::Hour, Grain::Month],
        }
    }

    const fn of_level(level: Level) -> Self {
        match level {
            Level::Org => Self::Org,
            Level::Team => Self::Team,
            Level::Project => Self::Project,
            Level::User => Self::User,
            Level::Key => Self::Key,
            Level::Agent => Self::Agent,
            Level::Thread => Self::Thread,
            Level::Run => Self::Run,
        }
    }
}

impl Sums {
    /// Adds other sums to these.
    ///
    /// # Errors
    /// [`UsageError::Overflow`] and [`UsageError::Money`], with a part of it added.
    pub fn add(&mut self, other: &Self) -> Result<(), UsageError> {
        let overflow = |what: &str| UsageError::Overflow { what: what.to_owned() };
        self.events = self.events.checked_add(other.events).ok_or_else(|| overflow("events"))?;
        self.unpriced = self.unpriced.checked_add(other.unpriced).ok_or_else(|| overflow("events"))?;
        for (unit, quantity) in &other.quantities {
            let sum = self.quantities.entry(unit.clone()).or_default();
            *sum = add_up(*sum, *quantity, unit)?;
        }
        for (own, others) in [(&mut self.cost, &other.cost), (&mut self.charge, &other.charge)] {
            for (currency, amount) in others {
                let sum = own.entry(*currency).or_default();
                *sum = sum.plus(*amount)?;
            }
        }
        self.quantities.retain(|_, quantity| *quantity != 0);
        self.cost.retain(|_, amount| !amount.is_zero());
        self.charge.retain(|_, amount| !amount.is_zero());
        Ok(())
    }

    /// Returns all tokens.
    pub fn tokens(&self) -> i64 {
        let tokens = self.quantities.iter().filter(|(unit, _)| unit.is_tokens());
        tokens.fold(0, |sum, (_, quantity)| sum.saturating_add(*quantity))
    }

    /// Returns what is earned in a currency: what the payers are charged, less what the providers charge.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn margin(&self, currency: crate::Currency) -> Result<Money, MoneyError> {
        let of = |amounts: &BTreeMap<_, Money>| amounts.get(&currency).copied().unwrap_or_default();
        of(&self.charge).minus(of(&self.cost))
    }

    /// What an event counts.
    pub(crate) fn of(row: &EventRow, sign: i64) -> Self {
        // The amounts of an event that takes another one back are negative already; its quantities are not.
        let amounts = |rated: &Option<crate::Rated>| {
            let signed = |amount: Money| if sign < 0 { amount.negated() } else { amount };
            rated.iter().map(|rated| (rated.currency, signed(rated.amount))).collect()
        };
        let (cost, charge) = (amounts(&row.cost), amounts(&row.charge));
        let sign = sign * row.sign();
        let quantities = row.event.quantities.iter();
        Self {
            events: sign,
            quantities: quantities
                .map(|(unit, q)| (unit.clone(), i64::try_from(q).unwrap_or(i64::MAX) * sign))
                .collect(),
            cost,
            charge,
            unpriced: if row.unpriced { sign } else { 0 },
        }
    }
}

/// Leaves what an event adds to totals, or takes away with a `sign` of −1.
pub(crate) fn leave(tx: &mut Tx, row: &EventRow, sign: i64) -> Result<()> {
    let event = &row.event;
    if event.billing == Billing::Test {
        return Ok(());
    }
    let payer = event.payer.clone().unwrap_or_default();
    let mut dimensions = vec![(Dimension::All, String::new()), (Dimension::Payer, payer)];
    let levels = event.scope.iter().map(|(level, name)| (Dimension::of_level(level), name.to_owned()));
    dimensions.extend(levels);
    let named = [(Dimension::Provider, &event.provider), (Dimension::Model, &event.model)];
    let named = named.into_iter().filter(|(_, name)| !name.is_empty());
    dimensions.extend(named.map(|(dimension, name)| (dimension, name.clone())));
    dimensions.extend(event.tool.iter().map(|tool| (Dimension::Tool, tool.clone())));
    tx.insert(DeltaRow { at: event.at, dimensions, sums: Sums::of(row, sign) }).map(drop)
}

/// Returns what a name has used in the month of UTC that a moment is in.
///
/// # Errors
/// When the store cannot be read; [`UsageError::Overflow`] at the end of what can be counted.
pub fn month_total(tx: &Tx, dimension: Dimension, name: &str, at: Time) -> Result<Sums> {
    let month = month_of(at)?;
    stored_and_left(tx, dimension, name, Grain::Month, month, |at| Ok(month_of(at)? == month))
}

/// Returns what a thread or a run has ever used; of other dimensions nothing is kept for so long.
///
/// # Errors
/// As [`month_total`].
pub fn ever_total(tx: &Tx, dimension: Dimension, name: &str) -> Result<Sums> {
    stored_and_left(tx, dimension, name, Grain::Ever, Time::EPOCH, |_| Ok(true))
}

/// Returns what a name has used from the hour that one moment is in up to, and without, the hour that another
/// is in: a day in any zone with whole hours is 24 rows. Threads and runs have no hours.
///
/// # Errors
/// As [`month_total`].
pub fn hours_total(tx: &Tx, dimension: Dimension, name: &str, from: Time, until: Time) -> Result<Sums> {
    let (from, until) = (hour_of(from), hour_of(until));
    let mut sums = Sums::default();
    let rows = TotalRow::by_span.eq(dimension).eq(name).eq(Grain::Hour).ge(from).lt(until);
    tx.each(rows, |row| {
        sums.add(&row.sums)?;
        Ok(ControlFlow::Continue(()))
    })?;
    add_left(tx, &mut sums, dimension, name, |at| Ok((from..until).contains(&at)))?;
    Ok(sums)
}

fn stored_and_left(
    tx: &Tx,
    dimension: Dimension,
    name: &str,
    grain: Grain,
    start: Time,
    counts: impl Fn(Time) -> Result<bool>,
) -> Result<Sums> {
    let row = tx.first(TotalRow::by_span.eq(dimension).eq(name).eq(grain).eq(start))?;
    let mut sums = row.map(|row| row.record.sums).unwrap_or_default();
    add_left(tx, &mut sums, dimension, name, counts)?;
    Ok(sums)
}

/// Adds what the upkeep has not added yet.
fn add_left(
    tx: &Tx,
    sums: &mut Sums,
    dimension: Dimension,
    name: &str,
    counts: impl Fn(Time) -> Result<bool>,
) -> Result<()> {
    tx.each(DeltaRow::all(), |row| {
        let concerns = row.dimensions.iter().any(|(of, named)| *of == dimension && named == name);
        if concerns && counts(row.at)? {
            sums.add(&row.sums)?;
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Returns how many events wait for the upkeep, and are added up by each reader until then.
///
/// # Errors
/// When the store cannot be read.
pub fn waiting_for_totals(tx: &Tx) -> Result<usize> {
    tx.count(DeltaRow::all())
}

/// Adds what recording has left to the totals, some hundred events in a step.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("usage totals", add_step)
}

fn add_step(tx: &mut Tx) -> Result<Next> {
    let left = tx.scan(DeltaRow::all().take(TOTALS_STEP))?;
    let mut added: BTreeMap<_, Sums> = BTreeMap::new();
    for row in &left {
        for (dimension, name) in &row.dimensions {
            for grain in dimension.grains() {
                let start = start_of(*grain, row.at)?;
                added.entry((*dimension, name, *grain, start)).or_default().add(&row.sums)?;
            }
        }
    }
    for ((dimension, name, grain, start), sums) in added {
        match tx.first(TotalRow::by_span.eq(dimension).eq(name).eq(grain).eq(start))? {
            Some(row) => {
                let mut total = row.record;
                total.sums.add(&sums)?;
                tx.replace(row.id, total)?;
            }
            None => {
                tx.insert(TotalRow { dimension, name: name.clone(), grain, start, sums })?;
            }
        }
    }
    let is_full = left.len() == TOTALS_STEP;
    for row in left {
        tx.delete(row.id)?;
    }
    Ok(if is_full { Next::More } else { Next::Idle })
}

fn start_of(grain: Grain, at: Time) -> Result<Time> {
    Ok(match grain {
        Grain::Hour => hour_of(at),
        Grain::Month => month_of(at)?,
        Grain::Ever => Time::EPOCH,
    })
}

fn hour_of(at: Time) -> Time {
    Time::from_millis(at.millis().saturating_sub(at.millis().rem_euclid(HOUR_MS)))
}

fn month_of(at: Time) -> Result<Time> {
    Ok(Calendar::MONTHS.period_of(at).map_err(UsageError::from)?.start)
}
