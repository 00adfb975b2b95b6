//! Budgets and quotas: how much money, or how many units, a name on a level may use in a period.

use std::fmt;

use loomwork_core::Time;
use loomwork_rate_limiter::held;
use loomwork_store::{Id, Page, Paged, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::book::{COST_BOOK, find_book};
use crate::calendar::{Calendar, Period};
use crate::currency::Currency;
use crate::error::UsageError;
use crate::event::{Billing, Event, Level, MAX_NAME_BYTES, fits};
use crate::money::Money;
use crate::tables::EventRow;
use crate::unit::Unit;

/// The most thresholds of a budget.
pub const MAX_THRESHOLDS: usize = 10;

/// The parts of a currency's unit that are put on hold, as a number of decimals: billionths. Estimates are
/// rounded up to them.
pub(crate) const HELD_DECIMALS: u32 = 9;

/// What a budget counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// What the providers charge, in a currency.
    Cost(Currency),
    /// What the payer is charged, in a currency.
    Charge(Currency),
    /// Tokens of all kinds.
    Tokens,
    /// One unit.
    Units(Unit),
    /// Events: calls of a model, and whatever else is recorded.
    Calls,
}

/// Says it behind an amount, as in "5 USD of cost".
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cost(currency) => write!(f, "{currency} of cost"),
            Self::Charge(currency) => write!(f, "{currency} of charges"),
            Self::Tokens => f.write_str("tokens"),
            Self::Units(unit) => unit.fmt(f),
            Self::Calls => f.write_str("calls"),
        }
    }
}

/// How much of what a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// Money, of a budget's currency.
    Money(Money),
    /// Units.
    Units(i64),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Money(money) => money.fmt(f),
            Self::Units(units) => units.fmt(f),
        }
    }
}

impl Amount {
    /// The amount in its smallest parts, so that all arithmetic is one.
    pub(crate) fn parts(self) -> i128 {
        match self {
            Self::Money(money) => money.parts(),
            Self::Units(units) => i128::from(units),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Result<Self, UsageError> {
        let overflow = || UsageError::Overflow { what: "a budget".to_owned() };
        Ok(match (self, other) {
            (Self::Money(one), Self::Money(other)) => Self::Money(one.plus(other)?),
            (Self::Units(one), Self::Units(other)) => {
                Self::Units(one.checked_add(other).ok_or_else(overflow)?)
            }
            _ => return Err(overflow()),
        })
    }
}

/// How much a name on a level may use in each period. A quota is a budget of units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_budgets", id = "budget")]
#[index(unique by_name(name))]
#[index(by_owner(level, owner))]
pub struct Budget {
    /// Its name, by which it is changed.
    pub name: String,
    /// The level.
    pub level: Level,
    /// Whose budget it is, on that level.
    pub owner: String,
    /// What it counts.
    pub measure: Measure,
    /// How much may be used in a period.
    pub limit: Amount,
    /// Whether it refuses what goes beyond it; a soft one only tells.
    pub hard: bool,
    /// When it begins anew; never if absent, as for the calls of one run.
    pub calendar: Option<Calendar>,
    /// The percentages of the limit that are [told of](notices), once in each period.
    pub thresholds: Vec<u32>,
    /// More that may be used until a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Raise>,
}

/// A limit that is higher for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// By how much.
    pub by: Amount,
    /// Until when, exclusively.
    pub until: Time,
}

impl Budget {
    /// A hard budget of what the providers charge in each month of UTC, told of at 50, 80 and 100 per cent.
    pub fn money(name: &str, level: Level, owner: &str, currency: Currency, limit: Money) -> Self {
        Self::new(name, level, owner, Measure::Cost(currency), Amount::Money(limit))
    }

    /// A hard quota in each month of UTC, told of at 50, 80 and 100 per cent.
    pub fn units(name: &str, level: Level, owner: &str, of: Measure, limit: i64) -> Self {
        Self::new(name, level, owner, of, Amount::Units(limit))
    }

    fn new(name: &str, level: Level, owner: &str, measure: Measure, limit: Amount) -> Self {
        Self {
            name: name.to_owned(),
            level,
            owner: owner.to_owned(),
            measure,
            limit,
            hard: true,
            calendar: Some(Calendar::MONTHS),
            thresholds: vec![50, 80, 100],
            raised: None,
        }
    }

