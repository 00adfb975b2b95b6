//! What can go wrong when usage is recorded, priced or billed.

use std::time::Duration;

use loomwork_core::{Fault, Kind, Time};
use loomwork_store::Id;

use crate::calendar::CalendarError;
use crate::currency::{Currency, CurrencyError};
use crate::event::{MAX_TAGS, MAX_UNITS};
use crate::fold::MAX_WAITING;
use crate::invoice::MAX_ATTEMPTS;
use crate::money::{Money, MoneyError};
use crate::tables::InvoiceRow;
use crate::unit::{MAX_QUANTITY, Unit};

/// A call that was refused; nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// A text that is empty or too long.
    #[error("the {what} has {bytes} bytes; it must have {least} to {most}")]
    BadText {
        /// What it is.
        what: &'static str,
        /// What it takes.
        bytes: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// Too many tags.
    #[error("an event has {tags} tags; the most are {MAX_TAGS}")]
    TooManyTags {
        /// How many.
        tags: usize,
    },
    /// Too many units.
    #[error("an event counts {units} units; the most are {MAX_UNITS}, split it into several")]
    TooManyUnits {
        /// How many.
        units: usize,
    },
    /// More of a unit than an event may have.
    #[error("an event has {quantity} of {unit}; the most is {MAX_QUANTITY}, split it into several")]
    TooMuch {
        /// The unit.
        unit: Unit,
        /// How much.
        quantity: u64,
    },
    /// A key that only reversals have.
    #[error(
        "the key {key:?} begins as those of reversals do; let it begin with something other than \"reversal:\""
    )]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// An event that is too old or too far ahead.
    #[error(
        "event {key:?} occurred at {at} and it is {now}; it must be recorded within {back:?}, and may be {ahead:?} ahead"
    )]
    OutOfWindow {
        /// Its key.
        key: String,
        /// When it occurred.
        at: Time,
        /// The store's time.
        now: Time,
        /// How old it may be.
        back: Duration,
        /// How far ahead it may be.
        ahead: Duration,
    },
    /// A key that was used for another event; that one stands.
    #[error(
        "event {key:?} of {source_name:?} was recorded before with other contents; the first stands, correct it or use another key"
    )]
    Conflict {
        /// What recorded it.
        source_name: String,
        /// The key.
        key: String,
    },
    /// An event that is not there.
    #[error("there is no event {key:?} of {source_name:?}; record it first")]
    UnknownEvent {
        /// What should have recorded it.
        source_name: String,
        /// The key.
        key: String,
    },
    /// A reversal of something that cannot be reversed.
    #[error("event {key:?} cannot be reversed: it {why}")]
    NotReversible {
        /// The key.
        key: String,
        /// What is in the way.
        why: &'static str,
    },
    /// A price that overlaps another one.
    #[error(
        "{book:?} has a price for {model:?} of {provider:?} that overlaps the one from {from}; use `change_price`, or `end_price` of the other first; one that events were rated by is not replaced"
    )]
    Overlap {
        /// The book.
        book: String,
        /// The provider.
        provider: String,
        /// The model.
        model: String,
        /// From when the new one would hold.
        from: Time,
    },
    /// A price that cannot be.
    #[error("the price for {model:?} cannot be: {why}")]
    BadPrice {
        /// The model.
        model: String,
        /// What would be right.
        why: String,
    },
    /// A book that cannot be, or cannot become so.
    #[error("the book {name:?} cannot be: {why}")]
    BadBook {
        /// Its name.
        name: String,
        /// What would be right.
        why: String,
    },
    /// An account that cannot be.
    #[error("the account of {payer:?} cannot be: {why}")]
    BadAccount {
        /// Who pays.
        payer: String,
        /// What would be right.
        why: String,
    },
    /// A call without a payer, where a hard budget counts what a payer is charged.
    #[error("budget {budget:?} counts what a payer is charged, and the call has none; say who pays")]
    NoPayer {
        /// The budget's name.
        budget: String,
    },
    /// A budget that cannot be, or is not there.
    #[error("the budget {name:?} cannot be used: {why}")]
    BadBudget {
        /// Its name.
        name: String,
        /// What would be right.
        why: String,
    },
    /// Something that has no price, where a price is needed.
    #[error("there is no price for {model:?} of {provider:?} in {book:?}; set one and try again")]
    Unpriced {
        /// The book.
        book: String,
        /// The provider.
        provider: String,
        /// The model.
        model: String,
    },
    /// A sum that cannot be counted.
    #[error("the sum of {what} overflows; nothing was added")]
    Overflow {
        /// What was added up.
        what: String,
    },
    /// An amount in one currency where another is counted.
    #[error("{what} is in {found}, and {expected} is counted here; currencies are never converted")]
    WrongCurrency {
        /// What has the amount.
        what: String,
        /// Its currency.
        found: Currency,
        /// The one that is counted.
        expected: Currency,
    },
    /// A period that has not ended.
    #[error("{label} of {payer:?} ends at {end}, and it is {now}; only a period that has ended is billed")]
    NotOver {
        /// Who pays.
        payer: String,
        /// The period.
        label: String,
        /// When it ends.
        end: Time,
        /// The store's time.
        now: Time,
    },
    /// A draft of a period that was closed without an invoice.
    #[error(
        "{label} of {payer:?} is closed without an invoice: it had nothing to pay, or its lines are carried into a later period; draft that one"
    )]
    NothingToDraft {
        /// Who pays.
        payer: String,
        /// The period.
        label: String,
    },
    /// A bound of a sum of hours that lies within an hour.
    #[error("{at} is not the beginning of an hour of UTC, and nothing finer is kept; give whole hours")]
    NotWholeHour {
        /// The bound.
        at: Time,
    },
    /// Totals are asked for while too many events wait to be folded into them.
    #[error(
        "more than {MAX_WAITING} events wait to be added to totals and lines; start the upkeep of this crate, and ask again later"
    )]
    Behind,
    /// An event that the store does not take.
    #[error("event {key:?} cannot be stored: {why}")]
    NotStorable {
        /// Its key.
        key: String,
        /// What the store says.
        why: String,
    },
    /// An event that was set aside with a name that was cut, and is to be recorded under what is left of it.
    #[error("the {what} of this event was too long and is cut; record it with one of its own that is right")]
    CutName {
        /// Its source, its key or its payer.
        what: String,
    },
    /// Lines and events that do not agree.
    #[error(
        "{label} of {payer:?} is not billed: its events and its lines differ in {what}; look into the store before billing it"
    )]
    Mismatch {
        /// Who pays.
        payer: String,
        /// The period.
        label: String,
        /// In what they differ.
        what: String,
    },
    /// A check of lines against events that no longer holds.
    #[error("usage of the period was changed while it was checked; check it again")]
    Stale,
    /// A move that the state of an invoice does not allow.
    #[error("invoice {invoice} is {from} and cannot become {to}; {right}")]
    IllegalMove {
        /// The invoice.
        invoice: Id<InvoiceRow>,
        /// Where it stands.
        from: &'static str,
        /// Where it should go.
        to: &'static str,
        /// What could be done.
        right: &'static str,
    },
    /// Too many payments of an invoice.
    #[error("invoice {invoice} has {MAX_ATTEMPTS} payments that failed; give it up, or void it")]
    TooManyAttempts {
        /// The invoice.
        invoice: Id<InvoiceRow>,
    },
    /// A credit beyond what is left of an invoice.
    #[error("invoice {invoice} has {left} left to credit, and {wanted} is asked for")]
    TooMuchCredit {
        /// The invoice.
        invoice: Id<InvoiceRow>,
        /// What is left.
        left: Money,
        /// What was asked for.
        wanted: Money,
    },
    /// An amount that cannot be paid in coins.
    #[error("{what} is finer than the currency's coin; give it with {decimals} decimals")]
    FinerThanCoin {
        /// The amount.
        what: String,
        /// How many decimals the coin has.
        decimals: u32,
    },
    /// A key of a payment or a credit that was used before, for something else.
    #[error("{key:?} was used before for something else on invoice {invoice}; use a key of its own")]
    KeyReused {
        /// The invoice.
        invoice: Id<InvoiceRow>,
        /// The key.
        key: String,
    },
    /// An amount that cannot be.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A period that cannot be found.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// A code that is no currency.
    #[error(transparent)]
    Currency(#[from] CurrencyError),
}

impl Fault for UsageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Conflict { .. } | Self::Stale => Kind::Conflict,
            Self::Behind => Kind::Unavailable,
            Self::UnknownEvent { .. } => Kind::NotFound,
            Self::Unpriced { .. } => Kind::Denied,
            Self::Mismatch { .. } => Kind::Corrupt,
            _ => Kind::Invalid,
        }
    }
}
