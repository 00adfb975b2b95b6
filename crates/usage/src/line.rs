//! The lines of a period: running sums by model and price, which an invoice shows.

use std::collections::BTreeMap;

use loomwork_store::{Id, Result, Row, Tx};
use serde::{Deserialize, Serialize};

use crate::error::UsageError;
use crate::event::Tier;
use crate::money::{Money, Rounding};
use crate::tables::{EventRow, LineRow, Part, PeriodRow};
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

/// Adds an event to the lines of its period, or takes it out again with a `sign` of −1.
pub(crate) fn add(tx: &mut Tx, event: &EventRow, sign: i64) -> Result<()> {
    let Some(period) = event.period else { return Ok(()) };
    let of = &event.event;
    let version = event.charge.as_ref().map(|charge| charge.version.clone());
    let found = tx.first(
        LineRow::by_group
            .eq(period)
            .eq(event.adjusts.clone())
            .eq(&of.provider)
            .eq(&of.model)
            .eq(of.tier)
            .eq(version.clone()),
    )?;
    let (id, mut line) = match found {
        Some(row) => (Some(row.id), row.record),
        None => {
            let line = LineRow {
                period,
                adjusts: event.adjusts.clone(),
                provider: of.provider.clone(),
                model: of.model.clone(),
                tier: of.tier,
                version,
                parts: BTreeMap::new(),
            };
            (None, line)
        }
    };
    for (unit, quantity) in of.quantities.iter() {
        let price = event.charge.as_ref().and_then(|charge| charge.prices.get(unit)).copied();
        let price = price.unwrap_or_default();
        // A quantity is far below the limit of signed numbers, since recording checks it.
        let quantity = i64::try_from(quantity).unwrap_or(i64::MAX) * sign * event.sign();
        let part = line.parts.entry(unit.clone()).or_insert(Part { price, ..Part::default() });
        part.quantity = add_up(part.quantity, quantity, unit)?;
        part.amount =
            part.amount.plus(price.times(quantity).map_err(UsageError::from)?).map_err(UsageError::from)?;
    }
    line.parts.retain(|_, part| part.quantity != 0);
    match id {
        Some(id) if line.parts.is_empty() => tx.delete(id).map(drop),
        Some(id) => tx.replace(id, line).map(drop),
        None if line.parts.is_empty() => Ok(()),
        None => tx.insert(line).map(drop),
    }
}

pub(crate) fn add_up(sum: i64, more: i64, of: &Unit) -> Result<i64, UsageError> {
    sum.checked_add(more).ok_or_else(|| UsageError::Overflow { what: of.to_string() })
}

/// The running sums of a period alone.
pub(crate) fn rows_of(tx: &Tx, period: Id<PeriodRow>) -> Result<Vec<Row<LineRow>>> {
    tx.scan(LineRow::by_group.eq(period))
}

/// Returns the lines of a period, and of those that are carried into it, as an invoice shows them. Those of
/// an open period change with each event.
///
/// # Errors
/// [`Problem::NotFound`](loomwork_store::Problem::NotFound); [`UsageError::Money`] at the end of what can be
/// counted.
pub fn lines(tx: &Tx, period: Id<PeriodRow>, rounding: Rounding) -> Result<Vec<Line>> {
    let own = tx.require(period)?;
    let decimals = own.currency.decimals();
    let mut lines = of_rows(&rows_of(tx, period)?, None, decimals, rounding)?;
    for carried in tx.scan(PeriodRow::carried.eq(Some(period)))? {
        lines.extend(of_rows(&rows_of(tx, carried.id)?, Some(&carried.label), decimals, rounding)?);
    }
    Ok(lines)
}

fn of_rows(
    rows: &[Row<LineRow>],
    carried: Option<&str>,
    decimals: u32,
    rounding: Rounding,
) -> Result<Vec<Line>, UsageError> {
    let parts = rows.iter().flat_map(|row| row.parts.iter().map(move |(unit, part)| (row, unit, part)));
    let line = |(row, unit, part): (&Row<LineRow>, &Unit, &Part)| {
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
