//! Which files a target reads.

use super::parts::Place;
use super::{DataForm, Readable, Target, UnreadableFiles, warn};
use crate::{Data, Error, ErrorKind, Part, Result, Role, Text, Warning, guess_media_type};

const UNKNOWN_IMAGE: &str = "image/*";
const UNKNOWN_FILE: &str = "application/octet-stream";

/// Returns an image or a file with its media type known and its bytes decoded, if the target reads it;
/// else a note, or the error that refuses it.
pub(super) fn readable(
    mut part: Part,
    readable: &[Readable],
    place: &Place,
    target: &Target,
    warnings: &mut Vec<Warning>,
) -> Result<Part> {
    let (media_type, name) = match &mut part {
        Part::Image(image) => {
            let media_type = settle(&mut image.data, image.media_type.take(), UNKNOWN_IMAGE);
            image.media_type = Some(media_type.clone());
            (media_type, None)
        }
        Part::File(file) => {
            let said = std::mem::take(&mut file.media_type);
            file.media_type = settle(&mut file.data, Some(said), UNKNOWN_FILE);
            (file.media_type.clone(), file.filename.clone())
        }
        _ => return Ok(part),
    };
    let data = match &part {
        Part::Image(image) => &image.data,
        Part::File(file) => &file.data,
        _ => return Ok(part),
    };
    let Some(problem) = problem(data, &media_type, readable, target) else { return Ok(part) };
    let kind = part.type_name().to_owned();
    let name = name.map(|name| format!(" `{name}`")).unwrap_or_default();
    match target.unreadable_files {
        UnreadableFiles::Refuse if place.role == Role::User => {
            let text = format!("{place} is {}{kind}{name} of type {media_type}: {problem}", article(&kind));
            Err(Error::new(ErrorKind::BadRequest, &target.model.provider, &target.model.model, text))
        }
        UnreadableFiles::Refuse | UnreadableFiles::Note => {
            warn(
                warnings,
                format!("{kind}{name}, {place}"),
                format!("{problem}; a note stands in its place"),
            );
            let text = format!("[{kind}{name} of type {media_type}, which cannot be shown here]");
            let extras = part.extras_mut().map(std::mem::take).unwrap_or_default();
            Ok(Part::Text(Text { text, extras }))
        }
    }
}

/// Decodes a `data:` address, and returns the media type: what is said, unless that says nothing.
fn settle(data: &mut Data, said: Option<String>, unknown: &str) -> String {
    let said = said.filter(|said| !said.is_empty() && said != UNKNOWN_IMAGE && said != UNKNOWN_FILE);
    let of_url = data.media_type().map(str::to_owned);
    if let (Data::Url(_), Some(bytes)) = (&data, data.bytes()) {
        *data = Data::Bytes(bytes);
    }
    let guess = || match &*data {
        Data::Bytes(bytes) => Some(guess_media_type(bytes)).filter(|guess| *guess != UNKNOWN_FILE),
        _ => None,
    };
    said.or(of_url).or_else(|| guess().map(str::to_owned)).unwrap_or_else(|| unknown.to_owned())
}

/// Says why the target does not read a file; `None` if it does.
fn problem(data: &Data, media_type: &str, readable: &[Readable], target: &Target) -> Option<String> {
    let form = match data {
        Data::Bytes(_) => DataForm::Bytes,
        Data::Url(_) => DataForm::Url,
        Data::Reference(_) if data.reference(&target.model.provider).is_some() => DataForm::Reference,
        Data::Reference(ids) => {
            let elsewhere: Vec<_> = ids.keys().map(String::as_str).collect();
            return Some(format!(
                "{} has no id for it, only {} has",
                target.model.provider,
                if elsewhere.is_empty() { "nobody".to_owned() } else { elsewhere.join(", ") }
            ));
        }
    };
    // An id says nothing of the file behind it, so its provider decides.
    let fits = |kind: &Readable| form == DataForm::Reference || fits(kind.media_type, media_type);
    if readable.iter().any(|kind| fits(kind) && kind.forms.contains(&form)) {
        return None;
    }
    let kinds: Vec<_> = readable.iter().filter(|kind| kind.forms.contains(&form)).collect();
    let form = match form {
        DataForm::Bytes => "bytes",
        DataForm::Url => "an address",
        DataForm::Reference => "an id",
    };
    Some(if kinds.is_empty() {
        format!("{} reads no file here that is given as {form}", target.model)
    } else {
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.media_type).collect();
        format!("as {form}, {} reads {} here", target.model, kinds.join(", "))
    })
}

/// Returns whether a type fits a pattern; of a type that is known by half, the half has to fit.
fn fits(pattern: &str, media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let (Some((kind, sub)), Some((wanted, wanted_sub))) =
        (media_type.split_once('/'), pattern.split_once('/'))
    else {
        return pattern == "*";
    };
    wanted == "*"
        || kind.eq_ignore_ascii_case(wanted)
            && (wanted_sub == "*" || sub == "*" || sub.eq_ignore_ascii_case(wanted_sub))
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an " } else { "a " }
}
