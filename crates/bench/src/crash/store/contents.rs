//! What a file holds, read on one snapshot.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use loomwork_core::RawId;
use loomwork_store::engine::Seq;
use loomwork_store::feed::{self, Change};
use loomwork_store::{Row, Store, Table as _, Tx};

use super::step::CONSUMER;
use super::tables::{Account, Ballast, Counter, Event, Line, Seen, Token};

/// Everything that the killed processes have left.
#[derive(Debug, PartialEq)]
pub(super) struct Contents {
    /// By caller and number.
    pub(super) events: Vec<Row<Event>>,
    pub(super) counters: Vec<Row<Counter>>,
    pub(super) accounts: Vec<Row<Account>>,
    /// In the order of their text.
    pub(super) tokens: Vec<Row<Token>>,
    /// By caller and number.
    pub(super) lines: Vec<Row<Line>>,
    pub(super) ballasts: Vec<Row<Ballast>>,
    pub(super) feed: Feed,
}

/// The change log and its consumer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Feed {
    /// How many events the consumer has counted.
    pub(super) seen: u64,
    /// Up to where it has.
    pub(super) position: Seq,
    /// Up to where the log is forgotten.
    pub(super) trimmed: Seq,
    pub(super) changes: Vec<Change>,
}

impl Contents {
    pub(super) async fn read(store: &Store) -> Result<Self> {
        store.query(read).await.context("the rows cannot be read")
    }

    /// Returns the last number of each caller that has one.
    pub(super) fn last_numbers(&self) -> BTreeMap<u64, u64> {
        self.events.iter().map(|event| (event.caller, event.number)).collect()
    }

    /// Returns the events by their ids.
    pub(super) fn by_id(&self) -> BTreeMap<RawId, &Row<Event>> {
        self.events.iter().map(|event| (event.id.raw(), event)).collect()
    }
}

fn read(tx: &Tx) -> loomwork_store::Result<Contents> {
    Ok(Contents {
        events: tx.scan(Event::by_number.all())?,
        counters: tx.scan(Counter::by_caller.all())?,
        accounts: tx.scan(Account::by_number.all())?,
        tokens: tx.scan(Token::by_text.all())?,
        lines: tx.scan(Line::by_caller.all())?,
        ballasts: tx.scan(Ballast::by_caller.all())?,
        feed: match tx.first(Seen::all())? {
            Some(seen) => read_feed(tx, seen.events)?,
            // Killed before it was set up.
            None => Feed::default(),
        },
    })
}

fn read_feed(tx: &Tx, seen: u64) -> loomwork_store::Result<Feed> {
    let position = feed::position(tx, CONSUMER)?;
    let whole = feed::changes(tx, Seq(0), usize::MAX);
    let trimmed = match &whole {
        Err(error) => match error.downcast_ref() {
            Some(feed::Error::Trimmed { trimmed, .. }) => *trimmed,
            _ => Seq(0),
        },
        Ok(_) => Seq(0),
    };
    let changes = if trimmed == Seq(0) { whole? } else { feed::changes(tx, trimmed, usize::MAX)? };
    Ok(Feed { seen, position, trimmed, changes })
}
