//! Requests under a key of their client: asked again, they are answered again, and done once.
//!
//! The answer of a request that is one mutation is kept in the transaction of that mutation, so it is there exactly if
//! the request took effect. Any other request keeps its answer behind its work, and is done again if its process dies
//! in between.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loomwork_core::{Fault, Kind, Time};
use loomwork_store::{Id, Next, Result, Store, Table, Tx, Upkeep};
use serde::{Deserialize, Serialize};

/// How long answers are kept.
pub const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most letters of a key.
pub(crate) const MAX_KEY: usize = 200;

/// The most bytes of an answer that is kept; of a longer one it is kept that it was given.
pub(crate) const MAX_ANSWER_BYTES: usize = 256 << 10;

/// How many rows one step of the upkeep forgets.
const FORGET_STEP: usize = 256;

/// How often the upkeep looks.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// A request under a key.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "app_requests", id = "request")]
#[index(unique by_key(caller, key))]
#[index(by_expiry(expires))]
pub(crate) struct RequestRow {
    caller: String,
    key: String,
    /// What tells the request from others.
    fingerprint: String,
    /// What was answered; `None` while it is worked on.
    answer: Option<Kept>,
    expires: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kept {
    Json(String),
    TooLong,
}

type RequestId = Id<RequestRow>;

/// Why a request under a key is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("an idempotency key has 1 to {MAX_KEY} visible letters; this one has not")]
    Bad,
    #[error("the idempotency key {key:?} was used for another request; give each request its own")]
    Reused { key: String },
    #[error("the request with the idempotency key {key:?} is still worked on; ask again in a moment")]
    Working { key: String },
    #[error(
        "the request with the idempotency key {key:?} was answered, and its answer is too long to be kept; read what it has made"
    )]
    TooLong { key: String },
}

impl Fault for KeyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Bad | Self::Reused { .. } => Kind::Invalid,
            Self::Working { .. } | Self::TooLong { .. } => Kind::Conflict,
        }
    }
}

/// The requests under keys that this process works on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Working(Arc<Mutex<HashSet<RequestId>>>);

/// A request that is to be worked on, by whoever holds this. Dropped, another one may try.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) id: RequestId,
    working: Working,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.working.set().remove(&self.id);
    }
}

impl Working {
    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<RequestId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a request.
pub(crate) enum Claimed {
    /// It is new, or nobody has come to its end.
    Mine(Claim),
    /// It was answered.
    Answered(String),
}

/// Looks whether a request was answered, and claims it if not.
pub(crate) async fn claim(
    store: &Store,
    working: &Working,
    caller: &str,
    key: &str,
    fingerprint: String,
) -> Result<Claimed> {
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KeyError::Bad.into());
    }
    let (caller, owned) = (caller.to_owned(), key.to_owned());
    let found = store.mutate(move |tx| {
        if let Some(row) = tx.first(RequestRow::by_key.eq(&caller).eq(&owned))? {
            if row.fingerprint != fingerprint {
                return Err(KeyError::Reused { key: owned }.into());
            }
            return match row.record.answer {
                Some(Kept::Json(answer)) => Ok((row.id, Some(answer))),
                Some(Kept::TooLong) => Err(KeyError::TooLong { key: owned }.into()),
                None => Ok((row.id, None)),
            };
        }
        let expires = tx.now() + KEEP;
        let row = RequestRow { caller, key: owned, fingerprint, answer: None, expires };
        Ok((tx.insert(row)?.id, None))
    });
    match found.await? {
        (_, Some(answer)) => Ok(Claimed::Answered(answer)),
        (id, None) if working.set().insert(id) => Ok(Claimed::Mine(Claim { id, working: working.clone() })),
        _ => Err(KeyError::Working { key: key.to_owned() }.into()),
    }
}

/// Keeps the answer of a request, unless it is kept already.
pub(crate) fn keep(tx: &mut Tx, id: RequestId, json: &str) -> Result<()> {
    let Some(row) = tx.get(id)? else { return Ok(()) };
    if row.answer.is_some() {
        return Ok(());
    }
    let kept = if json.len() > MAX_ANSWER_BYTES { Kept::TooLong } else { Kept::Json(json.to_owned()) };
    tx.update(id, |row| row.answer = Some(kept)).map(drop)
}

/// Forgets a request that failed, so that it may be asked again.
pub(crate) fn forget(tx: &mut Tx, id: RequestId) -> Result<()> {
    let is_open = tx.get(id)?.is_some_and(|row| row.answer.is_none());
    if is_open {
        tx.delete(id)?;
    }
    Ok(())
}

/// Marks something as done under a key, and says whether it was new: for what comes from outside more than once.
pub(crate) fn mark(tx: &mut Tx, caller: &str, key: &str) -> Result<bool> {
    if tx.first(RequestRow::by_key.eq(caller).eq(key))?.is_some() {
        return Ok(false);
    }
    let expires = tx.now() + KEEP;
    let (caller, key) = (caller.to_owned(), key.to_owned());
    tx.insert(RequestRow { caller, key, fingerprint: String::new(), answer: Some(Kept::TooLong), expires })?;
    Ok(true)
}

/// The upkeep that forgets answers.
pub(crate) fn upkeep() -> Upkeep {
    Upkeep::new("idempotency keys", |tx| {
        let over = tx.scan(RequestRow::by_expiry.le(tx.now()).take(FORGET_STEP))?;
        let more = over.len() == FORGET_STEP;
        for row in over {
            tx.delete(row.id)?;
        }
        Ok(if more { Next::More } else { Next::At(tx.now() + FORGET_EVERY) })
    })
}
