//! Order-preserving keys: bytes that compare as the values they were made from.
//!
//! Every part begins with a tag, so that a key can be read without knowing its type (error
//! messages show keys) and so that parts of different types still have one order:
//! null < false < true < integers < floats < text < bytes < ids.

use std::fmt::{self, Write as _};

use loomwork_core::{RawId, Time};

/// The tag of ids, which ranges over rows without an index leave out.
pub(crate) const ID_TAG: u8 = 0x60;

/// The tags that begin each part. `0x00` and `0xff` are never tags: a prefix followed by `0x00`
/// sorts before, and by `0xff` after, every key that continues it.
mod tag {
    pub(super) const NULL: u8 = 0x02;
    pub(super) const SOME: u8 = 0x03;
    pub(super) const FALSE: u8 = 0x08;
    pub(super) const TRUE: u8 = 0x09;
    /// Integers take `INTEGER - 16 ..= INTEGER + 16`: the distance is the count of bytes that follow.
    pub(super) const INTEGER: u8 = 0x30;
    pub(super) const FLOAT: u8 = 0x48;
    pub(super) const TEXT: u8 = 0x50;
    pub(super) const BYTES: u8 = 0x58;
    pub(super) const ID: u8 = super::ID_TAG;
}

/// Why a value cannot be a key part, or bytes cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A float that has no place in an order.
    #[error("NaN has no place in an ordered key; store it as an absent value instead")]
    NotANumber,
    /// Bytes that were not written by the type that reads them.
    #[error("the key bytes do not hold {expected}")]
    Mismatch {
        /// The type that was asked for.
        expected: &'static str,
    },
}

/// A value that can be one part of an index key: its bytes compare as the value does.
///
/// `#[derive(Key)]` gives it to enums without fields (ordered by their stored names) and to
/// structs with one field.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of an index key",
    note = "key parts are bool, integers, floats, `String`, `Vec<u8>`, `Time`, `Id<T>`, `Option` of these, and types with `#[derive(Key)]`"
)]
pub trait Key: Sized {
    /// Whether the encoding of some value may begin as that of `None` does.
    #[doc(hidden)]
    const NULLABLE: bool = false;

    /// Appends the part's bytes.
    ///
    /// # Errors
    /// [`KeyError::NotANumber`] for a float that is NaN.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError>;

    /// Reads the part back and moves `input` behind it.
    ///
    /// # Errors
    /// [`KeyError::Mismatch`] when the bytes were not written by this type.
    fn read(input: &mut &[u8]) -> Result<Self, KeyError>;
}

fn mismatch<T>(expected: &'static str) -> Result<T, KeyError> {
    Err(KeyError::Mismatch { expected })
}

fn take<'a>(input: &mut &'a [u8], count: usize, expected: &'static str) -> Result<&'a [u8], KeyError> {
    let (head, rest) = input.split_at_checked(count).ok_or(KeyError::Mismatch { expected })?;
    *input = rest;
    Ok(head)
}

fn take_tag(input: &mut &[u8], tag: u8, expected: &'static str) -> Result<(), KeyError> {
    match input.split_first() {
        Some((first, rest)) if *first == tag => {
            *input = rest;
            Ok(())
        }
        _ => mismatch(expected),
    }
}

impl Key for bool {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        out.push(if *self { tag::TRUE } else { tag::FALSE });
        Ok(())
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        match take(input, 1, "a bool")?[0] {
            tag::FALSE => Ok(false),
            tag::TRUE => Ok(true),
            _ => mismatch("a bool"),
        }
    }
}

/// Writes the sign and the magnitude's length into the tag and the magnitude behind it, the
/// magnitude of a negative number complemented, so that any two integers compare, whatever their width.
fn write_integer(negative: bool, magnitude: u128, out: &mut Vec<u8>) {
    let bytes = magnitude.to_be_bytes();
    let skipped = (magnitude.leading_zeros() / 8) as usize;
    let length = (bytes.len() - skipped) as u8;
    if negative {
        out.push(tag::INTEGER - length);
        out.extend(bytes[skipped..].iter().map(|byte| !byte));
    } else {
        out.push(tag::INTEGER + length);
        out.extend_from_slice(&bytes[skipped..]);
    }
}

fn read_integer(input: &mut &[u8]) -> Result<(bool, u128), KeyError> {
    const EXPECTED: &str = "an integer";
    let tag = take(input, 1, EXPECTED)?[0];
    let length = usize::from(tag.abs_diff(tag::INTEGER));
    if length > 16 {
        return mismatch(EXPECTED);
    }
    let negative = tag < tag::INTEGER;
    let mut bytes = [0; 16];
    for (to, from) in bytes[16 - length..].iter_mut().zip(take(input, length, EXPECTED)?) {
        *to = if negative { !from } else { *from };
    }
    Ok((negative, u128::from_be_bytes(bytes)))
}

macro_rules! unsigned_key {
    ($($type:ty),*) => {$(
        impl Key for $type {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
                write_integer(false, *self as u128, out);
                Ok(())
            }

            fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
                const EXPECTED: KeyError = KeyError::Mismatch { expected: stringify!($type) };
                match read_integer(input)? {
                    (false, magnitude) => magnitude.try_into().map_err(|_| EXPECTED),
                    (true, _) => Err(EXPECTED),
                }
            }
        }
    )*};
}

