//! From messages that were found to turns that can be told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use loomwork_messages::{MemberRole, MessageId, MessageRow, MessageStatus, ThreadId, ThreadStatus};
use loomwork_messages::{members, threads};
use loomwork_store::{Result, Row, Tx};

use super::search::Scope;
use super::turns::Turns;
use super::{ContextValues, FoundThread, FoundTurn, SearchValues, Why};

/// The most messages that a search brings into a context, beside those that were found themselves.
pub const MAX_FOUND_MESSAGES: usize = 2_000;

/// What hits have become.
#[derive(Debug)]
pub(super) struct Expansion {
    pub(super) threads: Vec<FoundThread>,
    /// How many hits there are among them.
    pub(super) count: usize,
    /// Threads with hits that may not be shown.
    pub(super) refused: HashSet<ThreadId>,
}

/// A hit that may be shown.
struct Shown {
    row: Row<MessageRow>,
    why: Why,
}

/// Returns the turns of as many hits as are wanted, and those around them. Whether the user may read a thread is
/// asked in the transaction that reads it.
pub(super) fn expand(
    tx: &Tx,
    scope: &Scope,
    values: &ContextValues,
    search: &SearchValues,
    hits: &[(MessageId, Why)],
) -> Result<Expansion> {
    let mut doors = Doors { tx, scope, known: HashMap::new() };
    let mut shown = Vec::new();
    for (id, why) in hits {
        if shown.len() == search.limit {
            break;
        }
        let row = tx.get(*id)?.filter(|row| row.status == MessageStatus::Success);
        let Some(row) = row else { continue };
        if doors.lets(&row)? {
            shown.push(Shown { row, why: *why });
        }
    }
    let refused = doors.known.into_iter().filter(|(_, lets)| !lets).map(|(id, _)| id).collect();
    let count = shown.len();
    Ok(Expansion { threads: told(tx, scope, values, search, &shown)?, count, refused })
}

/// Which threads may be read; asked once each.
struct Doors<'a> {
    tx: &'a Tx,
    scope: &'a Scope,
    known: HashMap<ThreadId, bool>,
}

impl Doors<'_> {
    fn lets(&mut self, row: &MessageRow) -> Result<bool> {
        if let Some((_, before)) = self.scope.own.filter(|(own, _)| *own == row.thread) {
            return Ok(row.order < before);
        }
        let Some(user) = self.scope.user.as_deref() else { return Ok(false) };
        if row.hidden || row.user.as_deref() != Some(user) {
            return Ok(false);
        }
        if let Some(known) = self.known.get(&row.thread) {
            return Ok(*known);
        }
        let is_used =
            threads::get(self.tx, row.thread)?.is_some_and(|thread| thread.status != ThreadStatus::Archived);
        let lets = is_used && members::may(self.tx, row.thread, user, MemberRole::Reader)?;
        self.known.insert(row.thread, lets);
        Ok(lets)
    }
}

/// Returns the turns of what is shown, thread by thread: other threads with the best hit last, then the own
/// one.
fn told(
    tx: &Tx,
    scope: &Scope,
    values: &ContextValues,
    search: &SearchValues,
    shown: &[Shown],
) -> Result<Vec<FoundThread>> {
    let own = scope.own.map(|(thread, _)| thread);
    let mut found: BTreeMap<ThreadId, BTreeMap<u64, FoundTurn>> = BTreeMap::new();
    let mut room = MAX_FOUND_MESSAGES;
    for hit in shown {
        let turns = found.entry(hit.row.thread).or_default();
        let turn = match turns.get_mut(&hit.row.order) {
            Some(turn) => turn,
            None => {
                let turn = read(tx, values, hit.row.thread, hit.row.order, &mut room)?;
                turns.entry(hit.row.order).or_insert(turn)
            }
        };
        turn.hits.insert(hit.row.id, hit.why);
        let messages = &mut turn.turn.messages;
        if messages.iter().all(|row| row.id != hit.row.id) {
            messages.push(hit.row.clone());
            messages.sort_by_key(|row| row.position());
        }
    }
    for (thread, order) in beside(scope, search, shown) {
        let turns = found.entry(thread).or_default();
        if room > 0 && !turns.contains_key(&order) {
            let turn = read(tx, values, thread, order, &mut room)?;
            if !turn.turn.messages.is_empty() {
                turns.insert(order, turn);
            }
        }
    }
    let mut told = Vec::new();
    for (thread, turns) in found {
        let (is_other, turns) = (Some(thread) != own, turns.into_values().collect());
        let title = threads::get(tx, thread)?.and_then(|thread| thread.record.title);
        told.push(FoundThread { thread, is_other, title, turns });
    }
    told.sort_by(|one, two| {
        two.is_other
            .cmp(&one.is_other)
            .then(best(one).total_cmp(&best(two)))
            .then(one.thread.cmp(&two.thread))
    });
    Ok(told)
}

/// Returns the turns around what is shown, those of the best hits first.
fn beside(scope: &Scope, search: &SearchValues, shown: &[Shown]) -> Vec<(ThreadId, u64)> {
    let (mut beside, mut known) = (Vec::new(), BTreeSet::new());
    for Shown { row, .. } in shown {
        let own = scope.own.filter(|(own, _)| *own == row.thread);
        let end = own.map_or(u64::MAX, |(_, before)| before);
        let last = row.order.saturating_add(search.after).min(end.saturating_sub(1));
        for order in row.order.saturating_sub(search.before)..=last {
            if known.insert((row.thread, order)) {
                beside.push((row.thread, order));
            }
        }
    }
    beside
}

/// Reads a turn, and as much of it as there is room for.
fn read(
    tx: &Tx,
    values: &ContextValues,
    thread: ThreadId,
    order: u64,
    room: &mut usize,
) -> Result<FoundTurn> {
    let max_turn = values.max_turn.min(*room);
    let turn = match max_turn {
        0 => None,
        _ => Turns { max_turn, ..Turns::of(tx, thread, values) }.one(order)?,
    };
    let turn = turn.unwrap_or(super::Turn { order, messages: Vec::new(), is_cut: *room == 0 });
    *room = room.saturating_sub(turn.messages.len());
    Ok(FoundTurn { turn, hits: HashMap::new() })
}

fn best(thread: &FoundThread) -> f64 {
    let scores = thread.turns.iter().flat_map(|turn| turn.hits.values()).map(|why| why.score);
    scores.fold(f64::NEG_INFINITY, f64::max)
}
