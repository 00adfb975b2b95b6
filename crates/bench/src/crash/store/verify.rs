//! What must hold in every file, whatever was killed when: all tables tell the same story.

use std::collections::{BTreeMap, HashSet};

use loomwork_store::engine::Op;
use loomwork_store::feed::Change;

use super::contents::Contents;
use super::tables::{ACCOUNTS, BALANCE, Counter, Event, TOKENS, pattern, text, token};
use crate::crash::tally::{Fault, Tally};

/// Checks that nothing is missing, doubled or half done.
pub(super) fn verify(contents: &Contents, tally: &mut Tally) {
    numbers(contents, tally);
    texts(contents, tally);
    counters(contents, tally);
    balances(contents, tally);
    tokens(contents, tally);
    ballasts(contents, tally);
    feed(contents, tally);
}

/// Each caller's numbers are 1, 2, 3, … without a gap and without one twice.
fn numbers(contents: &Contents, tally: &mut Tally) {
    let mut before = (0, 0);
    for event in &contents.events {
        let (caller, number) = (event.caller, event.number);
        let next = if caller == before.0 { before.1 + 1 } else { 1 };
        let fault = if number < next { Fault::Doubled } else { Fault::Lost };
        tally.fact(number == next, fault, || {
            format!("caller {caller} has event {number} where its event {next} should be")
        });
        before = (caller, number);
    }
}

/// The events, and the lines that repeat them, are as they were written.
fn texts(contents: &Contents, tally: &mut Tally) {
    for event in &contents.events {
        let (caller, number) = (event.caller, event.number);
        let is_right = event.text == text(caller, number);
        tally.fact(is_right, Fault::Broken, || format!("event {number} of caller {caller} has another text"));
    }
    let written = |caller, number| (caller, number, text(caller, number));
    let right: Vec<_> = contents.events.iter().map(|event| written(event.caller, event.number)).collect();
    let found: Vec<_> =
        contents.lines.iter().map(|line| (line.caller, line.number, line.text.clone())).collect();
    tally.same_list("the lines", &found, &right);
}

fn counters(contents: &Contents, tally: &mut Tally) {
    let counted: Vec<_> = contents.counters.iter().map(|counter| (counter.caller, counter.last)).collect();
    let right: Vec<_> = contents.last_numbers().into_iter().collect();
    tally.same_list("the counters", &counted, &right);
}

/// The balances are what the events make of the first ones; so their sum is what it was, too.
fn balances(contents: &Contents, tally: &mut Tally) {
    let first = if contents.accounts.is_empty() { 0 } else { ACCOUNTS };
    let mut right: BTreeMap<u64, i64> = (0..first).map(|number| (number, BALANCE)).collect();
    for event in &contents.events {
        *right.entry(event.from).or_default() -= event.amount;
        *right.entry(event.to).or_default() += event.amount;
    }
    let found: Vec<_> = contents.accounts.iter().map(|account| (account.number, account.balance)).collect();
    let sum: i64 = found.iter().map(|(_, balance)| balance).sum();
    tally.same("the sum of the accounts", sum, first as i64 * BALANCE);
    tally.same_list("the accounts", &found, &right.into_iter().collect::<Vec<_>>());
}

/// The last events of each caller have their tokens, and no other has.
fn tokens(contents: &Contents, tally: &mut Tally) {
    let found: Vec<_> = contents.tokens.iter().map(|token| token.text.clone()).collect();
    let kept = |(caller, last): (u64, u64)| {
        (last.saturating_sub(TOKENS) + 1..=last).map(move |number| token(caller, number))
    };
    let mut right: Vec<_> = contents.last_numbers().into_iter().flat_map(kept).collect();
    right.sort();
    tally.same_list("the tokens", &found, &right);
}

