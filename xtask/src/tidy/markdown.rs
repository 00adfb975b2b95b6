//! The tables of a Markdown page.

/// A table: its header, and its rows below the line of dashes.
pub(super) struct Table {
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

/// Returns the tables of a page, those in code blocks left out.
pub(super) fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut is_code = false;
    let mut is_table = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        is_code ^= line.starts_with("```");
        let Some(cells) = cells(line).filter(|_| !is_code) else {
            is_table = false;
            continue;
        };
        match tables.last_mut().filter(|_| is_table) {
            Some(_) if is_separator(&cells) => {}
            Some(table) => table.rows.push(Row { line: index + 1, cells }),
            None => tables.push(Table { header: cells, rows: Vec::new() }),
        }
        is_table = true;
    }
    tables
}

/// Splits `| a | b |` at the bars that no backslash protects.
fn cells(line: &str) -> Option<Vec<String>> {
    const PROTECTED: &str = "\u{0}";
    let inside = line.strip_prefix('|')?.replace(r"\|", PROTECTED);
    let inside = inside.strip_suffix('|').unwrap_or(&inside);
    Some(inside.split('|').map(|cell| cell.replace(PROTECTED, "|").trim().to_owned()).collect())
}

fn is_separator(cells: &[String]) -> bool {
    cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|character| matches!(character, '-' | ':')))
}
