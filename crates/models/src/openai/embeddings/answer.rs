//! What a server answers, and whether it is what was asked for.

use std::fmt;

use data_encoding::BASE64;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::Usage;

/// How far from 1 the square of a vector's length may be without being corrected.
const TOLERANCE: f64 = 1e-6;

#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    data: Vec<Entry>,
    #[serde(default)]
    usage: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    /// The place of its text; some servers leave it out.
    #[serde(default)]
    index: Option<usize>,
    embedding: Vector,
}

impl Answer {
    /// Returns what the call used, if the server says so.
    pub(super) fn usage(&self) -> Option<Usage> {
        let raw = self.usage.as_ref()?;
        let count = |name: &str| raw.get(name).and_then(Value::as_u64);
        let embedding = count("prompt_tokens").or_else(|| count("total_tokens"))?;
        Some(Usage { embedding, raw: Some(raw.clone()), ..Usage::default() })
    }

    /// Returns the vectors in the order of their texts, each of length 1; `Err` says what is wrong.
    pub(super) fn into_vectors(
        self,
        texts: usize,
        dimensions: Option<usize>,
    ) -> Result<Vec<Vec<f32>>, String> {
        if self.data.len() != texts {
            return Err(format!("{texts} texts were sent, and {} vectors came", self.data.len()));
        }
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
        for (place, Entry { index, embedding: Vector(vector) }) in self.data.into_iter().enumerate() {
            let index = index.unwrap_or(place);
            let slot = vectors.get_mut(index).ok_or_else(|| {
                format!("a vector came for text {index}, but the texts are 0 to {}", texts.saturating_sub(1))
            })?;
            if let Some(asked) = dimensions.filter(|asked| *asked != vector.len()) {
                let came = vector.len();
                return Err(format!(
                    "the vector of text {index} has {came} dimensions where {asked} were asked for; \
                    the model may not be able to shorten its vectors"
                ));
            }
            if slot.is_some() {
                return Err(format!("two vectors came for text {index}"));
            }
            *slot = Some(normalised(vector).ok_or_else(|| {
                format!("the vector of text {index} has no direction: it is zero, or not finite")
            })?);
        }
        // As many vectors as texts, each in a place of its own: no place is empty.
        Ok(vectors.into_iter().flatten().collect())
    }
}

/// Makes a vector's length 1.
fn normalised(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let square: f64 = vector.iter().map(|part| f64::from(*part) * f64::from(*part)).sum();
    if !square.is_finite() || square <= 0.0 {
        return None;
    }
    if (square - 1.0).abs() > TOLERANCE {
        let length = square.sqrt();
        vector.iter_mut().for_each(|part| *part = (f64::from(*part) / length) as f32);
    }
    Some(vector)
}

/// A vector: a list of numbers, or base64 of little-endian floats.
#[derive(Debug)]
struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of numbers, or base64 of little-endian floats")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vector, E> {
        let bytes = BASE64
            .decode(text.as_bytes())
            .map_err(|error| E::custom(format!("the base64 of a vector cannot be read: {error}")))?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            let length = bytes.len();
            return Err(E::custom(format!("a vector has {length} bytes, which are no whole floats")));
        }
        Ok(Vector(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vector, A::Error> {
        let mut vector = Vec::with_capacity(numbers.size_hint().unwrap_or(0));
        while let Some(number) = numbers.next_element()? {
            vector.push(number);
        }
        Ok(Vector(vector))
    }
}
