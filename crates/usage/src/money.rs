//! Exact amounts of money.

use std::fmt;
use std::str::FromStr;

use loomwork_core::{Fault, Kind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many decimals an amount has: it is counted in billionths of billionths of its currency's unit.
pub const DECIMALS: u32 = 18;

const UNIT: i128 = 10_i128.pow(DECIMALS);

/// The most digits of a text that is read: more are no amount that fits.
const MAX_DIGITS: usize = 64;

/// The largest exponent of a text, either way.
const MAX_EXPONENT: i32 = 100;

/// A whole of millionths: what markups, taxes and regional multipliers are counted in. 1,200,000 is 120 %.
pub type Millionths = u64;

/// One, in [`Millionths`].
pub const ONE: Millionths = 1_000_000;

/// An amount of some currency, or a price for one unit of something, with [`DECIMALS`] exact decimals. It
/// may be negative. No float is ever one: amounts are added and multiplied exactly, and where they cannot
/// be, that is an error.
///
/// ```
/// use loomwork_usage::Money;
///
/// # fn main() -> Result<(), loomwork_usage::MoneyError> {
/// let price: Money = "0.075".parse::<Money>()?.per_million()?;
/// assert_eq!(price.to_string(), "0.000000075");
/// assert_eq!(price.times(2_000)?.to_string(), "0.00015");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// Why there is no such amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// A text that is no decimal number.
    #[error("{text:?} is no amount; write digits with a point, such as \"0.075\" or \"7.5e-8\"")]
    Malformed {
        /// The text, or how it begins.
        text: String,
    },
    /// More decimals than are counted.
    #[error("{what} has more than {DECIMALS} decimals; round it first, or use a larger unit")]
    TooFine {
        /// The amount.
        what: String,
    },
    /// More than can be counted.
    #[error("the amount overflows: {what} is beyond 170 quintillion units of the currency")]
    Overflow {
        /// What was to be computed.
        what: String,
    },
}

