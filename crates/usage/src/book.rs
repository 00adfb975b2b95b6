//! The price books: what a unit costs, from when to when.

use std::collections::BTreeMap;

use loomwork_core::Time;
use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::currency::Currency;
use crate::error::UsageError;
use crate::event::{MAX_NAME_BYTES, Tier, fits};
use crate::money::{Millionths, Money};
use crate::reprice;
use crate::unit::Unit;

/// The book of what the providers charge. It is there from the start, in dollars.
pub const COST_BOOK: &str = "cost";

/// The highest price of one unit; a product of it and the largest quantity still fits.
pub const MAX_PRICE: Money = Money::whole(100_000);

/// The highest markup or regional multiplier: a thousandfold.
pub const MAX_SHARE: Millionths = 1_000_000_000;

/// A book of prices in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_books", id = "book")]
#[index(unique by_name(name))]
pub struct Book {
    /// Its name.
    pub name: String,
    /// The currency of all its prices.
    pub currency: Currency,
    /// Where a price that it does not list comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markup: Option<Markup>,
}

/// Prices that are those of another book, times something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markup {
    /// The other book, which has no markup itself.
    pub of: String,
    /// By how much they are multiplied; 1,200,000 is 120 %.
    pub share: Millionths,
}

impl Book {
    /// A book that lists all its prices.
    pub fn listed(name: impl Into<String>, currency: Currency) -> Self {
        Self { name: name.into(), currency, markup: None }
    }

    /// A book whose prices are those of another one, times `share`, for each unit that it lists no price of its
    /// own for.
    pub fn marked_up(name: impl Into<String>, currency: Currency, of: &str, share: Millionths) -> Self {
        Self { markup: Some(Markup { of: of.to_owned(), share }), ..Self::listed(name, currency) }
    }
}

/// Enters a book, or changes its markup. What was rated stays as it was.
///
/// # Errors
/// [`UsageError::BadBook`] for another currency than it had, for a markup of a book that is not there, has
/// another currency or a markup itself, and for one beyond [`MAX_SHARE`].
pub fn set_book(tx: &mut Tx, book: Book) -> Result<()> {
    fits("name of a book", &book.name, 1, MAX_NAME_BYTES)?;
    let bad = |why: String| UsageError::BadBook { name: book.name.clone(), why };
    if let Some(markup) = &book.markup {
        if markup.share > MAX_SHARE {
            return Err(bad(format!("a markup is {MAX_SHARE} millionths at most")).into());
        }
        let of = find_book(tx, &markup.of)?;
        let of = of.ok_or_else(|| bad(format!("there is no book {:?} to mark up", markup.of)))?;
        if of.markup.is_some() || of.name == book.name {
            return Err(bad(format!("{:?} lists no prices itself; mark up one that does", of.name)).into());
        }
        if of.currency != book.currency {
            return Err(bad(format!("{:?} is in {}; nothing is converted", of.name, of.currency)).into());
        }
    }
    reprice::wanted(tx, None)?;
    match tx.first(Book::by_name.eq(&book.name))? {
        Some(found) if found.currency != book.currency => {
            Err(bad(format!("it is in {}; open another book for {}", found.currency, book.currency)).into())
        }
        Some(found) => tx.replace(found.id, book).map(drop),
        None => tx.insert(book).map(drop),
    }
}

/// Returns a book; [`COST_BOOK`] is there even if nobody has set it.
///
/// # Errors
/// When the store cannot be read.
pub fn find_book(tx: &Tx, name: &str) -> Result<Option<Book>> {
    let found = tx.first(Book::by_name.eq(name))?.map(|row| row.record);
    Ok(found.or_else(|| (name == COST_BOOK).then(|| Book::listed(COST_BOOK, Currency::USD))))
}

/// What the units of a model cost, from a time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Table)]
#[table(name = "usage_prices", id = "price")]
#[index(by_model(book, provider, model, tier, from))]
#[index(patterns(book, provider, prefix: String = Price::prefix), when = Price::is_pattern)]
pub struct Price {
    /// The book.
    pub book: String,
    /// The provider, as events name it.
    pub provider: String,
    /// The model as events name it, or how its name begins, with a `*` behind: of several that fit, an exact
    /// name counts first, then an [alias](set_alias), then the longest beginning.
    pub model: String,
    /// The provider's service.
    pub tier: Tier,
    /// What one of each unit costs.
    pub rates: BTreeMap<Unit, Money>,
    /// What it costs in a request with a long input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongContext>,
    /// By how much prices are multiplied in a region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regions: BTreeMap<String, Millionths>,
    /// From when it holds.
    pub from: Time,
    /// Until when, exclusively; for good if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Where it was read, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether an event was rated by it; it is kept then, whatever is entered in its place. Whoever enters a
    /// price leaves it `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used: bool,
}

