//! Holds: an amount is kept until it is known how much is really used.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::{Result, Row, Tx};

use crate::ask::{Ask, check_amount};
use crate::error::LimitError;
use crate::limit::fits;
use crate::tables::{Balance, HeldRow, HoldId, HoldLine, HoldRow, HoldState, KEEP_ENDED, coarse};
use crate::take::limit_all;

/// The longest that a hold can last.
pub const MAX_TERM: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// A hold that was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id, by which it is settled; keep it with the work.
    pub id: HoldId,
    /// How long to wait before the work may begin; zero unless a request
    /// [may owe](Ask::or_owe).
    pub wait: Duration,
}

/// What a settlement found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The hold was open: the difference was booked.
    Booked,
    /// The hold had expired and its amounts were given back: the actual ones were booked in full.
    Late,
    /// The hold had been settled or released before: nothing was changed.
    Repeated,
}

/// Takes estimated amounts from limits, or refuses and takes none, and keeps them for a work that is about
/// to begin. [`settle`] puts them right once the actual amounts are known.
///
/// A hold whose work dies is given back when its term is over, by the [upkeep](crate::upkeep()).
///
/// # Errors
/// As [`limit_all`]; [`LimitError::EmptyHold`] without a request, [`LimitError::BadTerm`] for a term of zero or
/// beyond [`MAX_TERM`].
pub fn hold(tx: &mut Tx, asks: &[Ask<'_>], term: Duration) -> Result<Held> {
    let expires = end_of(tx, term)?;
    let line = |ask: &Ask<'_>| -> Result<HoldLine> {
        let key = ask.key.as_deref().map(str::to_owned);
        let rules = ask.limit.rules_of(key.as_deref())?;
        Ok(HoldLine::Limit { name: ask.limit.name().to_owned(), key, rules, amount: ask.amount })
    };
    let lines = asks.iter().map(line).collect::<Result<Vec<_>>>()?;
    // Nothing stays taken if the hold cannot be placed, even where the caller goes on after the error.
    tx.nested(|tx| {
        let waits = limit_all(tx, asks)?.into_iter().map(|granted| granted.wait);
        let wait = waits.max().unwrap_or_default();
        Ok(Held { id: place(tx, lines, expires)?, wait })
    })
}

/// Puts amounts of accounts on hold. An account is a name for whatever is counted elsewhere: the budget of a
/// team in a month, in cents or in tokens.
///
/// No account has a limit here. Whoever owns it compares what is spent, what is [`held`] and what is wanted
/// with what may be spent, in the same transaction.
///
/// # Errors
/// [`LimitError::BadAccount`]; [`LimitError::AmountTooLarge`] where more than
/// [`MAX_AMOUNT`](crate::MAX_AMOUNT) would be on hold;
/// [`LimitError::EmptyHold`] and [`LimitError::BadTerm`].
pub fn hold_accounts(tx: &mut Tx, amounts: &[(&str, u64)], term: Duration) -> Result<HoldId> {
    let expires = end_of(tx, term)?;
    let line = |(account, amount): &(&str, u64)| HoldLine::Account {
        account: (*account).to_owned(),
        amount: *amount,
    };
    let lines = amounts.iter().map(line).collect();
    // The accounts are added to one by one, and one may be named twice: all of it is undone if one is refused.
    tx.nested(|tx| {
        for (account, amount) in amounts {
            if !fits(account) {
                return Err(LimitError::BadAccount { bytes: account.len() }.into());
            }
            change_held(tx, account, |held| {
                let total = held.saturating_add(*amount);
                check_amount(account, total)?;
                Ok(total)
            })?;
        }
        place(tx, lines, expires)
    })
}

/// Returns how much of an account is on hold.
///
/// # Errors
/// When the store cannot be read.
pub fn held(tx: &Tx, account: &str) -> Result<u64> {
    Ok(tx.first(HeldRow::by_account.eq(account))?.map_or(0, |row| row.amount))
}

/// Ends a hold with the actual amounts, one for each of its lines in order. A limit gets back what was not
/// used, and what was used beyond the hold is owed, whatever the limit's largest debt; an account is free of
/// the hold, and its owner books what was spent.
///
/// It is safe to repeat: the first end of a hold counts.
///
/// # Errors
/// [`LimitError::WrongLines`]; [`LimitError::AmountTooLarge`]; [`LimitError::UnknownHold`] for one that is not
/// there, or ended longer than [`KEEP_ENDED`] ago.
pub fn settle(tx: &mut Tx, hold: HoldId, actual: &[u64]) -> Result<Settlement> {
    let row = find(tx, hold)?;
    if actual.len() != row.lines.len() {
        let (lines, amounts) = (row.lines.len(), actual.len());
        return Err(LimitError::WrongLines { hold, lines, amounts }.into());
    }
    for amount in actual {
        check_amount(&hold.to_string(), *amount)?;
    }
    let settlement = match row.state {
        HoldState::Open => Settlement::Booked,
        HoldState::Expired => Settlement::Late,
        HoldState::Settled | HoldState::Released => return Ok(Settlement::Repeated),
    };
    end(tx, row, HoldState::Settled, actual)?;
    Ok(settlement)
}

