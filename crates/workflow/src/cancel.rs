//! Calling workflows off.

use loomwork_store::{Result, Tx};

use crate::cutting::{Budget, cancel_run};
use crate::tables::WorkflowId;

/// Cancels a workflow, and says whether there was anything to cancel.
///
/// It ends at once, as cancelled, wherever it stands: the jobs it waits for are cancelled, its children too,
/// unless they are detached. Beyond [`CUT_OFF_STEP`](crate::CUT_OFF_STEP) of them, the others follow right behind.
/// An action that runs within it is stopped at its next await. Its completion is committed with that and told
/// right behind it. An unknown one, and one that has ended, stay as they are.
///
/// # Errors
/// When the store cannot be read or written.
pub fn cancel(tx: &mut Tx, workflow: WorkflowId) -> Result<bool> {
    let Some(row) = tx.get(workflow)?.filter(|row| !row.has_ended()) else { return Ok(false) };
    tracing::debug!(%workflow, name = row.name, "a workflow is cancelled");
    cancel_run(tx, row, &mut Budget::default())?;
    Ok(true)
}
