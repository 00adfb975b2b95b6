//! Leaves out what no model can read, and answers what nobody has answered.
//!
//! What a provider wants beyond that is the work of
//! [`history::prepare`](loomwork_models::history::prepare), right before each call.

use std::collections::{BTreeMap, HashMap};

use loomwork_models::{ApprovalResponse, Message, Part, Role};

use super::ledger::{Call, Ledger, Place};
use super::{Denial, DropReason, Dropped, Origin, Piece, is_empty};

/// The reason of the denials that a new generation gives.
pub const AUTO_DENIED: &str = "denied, since a new generation began before anybody answered";

/// Leaves out calls without results, results without calls, and messages that say nothing.
///
/// A call that waits for an approval, or has got it, stays, unless it is another thread's.
pub(super) fn repair(pieces: Vec<Piece>, dropped: &mut Vec<Dropped>) -> Vec<Piece> {
    let gone = gone(&pieces);
    let mut kept = Vec::with_capacity(pieces.len());
    for (number, mut piece) in pieces.into_iter().enumerate() {
        if is_empty(&piece.message) {
            dropped.push(piece.dropped(DropReason::Empty));
            continue;
        }
        let before = piece.message.parts.len();
        let parts = std::mem::take(&mut piece.message.parts).into_iter().enumerate();
        let parts = parts.filter(|(part, _)| match gone.get(&Place { piece: number, part: *part }) {
            Some(reason) => {
                dropped.push(piece.dropped(reason.clone()));
                false
            }
            None => true,
        });
        let parts: Vec<_> = parts.map(|(_, part)| part).collect();
        let is_whole = parts.len() == before;
        piece.message.parts = parts;
        if is_whole || !is_hollow(&piece.message) {
            kept.push(piece);
        }
    }
    kept
}

fn gone(pieces: &[Piece]) -> HashMap<Place, DropReason> {
    let ledger = Ledger::read(pieces);
    let mut gone: HashMap<_, _> = ledger.strays.into_iter().collect();
    for call in &ledger.calls {
        let waits = !call.requests.is_empty() && !pieces[call.at.piece].is_foreign();
        if call.is_remote || call.result.is_some() || waits {
            continue;
        }
        gone.insert(call.at, DropReason::NoResult { call: call.id.clone() });
        for request in &call.requests {
            let reason = DropReason::NoRequest { request: request.id.clone() };
            gone.extend(request.answer.map(|answer| (answer, reason.clone())));
            gone.insert(request.at, reason);
        }
    }
    gone
}

/// Returns whether nothing is left that is worth a message: thoughts before a call that is gone are not.
fn is_hollow(message: &Message) -> bool {
    message.parts.iter().all(|part| match part {
        Part::Text(text) => text.text.trim().is_empty(),
        Part::Reasoning(_) | Part::ReasoningFile(_) | Part::RedactedReasoning(_) | Part::Source(_) => true,
        _ => false,
    })
}

/// Denies what waits for an approval, right behind the message that asks for it.
pub(super) fn deny(pieces: Vec<Piece>, denials: &mut Vec<Denial>) -> Vec<Piece> {
    let mut open: BTreeMap<usize, Vec<ApprovalResponse>> = BTreeMap::new();
    for call in Ledger::read(&pieces).calls.into_iter().filter(Call::is_open) {
        for request in call.requests {
            tracing::warn!(request = %request.id, call = %call.id, "denied an approval that nobody has answered");
            open.entry(request.at.piece).or_default().push(ApprovalResponse {
                id: request.id,
                approved: false,
                reason: Some(AUTO_DENIED.to_owned()),
                provider_executed: call.is_remote,
                ..ApprovalResponse::default()
            });
        }
    }
    if open.is_empty() {
        return pieces;
    }
    let mut answered = Vec::with_capacity(pieces.len() + open.len());
    for (number, piece) in pieces.into_iter().enumerate() {
        let denied = open.remove(&number).map(|answers| {
            let requests = answers.iter().map(|answer| answer.id.clone()).collect();
            let message = Message::new(Role::Tool, answers.into_iter().map(Part::ApprovalResponse));
            let (thread, asked_by, position) = (piece.thread, piece.id, piece.position);
            denials.push(Denial { thread, asked_by, position, requests, message: message.clone() });
            Piece { thread, position, ..Piece::new(Origin::Denial, message) }
        });
        answered.push(piece);
        answered.extend(denied);
    }
    answered
}

impl Piece {
    pub(super) fn dropped(&self, reason: DropReason) -> Dropped {
        let (origin, thread, id, position) = (self.origin.clone(), self.thread, self.id, self.position);
        Dropped { origin, thread, id, position, reason }
    }
}