    /// Returns it as one that only tells.
    #[must_use]
    pub fn soft(mut self) -> Self {
        self.hard = false;
        self
    }

    /// Returns it with other periods, or with none.
    #[must_use]
    pub fn renewed(mut self, calendar: Option<Calendar>) -> Self {
        self.calendar = calendar;
        self
    }

    fn check(&self) -> Result<(), UsageError> {
        fits("name of a budget", &self.name, 1, MAX_NAME_BYTES)?;
        fits(self.level.as_str(), &self.owner, 1, MAX_NAME_BYTES)?;
        let bad = |why: &str| Err(UsageError::BadBudget { name: self.name.clone(), why: why.to_owned() });
        let counts_money = matches!(self.measure, Measure::Cost(_) | Measure::Charge(_));
        let is_money = |amount: Amount| matches!(amount, Amount::Money(_));
        let amounts = [Some(self.limit), self.raised.map(|raised| raised.by)];
        for amount in amounts.into_iter().flatten() {
            if is_money(amount) != counts_money {
                return bad("its limit is money where it counts units, or the other way; give both alike");
            }
            if amount.parts() < 0 {
                return bad("its limit is negative; zero allows nothing");
            }
        }
        if let Measure::Units(unit) = &self.measure {
            unit.check()?;
        }
        if self.thresholds.len() > MAX_THRESHOLDS || self.thresholds.contains(&0) {
            return bad("it has at most 10 thresholds, each above 0 per cent");
        }
        self.calendar.map_or(Ok(()), |calendar| Ok(calendar.validate()?))
    }

    pub(crate) fn limit_at(&self, at: Time) -> Result<Amount, UsageError> {
        let raised = self.raised.filter(|raised| at < raised.until);
        raised.map_or(Ok(self.limit), |raised| self.limit.plus(raised.by))
    }

    fn period_at(&self, at: Time) -> Result<Option<Period>, UsageError> {
        Ok(self.calendar.map(|calendar| calendar.period_of(at)).transpose()?)
    }

    fn nothing(&self) -> Amount {
        match self.limit {
            Amount::Money(_) => Amount::Money(Money::ZERO),
            Amount::Units(_) => Amount::Units(0),
        }
    }

    /// What an event uses of it, negative for one that is taken back.
    pub(crate) fn use_of(&self, row: &EventRow) -> Amount {
        let sign = row.sign();
        let signed = |quantity: u64| Amount::Units(i64::try_from(quantity).unwrap_or(i64::MAX) * sign);
        let money = |rated: &Option<crate::Rated>, currency: &Currency| {
            let rated = rated.as_ref().filter(|rated| rated.currency == *currency);
            Amount::Money(rated.map_or(Money::ZERO, |rated| rated.amount))
        };
        match &self.measure {
            Measure::Cost(currency) => money(&row.cost, currency),
            Measure::Charge(currency) => money(&row.charge, currency),
            Measure::Tokens => signed(row.event.quantities.tokens()),
            Measure::Units(unit) => signed(row.event.quantities.of(unit)),
            Measure::Calls => signed(1),
        }
    }
}

/// What was used of a budget in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_spent", id = "spent")]
#[index(unique by_period(budget, start))]
pub(crate) struct SpentRow {
    budget: Id<Budget>,
    start: Time,
    spent: Amount,
    /// The highest threshold that was told of, or had been reached when the limit became what it is.
    told: u32,
    /// The limit that this is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<Amount>,
}

/// A threshold that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_notices", id = "notice", feed)]
pub struct NoticeRow {
    /// The budget's name.
    pub budget: String,
    /// The level.
    pub level: Level,
    /// Whose budget it is.
    pub owner: String,
    /// The threshold, in per cent.
    pub percent: u32,
    /// What was used when it was reached.
    pub spent: Amount,
    /// The limit.
    pub limit: Amount,
    /// Where the budget's period begins; 1970 for one that has none.
    pub start: Time,
    /// When it was reached.
    pub at: Time,
}

/// How a budget stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// How much may be used now.
    pub limit: Amount,
    /// How much was used in this period.
    pub spent: Amount,
    /// How much calls that are under way have on hold.
    pub held: Amount,
    /// Whether anything more may be used: always, if it is soft.
    pub allowed: bool,
    /// When it begins anew.
    pub resets: Option<Time>,
}