/// Ends a hold of which nothing was used: all of it is given back. Returns whether it was open.
///
/// # Errors
/// [`LimitError::UnknownHold`], as [`settle`].
pub fn release(tx: &mut Tx, hold: HoldId) -> Result<bool> {
    let row = find(tx, hold)?;
    let was_open = row.is_open();
    if was_open {
        give_back(tx, row, HoldState::Released)?;
    }
    Ok(was_open)
}

/// Lets an open hold last for a new term from now on, for work that takes longer than it was thought to.
///
/// # Errors
/// [`LimitError::HoldEnded`] for one that is not open; [`LimitError::BadTerm`] and
/// [`LimitError::UnknownHold`].
pub fn extend(tx: &mut Tx, hold: HoldId, term: Duration) -> Result<()> {
    let expires = end_of(tx, term)?;
    if !find(tx, hold)?.is_open() {
        return Err(LimitError::HoldEnded { hold }.into());
    }
    tx.update(hold, |row| row.expires = expires).map(drop)
}

/// Gives back all that an open hold keeps.
pub(crate) fn give_back(tx: &mut Tx, row: Row<HoldRow>, state: HoldState) -> Result<()> {
    let unused = vec![0; row.lines.len()];
    end(tx, row, state, &unused)
}

/// Books all lines and ends the hold, or changes nothing: what was given back once must not be given back again
/// because the caller went on after the error of another line.
fn end(tx: &mut Tx, row: Row<HoldRow>, state: HoldState, actual: &[u64]) -> Result<()> {
    tx.nested(|tx| {
        for (line, actual) in row.lines.iter().zip(actual) {
            let on_hold = if row.is_open() { line.amount() } else { 0 };
            book(tx, line, on_hold, *actual)?;
        }
        let forget = Some(coarse(tx.now() + KEEP_ENDED));
        tx.replace(row.id, HoldRow { state, forget, ..row.record }).map(drop)
    })
}

/// Puts the actual amount in place of what is on hold.
fn book(tx: &mut Tx, line: &HoldLine, on_hold: u64, actual: u64) -> Result<()> {
    match line {
        HoldLine::Limit { name, key, rules, .. } => {
            let balance = Balance::read_for_hold(tx, name, key.as_deref(), *rules)?;
            // A key without a row has all: nothing can be given back to it.
            if on_hold == actual || (actual < on_hold && !balance.is_kept()) {
                return Ok(());
            }
            balance.settle(tx, on_hold, actual)
        }
        HoldLine::Account { account, .. } => {
            change_held(tx, account, |held| Ok(held.saturating_sub(on_hold)))
        }
    }
}

fn change_held(tx: &mut Tx, account: &str, change: impl FnOnce(u64) -> Result<u64>) -> Result<()> {
    let row = tx.first(HeldRow::by_account.eq(account))?;
    let amount = change(row.as_ref().map_or(0, |row| row.amount))?;
    match row {
        Some(row) if amount == 0 => tx.delete(row.id).map(drop),
        Some(row) => tx.update(row.id, |row| row.amount = amount).map(drop),
        None if amount == 0 => Ok(()),
        None => tx.insert(HeldRow { account: account.to_owned(), amount }).map(drop),
    }
}

fn place(tx: &mut Tx, lines: Vec<HoldLine>, expires: Time) -> Result<HoldId> {
    if lines.is_empty() {
        return Err(LimitError::EmptyHold.into());
    }
    Ok(tx.insert(HoldRow { state: HoldState::Open, lines, expires, forget: None })?.id)
}

fn end_of(tx: &Tx, term: Duration) -> Result<Time> {
    if term < Duration::from_millis(1) || term > MAX_TERM {
        return Err(LimitError::BadTerm { term }.into());
    }
    Ok(tx.now() + term)
}

fn find(tx: &Tx, hold: HoldId) -> Result<Row<HoldRow>> {
    tx.get(hold)?.ok_or_else(|| LimitError::UnknownHold { hold }.into())
}
