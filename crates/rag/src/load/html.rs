//! The main text of a web page, as Markdown.

mod bare;
mod table;
mod tree;

use std::rc::Rc;

use htmd::{Element, HtmlToMarkdown, Node};

use super::{Document, Form};
use tree::{elements, outermost, text_of};

/// What stands around the text of a page.
const AROUND: &[&str] = &[
    "script", "style", "noscript", "template", "iframe", "svg", "canvas", "nav", "aside", "form", "button",
    "select", "dialog", "head",
];

/// What stands around it too, unless it is in the main part: that has a heading and notes of its own.
const AROUND_MAIN: &[&str] = &["header", "footer"];

/// The most letters of indentation that lists and quotations may add to a page. Each level adds some to every
/// line, so a small page could become a huge text.
const MAX_INDENTATION: usize = 64 << 20;

/// How many letters a level adds to a line, at most.
const INDENTATION: usize = 4;

/// Reads a web page: what is in its `main`, or in its articles, where it has any, and else its body, without
/// navigation and the like. Of a page that no reader would be given, the bare text is read.
pub(super) fn read(html: &str) -> Document {
    let Some(page) = tree::parse(html).filter(|page| is_flat_enough(html, page)) else {
        return bare::read(html);
    };
    let title = elements(&page, "title").first().map(text_of);
    let title = title.filter(|title| !title.is_empty());
    let markdown = |part: Vec<Rc<Node>>, by: &HtmlToMarkdown| {
        let texts: Vec<String> = part.iter().map(|node| by.tree_to_markdown(node)).collect();
        texts.into_iter().filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join("\n\n")
    };
    let inside = converter(AROUND.to_vec());
    let mut text = markdown(outermost(&page, "main"), &inside);
    if text.is_empty() {
        text = markdown(outermost(&page, "article"), &inside);
    }
    if text.is_empty() {
        text = markdown(vec![page], &converter([AROUND, AROUND_MAIN].concat()));
    }
    Document { title, text, form: Form::Markdown, ..Document::default() }
}

fn is_flat_enough(html: &str, page: &Rc<Node>) -> bool {
    let levels = tree::levels(page, &["ul", "ol", "blockquote"]);
    let lines = html.len().min(html.matches('\n').count() + tree::count(page));
    levels * INDENTATION * lines <= MAX_INDENTATION
}

fn converter(around: Vec<&str>) -> HtmlToMarkdown {
    // An image says what its description says; where it lies is no text.
    let image = |_: &dyn htmd::element_handler::Handlers, element: Element<'_>| {
        let alt = element.attrs.iter().find(|attribute| &*attribute.name.local == "alt");
        alt.map(|alt| alt.value.to_string().into())
    };
    HtmlToMarkdown::builder()
        .skip_tags(around)
        .add_handler(vec!["img"], image)
        .add_handler(vec!["table"], table::convert)
        .build()
}
