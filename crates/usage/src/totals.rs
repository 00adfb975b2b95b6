//! Live totals: what a user, a model or a team has used in a month, in an hour, or ever.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use loomwork_core::Time;
use loomwork_store::{Result, Span, Tx};

use crate::calendar::Calendar;
use crate::error::UsageError;
use crate::event::Level;
use crate::fold::each_left;
use crate::line::add_up;
use crate::money::{Money, MoneyError};
use crate::tables::{Dimension, EventRow, Grain, Sums, TotalRow};

const HOUR_MS: i64 = 60 * 60 * 1000;

impl Dimension {
    /// The spans that totals are kept for. Threads and runs are many, and asked about as a whole; what a thread
    /// has ever used are its few months.
    pub(crate) fn grains(self) -> &'static [Grain] {
        match self {
            Self::Run => &[Grain::Ever],
            Self::Thread => &[Grain::Month],
            _ => &[Grain::Hour, Grain::Month],
        }
    }

    pub(crate) const fn of_level(level: Level) -> Self {
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

/// Returns what a name has used in the month of UTC that a moment is in.
///
/// # Errors
/// When the store cannot be read; [`UsageError::Overflow`] at the end of what can be counted;
/// [`UsageError::Behind`] where no upkeep runs.
pub fn month_total(tx: &Tx, dimension: Dimension, name: &str, at: Time) -> Result<Sums> {
    let month = month_of(at)?;
    let mut sums = stored(tx, dimension, name, Grain::Month, month)?;
    add_left(tx, &mut sums, dimension, name, |at| Ok(month_of(at)? == month))?;
    Ok(sums)
}

/// As [`month_total`], but without what waits to be folded in, which is what came in the last
/// [`FOLD_PAUSE`](crate::FOLD_PAUSE) while the upkeep runs. For many who watch: it runs again when that total is
/// written, and not at each event of anybody.
///
/// # Errors
/// As [`month_total`].
pub fn month_total_folded(tx: &Tx, dimension: Dimension, name: &str, at: Time) -> Result<Sums> {
    stored(tx, dimension, name, Grain::Month, month_of(at)?)
}

/// Returns what a thread or a run has ever used; of other dimensions nothing is kept for so long.
///
/// # Errors
/// As [`month_total`].
pub fn ever_total(tx: &Tx, dimension: Dimension, name: &str) -> Result<Sums> {
    let mut sums = Sums::default();
    if let Some(grain) = match dimension {
        Dimension::Thread => Some(Grain::Month),
        Dimension::Run => Some(Grain::Ever),
        _ => None,
    } {
        add_stored(tx, &mut sums, TotalRow::by_span.eq(dimension).eq(name).eq(grain))?;
        add_left(tx, &mut sums, dimension, name, |_| Ok(true))?;
    }
    Ok(sums)
}

/// Returns what a name has used from one hour up to, and without, another: a day in a zone with whole hours is 24
/// rows. Threads and runs have no hours.
///
/// # Errors
/// As [`month_total`]; [`UsageError::NotWholeHour`] for a bound within an hour of UTC, as midnight in Kolkata is.
pub fn hours_total(tx: &Tx, dimension: Dimension, name: &str, from: Time, until: Time) -> Result<Sums> {
    if let Some(at) = [from, until].into_iter().find(|at| hour_of(*at) != *at) {
        return Err(UsageError::NotWholeHour { at }.into());
    }
    let mut sums = Sums::default();
    let rows = TotalRow::by_span.eq(dimension).eq(name).eq(Grain::Hour).ge(from).lt(until);
    add_stored(tx, &mut sums, rows)?;
    if dimension.grains().contains(&Grain::Hour) {
        add_left(tx, &mut sums, dimension, name, |at| Ok((from..until).contains(&at)))?;
    }
    Ok(sums)
}

fn stored(tx: &Tx, dimension: Dimension, name: &str, grain: Grain, start: Time) -> Result<Sums> {
    let mut sums = Sums::default();
    add_stored(tx, &mut sums, TotalRow::by_span.eq(dimension).eq(name).eq(grain).eq(start))?;
    Ok(sums)
}

fn add_stored<K>(tx: &Tx, sums: &mut Sums, rows: Span<TotalRow, K>) -> Result<()> {
    tx.each(rows, |row| {
        if row.overflowed {
            let what = format!("{:?} {:?} from {}", row.dimension, row.name, row.start);
            return Err(UsageError::Overflow { what }.into());
        }
        sums.add(&row.sums)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Adds what is not folded in yet.
fn add_left(
    tx: &Tx,
    sums: &mut Sums,
    dimension: Dimension,
    name: &str,
    counts: impl Fn(Time) -> Result<bool>,
) -> Result<()> {
    each_left(tx, |row| {
        let concerns = row.names.iter().any(|(of, named)| *of == dimension && named == name);
        if concerns && counts(row.at)? {
            sums.add(&row.sums)?;
        }
        Ok(())
    })
}

/// Adds sums to a total; one that overflows says so to its readers from then on.
pub(crate) fn add_total(
    tx: &mut Tx,
    (dimension, name, grain, start): (Dimension, &str, Grain, Time),
    sums: Result<Sums, UsageError>,
) -> Result<()> {
    let found = tx.first(TotalRow::by_span.eq(dimension).eq(name).eq(grain).eq(start))?;
    let fresh = || TotalRow {
        dimension,
        name: name.to_owned(),
        grain,
        start,
        sums: Sums::default(),
        overflowed: false,
    };
    let (id, mut total) = found.map_or_else(|| (None, fresh()), |row| (Some(row.id), row.record));
    let mut sum = total.sums.clone();
    match sums.and_then(|sums| sum.add(&sums)) {
        Ok(()) => total.sums = sum,
        Err(error) => {
            tracing::error!(?dimension, name, %start, %error, "a total overflows");
            total.overflowed = true;
        }
    }
    match id {
        Some(id) => tx.replace(id, total).map(drop),
        None => tx.insert(total).map(drop),
    }
}

pub(crate) fn start_of(grain: Grain, at: Time) -> Result<Time> {
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
