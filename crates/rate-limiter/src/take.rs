//! Taking from limits, looking whether one could, and giving back.

use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::{Result, Tx};

use crate::ask::{Ask, Wanted, check_amount, wanted};
use crate::error::{RateLimited, Refusal};
use crate::limit::{Limit, LimitKey};
use crate::rules::{Decision, Level};
use crate::tables::Balance;

/// A request that was granted, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// How many tokens are left to take at once.
    pub remaining: u64,
    /// How many the balance holds at most.
    pub capacity: u64,
    /// How long to wait before what was granted may be used; zero unless it was [reserved](reserve()). No
    /// second request is needed then.
    pub wait: Duration,
    /// When the balance will be full again, if nobody takes from it; `None` is never.
    pub full_at: Option<Time>,
}

/// Takes an amount of a key's share of a limit, or refuses and takes nothing.
///
/// The error of a refusal, carried on by `?`, undoes the whole mutation. Zero tokens ask whether
/// something is owed.
///
/// # Errors
/// [`RateLimited`] while too little is left, [`LimitError`](crate::LimitError) for what makes no sense,
/// and when the store cannot be read or written, as for all functions here.
pub fn limit(tx: &mut Tx, limit: &Limit, key: &(impl LimitKey + ?Sized), amount: u64) -> Result<Granted> {
    Ok(only(&limit_all(tx, &[limit.ask(key, amount)])?))
}

/// Takes an amount even if it is not there yet: it is owed then, up to the limit's
/// [largest debt](Limit::max_debt), and [`Granted::wait`] says when it may be used. So large requests are not
/// starved by small ones, and work can be scheduled ahead.
///
/// # Errors
/// As [`limit`]; [`RateLimited`] where too much would be owed.
pub fn reserve(tx: &mut Tx, limit: &Limit, key: &(impl LimitKey + ?Sized), amount: u64) -> Result<Granted> {
    Ok(only(&limit_all(tx, &[limit.ask(key, amount).or_owe()])?))
}

/// Decides as [`limit`] does, and takes nothing.
///
/// # Errors
/// As [`limit`].
pub fn check(tx: &Tx, limit: &Limit, key: &(impl LimitKey + ?Sized), amount: u64) -> Result<Granted> {
    Ok(only(&check_all(tx, &[limit.ask(key, amount)])?))
}

/// Takes from several limits, or refuses and takes from none; the error names each that refused. The grants
/// are in the order of the requests.
///
/// Requests for the same share are added up, and granted or refused together.
///
/// # Errors
/// As [`limit`].
pub fn limit_all(tx: &mut Tx, asks: &[Ask<'_>]) -> Result<Vec<Granted>> {
    let wanted = wanted(asks)?;
    let decided = decide(tx, &wanted)?;
    let granted = grants(asks, &wanted, &decided, tx.now());
    for (wanted, decided) in wanted.iter().zip(decided) {
        // A question changes nothing, so it leaves no trace.
        if wanted.amount > 0 {
            decided.balance.write(tx, decided.level)?;
        }
    }
    Ok(granted)
}

/// Decides as [`limit_all`] does, and takes nothing.
///
/// # Errors
/// As [`limit`].
pub fn check_all(tx: &Tx, asks: &[Ask<'_>]) -> Result<Vec<Granted>> {
    let wanted = wanted(asks)?;
    let decided = decide(tx, &wanted)?;
    Ok(grants(asks, &wanted, &decided, tx.now()))
}

/// Gives tokens back, for something that did not happen after all. What is beyond the capacity is lost.
///
/// # Errors
/// As [`limit`].
pub fn credit(tx: &mut Tx, limit: &Limit, key: &(impl LimitKey + ?Sized), amount: u64) -> Result<()> {
    let key = key.key();
    let rules = limit.rules_of(key.as_deref())?;
    check_amount(limit.name(), amount)?;
    let balance = Balance::read(tx, limit.name(), key.as_deref(), rules)?;
    if amount == 0 || !balance.is_kept() {
        return Ok(());
    }
    balance.settle(tx, amount, 0)
}

/// A balance that grants what is wanted of it.
struct Decided<'a> {
    balance: Balance<'a>,
    level: Level,
    start: Time,
}

fn decide<'a>(tx: &Tx, wanted: &[Wanted<'a>]) -> Result<Vec<Decided<'a>>> {
    let now = tx.now();
    let mut granted = Vec::with_capacity(wanted.len());
    let mut refused = Vec::new();
    for Wanted { name, key, rules, amount, may_owe } in wanted {
        let balance = Balance::read(tx, name, *key, *rules)?;
        match rules.decide(balance.level, now, *amount, *may_owe) {
            Decision::Granted { level, start } => granted.push(Decided { balance, level, start }),
            Decision::Refused { retry_at } => refused.push(Refusal {
                limit: (*name).to_owned(),
                key: key.map(str::to_owned),
                retry_after: retry_at.map(|time| time.since(now)),
            }),
        }
    }
    if refused.is_empty() {
        return Ok(granted);
    }
    let refusal = RateLimited { refused };
    tracing::debug!(limit = refusal.limit(), retry_after = ?refusal.retry_after(), "a request was refused");
    Err(refusal.into())
}

/// The grants in the order of the requests, several of which may concern one balance.
fn grants(asks: &[Ask<'_>], wanted: &[Wanted<'_>], decided: &[Decided<'_>], now: Time) -> Vec<Granted> {
    let grant = |ask: &Ask<'_>| {
        let is_its =
            |wanted: &Wanted<'_>| wanted.name == ask.limit.name() && wanted.key == ask.key.as_deref();
        let (wanted, decided) = wanted.iter().zip(decided).find(|(wanted, _)| is_its(wanted))?;
        Some(Granted {
            remaining: u64::try_from(decided.level.value).unwrap_or(0),
            capacity: wanted.rules.capacity(),
            wait: decided.start.since(now),
            full_at: wanted.rules.full_at(decided.level).map(|full| full.max(now)),
        })
    };
    asks.iter().filter_map(grant).collect()
}

fn only(granted: &[Granted]) -> Granted {
    *granted.first().expect("one request has one grant")
}
