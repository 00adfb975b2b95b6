//! Tables: columns as wide as they need to be, or as the terminal lets them.

use super::super::output::{Output, Style};

/// Between columns.
const GAP: &str = "  ";

/// A column is not made narrower than this.
const NARROWEST: usize = 8;

/// Rows under a head.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<(String, Option<Style>)>>,
}

impl Table {
    pub(crate) fn new(head: impl IntoIterator<Item = String>) -> Self {
        Self { head: head.into_iter().map(|title| title.to_uppercase()).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<Style>)>) {
        let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.rows.push(cells.into_iter().map(|(text, style)| (one_line(text), style)).collect());
    }

    pub(crate) fn show(&self, out: &Output) {
        let widths = self.widths(out.width);
        let head = self.head.iter().map(|title| (title.clone(), Some(Style::Bold))).collect::<Vec<_>>();
        for row in std::iter::once(&head).chain(&self.rows) {
            let cells = row.iter().zip(&widths).map(|((text, style), width)| {
                let text = cut(text, *width);
                let rest = " ".repeat(width.saturating_sub(text.chars().count()));
                style.map_or(text.clone(), |style| out.paint(style, &text)) + &rest
            });
            out.line(cells.collect::<Vec<_>>().join(GAP).trim_end());
        }
    }

    /// Returns how wide each column is. Where the terminal is too narrow, the widest gives way.
    fn widths(&self, terminal: Option<usize>) -> Vec<usize> {
        let widest = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|(text, _)| text.chars().count());
            cells.chain([self.head[at].chars().count()]).max().unwrap_or_default()
        };
        let mut widths: Vec<_> = (0..self.head.len()).map(widest).collect();
        let gaps = GAP.len() * self.head.len().saturating_sub(1);
        let Some(room) = terminal.map(|width| width.saturating_sub(gaps)) else { return widths };
        while widths.iter().sum::<usize>() > room {
            let Some(widest) = widths.iter_mut().max().filter(|width| **width > NARROWEST) else { break };
            *widest -= 1;
        }
        widths
    }
}

/// Cuts a text that is too long, and shows that.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn the_widest_column_gives_way_where_the_terminal_is_narrow() {
        let mut table = Table::new(["id".to_owned(), "text".to_owned()]);
        table.row([("one".to_owned(), None), ("a text that is much too long".to_owned(), None)]);
        assert_eq!(table.widths(None), [3, 28]);
        assert_eq!(table.widths(Some(20)), [3, 15]);
        assert_eq!(table.widths(Some(4)), [3, 8], "ids stay whole");
    }
}
