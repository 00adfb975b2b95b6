//! Links that whoever has them may follow, until they expire.

use hmac::{Hmac, KeyInit as _, Mac as _};
use loomwork_core::{Fault, Kind, Secret, Time};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;

use crate::error::beginning;
use crate::tables::FileId;

/// The fewest bytes of a key that signs links.
pub const MIN_KEY_BYTES: usize = 32;

/// Begins what is signed, so that a signature made for something else never fits a link.
const DOMAIN: &[u8] = b"loomwork-files link 1";

/// A right to read one file until some time, to be handed out as text.
///
/// [`sign`](Self::sign) makes the text and [`verify`](Self::verify) reads it back; both are pure. The text
/// is a file's id and a query, so a server puts the path in front that it serves files under.
///
/// ```
/// use std::time::Duration;
/// use loomwork_core::{Random, RawId, Secret, Time};
/// use loomwork_files::{Disposition, FileId, Link, LinkError};
///
/// let key = Secret::from("a key of 32 bytes that is random");
/// let now = Time::from_millis(1_700_000_000_000);
/// let file = FileId::from_raw(RawId::from_bytes([7; 16]));
///
/// let link = Link { name: Some("report.pdf".into()), ..Link::new(file, now + Duration::from_secs(60)) };
/// let text = link.sign(&key)?;
/// assert!(text.starts_with(&format!("{file}?expires=1700000060000&as=attachment&name=report%2Epdf&")));
///
/// assert_eq!(Link::verify(&text, &key, now)?, link);
/// let forged = text.replace("attachment", "inline");
/// assert!(matches!(Link::verify(&forged, &key, now), Err(LinkError::Forged)));
/// # Ok::<(), LinkError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The file that may be read.
    pub file: FileId,
    /// Until when, exclusive.
    pub expires: Time,
    /// What it is to be called, instead of its own name.
    pub name: Option<String>,
    /// Whether it is to be shown or saved.
    pub disposition: Disposition,
}

/// What a browser is to do with a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disposition {
    /// Save it. The default, since a page that a stranger has uploaded must not be shown as one of yours.
    #[default]
    Attachment,
    /// Show it.
    Inline,
}

impl Disposition {
    const ALL: [Self; 2] = [Self::Attachment, Self::Inline];

    /// Returns the word that HTTP has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attachment => "attachment",
            Self::Inline => "inline",
        }
    }

    /// Returns the value of the header `Content-Disposition`, with a name in any script.
    ///
    /// ```
    /// use loomwork_files::Disposition;
    ///
    /// let header = Disposition::Attachment.header(Some("Menü \"2\".pdf"));
    /// assert_eq!(header, "attachment; filename=\"Men_ _2_.pdf\"; filename*=UTF-8''Men%C3%BC%20%222%22%2Epdf");
    /// ```
    pub fn header(self, name: Option<&str>) -> String {
        let Some(name) = name else { return self.as_str().to_owned() };
        // For clients that only know plain names: whatever could end the quotes becomes a line.
        let is_plain =
            |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\' | '%');
        let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        format!("{}; filename=\"{plain}\"; filename*=UTF-8''{encoded}", self.as_str())
    }
}

/// Why a link leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A key that can be guessed.
    #[error("the key for links has {bytes} bytes; it must have {MIN_KEY_BYTES} at least, drawn at random")]
    WeakKey {
        /// How long it is.
        bytes: usize,
    },
    /// A text that no key has signed.
    #[error("{text:?} is no link to a file: {reason}")]
    Malformed {
        /// How it begins.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A link that was changed, or signed with another key.
    #[error("the link's signature is wrong; ask for a new link")]
    Forged,
    /// A link whose time is over.
    #[error("the link expired at {expired}; ask for a new one")]
    Expired {
        /// When.
        expired: Time,
    },
}

