//! Metering and billing that adds up, for programs that have a Loomwork store and pay for what their users set
//! in motion.
//!
//! The crate owns usage events and what they cost: price books, the lines and invoices of payers, live totals,
//! budgets. It knows nothing of agents or models; whoever calls one says what was used. Holds are those of
//! `loomwork-rate-limiter`, and the monthly run is a job of `loomwork-workpool`.
//!
//! # Example
//!
//! ```
//! use loomwork_store::{Result, Store};
//! use loomwork_usage::{
//!     COST_BOOK, Dimension, Event, Level, Money, Price, Unit, month_total, record, set_price,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let tables = loomwork_usage::tables().into_iter().chain(loomwork_rate_limiter::tables());
//! let store = Store::memory().tables(tables).open().await?;
//!
//! // 0.30 a million tokens in, 0.15 where they were cached, 1.20 out.
//! let per_million = |price: &str| price.parse::<Money>()?.per_million();
//! let (fresh, cached, out) = (per_million("0.30")?, per_million("0.15")?, per_million("1.20")?);
//! store
//!     .mutate(move |tx| {
//!         let price = Price::new(COST_BOOK, "acme", "small-1", loomwork_core::Time::EPOCH);
//!         let price = price.unit(Unit::InputFresh, fresh).unit(Unit::InputCacheRead, cached);
//!         set_price(tx, price.unit(Unit::OutputText, out)).map(drop)
//!     })
//!     .await?;
//!
//! // In the transaction that saves the answer: both are there, or neither.
//! let answered = |tx: &mut loomwork_store::Tx| {
//!     let used = [(Unit::InputFresh, 200), (Unit::InputCacheRead, 800), (Unit::OutputText, 100)];
//!     let event = Event::new("agent", "thread-1/message-2/step-0/1", tx.now()).paid_by("weavers");
//!     record(tx, event.used_by(Level::User, "ada").model("acme", "small-1").used(used))
//! };
//! let id = store.mutate(answered).await?.id();
//!
//! let cost = store.query(move |tx| Ok(tx.require(id)?.cost.clone())).await?;
//! assert_eq!(cost.expect("it has a price").amount.to_string(), "0.0003");
//! let month = store.query(|tx| month_total(tx, Dimension::User, "ada", tx.now())).await?;
//! assert_eq!(month.tokens(), 1_100);
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//!
//! - An [`Event`] says who used how much of what, in [`Unit`]s that don't overlap. [`record()`] takes it once for
//!   its key; [`reverse`] and [`correct`] take it back; [`record_or_set_aside`] never fails for the event's sake, and
//!   [`refused`] lists what was set aside.
//! - A [`Book`] has [`Price`]s with dates; [`PriceList`] reads the public form. [`COST_BOOK`] is what the
//!   providers charge, and an [`Account`] says which book its payer is charged by. [`unpriced`] usage is
//!   rated when it gets a price.
//! - [`month_total`], [`hours_total`] and [`ever_total`] are live, by any [`Dimension`]; [`lines()`] of the
//!   [present period](period_of) are what an invoice will say. The [upkeep](upkeep()) folds events into both.
//! - A [`Budget`] limits money or units on any [`Level`]. [`admit`] holds what a call may use, [`settle_with`]
//!   records what it used, and [`notices`] tell of thresholds. [`BudgetExceeded`] is a refusal.
//! - [`generate()`] bills the periods that are due; [`plan`] sets the monthly cron. [`draft`] and [`finalise`]
//!   do it for one. [`record_payment`], [`void`], [`give_up`] and [`credit_note()`] follow; what is taken back of a bill
//!   goes to the payer's [`balance`].
//! - [`document()`] is an invoice as JSON, CSV or HTML; [`export()`] writes events; [`assign`] finds a payer for
//!   what had none.
//!
//! # Guarantees
//!
//! - **Exact.** [`Money`] has 18 decimals and no float. An amount is rounded once, on its line of an invoice, and
//!   the line keeps the exact one. What cannot be counted is an error.
//! - **Once.** A key counts once for ever, whatever is tried again. A reversal is one event, bounded by its
//!   original, and gives back nothing that was credited before.
//! - **Atomic.** An event, its price, its line, its budgets and its totals are one transaction, with whatever
//!   else that does.
//! - **Agreeing.** The [lines](amended_lines) of all periods are the sum of all events, at every moment. A period is
//!   closed only if both were compared, and what its invoice says never changes again; what comes later is an adjustment
//!   of the next one. Invoices less credit notes, with the balance, are what the usage is worth, to the last digit.
//! - **Gapless.** An invoice's number is taken in the transaction that finalises it.
//!
//! # Limits
//!
//! An event has up to [`MAX_QUANTITY`] of a unit, [`MAX_TAGS`] tags, [`MAX_UNITS`] units and names of [`MAX_NAME_BYTES`]; a unit costs up to
//! [`MAX_PRICE`]. Amounts reach 170 quintillion units of a currency. Budgets hold up to a billion units of a
//! currency at once, in billionths.

