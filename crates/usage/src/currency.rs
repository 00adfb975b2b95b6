//! Currencies and how many decimals their coins have.

use std::fmt;
use std::str::FromStr;

use loomwork_core::{Fault, Kind};
use loomwork_store::{Key, KeyError};
use serde::{Deserialize, Serialize};

/// Currencies whose smallest coin is the unit.
const WITHOUT_DECIMALS: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF"];

/// Currencies whose smallest coin is a thousandth.
const WITH_THREE: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// A currency by its code of three letters, such as `USD`; a code of your own, such as `XCR` for credits,
/// is one with two decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// A text that is no code of a currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no currency; write three capital letters, such as \"EUR\"")]
pub struct CurrencyError {
    text: String,
}

impl Fault for CurrencyError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Currency {
    /// The dollar of the United States.
    pub const USD: Self = Self(*b"USD");
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");

    /// Returns its code.
    pub fn code(&self) -> &str {
        // The bytes are capital letters.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns how many decimals its smallest coin has: 2 for most.
    pub fn decimals(self) -> u32 {
        match self.code() {
            code if WITHOUT_DECIMALS.contains(&code) => 0,
            code if WITH_THREE.contains(&code) => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let wrong = || CurrencyError { text: text.chars().take(20).collect() };
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| wrong())?;
        if !bytes.iter().all(u8::is_ascii_uppercase) {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;

    fn try_from(text: String) -> Result<Self, CurrencyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Key for Currency {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), KeyError> {
        self.code().to_owned().write(bytes)
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, KeyError> {
        String::read(bytes)?.parse().map_err(|_| KeyError::Mismatch { expected: "a currency" })
    }
}
