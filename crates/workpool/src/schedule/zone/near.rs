//! The name that was meant.

use chrono_tz::TZ_VARIANTS;

/// What is shown for a name that is like no other.
const EXAMPLE: &str = "Europe/Berlin";
/// One letter in so many may be wrong, missing or too many.
const LETTERS_PER_EDIT: usize = 3;
/// Longer than any name; what is longer still is like none.
const LONGEST_NAME: usize = 40;

/// Returns the name of the zone that is most like this text, else an example of a name.
pub(super) fn name_like(text: &str) -> &'static str {
    if text.len() > LONGEST_NAME {
        return EXAMPLE;
    }
    let text = text.trim().to_ascii_lowercase().replace(' ', "_");
    let distances = TZ_VARIANTS.iter().map(|zone| (distance(&text, zone.name()), zone.name()));
    let nearest = distances.min().filter(|(edits, _)| edits * LETTERS_PER_EDIT <= text.len());
    nearest.map_or(EXAMPLE, |(_, name)| name)
}

/// Counts the edits from a text to a name. A city alone is almost as good as the whole name.
fn distance(text: &str, name: &str) -> usize {
    let name = name.to_ascii_lowercase();
    let city = name.rsplit('/').next().unwrap_or(&name);
    let of_city = if text == city { 1 } else { usize::MAX };
    edits(text.as_bytes(), name.as_bytes()).min(of_city)
}

/// Counts the bytes to replace, add or remove (Levenshtein's distance), row by row of its table.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, left) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (index, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[to.len()]
}
