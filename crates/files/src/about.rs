//! What a caller says of a file besides its bytes.

use serde_json::Value;

use crate::error::{FileError, beginning};
use crate::hash::Hash;
use crate::media;

/// The most bytes of a file name.
pub const MAX_NAME_BYTES: usize = 255;

/// The most bytes of a media type.
pub const MAX_MEDIA_TYPE_BYTES: usize = 200;

/// The most bytes that a file's own metadata may take as JSON.
pub const MAX_METADATA_BYTES: usize = 64 * 1024;

/// What is known of a file besides its bytes; all of it may be left out, `()` leaves out everything.
///
/// New fields may come: fill up with `..About::default()`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Its name: a text to show and to download under. It never becomes a path.
    pub name: Option<String>,
    /// What it is, as `image/png`. Else [`media_type`](crate::media_type()) looks at bytes and name.
    pub media_type: Option<String>,
    /// The caller's own JSON.
    pub metadata: Option<Value>,
    /// The hash that the content must have, else it is refused.
    pub expected: Option<Hash>,
    /// A limit of its own; that of [`Options`](crate::Options) holds too.
    pub max_bytes: Option<u64>,
}

impl From<()> for About {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// A file name.
impl From<&str> for About {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

/// A file name.
impl From<String> for About {
    fn from(name: String) -> Self {
        Self { name: Some(name), ..Self::default() }
    }
}

impl About {
    /// The same with its media type in normal form, if nothing is wrong with it.
    pub(crate) fn checked(mut self) -> Result<Self, FileError> {
        if let Some(name) = &self.name
            && (name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control))
        {
            return Err(FileError::BadName { given: beginning(name) });
        }
        self.media_type = self.media_type.as_deref().map(media::normal).transpose()?;
        let bytes = self.metadata.as_ref().map_or(0, |metadata| metadata.to_string().len());
        if bytes > MAX_METADATA_BYTES {
            return Err(FileError::BadMetadata { bytes });
        }
        Ok(self)
    }

    /// Refuses another content than the expected one.
    pub(crate) fn check_hash(&self, found: Hash) -> Result<(), FileError> {
        match self.expected {
            Some(expected) if expected != found => Err(FileError::Unexpected { expected, found }),
            _ => Ok(()),
        }
    }
}