macro_rules! signed_key {
    ($($type:ty),*) => {$(
        impl Key for $type {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
                write_integer(*self < 0, u128::from(self.unsigned_abs()), out);
                Ok(())
            }

            fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
                const EXPECTED: KeyError = KeyError::Mismatch { expected: stringify!($type) };
                let (negative, magnitude) = read_integer(input)?;
                let magnitude = i128::try_from(magnitude).map_err(|_| EXPECTED)?;
                let value = if negative { -magnitude } else { magnitude };
                value.try_into().map_err(|_| EXPECTED)
            }
        }
    )*};
}

unsigned_key!(u8, u16, u32, u64, u128);
signed_key!(i8, i16, i32, i64);

impl Key for f64 {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        if self.is_nan() {
            return Err(KeyError::NotANumber);
        }
        // Adding zero makes -0.0 and 0.0, which are equal, one key.
        let bits = (self + 0.0).to_bits();
        let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        out.push(tag::FLOAT);
        out.extend_from_slice(&ordered.to_be_bytes());
        Ok(())
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        take_tag(input, tag::FLOAT, "a float")?;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(take(input, 8, "a float")?);
        let ordered = u64::from_be_bytes(bytes);
        let bits = if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered };
        Ok(f64::from_bits(bits))
    }
}

impl Key for f32 {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        f64::from(*self).write(out)
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        Ok(f64::read(input)? as f32)
    }
}

/// Zero bytes are escaped and a terminator follows, so that a text sorts before its continuations
/// whatever part or id comes next.
fn write_escaped(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    for run in bytes.split_inclusive(|byte| *byte == 0) {
        out.extend_from_slice(run);
        if run.ends_with(&[0]) {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0x00, 0x01]);
}

fn read_escaped(input: &mut &[u8], tag: u8, expected: &'static str) -> Result<Vec<u8>, KeyError> {
    take_tag(input, tag, expected)?;
    let mut bytes = Vec::new();
    loop {
        match take(input, 1, expected)?[0] {
            0 => match take(input, 1, expected)?[0] {
                0xff => bytes.push(0),
                0x01 => return Ok(bytes),
                _ => return mismatch(expected),
            },
            byte => bytes.push(byte),
        }
    }
}

impl Key for String {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        write_escaped(tag::TEXT, self.as_bytes(), out);
        Ok(())
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        let bytes = read_escaped(input, tag::TEXT, "a text")?;
        Self::from_utf8(bytes).or_else(|_| mismatch("a text"))
    }
}

impl Key for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        write_escaped(tag::BYTES, self, out);
        Ok(())
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        read_escaped(input, tag::BYTES, "bytes")
    }
}

impl Key for RawId {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        out.push(tag::ID);
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        take_tag(input, tag::ID, "an id")?;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(take(input, 16, "an id")?);
        Ok(Self::from_bytes(bytes))
    }
}

impl Key for Time {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        self.millis().write(out)
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        i64::read(input).map(Self::from_millis)
    }
}

impl<T: Key> Key for Option<T> {
    const NULLABLE: bool = true;

    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        match self {
            None => out.push(tag::NULL),
            Some(value) => {
                if T::NULLABLE {
                    out.push(tag::SOME);
                }
                value.write(out)?;
            }
        }
        Ok(())
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        if take_tag(input, tag::NULL, "null").is_ok() {
            return Ok(None);
        }
        if T::NULLABLE {
            take_tag(input, tag::SOME, "an optional value")?;
        }
        T::read(input).map(Some)
    }
}

/// The least bytes that are greater than every continuation of `prefix`.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // Only a prefix without any byte below 0xff gets here; keys never begin with 0xff.
    vec![0xff]
}

/// Shows encoded parts as a person would write them, for error messages: `("alice", 7)`.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut first = true;
        f.write_char('(')?;
        while !rest.is_empty() {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            if show_part(&mut rest, f)?.is_err() {
                write!(f, "0x{}", data_encoding::HEXLOWER.encode(rest))?;
                break;
            }
        }
        f.write_char(')')
    }
}

fn show_part(rest: &mut &[u8], f: &mut fmt::Formatter<'_>) -> Result<Result<(), KeyError>, fmt::Error> {
    let mut ahead = *rest;
    while let [tag::SOME, inner @ ..] = ahead {
        ahead = inner;
    }
    let shown = match ahead.first() {
        Some(&tag::NULL) => Option::<bool>::read(&mut ahead).map(|_| "null".to_owned()),
        Some(&(tag::FALSE | tag::TRUE)) => bool::read(&mut ahead).map(|value| value.to_string()),
        Some(&tag::FLOAT) => f64::read(&mut ahead).map(|value| value.to_string()),
        Some(&tag::TEXT) => String::read(&mut ahead).map(|value| format!("{value:?}")),
        Some(&tag::BYTES) => {
            Vec::read(&mut ahead).map(|value| format!("0x{}", data_encoding::HEXLOWER.encode(&value)))
        }
        Some(&tag::ID) => RawId::read(&mut ahead).map(|value| value.to_string()),
        _ => read_integer(&mut ahead)
            .map(|(negative, magnitude)| format!("{}{magnitude}", if negative { "-" } else { "" })),
    };
    match shown {
        Ok(text) => {
            *rest = ahead;
            f.write_str(&text).map(Ok)
        }
        Err(error) => Ok(Err(error)),
    }
}
