//! What an event costs under a price: pure, so the same today and in a year.

use std::collections::BTreeMap;

use loomwork_store::{Id, Result, Row, Tx};
use serde::{Deserialize, Serialize};

use crate::book::{LongContext, Price, find_book, price_at};
use crate::currency::Currency;
use crate::error::UsageError;
use crate::event::Event;
use crate::money::{Millionths, Money, ONE};
use crate::unit::Unit;

/// What an event costs, and by which prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rated {
    /// The version of the price: its id, with what was applied to it; of two prices where a marked-up book
    /// lists some units itself. Empty where nothing was used that has a price.
    pub version: String,
    /// The currency.
    pub currency: Currency,
    /// The price of one of each unit that was used.
    pub prices: BTreeMap<Unit, Money>,
    /// The exact sum; negative for what is taken back.
    pub amount: Money,
}

/// What an event costs, and the prices that no event was rated by before.
#[derive(Debug)]
pub(crate) struct Rating {
    pub(crate) rated: Rated,
    pub(crate) first_use: Vec<Id<Price>>,
}

/// Rates an event in a book by the prices of when it occurred; `None` where one of its units has no price.
pub(crate) fn rate_in(tx: &Tx, book: &str, event: &Event) -> Result<Option<Rating>> {
    let Some(book) = find_book(tx, book)? else {
        let why = "it is not there; set it first".to_owned();
        return Err(UsageError::BadBook { name: book.to_owned(), why }.into());
    };
    let look = |book: &str| price_at(tx, book, &event.provider, &event.model, event.tier, event.at);
    let own = look(&book.name)?;
    let own = own.as_ref().map(|price| Offer::of(price, ONE, event));
    if let Some(rating) = rate(own.as_slice(), book.currency, event)? {
        return Ok(Some(rating));
    }
    let Some(markup) = &book.markup else { return Ok(None) };
    let Some(marked_up) = look(&markup.of)? else { return Ok(None) };
    let marked_up = Offer::of(&marked_up, markup.share, event);
    let offers: Vec<_> = own.into_iter().chain([marked_up]).collect();
    Ok(rate(&offers, book.currency, event)?)
}

/// A price as it is for one event.
#[derive(Debug)]
struct Offer<'a> {
    price: &'a Row<Price>,
    markup: Millionths,
    long: Option<&'a LongContext>,
    region: Option<(&'a str, Millionths)>,
}

impl<'a> Offer<'a> {
    fn of(price: &'a Row<Price>, markup: Millionths, event: &Event) -> Self {
        let long = price.long.as_ref().filter(|long| event.quantities.input() > long.above);
        let region = event.region.as_ref().and_then(|region| price.regions.get_key_value(region));
        let region = region.map(|(name, share)| (name.as_str(), *share));
        Self { price, markup, long, region }
    }

    fn listed(&self, unit: &Unit) -> Option<Money> {
        let above = self.long.and_then(|long| long.rates.get(unit));
        above.or_else(|| self.price.rates.get(unit)).copied()
    }

    /// The price of one unit, if it has one.
    fn one(&self, unit: &Unit) -> Result<Option<Money>, UsageError> {
        // Thoughts cost what text costs, unless the book says otherwise.
        let is_thought = *unit == Unit::OutputReasoning;
        let text = || is_thought.then(|| self.listed(&Unit::OutputText)).flatten();
        let Some(mut one) = self.listed(unit).or_else(text) else { return Ok(None) };
        let region = self.region.map(|(_, share)| share);
        for share in region.into_iter().chain([self.markup]).filter(|share| *share != ONE) {
            one = one.share(share)?;
        }
        Ok(Some(one))
    }

    fn version(&self) -> String {
        let mut version = self.price.id.to_string();
        if let Some(long) = self.long {
            version.push_str(&format!(" above {}", long.above));
        }
        if let Some((region, share)) = self.region {
            version.push_str(&format!(" in {region} x {share}"));
        }
        if self.markup != ONE {
            version.push_str(&format!(" x {}", self.markup));
        }
        version
    }
}

/// Rates each unit by the first offer that has a price for it.
fn rate(offers: &[Offer<'_>], currency: Currency, event: &Event) -> Result<Option<Rating>, UsageError> {
    let mut prices = BTreeMap::new();
    let mut amount = Money::ZERO;
    let mut is_used = vec![false; offers.len()];
    for (unit, quantity) in event.quantities.iter() {
        let mut found = None;
        for (offer, is_used) in offers.iter().zip(&mut is_used) {
            if let Some(one) = offer.one(unit)? {
                *is_used = true;
                found = Some(one);
                break;
            }
        }
        let Some(one) = found else { return Ok(None) };
        // A quantity is far below the limit of signed numbers, since recording checks it.
        amount = amount.plus(one.times(i64::try_from(quantity).unwrap_or(i64::MAX))?)?;
        prices.insert(unit.clone(), one);
    }
    let used = || offers.iter().zip(&is_used).filter(|(_, is_used)| **is_used).map(|(offer, _)| offer);
    let version = used().map(Offer::version).collect::<Vec<_>>().join(" + ");
    let first_use = used().filter(|offer| !offer.price.used).map(|offer| offer.price.id).collect();
    Ok(Some(Rating { rated: Rated { version, currency, prices, amount }, first_use }))
}