/// Sets a budget, or changes the one of this name, which keeps what was used of it, and its raise unless another one is
/// given. It counts what is recorded from when it is set. Of another limit, the thresholds are told of anew that were
/// not reached yet.
///
/// # Errors
/// [`UsageError::BadBudget`] and [`UsageError::BadText`]; a change of what it counts, or of its periods, is one.
/// [`UsageError::WrongCurrency`] for cost in another currency than that of the [cost book](COST_BOOK).
pub fn set_budget(tx: &mut Tx, budget: Budget) -> Result<Id<Budget>> {
    budget.check()?;
    if let (Measure::Cost(expected), Some(book)) = (&budget.measure, find_book(tx, COST_BOOK)?)
        && book.currency != *expected
    {
        let what = format!("the cost that budget {:?} is to count", budget.name);
        return Err(UsageError::WrongCurrency { what, found: book.currency, expected: *expected }.into());
    }
    let Some(found) = tx.first(Budget::by_name.eq(&budget.name))? else { return Ok(tx.insert(budget)?.id) };
    let counted = |of: &Budget| (of.measure.clone(), of.level, of.owner.clone(), of.calendar);
    if counted(&found) != counted(&budget) {
        let why = "another thing, another owner or other periods are counted under this name; give it a name of its \
                   own, or remove the other one first"
            .to_owned();
        return Err(UsageError::BadBudget { name: budget.name, why }.into());
    }
    let raised = budget.raised.or(found.raised);
    let budget = Budget { raised, ..budget };
    budget.check()?;
    tx.replace(found.id, budget)?;
    Ok(found.id)
}

/// Lets more be used of a budget until a time.
///
/// # Errors
/// [`UsageError::BadBudget`], also for one that is not there.
pub fn raise_budget(tx: &mut Tx, name: &str, by: Amount, until: Time) -> Result<()> {
    let row = find(tx, name)?;
    let raised = Budget { raised: Some(Raise { by, until }), ..row.record };
    raised.check()?;
    tx.replace(row.id, raised).map(drop)
}

/// Removes a budget and what is known of its use. Says whether it was there.
///
/// # Errors
/// When the store cannot be read or written.
pub fn remove_budget(tx: &mut Tx, name: &str) -> Result<bool> {
    let Some(row) = tx.first(Budget::by_name.eq(name))? else { return Ok(false) };
    for spent in tx.scan(SpentRow::by_period.eq(row.id))? {
        tx.delete(spent.id)?;
    }
    tx.delete(row.id)?;
    Ok(true)
}

/// Returns how a budget stands.
///
/// # Errors
/// [`UsageError::BadBudget`] for one that is not there.
pub fn standing(tx: &Tx, name: &str) -> Result<Standing> {
    stands(tx, &find(tx, name)?)
}

/// Returns the thresholds that were reached, in the order in which they were. Under `watch` or
/// [`feed`](loomwork_store::feed) they are live.
///
/// # Errors
/// When the store cannot be read, or the page's cursor is foreign.
pub fn notices(tx: &Tx, page: Page) -> Result<Paged<NoticeRow>> {
    tx.page(NoticeRow::all(), page)
}

fn find(tx: &Tx, name: &str) -> Result<Row<Budget>> {
    let found = tx.first(Budget::by_name.eq(name))?;
    let why = "it is not there; set it first".to_owned();
    found.ok_or_else(|| UsageError::BadBudget { name: name.to_owned(), why }.into())
}

