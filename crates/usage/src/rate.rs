//! What an event costs under a price: pure, so the same today and in a year.

use std::collections::BTreeMap;

use loomwork_store::{Result, Row, Tx};
use serde::{Deserialize, Serialize};

use crate::book::{Price, find_book, price_at};
use crate::currency::Currency;
use crate::error::UsageError;
use crate::event::Event;
use crate::money::{Millionths, Money, ONE};
use crate::unit::Unit;

/// What an event costs, and by which prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rated {
    /// The version of the price: its id, with what was applied to it.
    pub version: String,
    /// The currency.
    pub currency: Currency,
    /// The price of one of each unit that was used.
    pub prices: BTreeMap<Unit, Money>,
    /// The exact sum; negative for what is taken back.
    pub amount: Money,
}

/// Rates an event in a book by the prices of when it occurred; `None` where one of its units has no price.
pub(crate) fn rate_in(tx: &Tx, book: &str, event: &Event) -> Result<Option<Rated>> {
    let Some(book) = find_book(tx, book)? else {
        let why = "it is not there; set it first".to_owned();
        return Err(UsageError::BadBook { name: book.to_owned(), why }.into());
    };
    let look = |book: &str| price_at(tx, book, &event.provider, &event.model, event.tier, event.at);
    if let Some(price) = look(&book.name)? {
        return Ok(rate(&price, ONE, book.currency, event)?);
    }
    let Some(markup) = &book.markup else { return Ok(None) };
    let Some(price) = look(&markup.of)? else { return Ok(None) };
    Ok(rate(&price, markup.share, book.currency, event)?)
}

/// Rates an event by a price, times a markup.
fn rate(
    price: &Row<Price>,
    markup: Millionths,
    currency: Currency,
    event: &Event,
) -> Result<Option<Rated>, UsageError> {
    let long = price.long.as_ref().filter(|long| event.quantities.input() > long.above);
    let region = event.region.as_ref().and_then(|region| price.regions.get_key_value(region));
    let listed = |unit: &Unit| {
        let above = long.and_then(|long| long.rates.get(unit));
        above.or_else(|| price.rates.get(unit)).copied()
    };
    let mut prices = BTreeMap::new();
    let mut amount = Money::ZERO;
    for (unit, quantity) in event.quantities.iter() {
        let own = listed(unit);
        // Thoughts cost what text costs, unless the book says otherwise.
        let own =
            own.or_else(|| (*unit == Unit::OutputReasoning).then(|| listed(&Unit::OutputText)).flatten());
        let Some(mut one) = own else { return Ok(None) };
        for share in region.map(|(_, share)| *share).into_iter().chain([markup]).filter(|share| *share != ONE)
        {
            one = one.share(share)?;
        }
        // A quantity is far below the limit of signed numbers, since recording checks it.
        amount = amount.plus(one.times(i64::try_from(quantity).unwrap_or(i64::MAX))?)?;
        prices.insert(unit.clone(), one);
    }
    let mut version = price.id.to_string();
    if let Some(long) = long {
        version.push_str(&format!(" above {}", long.above));
    }
    if let Some((region, share)) = region {
        version.push_str(&format!(" in {region} x {share}"));
    }
    if markup != ONE {
        version.push_str(&format!(" x {markup}"));
    }
    Ok(Some(Rated { version, currency, prices, amount }))
}
