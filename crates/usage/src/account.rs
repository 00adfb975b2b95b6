//! How a payer is billed.

use std::time::Duration;

use loomwork_store::{Result, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::book::{COST_BOOK, find_book};
use crate::calendar::Calendar;
use crate::credit::SERIES_OF_NOTES;
use crate::error::UsageError;
use crate::event::{MAX_NAME_BYTES, fits};
use crate::money::{Millionths, Money, Rounding};
use crate::reprice;

/// How long a period that has ended takes usage before it is billed, unless an account says otherwise. With
/// months of UTC, that is until the second of the month.
pub const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// The series of invoice numbers, unless an account names another.
pub const SERIES: &str = "INV";

/// How often an amount below the minimum is carried on, unless an account says otherwise.
pub const CARRY: u32 = 12;

/// The highest tax: all of the subtotal once more.
pub const MAX_TAX: Millionths = 1_000_000;

/// The highest minimum of an invoice.
pub const MAX_MINIMUM: Money = Money::whole(1_000_000_000);

fn carry() -> u32 {
    CARRY
}

/// What is done about usage without a price when its period is billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// It is left out, and billed with a later period once it has a price.
    #[default]
    Exclude,
    /// This payer's invoice waits for the price.
    Block,
}

/// What is done about an invoice of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroTotal {
    /// None is made.
    #[default]
    Skip,
    /// It is made, and is paid.
    Paid,
}

/// A tax on the whole of an invoice, rounded once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// How it is called on the invoice.
    pub name: String,
    /// How much it is of the subtotal: 190,000 is 19 %.
    pub share: Millionths,
}

/// How a payer is billed. Nobody needs one: without it, by months of UTC, in the [cost book](COST_BOOK).
///
/// A change holds for usage that is recorded from then on, and for invoices that are finalised from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "usage_accounts", id = "account")]
#[index(unique by_payer(payer))]
pub struct Account {
    /// Who pays.
    pub payer: String,
    /// The periods.
    pub calendar: Calendar,
    /// The book of the prices that are charged; its currency is that of the invoices.
    pub book: String,
    /// How lines are rounded.
    pub rounding: Rounding,
    /// How long a period that has ended waits for late usage.
    pub grace: Duration,
    /// What is done about usage without a price.
    pub unpriced: Unpriced,
    /// What is done about an invoice of nothing.
    pub zero: ZeroTotal,
    /// Less than this, of the book's currency, is carried into the next period.
    pub minimum: Money,
    /// How often an amount below the minimum is carried on before it is billed anyway.
    #[serde(default = "carry")]
    pub carry: u32,
    /// The tax, if there is one.
    pub tax: Option<Tax>,
    /// The series of the invoices' numbers.
    pub series: String,
}

impl Account {
    /// Months of UTC in the cost book, half-even, a day of grace, no tax.
    pub fn new(payer: impl Into<String>) -> Self {
        Self {
            payer: payer.into(),
            calendar: Calendar::MONTHS,
            book: COST_BOOK.to_owned(),
            rounding: Rounding::default(),
            grace: GRACE,
            unpriced: Unpriced::default(),
            zero: ZeroTotal::default(),
            minimum: Money::ZERO,
            tax: None,
            carry: CARRY,
            series: SERIES.to_owned(),
        }
    }

    fn check(&self) -> Result<(), UsageError> {
        let bad = |why: String| Err(UsageError::BadAccount { payer: self.payer.clone(), why });
        if self.series.ends_with(SERIES_OF_NOTES) {
            let why = "numbers of credit notes; let it end otherwise";
            return bad(format!("the series {:?} ends with {SERIES_OF_NOTES:?}, as do {why}", self.series));
        }
        if let Some(tax) = &self.tax {
            fits("name of a tax", &tax.name, 1, MAX_NAME_BYTES)?;
            if tax.share > MAX_TAX {
                return bad(format!("its tax is {} millionths; the most are {MAX_TAX}", tax.share));
            }
        }
        if self.minimum.is_negative() || self.minimum > MAX_MINIMUM {
            return bad(format!("its minimum is {}; it goes from 0 to {MAX_MINIMUM}", self.minimum));
        }
        Ok(())
    }
}

/// Says how a payer is billed from now on.
///
/// # Errors
/// [`UsageError::BadText`], [`UsageError::BadAccount`], [`UsageError::Calendar`], and [`UsageError::BadBook`] for
/// one that is not there.
pub fn set_account(tx: &mut Tx, account: Account) -> Result<()> {
    fits("payer", &account.payer, 1, MAX_NAME_BYTES)?;
    fits("series", &account.series, 1, MAX_NAME_BYTES)?;
    account.check()?;
    account.calendar.validate().map_err(UsageError::from)?;
    if find_book(tx, &account.book)?.is_none() {
        let why = "it is not there; set it first".to_owned();
        return Err(UsageError::BadBook { name: account.book, why }.into());
    }
    let found = tx.first(Account::by_payer.eq(&account.payer))?;
    let book_before = found.as_ref().map_or(COST_BOOK, |row| row.book.as_str());
    if book_before != account.book {
        // What had no price in the book before may have one in this.
        reprice::wanted(tx, None)?;
    }
    match found {
        Some(found) => tx.replace(found.id, account).map(drop),
        None => tx.insert(account).map(drop),
    }
}

/// Returns how a payer is billed.
///
/// # Errors
/// When the store cannot be read.
pub fn account(tx: &Tx, payer: &str) -> Result<Account> {
    let found = tx.first(Account::by_payer.eq(payer))?;
    Ok(found.map_or_else(|| Account::new(payer), |row| row.record))
}
