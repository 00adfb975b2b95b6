//! Keeps a context within its tokens.

use std::collections::{BTreeMap, HashSet};

use loomwork_messages::{Edit, ThreadId};
use loomwork_models::{Message, TokenCounter};
use loomwork_store::Row;

use super::ledger::Ledger;
use super::{DropReason, Dropped, Layer, Origin, Piece, edits};

/// A turn of a thread: what is dropped together, so that no pair is broken.
type Unit = (ThreadId, u64);

/// What is kept within its tokens.
pub(super) struct Budget<'a> {
    pub(super) most: u64,
    pub(super) counter: &'a dyn TokenCounter,
    /// The edits that are told of.
    pub(super) edits: &'a [Row<Edit>],
    /// The turn that is answered.
    pub(super) answered: Option<Unit>,
}

impl Budget<'_> {
    /// Drops what may be dropped, layer by layer, until the rest fits or nothing is left to drop.
    pub(super) fn enforce(
        &self,
        mut pieces: Vec<Piece>,
        layers: &[Layer],
        dropped: &mut Vec<Dropped>,
    ) -> Vec<Piece> {
        for layer in layers {
            if total(&pieces) <= self.most {
                break;
            }
            pieces = match layer {
                Layer::Edits => self.shorten_edits(pieces, dropped),
                layer => self.drop_turns(pieces, *layer, dropped),
            };
        }
        pieces
    }

    fn drop_turns(&self, pieces: Vec<Piece>, layer: Layer, dropped: &mut Vec<Dropped>) -> Vec<Piece> {
        let kept = self.kept_turns(&pieces, layer);
        let mut left = total(&pieces);
        let mut gone = HashSet::new();
        for (unit, tokens) in order_of_dropping(&pieces, layer) {
            if left <= self.most {
                break;
            }
            if !kept.contains(&unit) {
                left -= tokens;
                gone.insert(unit);
            }
        }
        let is_gone = |piece: &Piece| unit_of(piece, layer).is_some_and(|unit| gone.contains(&unit));
        let kept = pieces.into_iter().filter(|piece| {
            let is_gone = is_gone(piece);
            if is_gone {
                dropped.push(piece.dropped(DropReason::Budget { tokens: piece.tokens }));
            }
            !is_gone
        });
        without_empty_groups(kept.collect())
    }

    /// The turns that stay: that of the prompt, and what is answered by something that cannot be dropped.
    fn kept_turns(&self, pieces: &[Piece], layer: Layer) -> HashSet<Unit> {
        let linked =
            Ledger::read(pieces).links().collect::<Vec<_>>().into_iter().filter_map(|(call, answer)| {
                let is_fixed =
                    matches!(pieces[answer].origin, Origin::Input | Origin::Prompt | Origin::Added);
                unit_of(&pieces[call], layer).filter(|_| is_fixed)
            });
        linked.chain(self.answered).collect()
    }

    fn shorten_edits(&self, mut pieces: Vec<Piece>, dropped: &mut Vec<Dropped>) -> Vec<Piece> {
        let whole = edits::render(self.edits);
        let is_ours =
            |piece: &Piece| matches!(piece.origin, Origin::Edits { .. }) && piece.message.text() == whole;
        let Some(at) = pieces.iter().position(is_ours) else { return pieces };
        let others = total(&pieces) - pieces[at].tokens;
        for first in 1..self.edits.len() {
            let rest = &self.edits[first..];
            let piece = &mut pieces[at];
            let before = piece.tokens;
            piece.message = Message::user(edits::render(rest));
            piece.tokens = self.counter.count_message(&piece.message);
            let edit = Origin::Edits { edits: vec![self.edits[first - 1].id] };
            let reason = DropReason::Budget { tokens: before.saturating_sub(piece.tokens) };
            dropped.push(Dropped { origin: edit, ..piece.dropped(reason) });
            piece.origin = Origin::Edits { edits: rest.iter().map(|edit| edit.id).collect() };
            if others + piece.tokens <= self.most {
                return pieces;
            }
        }
        let last = pieces.remove(at);
        dropped.push(last.dropped(DropReason::Budget { tokens: last.tokens }));
        pieces
    }
}

fn total(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.tokens).sum()
}

/// Returns the turn with which a piece is dropped where a layer is. A denial goes with what it answers.
fn unit_of(piece: &Piece, layer: Layer) -> Option<Unit> {
    let is_of = matches!(
        (&piece.origin, layer),
        (Origin::OtherThread { .. }, Layer::OtherThreads)
            | (Origin::Search { .. }, Layer::Search)
            | (Origin::Recent, Layer::Turns)
            | (Origin::Denial, Layer::Search | Layer::Turns)
    );
    piece.thread.zip(piece.position.map(|position| position.order)).filter(|_| is_of)
}

/// Returns the turns of a layer with their tokens: what was found from the worst score on, what only stands
/// beside that before it, and recent ones from the oldest on.
fn order_of_dropping(pieces: &[Piece], layer: Layer) -> Vec<(Unit, u64)> {
    // What denies a call is dropped with its turn, and is none itself.
    let turns = pieces.iter().filter(|piece| piece.origin != Origin::Denial);
    let turns: HashSet<_> = turns.filter_map(|piece| unit_of(piece, layer)).collect();
    let mut units: BTreeMap<Unit, (f64, u64)> = BTreeMap::new();
    for piece in pieces {
        let Some(unit) = unit_of(piece, layer).filter(|unit| turns.contains(unit)) else { continue };
        let (score, tokens) = units.entry(unit).or_insert((f64::NEG_INFINITY, 0));
        *score = score.max(piece.origin.why().map_or(f64::NEG_INFINITY, |why| why.score));
        *tokens += piece.tokens;
    }
    let mut units: Vec<_> = units.into_iter().collect();
    units.sort_by(|(one, (one_score, _)), (two, (two_score, _))| {
        one_score.total_cmp(two_score).then(one.1.cmp(&two.1)).then(one.0.cmp(&two.0))
    });
    units.into_iter().map(|(unit, (_, tokens))| (unit, tokens)).collect()
}

/// Leaves out labels around nothing.
fn without_empty_groups(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let told: HashSet<_> =
        pieces.iter().filter(|piece| piece.is_foreign()).map(|piece| piece.thread).collect();
    pieces.retain(|piece| piece.origin != Origin::Label || told.contains(&piece.thread));
    pieces
}
