//! Which result belongs to which call, and which answer to which request, in a list of pieces.

use std::collections::HashMap;

use loomwork_models::{Part, ToolCall, ToolResult};

use super::{DropReason, Piece};

/// A part: the number of its piece, and its number in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) piece: usize,
    pub(super) part: usize,
}

/// A call, and what belongs to it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) at: Place,
    pub(super) id: String,
    pub(super) is_remote: bool,
    pub(super) result: Option<Place>,
    pub(super) requests: Vec<Request>,
}

/// An approval request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) at: Place,
    pub(super) id: String,
    pub(super) answer: Option<Place>,
}

/// Calls with all that belongs to them, and what belongs to nothing.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) calls: Vec<Call>,
    pub(super) strays: Vec<(Place, DropReason)>,
    by_id: HashMap<String, Vec<usize>>,
    by_request: HashMap<String, Vec<(usize, usize)>>,
}

impl Call {
    /// Returns whether its tool may run and nobody has answered that.
    pub(super) fn is_open(&self) -> bool {
        self.result.is_none()
            && !self.requests.is_empty()
            && self.requests.iter().all(|request| request.answer.is_none())
    }
}

impl Ledger {
    /// Goes through the pieces in their order: what belongs to a call comes behind it.
    pub(super) fn read(pieces: &[Piece]) -> Self {
        let mut ledger = Self::default();
        for (number, piece) in pieces.iter().enumerate() {
            for (part, content) in piece.message.parts.iter().enumerate() {
                let at = Place { piece: number, part };
                let stray = match content {
                    Part::ToolCall(call) => ledger.open(at, call),
                    Part::ToolResult(result) => ledger.close(pieces, at, result),
                    Part::ApprovalRequest(request) => ledger.ask(pieces, at, &request.call, &request.id),
                    Part::ApprovalResponse(response) => ledger.answer(pieces, at, &response.id),
                    _ => None,
                };
                ledger.strays.extend(stray.map(|reason| (at, reason)));
            }
        }
        ledger
    }

    /// Returns which pieces belong together: that of a call, and one with what belongs to it.
    pub(super) fn links(&self) -> impl Iterator<Item = (usize, usize)> {
        self.calls.iter().flat_map(|call| {
            let answers = call.requests.iter().flat_map(|request| [Some(request.at), request.answer]);
            answers.chain([call.result]).flatten().map(|place| (call.at.piece, place.piece))
        })
    }

    fn open(&mut self, at: Place, call: &ToolCall) -> Option<DropReason> {
        self.by_id.entry(call.id.clone()).or_default().push(self.calls.len());
        let (id, is_remote) = (call.id.clone(), call.provider_executed);
        self.calls.push(Call { at, id, is_remote, result: None, requests: Vec::new() });
        None
    }

    /// A result belongs to a call of its id that has none yet: of those in the last message, the first.
    fn close(&mut self, pieces: &[Piece], at: Place, result: &ToolResult) -> Option<DropReason> {
        let same = self.by_id.get(&result.call).map(Vec::as_slice).unwrap_or_default();
        let waiting = || {
            same.iter().copied().filter(|call| {
                let call = &self.calls[*call];
                call.result.is_none() && belong(pieces, call.at, at)
            })
        };
        let last = waiting().next_back().map(|call| self.calls[call].at.piece);
        let call = waiting().find(|call| Some(self.calls[*call].at.piece) == last);
        match call {
            Some(call) => self.calls[call].result = Some(at),
            None => return Some(DropReason::NoCall { call: result.call.clone() }),
        }
        None
    }

    /// A request belongs to the last call of its id; a second one of the same id to none.
    fn ask(&mut self, pieces: &[Piece], at: Place, call: &str, id: &str) -> Option<DropReason> {
        let same = self.by_id.get(call).map(Vec::as_slice).unwrap_or_default();
        let call = same.iter().copied().rfind(|call| belong(pieces, self.calls[*call].at, at));
        let asked = self.by_request.get(id).map(Vec::as_slice).unwrap_or_default();
        let is_repeated =
            asked.iter().any(|(call, request)| belong(pieces, self.calls[*call].requests[*request].at, at));
        let Some(call) = call.filter(|_| !is_repeated) else {
            return Some(DropReason::NoRequest { request: id.to_owned() });
        };
        let requests = &mut self.calls[call].requests;
        self.by_request.entry(id.to_owned()).or_default().push((call, requests.len()));
        requests.push(Request { at, id: id.to_owned(), answer: None });
        None
    }

    /// The first answer counts.
    fn answer(&mut self, pieces: &[Piece], at: Place, id: &str) -> Option<DropReason> {
        let same = self.by_request.get(id).map(Vec::as_slice).unwrap_or_default();
        let asked = same.iter().copied().rfind(|(call, request)| {
            let request = &self.calls[*call].requests[*request];
            request.answer.is_none() && belong(pieces, request.at, at)
        });
        match asked {
            Some((call, request)) => self.calls[call].requests[request].answer = Some(at),
            None => return Some(DropReason::NoRequest { request: id.to_owned() }),
        }
        None
    }
}

/// Returns whether two parts can belong together: they are of one thread, or one of them is not stored and
/// the other one is no other thread's.
fn belong(pieces: &[Piece], one: Place, two: Place) -> bool {
    let (one, two) = (&pieces[one.piece], &pieces[two.piece]);
    match (one.thread, two.thread) {
        (Some(one), Some(two)) => one == two,
        _ => !one.is_foreign() && !two.is_foreign(),
    }
}
