//! Denials of what nobody has approved before a new generation began.

use loomwork_messages::{MessageRow, Place, Position, Save, ThreadId, save};
use loomwork_models::{Message, Part};
use loomwork_store::{Result, Tx};

use crate::approvals;
use crate::context::Denial;

/// Stores what the context denies, each denial in the turn that asks, so that nobody approves it later. What has
/// been answered meanwhile stays as it was answered.
pub(super) fn store(tx: &mut Tx, thread: ThreadId, denials: &[Denial]) -> Result<()> {
    for denial in denials.iter().filter(|denial| denial.thread == Some(thread)) {
        let Some(position) = denial.position else { continue };
        let turn = MessageRow::by_position.eq(thread).gt(position).le(Position::end_of(position.order));
        let rows = tx.scan(turn)?;
        let is_answered = |part: &Part| {
            let Part::ApprovalResponse(denied) = part else { return false };
            let answers = rows.iter().flat_map(|row| &row.message.parts);
            answers
                .into_iter()
                .any(|part| matches!(part, Part::ApprovalResponse(given) if given.id == denied.id))
        };
        let Message { role, parts, .. } = denial.message.clone();
        let open: Vec<Part> = parts.into_iter().filter(|part| !is_answered(part)).collect();
        if !open.is_empty() {
            let said = Save::all([Message::new(role, open)]).at(Place::Turn(position.order));
            save(tx, thread, said)?;
        }
        for request in &denial.requests {
            approvals::auto_deny(tx, request)?;
        }
    }
    Ok(())
}
