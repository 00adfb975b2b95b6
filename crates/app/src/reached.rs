//! What is reached through a row, and the words that callers say along.

use loomwork_core::Kind;
use loomwork_store::{Id, Row, Table, Tx};

use crate::auth::{Caller, Need, allow};
use crate::error::{Error, Result};

/// The most bytes of a reason, which stands in a thread or goes to a model.
pub(crate) const MAX_REASON_BYTES: usize = 1_000;

/// Returns a row of which the caller may do so much. One that they may not even see is not there for them: nothing is
/// told of it or of where it belongs.
pub(crate) fn reached<T: Table>(
    tx: &Tx,
    caller: &Caller,
    id: Id<T>,
    need: impl for<'a> Fn(&'a T) -> Need<'a>,
) -> Result<Row<T>> {
    let missing = || Error::new(Kind::NotFound, format!("there is no {id}"));
    let row = tx.get(id)?.ok_or_else(missing)?;
    match allow(tx, caller, need(&row.record)) {
        Ok(()) => Ok(row),
        Err(error) if error.kind() == Kind::NotFound => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// Returns a reason that is no longer than it may be.
pub(crate) fn reason(given: Option<String>) -> Result<Option<String>> {
    match given {
        Some(text) if text.len() > MAX_REASON_BYTES => {
            let message = format!("the reason has {} bytes; {MAX_REASON_BYTES} are the most", text.len());
            Err(Error::new(Kind::Invalid, message).about("reason"))
        }
        given => Ok(given.filter(|text| !text.trim().is_empty())),
    }
}