impl Fault for LinkError {
    fn kind(&self) -> Kind {
        match self {
            Self::WeakKey { .. } | Self::Malformed { .. } => Kind::Invalid,
            Self::Forged | Self::Expired { .. } => Kind::Denied,
        }
    }
}

impl Link {
    /// A right to save a file under its own name until some time.
    pub fn new(file: FileId, expires: Time) -> Self {
        Self { file, expires, name: None, disposition: Disposition::default() }
    }

    /// Returns the link as text, `FILE?expires=..&as=..&name=..&signature=..`.
    ///
    /// # Errors
    /// [`LinkError::WeakKey`].
    pub fn sign(&self, key: &Secret) -> Result<String, LinkError> {
        let signature = data_encoding::BASE64URL_NOPAD.encode(&self.mac(key)?.finalize().into_bytes());
        let (file, expires, disposition) = (self.file, self.expires.millis(), self.disposition.as_str());
        let name = self.name.as_ref().map_or_else(String::new, |name| {
            format!("&name={}", utf8_percent_encode(name, NON_ALPHANUMERIC))
        });
        Ok(format!("{file}?expires={expires}&as={disposition}{name}&signature={signature}"))
    }

    /// Reads a link, if it was signed with this key and its time is not over. Other parameters in the
    /// query are ignored; the signature does not vouch for them.
    ///
    /// # Errors
    /// [`LinkError`]. A signature is compared in constant time, and before the time is looked at.
    pub fn verify(text: &str, key: &Secret, now: Time) -> Result<Self, LinkError> {
        let (link, signature) =
            parse(text).map_err(|reason| LinkError::Malformed { text: beginning(text), reason })?;
        link.mac(key)?.verify_slice(&signature).map_err(|_| LinkError::Forged)?;
        if now >= link.expires {
            return Err(LinkError::Expired { expired: link.expires });
        }
        Ok(link)
    }

    /// The signature in the making. Each part stands behind its length, so no two links are one text.
    fn mac(&self, key: &Secret) -> Result<Hmac<Sha256>, LinkError> {
        let key = key.expose().as_bytes();
        let weak = LinkError::WeakKey { bytes: key.len() };
        if key.len() < MIN_KEY_BYTES {
            return Err(weak);
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| weak)?;
        let expires = self.expires.millis().to_be_bytes();
        let name = self.name.as_deref();
        for part in [
            DOMAIN,
            self.file.raw().as_bytes(),
            &expires,
            self.disposition.as_str().as_bytes(),
            &[u8::from(name.is_some())],
            name.unwrap_or_default().as_bytes(),
        ] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Ok(mac)
    }
}

/// Takes a link and its signature apart, without believing them.
fn parse(text: &str) -> Result<(Link, Vec<u8>), &'static str> {
    let (file, query) = text.split_once('?').ok_or("it has no query")?;
    let file = file.parse().map_err(|_| "it does not begin with the id of a file")?;
    let expires = parameter(query, "expires")?.ok_or("`expires` is missing")?;
    let expires = expires.parse().map_err(|_| "`expires` is no time in milliseconds")?;
    let disposition = parameter(query, "as")?.ok_or("`as` is missing")?;
    let disposition = Disposition::ALL.into_iter().find(|known| known.as_str() == disposition);
    let signature = parameter(query, "signature")?.ok_or("`signature` is missing")?;
    let signature = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes());
    let link = Link {
        file,
        expires: Time::from_millis(expires),
        name: parameter(query, "name")?,
        disposition: disposition.ok_or("`as` is neither `attachment` nor `inline`")?,
    };
    Ok((link, signature.map_err(|_| "`signature` is not in base64url")?))
}

/// Returns one parameter of a query, decoded.
fn parameter(query: &str, name: &str) -> Result<Option<String>, &'static str> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|pair| pair.0 == name);
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("a parameter is there twice");
    }
    let value = percent_decode_str(value).decode_utf8().map_err(|_| "a parameter is no text")?;
    Ok(Some(value.into_owned()))
}