impl Fault for MoneyError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// How an amount is rounded to its currency's smallest coin: once, on each line of an invoice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest; a tie to the even neighbour, so that ties don't add up.
    #[default]
    HalfEven,
    /// To the nearest; a tie away from zero.
    HalfUp,
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns so many units of a currency.
    pub const fn whole(units: i64) -> Self {
        Self(units as i128 * UNIT)
    }

    /// Returns so many of the smallest parts: 10^-18 each.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] for the one number whose negative cannot be counted.
    pub fn from_parts(parts: i128) -> Result<Self, MoneyError> {
        Self::fits(Some(parts), || format!("{parts} parts"))
    }

    /// Returns how many of the smallest parts it is.
    pub const fn parts(self) -> i128 {
        self.0
    }

    /// Returns the price of one where this is the price of a million.
    ///
    /// # Errors
    /// [`MoneyError::TooFine`].
    pub fn per_million(self) -> Result<Self, MoneyError> {
        const MILLION: i128 = 1_000_000;
        if self.0 % MILLION != 0 {
            return Err(MoneyError::TooFine { what: format!("a millionth of {self}") });
        }
        Ok(Self(self.0 / MILLION))
    }

    /// Adds.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], as for all arithmetic here.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Self::fits(self.0.checked_add(other.0), || format!("{self} + {other}"))
    }

    /// Subtracts.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        Self::fits(self.0.checked_sub(other.0), || format!("{self} - {other}"))
    }

    /// Multiplies by a quantity.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn times(self, quantity: i64) -> Result<Self, MoneyError> {
        Self::fits(self.0.checked_mul(i128::from(quantity)), || format!("{self} x {quantity}"))
    }

    /// Multiplies by millionths, rounded half-even at the last decimal: for prices that are derived from
    /// others, and for taxes.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn share(self, of: Millionths) -> Result<Self, MoneyError> {
        let one = i128::from(ONE);
        let by = i128::from(of);
        let (whole, rest) = (self.0.div_euclid(one), self.0.rem_euclid(one));
        let part = divide(rest * by, one, Rounding::HalfEven);
        let product = whole.checked_mul(by).and_then(|product| product.checked_add(part));
        Self::fits(product, || format!("{self} x {of} millionths"))
    }

    /// Rounds to a number of decimals.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], at the very end of what can be counted.
    pub fn rounded(self, decimals: u32, rounding: Rounding) -> Result<Self, MoneyError> {
        let step = 10_i128.pow(DECIMALS.saturating_sub(decimals));
        Self::fits(divide(self.0, step, rounding).checked_mul(step), || format!("{self} rounded"))
    }

    /// Returns the amount with the other sign.
    pub const fn negated(self) -> Self {
        // The one number without a negative is refused wherever an amount is made.
        Self(-self.0)
    }

    /// Returns whether it is less than nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Returns whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Writes it with exactly so many decimals; what is beyond them is cut, so round it first.
    pub fn with_decimals(self, decimals: u32) -> String {
        let decimals = decimals.min(DECIMALS);
        let size = self.0.unsigned_abs();
        let unit = UNIT.unsigned_abs();
        let (whole, part) = (size / unit, size % unit / 10_u128.pow(DECIMALS - decimals));
        let sign = if self.0 < 0 && (whole, part) != (0, 0) { "-" } else { "" };
        if decimals == 0 {
            return format!("{sign}{whole}");
        }
        format!("{sign}{whole}.{part:0width$}", width = decimals as usize)
    }

    /// Reads a decimal number, and rounds it half-even where it has too many decimals; says whether it had.
    ///
    /// # Errors
    /// [`MoneyError::Malformed`] and [`MoneyError::Overflow`].
    pub fn parse_rounded(text: &str) -> Result<(Self, bool), MoneyError> {
        let malformed = || MoneyError::Malformed { text: text.chars().take(MAX_DIGITS).collect() };
        let overflow = || MoneyError::Overflow { what: text.chars().take(MAX_DIGITS).collect() };
        let (sign, size) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (mantissa, exponent) = match size.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| malformed())?),
            None => (size, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, part].concat();
        let is_number = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || digits.len() > MAX_DIGITS || exponent.abs() > MAX_EXPONENT {
            return Err(malformed());
        }
        let shift = exponent - part.len() as i32 + DECIMALS as i32;
        let (kept, cut) = digits.split_at(digits.len().saturating_sub(shift.min(0).unsigned_abs() as usize));
        let mut parts: i128 = 0;
        for digit in kept.bytes() {
            parts = parts
                .checked_mul(10)
                .and_then(|parts| parts.checked_add(i128::from(digit - b'0')))
                .ok_or_else(overflow)?;
        }
        for _ in 0..shift.max(0) {
            parts = parts.checked_mul(10).ok_or_else(overflow)?;
        }
        // Where more is cut than there is, it begins with zeros and is below a half.
        let all_is_cut = shift < 0 && shift.unsigned_abs() as usize > digits.len();
        let is_inexact = cut.bytes().any(|digit| digit != b'0');
        if is_inexact && !all_is_cut {
            let tie = cut.bytes().next() == Some(b'5') && cut.bytes().skip(1).all(|digit| digit == b'0');
            let is_up = if tie { parts % 2 == 1 } else { cut.as_bytes()[0] >= b'5' };
            parts = parts.checked_add(i128::from(is_up)).ok_or_else(overflow)?;
        }
        Ok((Self(sign * parts), is_inexact))
    }

    fn fits(parts: Option<i128>, what: impl FnOnce() -> String) -> Result<Self, MoneyError> {
        parts
            .filter(|parts| *parts != i128::MIN)
            .map(Self)
            .ok_or_else(|| MoneyError::Overflow { what: what() })
    }
}

/// Divides by a positive number and rounds.
fn divide(number: i128, by: i128, rounding: Rounding) -> i128 {
    let (below, rest) = (number.div_euclid(by), number.rem_euclid(by));
    if rest == 0 {
        return below;
    }
    let is_negative = number < 0;
    let is_up = match rounding {
        Rounding::Down => is_negative,
        Rounding::Up => !is_negative,
        Rounding::HalfEven | Rounding::HalfUp => match rest.cmp(&(by - rest)) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal if rounding == Rounding::HalfUp => !is_negative,
            std::cmp::Ordering::Equal => below.rem_euclid(2) == 1,
        },
    };
    below + i128::from(is_up)
}

/// Writes as many decimals as it has.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.with_decimals(DECIMALS);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(text)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match Self::parse_rounded(text)? {
            (money, false) => Ok(money),
            (_, true) => Err(MoneyError::TooFine { what: text.to_owned() }),
        }
    }
}

/// As text in what people read, such as JSON: no reader makes a float of it.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
            return text.parse().map_err(serde::de::Error::custom);
        }
        Self::from_parts(i128::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
