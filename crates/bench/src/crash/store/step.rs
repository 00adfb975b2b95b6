//! One mutation of a caller: several effects in several tables, all or none.

use loomwork_core::{Kind, Random};
use loomwork_store::engine::Lane;
use loomwork_store::{Error, Result, Table as _, Tx, feed};

use super::tables::{ACCOUNTS, Account, BALANCE, Ballast, Counter, Event, Line, Seen, TOKENS, Token};
use super::tables::{pattern, text, token};

/// The name of the feed's consumer.
pub(crate) const CONSUMER: &str = "seen";

/// The message of panics that the steps make on purpose.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// A number that no caller reaches: events that must not be there have it.
const NEVER: u64 = u64::MAX;

/// What one mutation does.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) caller: u64,
    pub(crate) lane: Lane,
    pub(crate) end: End,
    from: u64,
    to: u64,
    amount: i64,
    ballast: Option<u64>,
    /// How a scope inside it ends, if it has one.
    nested: Option<End>,
}

/// How a mutation or a scope ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Kept,
    Fails,
    Panics,
}

impl Step {
    /// Draws a step. Ballast is that long, if there is any.
    pub(crate) fn draw(random: &Random, caller: u64, ballast: Option<u64>) -> Self {
        Self {
            caller,
            lane: if random.below(3) == 0 { Lane::Relaxed } else { Lane::Durable },
            end: match random.below(20) {
                0 => End::Fails,
                1 => End::Panics,
                _ => End::Kept,
            },
            from: random.below(ACCOUNTS),
            to: random.below(ACCOUNTS),
            amount: random.below(100) as i64,
            ballast,
            nested: match random.below(12) {
                0 => Some(End::Fails),
                1 => Some(End::Panics),
                2 => Some(End::Kept),
                _ => None,
            },
        }
    }

    /// Runs the step and returns the number that it has among its caller's.
    pub(crate) fn run(&self, tx: &mut Tx) -> Result<u64> {
        let number = self.count(tx)?;
        match self.nested {
            None => self.transfer(tx)?,
            Some(End::Kept) => tx.nested(|tx| self.transfer(tx))?,
            Some(end) => {
                if tx.nested(|tx| self.write_what_never_was(tx, end)).is_ok() {
                    return Err(Error::message(Kind::Internal, "a scope that fails was kept"));
                }
                self.transfer(tx)?;
            }
        }
        self.enter(tx, number)?;
        match self.end {
            End::Kept => Ok(number),
            end => self.write_what_never_was(tx, end).map(|()| number),
        }
    }

    fn count(&self, tx: &mut Tx) -> Result<u64> {
        let caller = self.caller;
        let counter = match tx.first(Counter::by_caller.eq(caller))? {
            Some(counter) => tx.update(counter.id, |counter| counter.last += 1)?,
            None => tx.insert(Counter { caller, last: 1 })?,
        };
        Ok(counter.last)
    }

    fn transfer(&self, tx: &mut Tx) -> Result<()> {
        change_balance(tx, self.from, -self.amount)?;
        change_balance(tx, self.to, self.amount)
    }

    fn enter(&self, tx: &mut Tx, number: u64) -> Result<()> {
        let Self { caller, from, to, amount, ballast, .. } = *self;
        tx.insert(Event { caller, number, from, to, amount, ballast, text: text(caller, number) })?;
        tx.insert(Line { caller, number, text: text(caller, number) })?;
        tx.insert(Token { text: token(caller, number) })?;
        let old = token(caller, number.saturating_sub(TOKENS));
        if let Some(old) = tx.first(Token::by_text.eq(old))? {
            tx.delete(old.id)?;
        }
        if let Some(length) = ballast {
            let new = Ballast { caller, number, text: pattern(caller, number, length) };
            match tx.first(Ballast::by_caller.eq(caller))? {
                Some(old) => tx.replace(old.id, new)?,
                None => tx.insert(new)?,
            };
        }
        Ok(())
    }

    /// Writes into every table, and then ends so that nothing of it may stay.
    fn write_what_never_was(&self, tx: &mut Tx, end: End) -> Result<()> {
        let caller = self.caller;
        change_balance(tx, self.from, self.amount + 1)?;
        tx.insert(Event {
            caller,
            number: NEVER,
            from: 0,
            to: 0,
            amount: 0,
            ballast: None,
            text: String::new(),
        })?;
        tx.insert(Line { caller, number: NEVER, text: String::new() })?;
        tx.insert(Token { text: token(caller, NEVER) })?;
        if let Some(counter) = tx.first(Counter::by_caller.eq(caller))? {
            tx.delete(counter.id)?;
        }
        match end {
            End::Panics => std::panic::panic_any(ON_PURPOSE),
            // Breaking a unique key is an error like any other.
            _ if self.amount % 2 == 0 => tx.insert(Token { text: token(caller, NEVER) }).map(|_| ()),
            _ => Err(Error::message(Kind::Cancelled, ON_PURPOSE)),
        }
    }
}

fn change_balance(tx: &mut Tx, number: u64, amount: i64) -> Result<()> {
    if let Some(account) = tx.first(Account::by_number.eq(number))? {
        tx.update(account.id, |account| account.balance += amount)?;
    }
    Ok(())
}

/// Makes what every file begins with, if it is not there.
pub(crate) fn set_up(tx: &mut Tx) -> Result<()> {
    if tx.first(Seen::all())?.is_some() {
        return Ok(());
    }
    tx.insert(Seen { events: 0 })?;
    feed::subscribe(tx, CONSUMER)?;
    (0..ACCOUNTS).try_for_each(|number| tx.insert(Account { number, balance: BALANCE }).map(|_| ()))
}
