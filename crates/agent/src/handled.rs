//! What goes wrong in functions of the application, which must not harm an answer.

use loomwork_store::{Error, Problem, Result};

/// Tells of an error and goes on, unless it is the store's way to say that the transaction runs again.
pub(crate) fn forgive(error: Error, tell: impl FnOnce(Error)) -> Result<()> {
    if matches!(error.downcast_ref(), Some(Problem::Conflict)) {
        return Err(error);
    }
    tell(error);
    Ok(())
}
