//! Pictures: those that are asked for, and those that come along.

use data_encoding::BASE64;

use super::{Check, Field, Recorded, Refusal};
use crate::provider::FormPart;

/// The types of pictures that models read.
pub(super) const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// The types of pictures that can be edited.
const EDITABLE: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];

const MOST: f64 = 10.0;

pub(super) fn check_generation(body: &Field<'_>) -> Check {
    body.get("model").required_text()?;
    body.get("prompt").required_text()?;
    body.get("n").within(1.0, MOST)?;
    check_size(body.get("size").as_str())?;
    let format = body.get("response_format");
    format.one_of(&["url", "b64_json"])?;
    if body.get("model").as_str().is_some_and(|model| model.starts_with("gpt-image")) {
        format.absent("is not supported with this model.")?;
    }
    Ok(())
}

pub(super) fn check_edit(request: &Recorded) -> Check {
    let missing = |name: &str| {
        let message = format!("Missing required parameter: '{name}'.");
        Refusal { param: Some(name.to_owned()), ..Refusal::of_request(message) }
    };
    for name in ["model", "prompt"] {
        request.form_part(name).filter(|part| !part.bytes.is_empty()).ok_or_else(|| missing(name))?;
    }
    let mut images = request.form.iter().filter(|part| matches!(part.name.as_str(), "image" | "image[]"));
    let wrong = images
        .clone()
        .find(|image| !image.content_type.as_deref().is_some_and(|kind| EDITABLE.contains(&kind)));
    if let Some(wrong) = wrong {
        let kind = wrong.content_type.as_deref().unwrap_or("application/octet-stream");
        let message = format!(
            "Invalid file 'image': unsupported mimetype ('{kind}'). Supported file formats are {}.",
            EDITABLE.join(", ")
        );
        let refusal = Refusal { param: Some("image".to_owned()), ..Refusal::of_request(message) };
        return Err(refusal.code("unsupported_file_mimetype"));
    }
    images.next().ok_or_else(|| missing("image"))?;
    check_size(request.form_part("size").map(FormPart::text))
}

fn check_size(size: Option<&str>) -> Check {
    let is_size = |size: &str| {
        let sides = size.split_once('x');
        let is_side = |side: &str| side.parse::<u32>().is_ok_and(|side| side > 0);
        size == "auto" || sides.is_some_and(|(width, height)| is_side(width) && is_side(height))
    };
    match size {
        Some(size) if !is_size(size) => {
            let message = format!("Invalid value: '{size}'. Supported values are 'auto' and 'WIDTHxHEIGHT'.");
            Err(Refusal { param: Some("size".to_owned()), ..Refusal::of_request(message) })
        }
        _ => Ok(()),
    }
}

/// An address on the web, or a picture in a data URL.
pub(super) fn check_address(url: &Field<'_>) -> Check {
    let address = url.required_text()?;
    if address.starts_with("https://") || address.starts_with("http://") {
        return Ok(());
    }
    let invalid = |message: &str| url.refusal(message).code("invalid_image_url");
    let data = address.strip_prefix("data:").and_then(|data| data.split_once(";base64,"));
    let Some((kind, data)) = data else {
        return Err(invalid("expected a valid URL, or a data URL in base64"));
    };
    check_base64(data).map_err(|message| invalid(&message))?;
    if TYPES.contains(&kind) {
        return Ok(());
    }
    let message =
        format!("You uploaded an unsupported image: it is {kind}, and has to be one of {}", TYPES.join(", "));
    Err(url.refusal(message).code("invalid_image_format"))
}

pub(super) fn check_base64(data: &str) -> Result<(), String> {
    match BASE64.decode(data.as_bytes()) {
        Ok(bytes) if bytes.is_empty() => Err("the data is empty".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the data is not base64: {error}")),
    }
}
