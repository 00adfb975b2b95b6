//! Calls that budgets are asked about first: what they may use is on hold until it is known what they used.

use std::time::Duration;

use loomwork_rate_limiter::{HoldId, HoldRow, MAX_AMOUNT, Settlement, hold_accounts};
use loomwork_store::{Result, Tx};

use crate::account::account;
use crate::book::COST_BOOK;
use crate::budget::{Amount, Budget, HELD_DECIMALS, Measure, concerned, ledger_of, stands};
use crate::error::UsageError;
use crate::event::{Billing, Event};
use crate::rate::rate_in;
use crate::record::{Recorded, record};
use crate::refusal::BudgetExceeded;
use crate::tables::EventRow;

/// A call that may be made: what it may use is on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What keeps it; none where no budget concerns the call.
    pub hold: Option<HoldId>,
}

/// Puts what a call will use at most on hold in all budgets that it counts for, or refuses it: all of them
/// have to allow it. The estimate is an event like the one that [`settle_with`] will record, priced by the prices
/// of now. Soft budgets refuse nothing.
///
/// A hold counts in whatever period it is looked at, so calls that are under way when a budget begins anew leave
/// room for what they will use in it.
///
/// In one transaction with `loomwork_rate_limiter::limit_all`, limits and budgets decide together.
///
/// # Errors
/// [`BudgetExceeded`]; [`UsageError::Unpriced`] where a hard budget counts money and the call has no price,
/// [`UsageError::WrongCurrency`] where that is in another currency, and [`UsageError::NoPayer`] where the budget
/// counts what a payer is charged;
/// as [`hold_accounts`] for the term, and for an amount beyond a billion of a currency's unit.
pub fn admit(tx: &mut Tx, estimate: &Event, term: Duration) -> Result<Admitted> {
    estimate.check()?;
    let budgets = concerned(tx, estimate)?;
    if budgets.is_empty() {
        return Ok(Admitted { hold: None });
    }
    let now = tx.now();
    let priced = Priced::of(tx, Event { at: now, ..estimate.clone() })?;
    let mut amounts = Vec::new();
    for budget in &budgets {
        let wanted = budget.use_of(&priced.row);
        if budget.hard {
            priced.ensure_counted(budget)?;
            let stands = stands(tx, budget)?;
            let sum = stands.spent.plus(stands.held)?.plus(wanted)?;
            if sum.parts() > stands.limit.parts() {
                return Err(BudgetExceeded::new(budget, stands, wanted, now).into());
            }
        }
        amounts.push((ledger_of(budget.id), on_hold(wanted)));
    }
    let accounts: Vec<_> = amounts.iter().map(|(account, amount)| (account.as_str(), *amount)).collect();
    Ok(Admitted { hold: Some(hold_accounts(tx, &accounts, term)?) })
}

/// Records what a call really used, and ends its hold, in one transaction. It is safe to repeat, and to come
/// long after the hold has expired.
///
/// # Errors
/// As [`record`](record()).
pub fn settle_with(tx: &mut Tx, admitted: Admitted, event: Event) -> Result<Recorded> {
    tx.nested(|tx| {
        end_hold(tx, admitted)?;
        record(tx, event)
    })
}

/// Gives back what a call has on hold that was not made. Says whether anything was.
///
/// # Errors
/// When the store cannot be read or written.
pub fn release(tx: &mut Tx, admitted: Admitted) -> Result<bool> {
    let Some(hold) = admitted.hold else { return Ok(false) };
    // One that ended long ago is forgotten.
    if tx.get::<HoldRow>(hold)?.is_none() {
        return Ok(false);
    }
    loomwork_rate_limiter::release(tx, hold)
}

/// Ends a hold; one that is forgotten has ended long ago.
pub(crate) fn end_hold(tx: &mut Tx, admitted: Admitted) -> Result<Option<Settlement>> {
    let Some(hold) = admitted.hold else { return Ok(None) };
    let Some(row) = tx.get::<HoldRow>(hold)? else { return Ok(None) };
    // Accounts only keep what is promised; what was used is counted when it is recorded.
    let nothing = vec![0; row.lines().len()];
    loomwork_rate_limiter::settle(tx, hold, &nothing).map(Some)
}

/// An estimate and what it would cost.
struct Priced {
    row: EventRow,
    /// The book that its payer is charged by.
    book: String,
}

impl Priced {
    fn of(tx: &Tx, event: Event) -> Result<Self> {
        let is_free = event.billing != Billing::Billed;
        let book = match &event.payer {
            Some(payer) => account(tx, payer)?.book,
            None => COST_BOOK.to_owned(),
        };
        let rated = |book: &str| {
            Ok::<_, loomwork_store::Error>(rate_in(tx, book, &event)?.map(|rating| rating.rated))
        };
        let cost = if is_free { None } else { rated(COST_BOOK)? };
        let charge = match &event.payer {
            None => None,
            Some(_) if book == COST_BOOK => cost.clone(),
            Some(_) if is_free => None,
            Some(_) => rated(&book)?,
        };
        let row = EventRow {
            recorded: tx.now(),
            reverses: None,
            reversed: false,
            replaced_by: None,
            replaces: None,
            budgets: Vec::new(),
            cost,
            charge,
            period: None,
            adjusts: None,
            unpriced: false,
            event,
        };
        Ok(Self { row, book })
    }

    /// Refuses what a budget of money could not count.
    fn ensure_counted(&self, budget: &Budget) -> Result<(), UsageError> {
        let event = &self.row.event;
        if event.billing != Billing::Billed {
            return Ok(());
        }
        let (rated, book, currency) = match &budget.measure {
            Measure::Cost(currency) => (&self.row.cost, COST_BOOK, *currency),
            Measure::Charge(_) if event.payer.is_none() => {
                return Err(UsageError::NoPayer { budget: budget.name.clone() });
            }
            Measure::Charge(currency) => (&self.row.charge, self.book.as_str(), *currency),
            _ => return Ok(()),
        };
        match rated {
            None => {
                let (provider, model) = (event.provider.clone(), event.model.clone());
                Err(UsageError::Unpriced { book: book.to_owned(), provider, model })
            }
            Some(rated) if rated.currency != currency => {
                let what = format!("what budget {:?} would count of {:?}", budget.name, event.model);
                Err(UsageError::WrongCurrency { what, found: rated.currency, expected: currency })
            }
            Some(_) => Ok(()),
        }
    }
}

/// An amount as holds count it, rounded up; more than they can count is refused by them.
fn on_hold(amount: Amount) -> u64 {
    let parts = match amount {
        Amount::Money(money) => {
            let grain = 10_i128.pow(crate::money::DECIMALS - HELD_DECIMALS);
            money.parts().div_euclid(grain) + i128::from(money.parts().rem_euclid(grain) != 0)
        }
        Amount::Units(units) => i128::from(units),
    };
    u64::try_from(parts.max(0)).unwrap_or(MAX_AMOUNT + 1)
}
