//! Random programs over one table, as data: what to do, how it is done to a store, what that answers.

mod strategy;
mod subject;

use std::ops::Bound;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use loomwork_core::{Fault, Kind, RawId};
use loomwork_store::{Bounded, Id, Page, Parts, Result, Row, Span, Store, Tx};

use super::Note;

pub(super) use strategy::{mutation, read};
pub(super) use subject::{Subject, Tile};

/// A mutation: its operations, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    pub(super) ops: Vec<Op>,
    pub(super) ending: Ending,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Insert(Note),
    InsertAt(Pick, Note),
    Update(Pick, Change),
    Replace(Pick, Note),
    Delete(Pick),
    Get(Pick),
    Read(Read),
    /// A nested scope.
    Scope(Mutation),
}

/// How a mutation or a scope ends when its operations are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Kept,
    Failed,
    Panicked,
}

/// A row, by its place among those that the program has made so far; deleted ones count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick(u8);

/// A change of one field.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Author(Option<String>),
    Stars(i64),
    Slug(String),
    Text(String),
}

/// A read of a range.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) over: Over,
    pub(super) reverse: bool,
    pub(super) how: How,
}

pub(super) type Limits<T> = (Bound<T>, Bound<T>);

/// What a read covers.
#[derive(Clone, Debug)]
pub(super) enum Over {
    Ids(Limits<Pick>),
    Authors(Limits<Option<String>>),
    StarsOf(Option<String>, Limits<i64>),
    Slugs(Limits<String>),
    Starred(Limits<i64>),
}

/// What a read returns.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Rows(Option<usize>),
    Count(Option<usize>),
    /// All pages, of this size each.
    Pages(usize),
}

/// A row of whatever table the program runs on.
pub(super) type Entry = (RawId, Note);

/// What one operation answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Row(Entry),
    Maybe(Option<Entry>),
    Rows(Vec<Entry>),
    Count(usize),
    Pages(Vec<Vec<Entry>>),
    /// The operation was refused, in these words; the mutation went on.
    Refused(String),
}

/// What a mutation did.
#[derive(Debug)]
pub(super) struct Ran {
    /// The answers of its operations, those of undone scopes too.
    pub(super) answers: Vec<Answer>,
    /// The rows that the program has made; none beside those before if the mutation failed.
    pub(super) known: Vec<RawId>,
    /// How it ended, in words.
    pub(super) end: String,
}

/// What a program does on purpose where it says [`Ending::Failed`].
#[derive(Clone, Copy, Debug)]
struct OnPurpose;

impl std::fmt::Display for OnPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed on purpose")
    }
}

impl std::error::Error for OnPurpose {}

impl Fault for OnPurpose {
    fn kind(&self) -> Kind {
        Kind::Cancelled
    }
}

impl Ending {
    fn reach(self) -> Result<()> {
        match self {
            Self::Kept => Ok(()),
            Self::Failed => Err(OnPurpose.into()),
            // As a panic does, without its message on the screen for each of the many.
            Self::Panicked => resume_unwind(Box::new("panicked on purpose")),
        }
    }

    /// How a mutation that ends so is answered.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Kept => "committed",
            Self::Failed => "failed on purpose",
            Self::Panicked => "a mutation panicked: panicked on purpose",
        }
    }
}

impl Pick {
    pub(super) fn of(self, known: &[RawId]) -> RawId {
        // Before anything was made it is a row that nobody has.
        known.get(usize::from(self.0) % known.len().max(1)).copied().unwrap_or(RawId::from_bytes([0; 16]))
    }
}

impl Change {
    pub(super) fn apply(&self, note: &mut Note) {
        match self {
            Self::Author(author) => note.author.clone_from(author),
            Self::Stars(stars) => note.stars = *stars,
            Self::Slug(slug) => note.slug.clone_from(slug),
            Self::Text(text) => note.text.clone_from(text),
        }
    }
}

impl Mutation {
    /// Runs it on a store in which the program has made the rows `known`.
    pub(super) async fn run<T: Subject>(self, store: Store, known: Vec<RawId>) -> Ran {
        // The answers are wanted of failed mutations too, and only those of the last attempt.
        let answered = Arc::new(Mutex::new(Vec::new()));
        let (answers, before) = (answered.clone(), known.clone());
        let ran = store.mutate(move |tx| {
            let mut made = known;
            let mut own = Vec::new();
            let done = run_all::<T>(tx, &self.ops, &mut made, &mut own);
            *answers.lock().expect("nothing panics while it is held") = own;
            done?;
            self.ending.reach()?;
            Ok(made)
        });
        let (known, end) = match ran.await {
            Ok(known) => (known, Ending::Kept.in_words().to_owned()),
            Err(error) => (before, error.to_string()),
        };
        let answers = std::mem::take(&mut *answered.lock().expect("nothing panics while it is held"));
        Ran { answers, known, end }
    }
}

fn run_all<T: Subject>(
    tx: &mut Tx,
    ops: &[Op],
    known: &mut Vec<RawId>,
    answers: &mut Vec<Answer>,
) -> Result<()> {
    for op in ops {
        match op {
            Op::Scope(scope) => run_scope::<T>(tx, scope, known, answers)?,
            op => {
                let answer = run_one::<T>(tx, op, known);
                answers.push(answer.or_else(|error| match error.kind() {
                    Kind::Invalid | Kind::NotFound => Ok(Answer::Refused(error.to_string())),
                    _ => Err(error),
                })?);
            }
        }
    }
    Ok(())
}

