//! What an image costs in tokens.

use crate::Data;

/// Pixels that cost one token.
const PIXELS_PER_TOKEN: u64 = 750;

/// The most that one image costs: models scale larger ones down.
const MOST: u64 = 1_600;

/// Returns the tokens of an image.
pub(super) fn count(data: &Data) -> u64 {
    let size = data.bytes().and_then(|bytes| size(&bytes));
    size.map_or(MOST, |(width, height)| {
        (u64::from(width) * u64::from(height)).div_ceil(PIXELS_PER_TOKEN).clamp(1, MOST)
    })
}

/// Returns width and height as the head of a PNG, GIF or JPEG file states them.
fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    match crate::guess_media_type(bytes) {
        "image/png" => Some((big_endian(bytes.get(16..20)?), big_endian(bytes.get(20..24)?))),
        "image/gif" => {
            let side =
                |at: usize| Some(u32::from(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])));
            Some((side(6)?, side(8)?))
        }
        "image/jpeg" => jpeg_size(bytes),
        _ => None,
    }
}

/// Walks the segments of a JPEG file to the one that starts its frame.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let &[mark, kind] = bytes.get(at..at + 2)? else { return None };
        if mark != 0xFF {
            return None;
        }
        let is_frame = matches!(kind, 0xC0..=0xCF) && !matches!(kind, 0xC4 | 0xC8 | 0xCC);
        if is_frame {
            let (height, width) = (bytes.get(at + 5..at + 7)?, bytes.get(at + 7..at + 9)?);
            return Some((big_endian(width), big_endian(height)));
        }
        at += 2 + big_endian(bytes.get(at + 2..at + 4)?) as usize;
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
