//! Price lists in the widely used public form: a JSON object with an entry for each model, in prices of one
//! token.

use std::collections::BTreeMap;

use loomwork_core::{Fault, Kind, Time};
use loomwork_store::{Result, Tx};
use serde_json::value::RawValue;

use crate::book::{COST_BOOK, LongContext, Price, change_price, price_history};
use crate::event::Tier;
use crate::money::Money;
use crate::unit::Unit;

/// The note of prices that were imported; those with another one are yours, and are left alone.
pub const IMPORTED: &str = "imported";

/// What the form calls the price of a unit, in front of what it says of tiers and long inputs.
const FIELDS: [(&str, Unit); 13] = [
    ("input_cost_per_token", Unit::InputFresh),
    ("cache_read_input_token_cost", Unit::InputCacheRead),
    ("cache_creation_input_token_cost", Unit::InputCacheWrite),
    ("cache_creation_input_token_cost_above_1hr", Unit::InputCacheWriteHour),
    ("input_cost_per_audio_token", Unit::InputAudio),
    ("input_cost_per_image_token", Unit::InputImage),
    ("output_cost_per_token", Unit::OutputText),
    ("output_cost_per_reasoning_token", Unit::OutputReasoning),
    ("output_cost_per_audio_token", Unit::OutputAudio),
    ("output_cost_per_image_token", Unit::OutputImage),
    ("output_cost_per_image", Unit::Images),
    ("input_cost_per_query", Unit::Rerank),
    ("input_cost_per_second", Unit::AudioSeconds),
];

const TIERS: [(&str, Tier); 4] =
    [("", Tier::Standard), ("_batches", Tier::Batch), ("_flex", Tier::Flex), ("_priority", Tier::Priority)];

/// The entry of the form that describes the form.
const SPECIMEN: &str = "sample_spec";

/// A text that is no price list.
#[derive(Debug, thiserror::Error)]
#[error("the price list cannot be read: it must be a JSON object of models, and {source}")]
pub struct PriceListError {
    source: serde_json::Error,
}

impl Fault for PriceListError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// A price list that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriceList {
    models: Vec<Listed>,
    /// What was left out, and why: a model and a reason.
    pub left_out: Vec<(String, String)>,
    /// Prices with more than 18 decimals, which were rounded half-even: a model and a field.
    pub rounded: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Listed {
    provider: String,
    model: String,
    tier: Tier,
    rates: BTreeMap<Unit, Money>,
    long: Option<LongContext>,
}

impl PriceList {
    /// Reads a list. Fields that it does not know are ignored; numbers are read digit by digit, not as
    /// floats.
    ///
    /// # Errors
    /// [`PriceListError`] for what is no JSON object.
    pub fn parse(text: &str) -> Result<Self, PriceListError> {
        let entries: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|source| PriceListError { source })?;
        let mut list = Self::default();
        for (name, entry) in entries.iter().filter(|(name, _)| *name != SPECIMEN) {
            if let Err(why) = list.read(name, entry) {
                list.left_out.push((name.clone(), why));
            }
        }
        Ok(list)
    }

    fn read(&mut self, name: &str, entry: &RawValue) -> Result<(), String> {
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(entry.get()).map_err(|error| error.to_string())?;
        let text = |field: &str| {
            fields.get(field).and_then(|value| serde_json::from_str::<String>(value.get()).ok())
        };
        let provider = text("litellm_provider").unwrap_or_default();
        if provider.is_empty() {
            return Err("it names no provider".to_owned());
        }
        let is_embedding = text("mode").as_deref() == Some("embedding");
        // Names are often those of the provider and the model, with a slash between them.
        let model = name.strip_prefix(&format!("{provider}/")).unwrap_or(name);
        let mut listed: Vec<Listed> = Vec::new();
        for (suffix, tier) in TIERS {
            let mut rates = BTreeMap::new();
            let mut long: Option<LongContext> = None;
            for (field, unit) in FIELDS {
                let unit = match unit {
                    Unit::InputFresh if is_embedding => Unit::Embedding,
                    unit => unit,
                };
                if let Some(price) = self.price(name, &fields, &format!("{field}{suffix}"))? {
                    rates.insert(unit.clone(), price);
                }
                let Some((above, name_above)) = threshold(&fields, field, suffix)? else { continue };
                let Some(price) = self.price(name, &fields, &name_above)? else { continue };
                let long = long.get_or_insert(LongContext { above, rates: BTreeMap::new() });
                if long.above != above {
                    return Err(format!("it has prices above {} and above {above} tokens", long.above));
                }
                long.rates.insert(unit, price);
            }
            if rates.is_empty() {
                continue;
            }
            // What a tier does not name costs there what it usually costs, with long inputs too.
            if let Some(standard) = listed.first() {
                for (unit, price) in &standard.rates {
                    if rates.contains_key(unit) {
                        continue;
                    }
                    rates.insert(unit.clone(), *price);
                    let Some((above, price)) =
                        standard.long.as_ref().and_then(|long| Some((long.above, long.rates.get(unit)?)))
                    else {
                        continue;
                    };
                    let long = long.get_or_insert(LongContext { above, rates: BTreeMap::new() });
                    if long.above == above {
                        long.rates.insert(unit.clone(), *price);
                    }
                }
            }
            let (provider, model) = (provider.clone(), model.to_owned());
            let one = Listed { provider, model, tier, rates, long };
            one.price(COST_BOOK, Time::EPOCH).check().map_err(|error| error.to_string())?;
            listed.push(one);
        }
        if listed.is_empty() {
            return Err("it has no price that is known here".to_owned());
        }
        self.models.extend(listed);
        Ok(())
    }

    fn price(
        &mut self,
        name: &str,
        fields: &BTreeMap<String, &RawValue>,
        field: &str,
    ) -> Result<Option<Money>, String> {
        let Some(value) = fields.get(field).map(|value| value.get().trim_matches('"')) else {
            return Ok(None);
        };
        if value == "null" {
            return Ok(None);
        }
        let (price, is_rounded) = Money::parse_rounded(value).map_err(|error| format!("{field}: {error}"))?;
        if is_rounded {
            self.rounded.push((name.to_owned(), field.to_owned()));
        }
        Ok(Some(price))
    }

    /// Returns its prices, for a book and from a time on.
    pub fn prices(&self, book: &str, from: Time) -> Vec<Price> {
        self.models.iter().map(|listed| listed.price(book, from)).collect()
    }
}