fn run_scope<T: Subject>(
    tx: &mut Tx,
    scope: &Mutation,
    known: &mut Vec<RawId>,
    answers: &mut Vec<Answer>,
) -> Result<()> {
    let before = known.len();
    let ended = tx.nested(|tx| {
        run_all::<T>(tx, &scope.ops, known, answers)?;
        scope.ending.reach()
    });
    match (ended, scope.ending) {
        (Err(error), Ending::Failed) if error.downcast_ref::<OnPurpose>().is_some() => known.truncate(before),
        (Err(error), Ending::Panicked) if error.kind() == Kind::Internal => known.truncate(before),
        (ended, _) => return ended,
    }
    Ok(())
}

fn run_one<T: Subject>(tx: &mut Tx, op: &Op, known: &mut Vec<RawId>) -> Result<Answer> {
    let id = |pick: &Pick| Id::<T>::from_raw(pick.of(known));
    Ok(match op {
        Op::Insert(note) => {
            let row = tx.insert(T::from(note.clone()))?;
            known.push(row.id.raw());
            Answer::Row(entry(row))
        }
        Op::InsertAt(pick, note) => Answer::Row(entry(tx.insert_at(id(pick), note.clone().into())?)),
        Op::Update(pick, change) => Answer::Row(entry(tx.update(id(pick), |record: &mut T| {
            let mut note = record.clone().into();
            change.apply(&mut note);
            *record = note.into();
        })?)),
        Op::Replace(pick, note) => Answer::Row(entry(tx.replace(id(pick), note.clone().into())?)),
        Op::Delete(pick) => Answer::Maybe(tx.delete(id(pick))?.map(entry)),
        Op::Get(pick) => Answer::Maybe(tx.get(id(pick))?.map(entry)),
        Op::Read(read) => read.run::<T>(tx, known)?,
        Op::Scope(_) => unreachable!("scopes are run apart"),
    })
}

pub(super) fn entry<T: Subject>(row: Row<T>) -> Entry {
    (row.id.raw(), row.record.into())
}

fn entries<T: Subject>(rows: Vec<Row<T>>) -> Vec<Entry> {
    rows.into_iter().map(entry).collect()
}

impl Read {
    /// Every row of an index in its order.
    pub(super) fn all(over: Over) -> Self {
        Self { over, reverse: false, how: How::Rows(None) }
    }

    pub(super) fn run<T: Subject>(&self, tx: &Tx, known: &[RawId]) -> Result<Answer> {
        let id = |pick: &Pick| Id::<T>::from_raw(pick.of(known));
        match &self.over {
            Over::Ids((low, high)) => {
                self.within(tx, T::all(), &(low.as_ref().map(id), high.as_ref().map(id)))
            }
            Over::Authors(limits) => self.within(tx, T::BY_AUTHOR.all(), limits),
            Over::StarsOf(author, limits) => self.within(tx, T::BY_AUTHOR.eq(author), limits),
            Over::Slugs(limits) => self.within(tx, T::BY_SLUG.all(), limits),
            Over::Starred(limits) => self.within(tx, T::STARRED.all(), limits),
        }
    }

    fn within<T: Subject, K: Parts<Head: Clone>>(
        &self,
        tx: &Tx,
        span: Span<T, K>,
        (low, high): &Limits<K::Head>,
    ) -> Result<Answer> {
        match (low, high) {
            (Bound::Unbounded, Bound::Unbounded) => self.answer(tx, span),
            (Bound::Unbounded, Bound::Included(high)) => self.answer(tx, span.le(high)),
            (Bound::Unbounded, Bound::Excluded(high)) => self.answer(tx, span.lt(high)),
            (Bound::Included(low), high) => self.below(tx, span.ge(low), high),
            (Bound::Excluded(low), high) => self.below(tx, span.gt(low), high),
        }
    }

    fn below<T: Subject, H: loomwork_store::Key + Clone>(
        &self,
        tx: &Tx,
        span: Span<T, Bounded<H>>,
        high: &Bound<H>,
    ) -> Result<Answer> {
        match high {
            Bound::Unbounded => self.answer(tx, span),
            Bound::Included(high) => self.answer(tx, span.le(high)),
            Bound::Excluded(high) => self.answer(tx, span.lt(high)),
        }
    }

    fn answer<T: Subject, K>(&self, tx: &Tx, span: Span<T, K>) -> Result<Answer> {
        let span = if self.reverse { span.desc() } else { span };
        let limited = |limit: Option<usize>| match limit {
            Some(limit) => span.clone().take(limit),
            None => span.clone(),
        };
        Ok(match self.how {
            How::Rows(limit) => Answer::Rows(entries(tx.scan(limited(limit))?)),
            How::Count(limit) => Answer::Count(tx.count(limited(limit))?),
            How::Pages(size) => {
                let mut pages = Vec::new();
                let mut page = Page::first(size);
                loop {
                    let read = tx.page(span.clone(), page)?;
                    pages.push(entries(read.rows));
                    let Some(next) = read.next else { break Answer::Pages(pages) };
                    page = Page::after(next, size);
                }
            }
        })
    }
}