pub(crate) fn stands(tx: &Tx, budget: &Row<Budget>) -> Result<Standing> {
    let now = tx.now();
    let period = budget.period_at(now)?;
    let start = period.as_ref().map_or(Time::EPOCH, |period| period.start);
    let spent = tx.first(SpentRow::by_period.eq(budget.id).eq(start))?;
    let spent = spent.map_or_else(|| budget.nothing(), |row| row.spent);
    let on_hold = i64::try_from(held(tx, &ledger_of(budget.id))?).unwrap_or(i64::MAX);
    let held = match budget.limit {
        Amount::Money(_) => Amount::Money(of_billionths(on_hold).map_err(UsageError::from)?),
        Amount::Units(_) => Amount::Units(on_hold),
    };
    let limit = budget.limit_at(now)?;
    let allowed = !budget.hard || spent.plus(held)?.parts() < limit.parts();
    let resets = period.map(|period| period.end);
    Ok(Standing { name: budget.name.clone(), limit, spent, held, allowed, resets })
}

/// The budgets that an event counts for.
pub(crate) fn concerned(tx: &Tx, event: &Event) -> Result<Vec<Row<Budget>>> {
    let mut budgets = Vec::new();
    if event.billing == Billing::Test || tx.first(Budget::by_owner.all())?.is_none() {
        return Ok(budgets);
    }
    for (level, owner) in event.scope.iter() {
        budgets.extend(tx.scan(Budget::by_owner.eq(level).eq(owner))?);
    }
    Ok(budgets)
}

/// Counts an event for the budgets that were set when it was recorded, or takes it out again with a `sign` of −1.
pub(crate) fn spend(tx: &mut Tx, row: &EventRow, sign: i64) -> Result<()> {
    for id in &row.budgets {
        let Some(budget) = tx.get(*id)? else { continue };
        let used = match budget.use_of(row) {
            Amount::Money(money) if sign < 0 => Amount::Money(money.negated()),
            Amount::Units(units) if sign < 0 => Amount::Units(-units),
            used => used,
        };
        let start = budget.period_at(row.event.at)?.map_or(Time::EPOCH, |period| period.start);
        let found = tx.first(SpentRow::by_period.eq(budget.id).eq(start))?;
        let fresh = SpentRow { budget: budget.id, start, spent: budget.nothing(), told: 0, limit: None };
        let (id, mut spent) = found.map_or((None, fresh), |row| (Some(row.id), row.record));
        let before = spent.spent;
        spent.spent = before.plus(used)?;
        tell(tx, &budget, before, &mut spent)?;
        match id {
            Some(id) => tx.replace(id, spent)?,
            None => tx.insert(spent)?,
        };
    }
    Ok(())
}

/// Tells of the thresholds that were reached now, and were not in this period before.
fn tell(tx: &mut Tx, budget: &Row<Budget>, before: Amount, spent: &mut SpentRow) -> Result<()> {
    let limit = budget.limit_at(tx.now())?;
    if spent.limit.is_some_and(|told_of| told_of != limit) {
        let reached =
            budget.thresholds.iter().copied().filter(|percent| has_reached(before, limit, *percent));
        spent.told = reached.max().unwrap_or_default();
    }
    spent.limit = Some(limit);
    let mut reached: Vec<u32> = budget.thresholds.clone();
    reached.retain(|percent| *percent > spent.told && has_reached(spent.spent, limit, *percent));
    reached.sort_unstable();
    reached.dedup();
    for percent in reached {
        spent.told = percent;
        tx.insert(NoticeRow {
            budget: budget.name.clone(),
            level: budget.level,
            owner: budget.owner.clone(),
            percent,
            spent: spent.spent,
            limit,
            start: spent.start,
            at: tx.now(),
        })?;
    }
    Ok(())
}

/// Whether so many per cent of a limit are used; to the last part, up to a quintillion units.
fn has_reached(spent: Amount, limit: Amount, percent: u32) -> bool {
    let (spent, limit, percent) = (spent.parts(), limit.parts(), i128::from(percent));
    let reached = match (spent.checked_mul(100), limit.checked_mul(percent)) {
        (Some(spent), Some(limit)) => spent >= limit,
        _ => spent / percent >= limit / 100,
    };
    spent > 0 && reached
}

/// The name under which a budget's holds are kept: of all periods, since what is on hold in one may be used in
/// the next.
pub(crate) fn ledger_of(budget: Id<Budget>) -> String {
    budget.to_string()
}

fn of_billionths(billionths: i64) -> Result<Money, crate::MoneyError> {
    Money::from_parts(10_i128.pow(crate::money::DECIMALS - HELD_DECIMALS))?.times(billionths)
}
