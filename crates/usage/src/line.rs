//! The lines of a period: running sums by model and price, which an invoice shows.

use std::collections::BTreeMap;

use loomwork_store::{Id, Result, Row, Tx};
use serde::{Deserialize, Serialize};

use crate::error::UsageError;
use crate::event::Tier;
use crate::fold::{Group, each_left};
use crate::money::{Money, Rounding};
use crate::tables::{LineRow, Part, PeriodRow};
use crate::unit::Unit;

/// A line of an invoice: how much of one unit was used of one model, at one price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The earlier period that it adjusts, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusts: Option<String>,
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The provider's service.
    pub tier: Tier,
    /// The unit.
    pub unit: Unit,
    /// How much of it; negative where more was taken back than used.
    pub quantity: i64,
    /// The exact price of one; absent where it has none, and is not billed.
    pub price: Option<Money>,
    /// The exact amount.
    pub unrounded: Money,
    /// The amount, rounded to the currency's coin.
    pub amount: Money,
    /// The version of the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Part {
    /// Adds more of the same unit.
    pub(crate) fn add(&mut self, more: &Self, unit: &Unit) -> Result<(), UsageError> {
        self.quantity = add_up(self.quantity, more.quantity, unit)?;
        self.amount = self.amount.plus(more.amount)?;
        Ok(())
    }
}

/// Adds sums to a line, or to what amends it.
pub(crate) fn add_parts(tx: &mut Tx, group: &Group, amends: bool, parts: BTreeMap<Unit, Part>) -> Result<()> {
    let found = tx.first(
        LineRow::by_group
            .eq(group.period)
            .eq(amends)
            .eq(group.adjusts.clone())
            .eq(&group.provider)
            .eq(&group.model)
            .eq(group.tier)
            .eq(group.version.clone()),
    )?;
    let fresh = || LineRow { amends, ..LineRow::of(group) };
    let (id, mut line) = found.map_or_else(|| (None, fresh()), |row| (Some(row.id), row.record));
    line.add(&parts)?;
    match id {
        Some(id) if line.parts.is_empty() => tx.delete(id).map(drop),
        Some(id) => tx.replace(id, line).map(drop),
        None if line.parts.is_empty() => Ok(()),
        None => tx.insert(line).map(drop),
    }
}

impl LineRow {
    fn of(group: &Group) -> Self {
        let Group { period, adjusts, provider, model, tier, version } = group.clone();
        Self { period, amends: false, adjusts, provider, model, tier, version, parts: BTreeMap::new() }
    }

    /// The order of the lines of a period, which is that of their index.
    fn order(&self) -> impl Ord + '_ {
        (&self.adjusts, &self.provider, &self.model, self.tier.as_str(), &self.version)
    }

    fn is_of(&self, group: &Group) -> bool {
        let own = (self.period, &self.adjusts, &self.provider, &self.model, self.tier, &self.version);
        own == (group.period, &group.adjusts, &group.provider, &group.model, group.tier, &group.version)
    }

    fn add<'a>(&mut self, parts: impl IntoIterator<Item = (&'a Unit, &'a Part)>) -> Result<(), UsageError> {
        for (unit, part) in parts {
            let empty = Part { price: part.price, ..Part::default() };
            self.parts.entry(unit.clone()).or_insert(empty).add(part, unit)?;
        }
        self.parts.retain(|_, part| part.quantity != 0);
        Ok(())
    }
}

pub(crate) fn add_up(sum: i64, more: i64, of: &Unit) -> Result<i64, UsageError> {
    sum.checked_add(more).ok_or_else(|| UsageError::Overflow { what: of.to_string() })
}

/// The sums of a period alone; of an open one with what is not folded in yet.
pub(crate) fn lines_of(tx: &Tx, period: &Row<PeriodRow>) -> Result<Vec<LineRow>> {
    let rows = tx.scan(LineRow::by_group.eq(period.id).eq(false))?;
    let mut lines: Vec<_> = rows.into_iter().map(|row| row.record).collect();
    // All was folded into what is closed.
    if !period.closed {
        add_left(tx, period.id, &mut lines)?;
    }
    lines.sort_by(|one, other| one.order().cmp(&other.order()));
    Ok(lines)
}

