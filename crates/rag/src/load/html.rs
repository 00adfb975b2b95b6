//! The main text of a web page, as Markdown.

use htmd::{Element, HtmlToMarkdown};

use super::{Document, Form};
use crate::{Error, Result};

/// What stands around the text of a page.
const AROUND: &[&str] = &[
    "script", "style", "noscript", "template", "iframe", "svg", "canvas", "nav", "header", "footer", "aside",
    "form", "button", "select", "dialog", "head",
];

/// Reads a web page: what is in its `main` or `article`, where it has one, and else its body, without
/// navigation and the like.
pub(super) fn read(name: &str, html: &str) -> Result<Document> {
    let unreadable = |error: std::io::Error| Error::Unreadable {
        name: name.to_owned(),
        format: "a web page",
        reason: error.to_string(),
    };
    let title = element(html, "title").map(unescaped).filter(|title| !title.is_empty());
    let main = element(html, "main").or_else(|| element(html, "article")).unwrap_or(html);
    let markdown = converter().convert(main).map_err(unreadable)?;
    Ok(Document { title, text: markdown, form: Form::Markdown, ..Document::default() })
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