/// Each caller's ballast is that of its last event that changed it.
fn ballasts(contents: &Contents, tally: &mut Tally) {
    let mut right = BTreeMap::new();
    for event in &contents.events {
        if let Some(length) = event.ballast {
            right.insert(event.caller, (event.number, length));
        }
    }
    tally.same("the count of ballasts", contents.ballasts.len(), right.len());
    for ballast in &contents.ballasts {
        let caller = ballast.caller;
        let (number, length) = right.get(&caller).copied().unwrap_or_default();
        let is_right = ballast.number == number && ballast.text == pattern(caller, number, length);
        tally.fact(is_right, Fault::Broken, || {
            format!("caller {caller}'s ballast is that of {}, and should be that of {number}", ballast.number)
        });
    }
}

/// Each opening of a store has so many bits of log positions to itself.
const OPENING_BITS: u32 = 40;

/// The log tells of each event and of its counter, in the order of the commits, and of nothing else;
/// the consumer has counted each event once.
fn feed(contents: &Contents, tally: &mut Tally) {
    let feed = &contents.feed;
    let mut end = feed.trimmed.0;
    for change in &feed.changes {
        // No gap but that between the positions of one opening and those of a later one.
        let first_of_opening = (change.seq.0 >> OPENING_BITS << OPENING_BITS) + 1;
        tally.same("the next position of the log", change.seq.0, first_of_opening.max(end + 1));
        end = change.seq.0;
    }
    let events = contents.events.len() as u64;
    if feed.trimmed.0 == 0 {
        tally.same("the length of the log", feed.changes.len() as u64, events * 2);
    }
    pairs(contents, tally);
    let unseen = |change: &&Change| change.seq > feed.position && is_event(change);
    let unseen = feed.changes.iter().filter(unseen).count() as u64;
    let fault = if feed.seen + unseen > events { Fault::Doubled } else { Fault::Lost };
    tally.fact(feed.seen + unseen == events, fault, || {
        format!("of {events} events the feed's consumer has counted {} and not seen {unseen}", feed.seen)
    });
}

/// From its end, the log is pairs of one event and its caller's counter. Each caller's events come in
/// order, and no event twice. The log's trimmed end may lie inside a pair.
fn pairs(contents: &Contents, tally: &mut Tally) {
    let events = contents.by_id();
    let counters: BTreeMap<_, _> =
        contents.counters.iter().map(|counter| (counter.id.raw(), counter.caller)).collect();
    let mut next = contents.last_numbers();
    let mut told = HashSet::new();
    for pair in contents.feed.changes.rchunks_exact(2) {
        let event = pair.iter().find(|change| is_event(change));
        let counter = pair.iter().find(|change| change.of::<Counter>().is_some());
        let found = event.zip(counter).and_then(|(event, counter)| {
            let entry = events.get(&event.id)?;
            let op = if entry.number == 1 { Op::Insert } else { Op::Update };
            let fits = counters.get(&counter.id) == Some(&entry.caller) && counter.op == op;
            (fits && event.op == Op::Insert).then_some(entry)
        });
        let Some(event) = found else {
            tally.fact(false, Fault::Broken, || format!("the log has {pair:?}, which is no event's"));
            continue;
        };
        let is_new = told.insert(event.id);
        tally.fact(is_new, Fault::Doubled, || format!("the log tells twice of {event:?}"));
        let expected = next.get(&event.caller).copied();
        tally.same("the caller's number in the log", Some(event.number), expected);
        next.insert(event.caller, event.number - 1);
    }
}

fn is_event(change: &Change) -> bool {
    change.of::<Event>().is_some()
}

/// Checks that one file holds a beginning of what another holds: no commit of it without all before.
pub(super) fn verify_prefix(older: &Contents, newer: &Contents, tally: &mut Tally) {
    let known = newer.by_id();
    for event in &older.events {
        let same = known.get(&event.id.raw()).is_some_and(|known| *known == event);
        tally.fact(same, Fault::Broken, || format!("the copy has {event:?}, which the original has not"));
    }
    let at: BTreeMap<_, _> = newer.feed.changes.iter().map(|change| (change.seq, change)).collect();
    for change in &older.feed.changes {
        // The original may have trimmed what the copy still has.
        let same = at.get(&change.seq).is_none_or(|known| *known == change);
        tally.fact(same, Fault::Broken, || format!("the copy's log has {change:?}, the original's another"));
    }
}
