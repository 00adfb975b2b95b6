//! Rust source with comments and literals taken out, for rules that look for names.

#[cfg(test)]
mod tests;

/// Returns the text without comments and without the insides of literals; lines keep their numbers.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let hidden = hidden_length(rest);
        if hidden == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.push(' ');
            code.extend(rest[..hidden].chars().filter(|character| *character == '\n'));
            rest = &rest[hidden..];
        }
    }
    code
}

/// Whether the code has this name, not as a part of a longer one.
pub(super) fn mentions(code: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(start, _)| {
        !code[..start].ends_with(is_part) && !code[start + name.len()..].starts_with(is_part)
    })
}

/// Returns the length of the comment or literal at the start of the text, or 0.
fn hidden_length(text: &str) -> usize {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some('/'), Some('/')) => text.find('\n').unwrap_or(text.len()),
        (Some('/'), Some('*')) => block_comment_length(text),
        (Some('"'), _) => quoted_length(text, '"'),
        (Some('r'), Some('"' | '#')) => raw_string_length(text),
        // Anything else after a quote is a lifetime.
        (Some('\''), Some('\\')) => quoted_length(text, '\''),
        (Some('\''), Some(inside)) if characters.next() == Some('\'') => inside.len_utf8() + 2,
        _ => 0,
    }
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            end if end == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"` or `r#"…"#`; 0 for a raw name such as `r#type`.
fn raw_string_length(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let start = 1 + hashes;
    if !text[start..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    text[start + 1..].find(&close).map_or(text.len(), |end| start + 1 + end + close.len())
}
