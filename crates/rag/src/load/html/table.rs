//! Tables of a page, a line for each row.
//!
//! Cells are not filled up to the width of their column, as they are where Markdown is to look like a table:
//! one long cell would make all rows as long.

use std::rc::Rc;

use htmd::element_handler::{HandlerResult, Handlers};
use htmd::{Element, Node};

use super::tree::is;

/// Converts a table that has headings; one that has none is there for the layout, and is read as text.
pub(super) fn convert(handlers: &dyn Handlers, element: Element<'_>) -> Option<HandlerResult> {
    let rows = rows(element.node);
    let has_headings = rows.iter().any(|row| row.children.borrow().iter().any(|cell| is(cell, "th")));
    if !has_headings {
        return Some(handlers.walk_children(element.node));
    }
    let mut text = String::from("\n\n");
    for caption in element.node.children.borrow().iter().filter(|child| is(child, "caption")) {
        text.push_str(&format!("{}\n\n", line(handlers, caption)));
    }
    let mut is_first = true;
    for row in rows {
        let children = row.children.borrow();
        let cells = children.iter().filter(|cell| is(cell, "td") || is(cell, "th"));
        let cells: Vec<String> = cells.map(|cell| line(handlers, cell)).collect();
        if cells.iter().all(String::is_empty) {
            continue;
        }
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if is_first {
            text.push_str(&format!("|{}\n", " --- |".repeat(cells.len())));
        }
        is_first = false;
    }
    text.push('\n');
    Some(text.into())
}

/// The rows of a table, without those of tables within it.
fn rows(table: &Rc<Node>) -> Vec<Rc<Node>> {
    let mut rows = Vec::new();
    for child in table.children.borrow().iter() {
        if is(child, "tr") {
            rows.push(child.clone());
        } else if ["thead", "tbody", "tfoot"].iter().any(|name| is(child, name)) {
            rows.extend(child.children.borrow().iter().filter(|row| is(row, "tr")).cloned());
        }
    }
    rows
}

/// What is in a cell, on one line.
fn line(handlers: &dyn Handlers, cell: &Rc<Node>) -> String {
    let content = handlers.walk_children(cell).content.replace('|', "\\|");
    content.split_whitespace().collect::<Vec<_>>().join(" ")
}
