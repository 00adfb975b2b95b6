//! What the JSON of components' rows looks like, for whoever reads the description of the API.
//!
//! A row is shown as its component writes it. These types say in which shape, and a test holds both together.

use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A row, which is described by a type of its own.
pub(crate) struct Shown<T, Shape>(pub(crate) T, PhantomData<fn() -> Shape>);

impl<T, Shape> Shown<T, Shape> {
    pub(crate) fn new(row: T) -> Self {
        Self(row, PhantomData)
    }
}

impl<T: Serialize, Shape> Serialize for Shown<T, Shape> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T, Shape: JsonSchema> JsonSchema for Shown<T, Shape> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Shape::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        Shape::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Shape::json_schema(generator)
    }
}

/// Declares shapes: types that are described and never made.
macro_rules! shapes {
    ($($(#[$attribute:meta])* $name:ident = $title:tt { $($(#[$about:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$attribute])*
        #[derive(schemars::JsonSchema)]
        #[schemars(rename = $title, rename_all = "camelCase")]
        #[expect(dead_code, reason = "its schema is what it is for")]
        pub(crate) struct $name {
            $($(#[$about])* $field: $kind,)*
        }
    )*};
}
pub(crate) use shapes;

/// Reads a field of a patch: missing leaves what there is, `null` empties it.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}
