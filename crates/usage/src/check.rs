//! Whether the lines of a period say what its events say, to the last digit.

use std::collections::{BTreeMap, BTreeSet};

use loomwork_store::{Cursor, Id, Page, Result, Row, Tx};

use crate::error::UsageError;
use crate::line::{add_up, lines_of};
use crate::money::Money;
use crate::tables::{EventRow, PeriodRow};
use crate::unit::Unit;

/// How many events one step of a check reads, unless somebody says otherwise.
pub const CHECK_STEP: usize = 500;

/// The events of a period, added up one by one, as far as a check has come. It takes the same memory for ten
/// events as for ten million, and goes on where it stopped.
#[derive(Clone, Debug)]
pub struct Checked {
    period: Id<PeriodRow>,
    revision: u64,
    /// The end of the last full page.
    after: Option<Cursor>,
    /// How many were read of the page behind it.
    read_behind: usize,
    events: u64,
    sums: Sides,
}

/// Sums of what has a price, of what has none, and of money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sides {
    priced: BTreeMap<Unit, i64>,
    unpriced: BTreeMap<Unit, i64>,
    amount: Money,
}

impl Sides {
    fn add(&mut self, is_priced: bool, unit: &Unit, quantity: i64) -> Result<(), UsageError> {
        let side = if is_priced { &mut self.priced } else { &mut self.unpriced };
        let sum = side.entry(unit.clone()).or_default();
        *sum = add_up(*sum, quantity, unit)?;
        if *sum == 0 {
            side.remove(unit);
        }
        Ok(())
    }

    /// Says in what two sides differ.
    fn difference(&self, other: &Self) -> Option<String> {
        let of = |what: &str, own: &BTreeMap<Unit, i64>, others: &BTreeMap<Unit, i64>| {
            let units: BTreeSet<_> = own.keys().chain(others.keys()).collect();
            let differs = units.into_iter().find(|unit| own.get(unit) != others.get(unit));
            let count = |side: &BTreeMap<Unit, i64>, unit| side.get(unit).copied().unwrap_or(0);
            differs.map(|unit| format!("{what} {unit}: {} and {}", count(own, unit), count(others, unit)))
        };
        of("priced", &self.priced, &other.priced)
            .or_else(|| of("unpriced", &self.unpriced, &other.unpriced))
            .or_else(|| {
                let differ = self.amount != other.amount;
                differ.then(|| format!("the amount: {} and {}", self.amount, other.amount))
            })
    }
}

impl Checked {
    /// Begins to check a period.
    ///
    /// # Errors
    /// [`Problem::NotFound`](loomwork_store::Problem::NotFound).
    pub fn begin(tx: &Tx, period: Id<PeriodRow>) -> Result<Self> {
        let revision = tx.require(period)?.revision;
        Ok(Self { period, revision, after: None, read_behind: 0, events: 0, sums: Sides::default() })
    }

    /// Returns how many events were read.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Reads some more events, and says whether these were all. Give it each time what it returned before.
    ///
    /// # Errors
    /// [`UsageError::Overflow`] at the end of what can be counted; when the store cannot be read.
    pub fn step(mut self, tx: &Tx, events: usize) -> Result<(Self, bool)> {
        let size = events.max(1).saturating_add(self.read_behind);
        let of_period = EventRow::by_period.eq(Some(self.period));
        let found = tx.page(of_period, Page { size, after: self.after.clone() })?;
        for row in found.rows.iter().skip(self.read_behind) {
            self.count(row)?;
        }
        let is_all = found.next.is_none();
        self.read_behind = if is_all { found.rows.len() } else { 0 };
        self.after = found.next.or(self.after);
        Ok((self, is_all))
    }

    fn count(&mut self, row: &EventRow) -> Result<(), UsageError> {
        self.events += 1;
        for (unit, quantity) in row.event.quantities.iter() {
            let quantity = i64::try_from(quantity).unwrap_or(i64::MAX) * row.sign();
            self.sums.add(row.charge.is_some(), unit, quantity)?;
        }
        if let Some(charge) = &row.charge {
            self.sums.amount = self.sums.amount.plus(charge.amount)?;
        }
        Ok(())
    }

    /// Reads what has come since, and compares all of it with the lines of the period, as closing it does.
    ///
    /// # Errors
    /// [`UsageError::Mismatch`]; [`UsageError::Stale`] where events were changed since the check began;
    /// [`Problem::NotFound`](loomwork_store::Problem::NotFound).
    pub fn compare(self, tx: &Tx) -> Result<()> {
        let period = tx.require(self.period)?;
        self.agrees(tx, &period)
    }

    /// Reads what has come since, and compares all of it with the lines.
    pub(crate) fn agrees(self, tx: &Tx, period: &Row<PeriodRow>) -> Result<()> {
        if self.revision != period.revision {
            return Err(UsageError::Stale.into());
        }
        let mut checked = self;
        loop {
            let (next, all) = checked.step(tx, CHECK_STEP)?;
            checked = next;
            if all {
                break;
            }
        }
        let mut lines = Sides::default();
        for row in lines_of(tx, period)? {
            for (unit, part) in &row.parts {
                lines.add(row.version.is_some(), unit, part.quantity)?;
                lines.amount = lines.amount.plus(part.amount).map_err(UsageError::from)?;
            }
        }
        match checked.sums.difference(&lines) {
            None => Ok(()),
            Some(what) => {
                let (payer, label) = (period.payer.clone(), period.label.clone());
                Err(UsageError::Mismatch { payer, label, what }.into())
            }
        }
    }
}
