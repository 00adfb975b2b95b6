//! Names: which ones the store takes, and what to answer to one that does not exist.

/// Whether the store takes `text` as the name of a table or an index: it stands in the database
/// and in messages.
pub(crate) fn is_stored_name(text: &str) -> bool {
    is_word(text, 60, |letter| letter == '_')
}

/// Whether ids may begin with `text`. The underscore ends it, so there is none in it.
pub(crate) fn is_id_prefix(text: &str) -> bool {
    is_word(text, 24, |_| false)
}

fn is_word(text: &str, longest: usize, extra: fn(char) -> bool) -> bool {
    let inside = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || extra(letter);
    text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.chars().all(inside)
        && text.len() <= longest
}

/// Writes a variant's name as serde's `rename_all = "snake_case"` does, so that keys and JSON agree.
pub(crate) fn snake_case(variant: &str) -> String {
    let mut snake = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Says which names there are, and which of them `wrong` was probably meant to be:
/// "did you mean `due`? There are `due` and `queue`".
pub(crate) fn instead_of(wrong: &str, names: &[impl AsRef<str>]) -> String {
    match nearest(wrong, names) {
        _ if names.is_empty() => "there is none".to_owned(),
        Some(name) if names.len() == 1 => format!("did you mean `{name}`?"),
        Some(name) => format!("did you mean `{name}`? There are {}", list(names)),
        None if names.len() == 1 => format!("there is {}", list(names)),
        None => format!("there are {}", list(names)),
    }
}

/// Writes names as a sentence does: "`a`, `b` and `c`".
pub(crate) fn list(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn nearest<'a>(wrong: &str, names: &'a [impl AsRef<str>]) -> Option<&'a str> {
    let tolerated = wrong.chars().count().div_ceil(3);
    let names = names.iter().map(AsRef::as_ref);
    let (distance, name) = names.map(|name| (edits(wrong, name), name)).min()?;
    (distance <= tolerated).then_some(name)
}

/// Counts the letters to insert, delete or replace between two words.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.chars().count()]
}

#[cfg(test)]
mod tests;
