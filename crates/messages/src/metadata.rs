//! What an application keeps with a row, as one of its own types.

use loomwork_core::{Fault, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tables::{Edit, MessageRow, Metadata, Thread};

/// The most bytes of metadata of a row, as JSON.
pub const MAX_METADATA_BYTES: usize = 64 << 10;

/// Metadata that is not of the type that a program takes it for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata {what}: {reason}")]
pub struct BadMetadata {
    what: &'static str,
    reason: String,
}

impl Fault for BadMetadata {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Returns a value as metadata. It has to be JSON with names: a struct or a map.
///
/// ```
/// use loomwork_messages::{Metadata, metadata};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Desk {
///     room: u32,
/// }
///
/// let kept: Metadata = metadata(&Desk { room: 12 })?;
/// assert_eq!(kept["room"], 12);
/// assert!(metadata(&12).is_err());
/// # Ok::<_, loomwork_messages::BadMetadata>(())
/// ```
///
/// # Errors
/// When it is no JSON, or JSON without names.
pub fn metadata(value: &impl Serialize) -> Result<Metadata, BadMetadata> {
    const WHAT: &str = "cannot be written as JSON with names";
    match serde_json::to_value(value) {
        Ok(Value::Object(names)) => Ok(names),
        Ok(other) => Err(BadMetadata { what: WHAT, reason: format!("it is {other}") }),
        Err(error) => Err(BadMetadata { what: WHAT, reason: error.to_string() }),
    }
}

fn read<T: DeserializeOwned>(metadata: &Metadata) -> Result<T, BadMetadata> {
    serde_json::from_value(Value::Object(metadata.clone())).map_err(|error| BadMetadata {
        what: "is not what this program takes it for",
        reason: error.to_string(),
    })
}

macro_rules! metadata_of {
    ($($record:ty),*) => {$(
        impl $record {
            /// Returns the metadata as a type of the application.
            ///
            /// # Errors
            /// [`BadMetadata`] when it is not of that type.
            pub fn metadata<T: DeserializeOwned>(&self) -> Result<T, BadMetadata> {
                read(&self.metadata)
            }
        }
    )*};
}

metadata_of!(Thread, MessageRow, Edit);