mod account;
mod admit;
mod amend;
mod attribute;
mod balance;
mod book;
mod budget;
mod calendar;
mod check;
mod close;
mod correct;
mod credit;
mod csv;
mod currency;
mod document;
mod error;
mod event;
mod export;
mod fold;
mod generate;
mod import;
mod invoice;
mod line;
mod money;
mod page;
mod period;
mod rate;
mod record;
mod refusal;
mod refused;
mod reprice;
mod tables;
mod totals;
mod unit;
mod upkeep;

pub use account::{
    Account, CARRY, GRACE, MAX_MINIMUM, MAX_TAX, SERIES, Tax, Unpriced, ZeroTotal, account, set_account,
};
pub use admit::{Admitted, admit, release, settle_with};
pub use attribute::{ASSIGN_STEP, AssignmentRow, assign, unattributed};
pub use balance::{Adjustment, AdjustmentRow, balance};
pub use book::{
    Book, COST_BOOK, LongContext, MAX_PRICE, MAX_SHARE, Markup, Price, change_price, end_price, find_book,
    price_at, price_history, set_alias, set_book, set_price,
};
pub use budget::{
    Amount, Budget, MAX_THRESHOLDS, Measure, NoticeRow, Raise, Standing, notices, raise_budget,
    remove_budget, set_budget, standing,
};
pub use calendar::{Calendar, CalendarError, Cycle, MAX_PERIOD, Period, Zone};
pub use check::{CHECK_STEP, Checked};
pub use close::{Closed, draft, finalise, is_intact};
pub use correct::{correct, reverse};
pub use credit::{CreditNoteRow, credit_note, credit_notes};
pub use currency::{Currency, CurrencyError};
pub use document::{Document, Letterhead, document};
pub use error::UsageError;
pub use event::{
    Billing, Event, LEFT_OUT, Level, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_TAGS, MAX_UNITS, Scope, Tier, Window,
};
pub use export::{ChangeRow, EXPORT_PAGE, Exported, Format, changes, csv_head, events, export, written};
pub use fold::{FOLD_PAUSE, FOLD_STEP, MAX_WAITING, waiting_for_totals};
pub use generate::{
    CHECK_ATTEMPTS, Failure, GENERATE_PAGE, GenerateOptions, INVOICES, MAX_FAILURES, MISSED_CHECKS, MONTHLY,
    RETRY, Report, generate, plan, plan_at, run_invoices,
};
pub use import::{IMPORTED, Imported, PriceList, PriceListError, import_prices};
pub use invoice::{
    Attempt, InvoiceState, MAX_ATTEMPTS, Payment, give_up, invoice_by_number, invoices, invoices_in,
    record_payment, reopen, void,
};
pub use line::{Line, amended_lines, lines};
pub use money::{DECIMALS, Millionths, Money, MoneyError, ONE, Rounding};
pub use period::{period_of, periods};
pub use rate::Rated;
pub use record::{Recorded, event_by_key, record, record_all, record_within};
pub use refusal::BudgetExceeded;
pub use refused::{
    MAX_REFUSED_BYTES, RefusedRow, forget_refused, record_or_set_aside, record_refused, refused,
    settle_or_set_aside,
};
pub use reprice::{REPRICE_STEP, unpriced};
pub use tables::{Dimension, EventRow, InvoiceRow, PeriodRow, Sums, tables};
pub use totals::{ever_total, hours_total, month_total, month_total_folded};
pub use unit::{MAX_QUANTITY, MAX_UNIT_BYTES, Quantities, Unit, UnitError};
pub use upkeep::upkeep;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/usage.md")]
struct Guide;
