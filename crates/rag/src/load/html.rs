//! The main text of a web page, as Markdown.

use htmd::{Element, HtmlToMarkdown};

use super::{Document, Form};
use crate::{Error, Result};

/// What stands around the text of a page.
const AROUND: &[&str] = &[
    "script", "style", "noscript", "template", "iframe", "svg", "canvas", "nav", "header", "footer", "aside",
    "form", "button", "select", "dialog", "head",
];

/// How deep elements may be nested in a page that becomes Markdown. The converter takes a step on its stack for
/// each; of a page that is nested deeper, the bare text is read.
const MAX_DEPTH: usize = 200;

/// Elements that end by themselves where the next one begins, so that they are nested only within others.
const SELF_ENDING: &[&str] = &[
    "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "option", "optgroup",
    "rt", "rp",
];

/// Elements without an end.
const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Reads a web page: what is in its `main` or `article`, where it has one, and else its body, without
/// navigation and the like.
pub(super) fn read(name: &str, html: &str) -> Result<Document> {
    let unreadable = |error: std::io::Error| {
        let reason = error.to_string();
        Error::Unreadable { name: name.to_owned(), format: "a web page", reason }
    };
    let title = element(html, "title").map(unescaped).filter(|title| !title.is_empty());
    let main = element(html, "main").or_else(|| element(html, "article")).unwrap_or(html);
    if depth(main) > MAX_DEPTH {
        return Ok(Document { title, text: bare(main), ..Document::default() });
    }
    let text = converter().convert(main).map_err(unreadable)?;
    Ok(Document { title, text, form: Form::Markdown, ..Document::default() })
}

/// The tags of a page: where each begins and ends, its name in lower case, and whether it is an end tag.
/// Comments and declarations have no name.
fn tags(html: &str) -> impl Iterator<Item = (usize, usize, String, bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + html[at..].find('<')?;
            let rest = &html[start + 1..];
            if rest.starts_with(['!', '?']) {
                let end = if rest.starts_with("!--") { "-->" } else { ">" };
                at = html[start..].find(end).map_or(html.len(), |found| start + found + end.len());
                return Some((start, at, String::new(), false));
            }
            let (is_end, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            if name.is_empty() {
                at = start + 1;
                continue;
            }
            at = html[start..].find('>').map_or(html.len(), |end| start + end + 1);
            return Some((start, at, name.to_ascii_lowercase(), is_end));
        }
    })
}

/// Returns how deep elements are nested, or more: an end that does not fit ends nothing here, so a parser that
/// mends what is wrong finds no deeper nesting.
fn depth(html: &str) -> usize {
    let mut open: Vec<String> = Vec::new();
    let mut deepest = 0;
    for (_, _, name, is_end) in tags(html) {
        if name.is_empty() || SELF_ENDING.contains(&&*name) || VOID.contains(&&*name) {
            continue;
        }
        if !is_end {
            open.push(name);
            deepest = deepest.max(open.len());
        } else if open.last() == Some(&name) {
            open.pop();
        }
    }
    deepest
}

/// Returns the text between the tags, without that of scripts and the like.
fn bare(html: &str) -> String {
    let mut text = String::new();
    let (mut at, mut skipped) = (0, None);
    for (start, end, name, is_end) in tags(html) {
        if skipped.is_none() {
            text.push_str(&html[at..start]);
            text.push(' ');
        }
        match &skipped {
            None if !is_end && ["script", "style"].contains(&&*name) => skipped = Some(name),
            Some(element) if is_end && *element == name => skipped = None,
            _ => {}
        }
        at = end;
    }
    if skipped.is_none() {
        text.push_str(&html[at..]);
    }
    unescaped(&text)
}

fn converter() -> HtmlToMarkdown {
    let builder = HtmlToMarkdown::builder().skip_tags(AROUND.to_vec());
    // An image says what its description says; where it lies is no text.
    let image = |_: &dyn htmd::element_handler::Handlers, element: Element<'_>| {
        let alt = element.attrs.iter().find(|attribute| &*attribute.name.local == "alt");
        alt.map(|alt| alt.value.to_string().into())
    };
    builder.add_handler(vec!["img"], image).build()
}

/// Returns what stands in the first element of a name; its own kind may stand within it.
fn element<'a>(html: &'a str, name: &str) -> Option<&'a str> {
    let lower = html.to_ascii_lowercase();
    let tag = |from: usize, begin: &str| {
        let mut at = from;
        loop {
            let found = at + lower[at..].find(begin)?;
            let behind = lower[found + begin.len()..].chars().next();
            if behind.is_some_and(|next| next == '>' || next == '/' || next.is_whitespace()) {
                return Some(found);
            }
            at = found + begin.len();
        }
    };
    let (open, close) = (format!("<{name}"), format!("</{name}"));
    let start = tag(0, &open)?;
    let start = start + lower[start..].find('>')? + 1;
    let (mut depth, mut at) = (1, start);
    loop {
        let end = tag(at, &close)?;
        match tag(at, &open).filter(|again| *again < end) {
            Some(again) => (depth, at) = (depth + 1, again + open.len()),
            None => (depth, at) = (depth - 1, end + close.len()),
        }
        if depth == 0 {
            return Some(&html[start..end]);
        }
    }
}

fn unescaped(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    plain.replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
}
