//! Leases: one holder at a time, known by a fencing token.
//!
//! A lease ends by release, by expiry on the store's clock, and, where one process owns the
//! store, by the store being opened again. Each grant has a greater fence than the one before,
//! so work that a lost lease has left behind can be told from that of its successor: check the
//! lease in the transaction that settles the work.

use std::time::Duration;

use loomwork_core::{Fault, Kind, Time};
use loomwork_macros::Table;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::id::Id;
use crate::table::Row;
use crate::tx::Tx;

/// A lease that was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What it is over.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Greater than that of every grant of the same name before.
    pub fence: u64,
    /// When it ends unless it is renewed.
    pub expires: Time,
}

/// A lease that is no longer held: it expired, or another holder has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{holder:?} no longer holds the lease {name:?} with fence {fence}; acquire it again before going on")]
pub struct Lost {
    /// What the lease was over.
    pub name: String,
    /// Who held it.
    pub holder: String,
    /// Its fence.
    pub fence: u64,
}

impl Fault for Lost {
    fn kind(&self) -> Kind {
        // Gone for good: trying again cannot bring it back.
        Kind::NotFound
    }
}

/// The newest grant of a name; it stays when the lease ends, since fences only grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "loomwork_leases", id = "lease")]
#[index(unique by_name(name))]
pub(crate) struct Grant {
    name: String,
    holder: String,
    fence: u64,
    expires: Time,
    /// The opening of the store in which it was granted.
    epoch: u64,
}

impl Grant {
    fn is_held(&self, tx: &Tx) -> bool {
        self.expires > tx.now() && (tx.is_shared() || self.epoch == tx.epoch())
    }

    fn lease(&self) -> Lease {
        Lease {
            name: self.name.clone(),
            holder: self.holder.clone(),
            fence: self.fence,
            expires: self.expires,
        }
    }
}

/// Grants the lease over `name` for the time `lasting`, or `None` while somebody holds it.
///
/// # Errors
/// When the store cannot be read or written, as for all functions here.
pub fn acquire(tx: &mut Tx, name: &str, holder: &str, lasting: Duration) -> Result<Option<Lease>> {
    let last = tx.first(Grant::by_name.eq(name))?;
    if last.as_ref().is_some_and(|grant| grant.is_held(tx)) {
        return Ok(None);
    }
    let grant = Grant {
        name: name.to_owned(),
        holder: holder.to_owned(),
        fence: last.as_ref().map_or(1, |grant| grant.fence + 1),
        expires: tx.now() + lasting,
        epoch: tx.epoch(),
    };
    let row = match last {
        Some(last) => tx.replace(last.id, grant)?,
        None => tx.insert(grant)?,
    };
    Ok(Some(row.lease()))
}

/// Extends a held lease to `lasting` from now, under the same fence.
///
/// # Errors
/// [`Lost`] when it is no longer held.
pub fn renew(tx: &mut Tx, lease: &Lease, lasting: Duration) -> Result<Lease> {
    let expires = tx.now() + lasting;
    let id = held(tx, lease)?;
    Ok(tx.update(id, |grant| grant.expires = expires)?.lease())
}

/// Makes sure that a lease is still held. In the transaction that settles the work, this is what
/// keeps a holder that lost it from overwriting its successor.
///
/// # Errors
/// [`Lost`] when it is no longer held.
pub fn check(tx: &Tx, lease: &Lease) -> Result<()> {
    held(tx, lease).map(|_| ())
}

/// Ends a held lease, so that others need not wait for its expiry.
///
/// # Errors
/// [`Lost`] when it is no longer held.
pub fn release(tx: &mut Tx, lease: &Lease) -> Result<()> {
    let id = held(tx, lease)?;
    // Not the present time, which may come again: wall clocks are set back.
    tx.update(id, |grant| grant.expires = Time::MIN)?;
    Ok(())
}

/// The row of a lease that is still held under its fence.
fn held(tx: &Tx, lease: &Lease) -> Result<Id<Grant>> {
    let lost = || Lost { name: lease.name.clone(), holder: lease.holder.clone(), fence: lease.fence }.into();
    let grant: Row<Grant> = tx.first(Grant::by_name.eq(&lease.name))?.ok_or_else(lost)?;
    if grant.fence == lease.fence && grant.is_held(tx) { Ok(grant.id) } else { Err(lost()) }
}