/// Prices of a whole request whose input has more tokens than a threshold. Units that are not named cost what
/// they cost below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongContext {
    /// The most tokens of input at the usual prices.
    pub above: u64,
    /// What one of each unit costs above.
    pub rates: BTreeMap<Unit, Money>,
}

impl Price {
    /// A price in a book that holds from a time on, with nothing in it yet.
    pub fn new(book: &str, provider: &str, model: &str, from: Time) -> Self {
        Self {
            book: book.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            tier: Tier::Standard,
            rates: BTreeMap::new(),
            long: None,
            regions: BTreeMap::new(),
            from,
            until: None,
            note: String::new(),
            used: false,
        }
    }

    /// Returns it with what one unit costs.
    #[must_use]
    pub fn unit(mut self, unit: Unit, price: Money) -> Self {
        self.rates.insert(unit, price);
        self
    }

    fn is_pattern(&self) -> bool {
        self.model.ends_with('*')
    }

    fn prefix(&self) -> String {
        self.model.trim_end_matches('*').to_owned()
    }

    fn holds_at(&self, at: Time) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let begins_before_end = |one: &Self, of: &Self| of.until.is_none_or(|until| one.from < until);
        begins_before_end(self, other) && begins_before_end(other, self)
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        fits("name of a book", &self.book, 1, MAX_NAME_BYTES)?;
        fits("provider", &self.provider, 0, MAX_NAME_BYTES)?;
        fits("model", &self.model, 1, MAX_NAME_BYTES)?;
        fits("note", &self.note, 0, MAX_NAME_BYTES)?;
        let bad = |why: String| Err(UsageError::BadPrice { model: self.model.clone(), why });
        if self.until.is_some_and(|until| until <= self.from) {
            return bad(format!("it ends before it begins, at {}", self.from));
        }
        if self.rates.is_empty() {
            return bad("it names no unit; say what one of something costs".to_owned());
        }
        let long = self.long.iter().flat_map(|long| &long.rates);
        for (unit, price) in self.rates.iter().chain(long) {
            unit.check()?;
            if price.is_negative() || *price > MAX_PRICE {
                return bad(format!("one of {unit} costs {price}; prices go from 0 to {MAX_PRICE}"));
            }
        }
        self.regions.keys().try_for_each(|region| fits("region", region, 1, MAX_NAME_BYTES))?;
        match self.regions.iter().find(|(_, share)| **share > MAX_SHARE) {
            Some((region, _)) => bad(format!("region {region:?} is above {MAX_SHARE} millionths")),
            None => Ok(()),
        }
    }
}

/// Enters a price.
///
/// # Errors
/// [`UsageError::Overlap`] where the same model has a price at some of these times; [`UsageError::BadPrice`].
pub fn set_price(tx: &mut Tx, price: Price) -> Result<Id<Price>> {
    price.check()?;
    if find_book(tx, &price.book)?.is_none() {
        let why = format!("there is no book {:?}; set it first", price.book);
        return Err(UsageError::BadPrice { model: price.model, why }.into());
    }
    if versions(tx, &price)?.iter().any(|other| other.overlaps(&price)) {
        let Price { book, provider, model, from, .. } = price;
        return Err(UsageError::Overlap { book, provider, model, from }.into());
    }
    reprice::wanted(tx, Some(&price.provider))?;
    Ok(tx.insert(Price { used: false, ..price })?.id)
}

/// Enters a price in place of the one that holds when it begins, which ends there, and goes on where the new
/// one ends. One that begins at the same moment is replaced, unless an event was rated by it.
///
/// # Errors
/// As [`set_price`].
pub fn change_price(tx: &mut Tx, price: Price) -> Result<Id<Price>> {
    tx.nested(|tx| {
        for before in versions(tx, &price)?.into_iter().filter(|before| before.holds_at(price.from)) {
            if before.from < price.from {
                tx.update(before.id, |before| before.until = Some(price.from))?;
            } else if !before.used {
                tx.delete(before.id)?;
            }
            if let Some(until) = price.until
                && before.until.is_none_or(|end| until < end)
            {
                tx.insert(Price { from: until, used: false, ..before.record })?;
            }
        }
        set_price(tx, price)
    })
}