impl Listed {
    fn price(&self, book: &str, from: Time) -> Price {
        Price {
            tier: self.tier,
            rates: self.rates.clone(),
            long: self.long.clone(),
            note: IMPORTED.to_owned(),
            ..Price::new(book, &self.provider, &self.model, from)
        }
    }
}

/// Finds the field of a long input's price, such as `input_cost_per_token_above_200k_tokens`, and its threshold.
fn threshold(
    fields: &BTreeMap<String, &RawValue>,
    field: &str,
    suffix: &str,
) -> Result<Option<(u64, String)>, String> {
    let begin = format!("{field}_above_");
    let end = format!("k_tokens{suffix}");
    let named = fields.range(begin.clone()..).take_while(|(name, _)| name.starts_with(&begin));
    let mut found = named.filter_map(|(name, _)| {
        let thousands: u64 = name.strip_prefix(&begin)?.strip_suffix(&end)?.parse().ok()?;
        Some((thousands.checked_mul(1_000)?, name.clone()))
    });
    match (found.next(), found.next()) {
        (Some((_, one)), Some((_, other))) => {
            Err(format!("it has two thresholds of one price, {one} and {other}; one is taken"))
        }
        (first, _) => Ok(first),
    }
}

/// What an import has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Models that had no price.
    pub added: usize,
    /// Models that have another price from now on.
    pub changed: usize,
    /// Models whose price is the same.
    pub unchanged: usize,
    /// Models whose price you have set yourself.
    pub kept: usize,
    /// Models whose other price was not entered because it does not begin later than the one that is there:
    /// give a changed list a time of its own, such as now.
    pub not_later: usize,
}

/// Enters prices of a list, each from its time on. Prices that you have set yourself stay, and so does
/// what was rated. A large list is better given in chunks of some hundred, each in a transaction of its own.
///
/// # Errors
/// As [`change_price`]; then nothing of these prices is entered.
pub fn import_prices(tx: &mut Tx, prices: Vec<Price>) -> Result<Imported> {
    tx.nested(|tx| {
        let mut done = Imported::default();
        for price in prices {
            let history = price_history(tx, &price.book, &price.provider, &price.model, price.tier)?;
            match history.last() {
                None => done.added += 1,
                Some(last) if last.note != IMPORTED => {
                    done.kept += 1;
                    continue;
                }
                // One that has ended by then is entered anew.
                Some(last)
                    if (&last.rates, &last.long) == (&price.rates, &price.long)
                        && last.until.is_none_or(|until| price.from < until) =>
                {
                    done.unchanged += 1;
                    continue;
                }
                Some(last) if last.from >= price.from => {
                    done.not_later += 1;
                    continue;
                }
                Some(_) => done.changed += 1,
            }
            change_price(tx, price)?;
        }
        Ok(done)
    })
}
