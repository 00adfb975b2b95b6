//! OpenAI Images.

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{CREATED, Call, Recorded, Rendered};
use crate::provider::content::Usage;
use crate::provider::shared::Shared;

/// Where pictures lie that were answered as addresses; their numbers follow.
pub(in crate::provider) const PICTURES: &str = "/pictures/";

/// A PNG of one transparent pixel.
const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0,
    0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0, 1,
    0, 0, 5, 0, 1, 0x0d, 0x0a, 0x2d, 0xb4, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, b'B', 0x60, 0x82,
];

pub(super) fn render(call: &Call<'_>, shared: &Shared) -> Rendered {
    let count = field(call.request, "n").and_then(|count| count.parse().ok()).unwrap_or(1);
    let pixels = || std::iter::repeat_n(Bytes::from_static(PIXEL), count).collect();
    let given = &call.content.images;
    let images: Vec<Bytes> = if given.is_empty() { pixels() } else { given.clone() };
    let are_addresses = are_addresses(call);
    let data: Vec<Value> =
        images
            .into_iter()
            .map(|image| {
                if are_addresses {
                    address(shared, image)
                } else {
                    json!({"b64_json": BASE64.encode(&image)})
                }
            })
            .collect();
    let mut body = json!({"created": CREATED, "data": data});
    if let (Some(usage), false) = (call.content.usage(), are_addresses) {
        body["usage"] = self::usage(usage);
    }
    Rendered::json(body)
}

/// The older models answer with addresses unless they are told otherwise; the newer ones never do.
fn are_addresses(call: &Call<'_>) -> bool {
    match field(call.request, "response_format").as_deref() {
        Some(format) => format == "url",
        None => field(call.request, "model").is_some_and(|model| model.starts_with("dall-e")),
    }
}

fn address(shared: &Shared, image: Bytes) -> Value {
    let pictures = &mut shared.state().pictures;
    pictures.push(image);
    json!({"url": format!("{}{PICTURES}{}", shared.url, pictures.len() - 1), "revised_prompt": null})
}

fn usage(usage: Usage) -> Value {
    let Usage { input, output, .. } = usage;
    json!({
        "input_tokens": input,
        "input_tokens_details": {"text_tokens": input, "image_tokens": 0},
        "output_tokens": output,
        "total_tokens": input + output,
    })
}

/// A field of a request that may be JSON or a form.
pub(in crate::provider) fn field(request: &Recorded, name: &str) -> Option<String> {
    if let Some(part) = request.form_part(name) {
        return Some(part.text().to_owned());
    }
    match &request.body[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
