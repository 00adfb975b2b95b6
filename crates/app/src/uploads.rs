//! Files that users have taken in and not yet said anything with: theirs to send, for a day.

use std::time::Duration;

use loomwork_core::{Kind, Time};
use loomwork_files::{File, FileId, attach, detach_all, owners};
use loomwork_messages::MessageId;
use loomwork_store::{Next, Page, Result as StoreResult, Row, Table, Tx, Upkeep};
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Need, Scope, allow};
use crate::error::{Error, Result};

/// How long a file that a user has uploaded is theirs to send.
pub const UPLOAD_KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// How many owners of a file are looked at for one whose thread the caller may read.
const OWNERS_LOOKED_AT: usize = 200;

/// How many rows one step of the upkeep forgets.
const FORGET_STEP: usize = 256;

/// How often the upkeep looks.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// A file that a user has uploaded.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "app_uploads", id = "upload")]
#[index(unique by_user(user, file))]
#[index(by_expiry(expires))]
pub(crate) struct UploadRow {
    user: String,
    file: FileId,
    expires: Time,
}

/// Notes that a user has a file, so that they may send it.
#[cfg(feature = "http")]
pub(crate) fn keep(tx: &mut Tx, user: &str, file: FileId) -> StoreResult<()> {
    let expires = tx.now() + UPLOAD_KEEP;
    if let Some(row) = tx.first(UploadRow::by_user.eq(user).eq(file))? {
        return tx.update(row.id, |row| row.expires = expires).map(drop);
    }
    let row = tx.insert(UploadRow { user: user.to_owned(), file, expires })?;
    attach(tx, file, row.id).map(drop)
}

/// Returns a file that the caller may read: a user, if they have uploaded it of late, or it is of a message in one of
/// their threads.
pub(crate) fn readable(tx: &Tx, caller: &Caller, id: FileId) -> Result<Row<File>> {
    allow(tx, caller, Need::Scope(Scope::Read))?;
    let row = tx.get(id)?;
    let missing =
        || Error::new(Kind::NotFound, format!("there is no {id} that the caller may read")).about("file");
    let row = row.ok_or_else(missing)?;
    let Some(user) = caller.as_user() else { return Ok(row) };
    if tx.first(UploadRow::by_user.eq(user).eq(id))?.is_some() {
        return Ok(row);
    }
    for reference in owners(tx, id, Page::first(OWNERS_LOOKED_AT))?.rows {
        let Ok(message) = reference.owner.parse::<MessageId>() else { continue };
        let Some(message) = tx.get(message)? else { continue };
        if allow(tx, caller, Need::ReadThread(message.thread)).is_ok() {
            return Ok(row);
        }
    }
    Err(missing())
}

/// The upkeep that lets go of what was never sent.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("uploads", |tx| {
        let over = tx.scan(UploadRow::by_expiry.le(tx.now()).take(FORGET_STEP))?;
        let more = over.len() == FORGET_STEP;
        for row in over {
            detach_all(tx, row.id)?;
            tx.delete(row.id)?;
        }
        Ok(if more { Next::More } else { Next::At(tx.now() + FORGET_EVERY) })
    })
}
