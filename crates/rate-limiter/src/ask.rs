//! Requests: how much of whose share of which limit.

use std::borrow::Cow;

use loomwork_store::Result;

use crate::error::LimitError;
use crate::limit::Limit;
use crate::rules::{MAX_AMOUNT, Rules};

/// A request for an amount of a key's share of a limit; [`Limit::ask`] makes one.
#[derive(Clone, Debug)]
#[must_use = "a request takes nothing by itself; give it to `limit_all`, `check_all` or `hold`"]
pub struct Ask<'a> {
    pub(crate) limit: Limit<'a>,
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) amount: u64,
    pub(crate) may_owe: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(limit: Limit<'a>, key: Option<Cow<'a, str>>, amount: u64) -> Self {
        Self { limit, key, amount, may_owe: false }
    }

    /// Lets the amount be owed where it is not there yet, as [`reserve`](crate::reserve()) does.
    pub fn or_owe(mut self) -> Self {
        self.may_owe = true;
        self
    }
}

/// What is asked of one balance, with the rules that it goes by.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) rules: Rules,
    pub(crate) amount: u64,
    pub(crate) may_owe: bool,
}

/// Checks requests before anything is read, and adds up those that concern one balance: each balance is
/// then decided about once.
pub(crate) fn wanted<'a>(asks: &'a [Ask<'a>]) -> Result<Vec<Wanted<'a>>> {
    let mut all: Vec<Wanted<'a>> = Vec::with_capacity(asks.len());
    for ask in asks {
        let rules = ask.limit.rules_of(ask.key.as_deref())?;
        let (name, key) = (ask.limit.name(), ask.key.as_deref());
        let new = Wanted { name, key, rules, amount: ask.amount, may_owe: ask.may_owe };
        match all.iter_mut().find(|other| other.name == new.name && other.key == new.key) {
            None => all.push(new),
            Some(other) if other.rules == new.rules && other.may_owe == new.may_owe => {
                other.amount = other.amount.saturating_add(new.amount);
            }
            Some(_) => return Err(LimitError::AskedTwice { limit: name.to_owned() }.into()),
        }
    }
    for Wanted { name, rules, amount, may_owe, .. } in &all {
        if let Some(max) = rules.excess(*amount, *may_owe) {
            return Err(
                LimitError::ExceedsCapacity { limit: (*name).to_owned(), amount: *amount, max }.into()
            );
        }
        check_amount(name, *amount)?;
    }
    Ok(all)
}

pub(crate) fn check_amount(what: &str, amount: u64) -> Result<(), LimitError> {
    if amount <= MAX_AMOUNT {
        return Ok(());
    }
    Err(LimitError::AmountTooLarge { what: what.to_owned(), amount })
}
