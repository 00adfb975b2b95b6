//! OpenAI Embeddings.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Call, Rendered};
use crate::provider::check::tokens;

/// The width of a vector where the request asks for none.
const WIDTH: usize = 16;

pub(super) fn render(call: &Call<'_>) -> Rendered {
    let request = &call.request.body;
    let inputs = inputs(&request["input"]);
    let width = request["dimensions"].as_u64().and_then(|width| usize::try_from(width).ok()).unwrap_or(WIDTH);
    let own = || inputs.iter().map(|input| vector(input, width)).collect();
    let vectors = call.content.vectors.clone().unwrap_or_else(own);
    let is_base64 = request["encoding_format"] == "base64";
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = if is_base64 { base64(vector).into() } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let spent: usize = inputs.iter().map(tokens).sum();
    let usage = (!call.content.has_no_usage).then(|| json!({"prompt_tokens": spent, "total_tokens": spent}));
    Rendered::json(json!({"object": "list", "data": data, "model": call.model(), "usage": usage}))
}

/// The inputs of a call: one text, many, one list of tokens, or many.
pub(in crate::provider) fn inputs(input: &Value) -> Vec<Value> {
    match input {
        Value::Array(inputs) if !inputs.iter().all(Value::is_number) => inputs.clone(),
        one => vec![one.clone()],
    }
}

/// Returns a vector of length 1 that depends only on the input and the width.
fn vector(input: &Value, width: usize) -> Vec<f32> {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hashed =
        input.to_string().bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let mut state = hashed | 1;
    let mut vector: Vec<f32> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = u8::try_from(state >> 56).expect("eight bits are left");
        f32::from(byte) - 127.5
    })
    .take(width)
    .collect();
    let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|part| *part /= length);
    vector
}

/// Little-endian floats in the standard alphabet.
fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|part| part.to_le_bytes()).collect();
    BASE64.encode(&bytes)
}