/// The sums of a period as its usage is now.
fn amended_lines_of(tx: &Tx, period: &Row<PeriodRow>) -> Result<Vec<LineRow>> {
    let mut lines = lines_of(tx, period)?;
    for amendment in tx.scan(LineRow::by_group.eq(period.id).eq(true))? {
        match lines.iter_mut().find(|line| line.order() == amendment.order()) {
            Some(line) => line.add(&amendment.parts)?,
            None => lines.push(amendment.record),
        }
    }
    lines.retain(|line| !line.parts.is_empty());
    lines.sort_by(|one, other| one.order().cmp(&other.order()));
    Ok(lines)
}

fn add_left(tx: &Tx, period: Id<PeriodRow>, lines: &mut Vec<LineRow>) -> Result<()> {
    each_left(tx, |left| {
        let Some(delta) = left.line.as_ref().filter(|line| line.group.period == period) else {
            return Ok(());
        };
        let line = match lines.iter().position(|line| line.is_of(&delta.group)) {
            Some(at) => &mut lines[at],
            None => {
                lines.push(LineRow::of(&delta.group));
                let last = lines.len() - 1;
                &mut lines[last]
            }
        };
        line.add(delta.parts.iter().map(|(unit, part)| (unit, part)))?;
        Ok(())
    })?;
    lines.retain(|line| !line.parts.is_empty());
    Ok(())
}

/// Returns the lines of a period, and of those that are carried into it, as an invoice shows them. Those of
/// an open period change with each event, those of a billed one never.
///
/// # Errors
/// [`Problem::NotFound`](loomwork_store::Problem::NotFound); [`UsageError::Money`] at the end of what can be
/// counted.
pub fn lines(tx: &Tx, period: Id<PeriodRow>, rounding: Rounding) -> Result<Vec<Line>> {
    shown(tx, period, rounding, lines_of)
}

/// As [`lines`], but as the usage is now: with what was taken back or corrected since it was billed. Over all periods
/// of a payer but those that are [carried](PeriodRow::carried_into) whole into another one, they are the sum of its
/// events.
///
/// # Errors
/// As [`lines`].
pub fn amended_lines(tx: &Tx, period: Id<PeriodRow>, rounding: Rounding) -> Result<Vec<Line>> {
    shown(tx, period, rounding, amended_lines_of)
}

fn shown(
    tx: &Tx,
    period: Id<PeriodRow>,
    rounding: Rounding,
    rows_of: fn(&Tx, &Row<PeriodRow>) -> Result<Vec<LineRow>>,
) -> Result<Vec<Line>> {
    let own = tx.require(period)?;
    let decimals = own.currency.decimals();
    let mut rows = rows_of(tx, &own)?;
    // What an abandoned period has of earlier ones is shown where it is carried to, and nothing else of it is.
    rows.retain(|row| !own.abandoned || row.adjusts.is_none());
    let mut lines = of_rows(&rows, None, decimals, rounding)?;
    for carried in tx.scan(PeriodRow::carried.eq(Some(period)))? {
        let mut rows = rows_of(tx, &carried)?;
        rows.retain(|row| !carried.abandoned || row.adjusts.is_some());
        lines.extend(of_rows(&rows, Some(&carried.label), decimals, rounding)?);
    }
    Ok(lines)
}

fn of_rows(
    rows: &[LineRow],
    carried: Option<&str>,
    decimals: u32,
    rounding: Rounding,
) -> Result<Vec<Line>, UsageError> {
    let parts = rows.iter().flat_map(|row| row.parts.iter().map(move |(unit, part)| (row, unit, part)));
    let line = |(row, unit, part): (&LineRow, &Unit, &Part)| {
        Ok(Line {
            adjusts: row.adjusts.as_deref().or(carried).map(str::to_owned),
            provider: row.provider.clone(),
            model: row.model.clone(),
            tier: row.tier,
            unit: unit.clone(),
            quantity: part.quantity,
            price: row.version.as_ref().map(|_| part.price),
            unrounded: part.amount,
            amount: part.amount.rounded(decimals, rounding)?,
            version: row.version.clone(),
        })
    };
    parts.map(line).collect()
}
