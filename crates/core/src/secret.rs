//! Text that must not be seen.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

/// A key, a password or a token: it is never printed, never serialised, and wiped when dropped.
///
/// It can be read from a configuration, and its text is had by [`expose`](Self::expose) only, so that
/// a search for that word finds each place that sees it. It cannot be compared: comparing secrets
/// byte by byte tells an attacker how much was right, so compare digests.
///
/// What was copied elsewhere before, such as a parser's buffer, is not wiped.
///
/// ```
/// use loomwork_core::Secret;
///
/// let key = Secret::from("sk-12345");
/// assert_eq!(format!("{key} {key:?}"), "[secret] Secret([secret])");
/// assert_eq!(key.expose(), "sk-12345");
/// ```
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Returns the text of the secret. Don't log it, and don't keep it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Writes `[secret]`.
impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Writes `Secret([secret])`.
impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret([secret])")
    }
}
