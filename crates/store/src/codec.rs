//! How records are written to bytes and read back.

mod finite;

use std::cell::Cell;
use std::{fmt, io};

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use finite::FiniteFloats;

/// How a table's records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// JSON text: a person can read the database, and fields that this program does not know
    /// survive an update.
    Json,
    /// A compact binary form (postcard) for records that are many and not read by people, such
    /// as vectors and stream deltas. Its fields have no names: a changed record needs a new version.
    Compact,
}

impl Codec {
    /// Writes a record. Where its row was written by a program that knows more fields, those of
    /// `before` go on.
    pub(crate) fn encode<T>(self, record: &T, before: Option<&[u8]>) -> Result<Vec<u8>, String>
    where
        T: Serialize + DeserializeOwned,
    {
        match self {
            Self::Json => {
                let body = encode_json(record)?;
                Ok(match before {
                    Some(before) => keep_unknown_fields::<T>(before, body),
                    None => body,
                })
            }
            Self::Compact => postcard::to_stdvec(record).map_err(|error| error.to_string()),
        }
    }

    pub(crate) fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, String> {
        match self {
            Self::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
            Self::Compact => postcard::from_bytes(body).map_err(|error| error.to_string()),
        }
    }
}

/// The room that a record is given at first; most fit without growing it.
const USUAL_RECORD_BYTES: usize = 512;

/// JSON has no NaN and no infinity: serde_json writes null for them. So a record that wrote a null
/// is looked through for such a float.
fn encode_json<T: Serialize>(record: &T) -> Result<Vec<u8>, String> {
    let mut body = Vec::with_capacity(USUAL_RECORD_BYTES);
    let seen = Cell::new(Seen::default());
    let mut json = serde_json::Serializer::with_formatter(&mut body, Watchful(&seen));
    record.serialize(&mut json).map_err(|error| error.to_string())?;
    let seen = seen.get();
    if seen.deepest > MAX_RECORD_DEPTH {
        return Err(format!(
            "it is nested {} deep; the limit is {MAX_RECORD_DEPTH}, store what is deeper as a text",
            seen.deepest
        ));
    }
    if seen.null {
        record.serialize(FiniteFloats).map_err(|error| error.to_string())?;
    }
    Ok(body)
}

/// How deeply the arrays and objects of a JSON record may be nested: what is deeper cannot be read back.
pub const MAX_RECORD_DEPTH: usize = 127;

/// What a record wrote that may make it unreadable.
#[derive(Clone, Copy, Default)]
struct Seen {
    null: bool,
    depth: usize,
    deepest: usize,
}

/// Writes compact JSON and notices what [`Seen`] tells.
struct Watchful<'a>(&'a Cell<Seen>);

impl Watchful<'_> {
    fn enter(&self) {
        let mut seen = self.0.get();
        seen.depth += 1;
        seen.deepest = seen.deepest.max(seen.depth);
        self.0.set(seen);
    }

    fn leave(&self) {
        let seen = self.0.get();
        self.0.set(Seen { depth: seen.depth - 1, ..seen });
    }
}

impl serde_json::ser::Formatter for Watchful<'_> {
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.set(Seen { null: true, ..self.0.get() });
        writer.write_all(b"null")
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter();
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave();
        writer.write_all(b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter();
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave();
        writer.write_all(b"}")
    }
}

/// A record of an older version, in an upgrade.
#[derive(Clone, Copy)]
pub struct Old<'a> {
    codec: Codec,
    body: &'a [u8],
}

impl<'a> Old<'a> {
    pub(crate) fn new(codec: Codec, body: &'a [u8]) -> Self {
        Self { codec, body }
    }

    /// Reads it as the type that wrote it, or as `serde_json::Value` where the codec is JSON.
    ///
    /// # Errors
    /// When the record is not an `O`.
    pub fn decode<O: DeserializeOwned>(&self) -> crate::Result<O> {
        self.codec
            .decode(self.body)
            .map_err(|reason| crate::Error::message(loomwork_core::Kind::Corrupt, reason))
    }
}

impl fmt::Debug for Old<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.codec {
            Codec::Json => f.write_str(&String::from_utf8_lossy(self.body)),
            Codec::Compact => write!(f, "{} bytes", self.body.len()),
        }
    }
}

/// Puts the fields of the object `old` that a `T` does not know behind those of `new`.
fn keep_unknown_fields<T: DeserializeOwned>(old: &[u8], mut new: Vec<u8>) -> Vec<u8> {
    let Some(known) = field_names::<T>() else { return new };
    let mut json = serde_json::Deserializer::from_slice(old);
    let Ok(mut unknown) = json.deserialize_map(UnknownFields { known, next: 0 }) else { return new };
    if unknown.is_empty() {
        return new;
    }
    // Some fields are written and never read, such as a tag: those are in `new` already.
    let Ok(written) =
        serde_json::Deserializer::from_slice(&new).deserialize_map(UnknownFields { known: &[], next: 0 })
    else {
        return new;
    };
    let written: Vec<String> = written.into_iter().map(|(name, _)| name).collect();
    unknown.retain(|(name, _)| !written.contains(name));
    debug_assert_eq!(new.last(), Some(&b'}'), "a struct with named fields is a JSON object");
    new.pop();
    for (name, value) in unknown {
        if new.last() != Some(&b'{') {
            new.push(b',');
        }
        new.extend(serde_json::Value::from(name).to_string().bytes());
        new.push(b':');
        new.extend(value.get().bytes());
    }
    new.push(b'}');
    new
}

/// Collects the fields of an object that are not in a list.
struct UnknownFields {
    known: &'static [&'static str],
    /// Where the next one is likely to be found: fields are written in the order of the list.
    next: usize,
}

impl UnknownFields {
    fn knows(&mut self, name: &str) -> bool {
        let (before, behind) = self.known.split_at(self.next);
        let likely = behind.iter().chain(before).position(|known| *known == name);
        if let Some(skipped) = likely {
            self.next = (self.next + skipped + 1) % self.known.len();
        }
        likely.is_some()
    }
}

impl<'de> Visitor<'de> for UnknownFields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut unknown = Vec::new();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if self.knows(&name) {
                map.next_value::<IgnoredAny>()?;
            } else {
                unknown.push((name.into_owned(), map.next_value()?));
            }
        }
        Ok(unknown)
    }
}

/// The names under which serde reads the fields of the struct `T`; `None` where `T` is read as
/// anything but a struct with a fixed list of fields.
fn field_names<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut found = None;
    let _ = T::deserialize(FieldProbe { found: &mut found });
    found
}

/// A deserializer that holds nothing and only listens to what it is asked for.
struct FieldProbe<'a> {
    found: &'a mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for FieldProbe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.found = Some(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("nothing is here to be read"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
