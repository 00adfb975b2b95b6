//! Calling workflows off.

use loomwork_store::{Result, Tx};

use crate::completion::Completions;
use crate::end::finish;
use crate::tables::{Ended, WorkflowId};

/// Cancels a workflow, and says whether there was anything to cancel.
///
/// It ends at once, as cancelled, wherever it stands: the jobs it waits for are cancelled, its children too,
/// unless they are detached. An action that runs within it is stopped at its next await. Its completion is
/// committed with that and told right behind it. An unknown one, and one that has ended, stay as they are.
///
/// # Errors
/// When the store cannot be read or written.
pub fn cancel(tx: &mut Tx, workflow: WorkflowId) -> Result<bool> {
    let Some(row) = tx.get(workflow)?.filter(|row| !row.has_ended()) else { return Ok(false) };
    tracing::debug!(%workflow, name = row.name, "a workflow is cancelled");
    // The completion's handler is not at hand here: it is told by whoever has it.
    finish(tx, &Completions::default(), row, Ended::Cancelled, None)?;
    Ok(true)
}
