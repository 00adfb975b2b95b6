//! What clients see: how a limit stands, live under `watch`.

use loomwork_core::Time;
use loomwork_store::{Result, Tx};
use serde::{Deserialize, Serialize};

use crate::ask::check_amount;
use crate::limit::{Limit, LimitKey};
use crate::predict::Snapshot;
use crate::tables::Balance;

/// How a limit stands for a key.
///
/// Under [`watch`](loomwork_store::Store::watch) it comes anew when somebody took from the key's share, from
/// whatever process or tab. Time alone sends nothing: the client goes on by itself, with
/// [`snapshot.predict`](Snapshot::predict).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether the amount that was asked about would be granted now.
    pub ok: bool,
    /// When it will be, if it would be refused; `None` beside a refusal is never.
    pub retry_at: Option<Time>,
    /// How many tokens there are, rounded down; negative while tokens are owed.
    pub value: i64,
    /// What the values to come follow from.
    pub snapshot: Snapshot,
}

/// Returns how a limit stands for a key that wants to take an amount, without taking it and without an
/// error if it would be refused.
///
/// The key decides whose limit is shown, so take it from the session, not from the client.
///
/// # Errors
/// [`LimitError`](crate::LimitError) for a limit, key or amount that makes no sense, and when the store cannot
/// be read.
pub fn status(tx: &Tx, limit: &Limit, key: &(impl LimitKey + ?Sized), amount: u64) -> Result<Status> {
    check_amount(limit.name(), amount)?;
    let snapshot = snapshot(tx, limit, key)?;
    let wanted = snapshot.predict(tx.now(), amount);
    let value = snapshot.predict(tx.now(), 0).value;
    Ok(Status { ok: wanted.ok, retry_at: wanted.retry_at, value, snapshot })
}

/// Returns how many tokens a key has, rounded down; negative while tokens are owed.
///
/// # Errors
/// As [`status`].
pub fn value(tx: &Tx, limit: &Limit, key: &(impl LimitKey + ?Sized)) -> Result<i64> {
    Ok(snapshot(tx, limit, key)?.predict(tx.now(), 0).value)
}

fn snapshot(tx: &Tx, limit: &Limit, key: &(impl LimitKey + ?Sized)) -> Result<Snapshot> {
    let key = key.key();
    let rules = limit.rules_of(key.as_deref())?;
    let level = Balance::read(tx, limit.name(), key.as_deref(), rules)?.level;
    Ok(Snapshot { name: limit.name().to_owned(), rules, level })
}
