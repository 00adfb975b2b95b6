//! The plain model: a map of rows, and reads that filter and sort all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds as _;

use loomwork_core::RawId;
use loomwork_store::Problem;
use loomwork_store::engine::Op as Logged;

use crate::store::Note;
use crate::store::script::{Answer, Ending, Entry, How, Limits, Mutation, Op, Over, Ran, Read};

/// What a store should hold.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    table: &'static str,
    prefix: &'static str,
    pub(super) rows: BTreeMap<RawId, Note>,
    /// The rows that the program has made, deleted ones too.
    pub(super) known: Vec<RawId>,
    /// The rows that the mutation under way has written and not undone.
    written: BTreeSet<RawId>,
}

impl Plain {
    pub(super) fn new(table: &'static str, prefix: &'static str) -> Self {
        Self { table, prefix, rows: BTreeMap::new(), known: Vec::new(), written: BTreeSet::new() }
    }

    /// The model after mutations that ran side by side: what some order of them makes of it, in
    /// which each answers as it did, the log tells what it told, and the rows end as they are.
    pub(super) fn after(
        &self,
        outcomes: &[(&Mutation, &Ran)],
        changes: &[(Logged, RawId)],
        rows: &BTreeMap<RawId, Note>,
    ) -> Result<Self, String> {
        let mut misfits = Vec::new();
        for order in orders(outcomes.len()) {
            let misfit = match self.after_in_order(order.iter().map(|at| outcomes[*at]), changes) {
                Ok(after) if after.rows == *rows => return Ok(after),
                Ok(after) => format!("the rows are {rows:?} instead of {:?}", after.rows),
                Err(misfit) => misfit,
            };
            misfits.push(format!("in the order {order:?}: {misfit}"));
        }
        Err(misfits.join("\n"))
    }