/// Ends a price at a time, or removes it if that is when it begins and no event was rated by it. What was rated
/// stays as it was.
///
/// # Errors
/// [`UsageError::BadPrice`] for a time before it begins or behind its end, and for one that cannot be removed
/// since events were rated by it; [`Problem::NotFound`](loomwork_store::Problem::NotFound).
pub fn end_price(tx: &mut Tx, price: Id<Price>, at: Time) -> Result<()> {
    let row = tx.require(price)?;
    let bad = |why: String| UsageError::BadPrice { model: row.model.clone(), why };
    if at < row.from || row.until.is_some_and(|until| until < at) {
        return Err(bad(format!("it cannot end at {at}; that lies outside of when it holds")).into());
    }
    match (at == row.from, row.used) {
        (true, false) => tx.delete(price).map(drop),
        (true, true) => {
            let why =
                "events were rated by it, so it is kept; end it later, and correct the events".to_owned();
            Err(bad(why).into())
        }
        (false, _) => tx.update(price, |row| row.until = Some(at)).map(drop),
    }
}

/// Returns all prices that a model had, has and will have, in their order; the model is named as in
/// [`Price::model`].
///
/// # Errors
/// When the store cannot be read.
pub fn price_history(
    tx: &Tx,
    book: &str,
    provider: &str,
    model: &str,
    tier: Tier,
) -> Result<Vec<Row<Price>>> {
    tx.scan(Price::by_model.eq(book).eq(provider).eq(model).eq(tier))
}

fn versions(tx: &Tx, of: &Price) -> Result<Vec<Row<Price>>> {
    price_history(tx, &of.book, &of.provider, &of.model, of.tier)
}

/// Another name of a model.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "usage_aliases", id = "alias")]
#[index(unique by_alias(provider, alias))]
pub(crate) struct AliasRow {
    provider: String,
    alias: String,
    model: String,
}

/// Lets a model be known by another name too: a dated one by its family's.
///
/// # Errors
/// [`UsageError::BadText`].
pub fn set_alias(tx: &mut Tx, provider: &str, alias: &str, model: &str) -> Result<()> {
    for (what, text) in [("alias", alias), ("model", model)] {
        fits(what, text, 1, MAX_NAME_BYTES)?;
    }
    fits("provider", provider, 0, MAX_NAME_BYTES)?;
    reprice::wanted(tx, Some(provider))?;
    let row = AliasRow { provider: provider.to_owned(), alias: alias.to_owned(), model: model.to_owned() };
    match tx.first(AliasRow::by_alias.eq(provider).eq(alias))? {
        Some(found) => tx.replace(found.id, row).map(drop),
        None => tx.insert(row).map(drop),
    }
}

/// Returns the price of a model at a time.
///
/// # Errors
/// When the store cannot be read.
pub fn price_at(
    tx: &Tx,
    book: &str,
    provider: &str,
    model: &str,
    tier: Tier,
    at: Time,
) -> Result<Option<Row<Price>>> {
    let exact = |model: &str| {
        let latest = tx.first(Price::by_model.eq(book).eq(provider).eq(model).eq(tier).le(at).desc())?;
        Ok::<_, loomwork_store::Error>(latest.filter(|price| price.holds_at(at)))
    };
    if let Some(price) = exact(model)? {
        return Ok(Some(price));
    }
    if let Some(alias) = tx.first(AliasRow::by_alias.eq(provider).eq(model))?
        && let Some(price) = exact(&alias.model)?
    {
        return Ok(Some(price));
    }
    // The greatest beginning that is not behind the name fits it, or shares less with it than the next one
    // to be looked at: so each look cuts the name.
    let patterns = Price::patterns.eq(book).eq(provider);
    let mut next = tx.first(patterns.clone().le(model).desc())?;
    while let Some(found) = next {
        let prefix = found.prefix();
        if model.starts_with(&prefix) {
            if let Some(price) = exact(&found.model)? {
                return Ok(Some(price));
            }
            next = tx.first(patterns.clone().lt(prefix.as_str()).desc())?;
        } else {
            let same = model.char_indices().zip(prefix.chars()).find(|((_, one), other)| one != other);
            let shared = same.map_or(0, |((at, _), _)| at);
            next = tx.first(patterns.clone().le(&model[..shared]).desc())?;
        }
    }
    Ok(None)
}
