//! What the killed processes write: rows of several tables that must fit each other.

use loomwork_store::{Table, TableDef};
use serde::{Deserialize, Serialize};

/// One answered or unanswered mutation: who made it, which of that caller's it was, what it moved.
/// The feed tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "events", id = "event", feed)]
#[index(unique by_number(caller, number))]
pub(crate) struct Event {
    pub(crate) caller: u64,
    pub(crate) number: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) amount: i64,
    /// How long the caller's new ballast is, where the mutation changed it.
    pub(crate) ballast: Option<u64>,
    pub(crate) text: String,
}

/// A caller's last number. The feed tells of it too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "counters", id = "counter", feed)]
#[index(unique by_caller(caller))]
pub(crate) struct Counter {
    pub(crate) caller: u64,
    pub(crate) last: u64,
}

/// What events move around; the sum of all stays the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "accounts", id = "account")]
#[index(unique by_number(number))]
#[index(by_balance(balance))]
pub(crate) struct Account {
    pub(crate) number: u64,
    pub(crate) balance: i64,
}

/// A key that only one event may have. Only those of a caller's last [`TOKENS`] events are kept, so
/// that there are deletions too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "tokens", id = "token")]
#[index(unique by_text(text))]
pub(crate) struct Token {
    pub(crate) text: String,
}

/// The events once more, in a table that lies in the order of its callers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "lines", id = "line", clustered = by_caller, codec = compact)]
#[index(by_caller(caller, number))]
pub(crate) struct Line {
    pub(crate) caller: u64,
    pub(crate) number: u64,
    pub(crate) text: String,
}

/// A long text for each caller that is written anew now and then, to fill the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "ballasts", id = "ballast", codec = compact)]
#[index(unique by_caller(caller))]
pub(crate) struct Ballast {
    pub(crate) caller: u64,
    pub(crate) number: u64,
    pub(crate) text: String,
}

/// How many events the consumer of the feed has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "seen", id = "seen")]
pub(crate) struct Seen {
    pub(crate) events: u64,
}

/// How many of a caller's tokens are kept.
pub(crate) const TOKENS: u64 = 10;

pub(crate) const ACCOUNTS: u64 = 16;

/// What every account has at first.
pub(crate) const BALANCE: i64 = 1_000;

pub(crate) fn all() -> [TableDef; 7] {
    [
        Event::table(),
        Counter::table(),
        Account::table(),
        Token::table(),
        Line::table(),
        Ballast::table(),
        Seen::table(),
    ]
}

/// The token of a caller's event.
pub(crate) fn token(caller: u64, number: u64) -> String {
    format!("{caller}-{number}")
}

/// The text of a caller's event, from nothing up to some pages.
pub(crate) fn text(caller: u64, number: u64) -> String {
    const LENGTHS: [u64; 7] = [0, 40, 200, 90, 700, 30, 6_000];
    let length = LENGTHS[(number % 7) as usize];
    pattern(caller, number, length)
}

/// A text of this length that no other event has.
pub(crate) fn pattern(caller: u64, number: u64, length: u64) -> String {
    let word = format!("{caller}/{number} ");
    let mut text = word.repeat(length as usize / word.len() + 1);
    text.truncate(length as usize);
    text
}