    fn after_in_order<'a>(
        &self,
        outcomes: impl Iterator<Item = (&'a Mutation, &'a Ran)>,
        changes: &[(Logged, RawId)],
    ) -> Result<Self, String> {
        let mut now = self.clone();
        let mut told = Vec::new();
        for (mutation, ran) in outcomes {
            // Rows are picked among those known when the mutations were handed in.
            let mut next = Self { known: self.known.clone(), written: BTreeSet::new(), ..now.clone() };
            let mut answers = ran.answers.iter();
            next.apply(&mutation.ops, &mut answers)?;
            if let Some(answer) = answers.next() {
                return Err(format!("{answer:?} answers nothing"));
            }
            if ran.end != mutation.ending.in_words() {
                return Err(format!("{mutation:?} ended as {:?}", ran.end));
            }
            if mutation.ending == Ending::Kept {
                told.extend(next.changes_since(&now));
                let made = next.known.split_off(self.known.len());
                next.known = [now.known, made].concat();
                now = next;
            }
        }
        if told == changes { Ok(now) } else { Err(format!("the log told {changes:?} instead of {told:?}")) }
    }

    /// What the log tells of a mutation: one change for each row that it wrote, in the order of ids.
    fn changes_since(&self, before: &Self) -> Vec<(Logged, RawId)> {
        let change = |id: &RawId| match (before.rows.contains_key(id), self.rows.contains_key(id)) {
            (false, false) => None,
            (false, true) => Some((Logged::Insert, *id)),
            (true, true) => Some((Logged::Update, *id)),
            (true, false) => Some((Logged::Delete, *id)),
        };
        self.written.iter().filter_map(change).collect()
    }

    fn apply<'a>(
        &mut self,
        ops: &[Op],
        answers: &mut impl Iterator<Item = &'a Answer>,
    ) -> Result<(), String> {
        for op in ops {
            if let Op::Scope(scope) = op {
                let before = self.clone();
                self.apply(&scope.ops, answers)?;
                if scope.ending != Ending::Kept {
                    *self = before;
                }
                continue;
            }
            let answer = answers.next().ok_or_else(|| format!("{op:?} was not answered"))?;
            let expected = self.expect(op, answer)?;
            if *answer != expected {
                return Err(format!("{op:?} answered {answer:?} instead of {expected:?}"));
            }
        }
        Ok(())
    }

    /// Does an operation and returns what it should answer; new ids are taken from what it did.
    fn expect(&mut self, op: &Op, answer: &Answer) -> Result<Answer, String> {
        Ok(match op {
            Op::Insert(note) => {
                let id = match answer {
                    Answer::Row((id, _)) if self.known.iter().all(|known| known < id) => *id,
                    Answer::Row((id, _)) => return Err(format!("the new id {id} is not the greatest")),
                    // Whatever is written to this id is not what was answered.
                    _ => RawId::from_bytes([0xff; 16]),
                };
                let expected = self.write(id, note.clone());
                if matches!(expected, Answer::Row(_)) {
                    self.known.push(id);
                }
                expected
            }
            Op::InsertAt(pick, note) => {
                let id = pick.of(&self.known);
                if self.rows.contains_key(&id) {
                    return Ok(refused(&Problem::Exists { table: self.table, prefix: self.prefix, id }));
                }
                self.write(id, note.clone())
            }
            Op::Update(pick, change) => {
                let id = pick.of(&self.known);
                let Some(mut note) = self.rows.get(&id).cloned() else { return Ok(self.not_found(id)) };
                change.apply(&mut note);
                self.write(id, note)
            }
            Op::Replace(pick, note) => {
                let id = pick.of(&self.known);
                if !self.rows.contains_key(&id) {
                    return Ok(self.not_found(id));
                }
                self.write(id, note.clone())
            }
            Op::Delete(pick) => {
                let id = pick.of(&self.known);
                let gone = self.rows.remove(&id);
                if gone.is_some() {
                    self.written.insert(id);
                }
                Answer::Maybe(gone.map(|note| (id, note)))
            }
            Op::Get(pick) => {
                let id = pick.of(&self.known);
                Answer::Maybe(self.rows.get(&id).map(|note| (id, note.clone())))
            }
            Op::Read(read) => self.answer(read, &self.known),
            Op::Scope(_) => unreachable!("scopes are applied apart"),
        })
    }

    fn write(&mut self, id: RawId, note: Note) -> Answer {
        let holder = self.rows.iter().find(|(other, held)| **other != id && held.slug == note.slug);
        if let Some((holder, _)) = holder {
            return refused(&Problem::Duplicate {
                table: self.table,
                index: "by_slug",
                key: format!("({:?})", note.slug),
                prefix: self.prefix,
                id: *holder,
            });
        }
        // A record that stays as it is is not written.
        if self.rows.insert(id, note.clone()).as_ref() != Some(&note) {
            self.written.insert(id);
        }
        Answer::Row((id, note))
    }

    fn not_found(&self, id: RawId) -> Answer {
        refused(&Problem::NotFound { table: self.table, prefix: self.prefix, id })
    }

    /// What a read should answer.
    pub(super) fn answer(&self, read: &Read, known: &[RawId]) -> Answer {
        let mut rows = self.rows_over(&read.over, known);
        if read.reverse {
            rows.reverse();
        }
        match read.how {
            How::Rows(limit) => {
                rows.truncate(limit.unwrap_or(usize::MAX));
                Answer::Rows(rows)
            }
            How::Count(limit) => Answer::Count(rows.len().min(limit.unwrap_or(usize::MAX))),
            How::Pages(_) if rows.is_empty() => Answer::Pages(vec![rows]),
            How::Pages(size) => Answer::Pages(rows.chunks(size).map(<[Entry]>::to_vec).collect()),
        }
    }

    fn rows_over(&self, over: &Over, known: &[RawId]) -> Vec<Entry> {
        match over {
            Over::Ids((low, high)) => {
                let limits = (low.map(|pick| pick.of(known)), high.map(|pick| pick.of(known)));
                self.sorted(|id, _| within(&limits, &id).then_some(()))
            }
            Over::Authors(limits) => {
                self.sorted(|_, note| within(limits, &note.author).then(|| (note.author.clone(), note.stars)))
            }
            Over::StarsOf(author, limits) => self.sorted(|_, note| {
                (note.author == *author && within(limits, &note.stars)).then_some(note.stars)
            }),
            Over::Slugs(limits) => {
                self.sorted(|_, note| within(limits, &note.slug).then(|| note.slug.clone()))
            }
            Over::Starred(limits) => {
                self.sorted(|_, note| (note.stars > 0 && within(limits, &note.stars)).then_some(note.stars))
            }
        }
    }

    /// The rows that have a key, in its order; those of one key in the order of their ids.
    fn sorted<K: Ord>(&self, key: impl Fn(RawId, &Note) -> Option<K>) -> Vec<Entry> {
        let keyed = self.rows.iter().filter_map(|(id, note)| Some((key(*id, note)?, *id, note)));
        let mut keyed: Vec<_> = keyed.collect();
        keyed.sort_by(|(one, one_id, _), (other, other_id, _)| (one, one_id).cmp(&(other, other_id)));
        keyed.into_iter().map(|(_, id, note)| (id, note.clone())).collect()
    }
}

fn refused(problem: &Problem) -> Answer {
    Answer::Refused(problem.to_string())
}

fn within<T: PartialOrd>((low, high): &Limits<T>, value: &T) -> bool {
    (low.as_ref(), high.as_ref()).contains(value)
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let places = |order: &Vec<usize>| {
        let order = order.clone();
        (0..=order.len()).map(move |at| [&order[..at], &[last], &order[at..]].concat())
    };
    orders(last).iter().flat_map(places).collect()
}
