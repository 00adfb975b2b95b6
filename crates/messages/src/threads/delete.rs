//! Deleting threads: at once for everybody, and from the disk in the background.

use loomwork_store::{Result, Store, Tx};

use crate::deletion;
use crate::tables::ThreadId;

/// Deletes a thread with everything that hangs on it, and says whether there was one.
///
/// From this transaction on nobody sees it, its runs and streams are aborted, and nothing can be saved to
/// it. Its rows are deleted by [`deletion::upkeep`], which whoever composes the program starts, or by
/// [`delete_now`].
///
/// # Errors
/// When the store cannot be read or written.
pub fn delete(tx: &mut Tx, id: ThreadId) -> Result<bool> {
    deletion::enter(tx, id)
}

/// Deletes a thread and returns when its last row is gone; says whether there was one. A deletion that was
/// asked for before is completed too.
///
/// # Cancel safety
/// Once it has begun, the deletion stands: the upkeep, or another call, goes on with it.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn delete_now(store: &Store, id: ThreadId) -> Result<bool> {
    store.mutate(move |tx| deletion::enter(tx, id)).await?;
    let mut any = false;
    while store.mutate(move |tx| deletion::step_of(tx, id)).await? {
        any = true;
    }
    Ok(any)
}

/// Deletes the threads that a user owns, and ends their membership in those of others. What they said and
/// edited there belongs to those threads, and stays.
///
/// Threads that are made for the user later are theirs to keep. The first
/// [`USER_STEP`](deletion::USER_STEP) threads are gone for everybody at once, the others as the upkeep comes
/// to them.
///
/// # Errors
/// When the store cannot be read or written.
pub fn delete_user(tx: &mut Tx, user: &str) -> Result<()> {
    deletion::enter_user(tx, user)
}

/// As [`delete_user`], and returns when the last row is gone.
///
/// # Cancel safety
/// As [`delete_now`].
///
/// # Errors
/// When the store cannot be read or written.
pub async fn delete_user_now(store: &Store, user: &str) -> Result<()> {
    let name = user.to_owned();
    store.mutate(move |tx| deletion::enter_user(tx, &name)).await?;
    loop {
        let name = user.to_owned();
        if !store.mutate(move |tx| deletion::step_of_user(tx, &name)).await? {
            return Ok(());
        }
    }
}
