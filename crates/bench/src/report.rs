//! Figures as a table, as JSON and as a page.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::json;

use crate::machine;
use crate::measure::{Row, Target, percentile};

pub(crate) struct Group {
    pub(crate) bench: &'static str,
    pub(crate) rows: Vec<Row>,
}

pub(crate) fn json(group: &Group) -> Result<String> {
    let row = |row: &Row| {
        json!({
            "row": row.name,
            "value": row.value(),
            "unit": row.unit,
            "baseline": row.baseline_value(),
            "ratio": row.ratio(),
            "target": row.target_value(),
            "ok": row.is_met(),
        })
    };
    let object = json!({
        "bench": group.bench,
        "rows": group.rows.iter().map(row).collect::<Vec<_>>(),
        "fsync_per_s": machine::fsyncs_per_second()?,
        "cpu": machine::cpu(),
    });
    Ok(object.to_string())
}

/// A Markdown table, which also reads well in a terminal.
pub(crate) fn table(group: &Group) -> String {
    let mut text = format!("## {}\n\n", group.bench);
    let _ = writeln!(text, "| row | ours | spread | baseline | ratio | target | met |");
    let _ = writeln!(text, "|---|---|---|---|---|---|---|");
    for row in &group.rows {
        let spread =
            format!("{}–{}", rounded(percentile(&row.ours, 0.0)), rounded(percentile(&row.ours, 1.0)));
        let baseline = row.baseline_value().map_or("–".to_owned(), rounded);
        let ratio = row.ratio().map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        let (target, met) = judgement(row);
        let _ = writeln!(
            text,
            "| {} | {} {} | {spread} | {baseline} | {ratio} | {target} | {met} |",
            row.name,
            rounded(row.value()),
            row.unit,
        );
    }
    text
}

fn judgement(row: &Row) -> (String, &'static str) {
    let target = match row.target {
        Target::RatioAtLeast(target) => format!("≥ {target}x"),
        Target::RatioAtMost(target) => format!("≤ {target}x"),
        Target::ValueAtMost(target) => format!("≤ {target} {}", row.unit),
        Target::ValueAtLeast(target) => format!("≥ {target} {}", row.unit),
        Target::None => return ("–".to_owned(), "–"),
    };
    (target, if row.is_met() { "yes" } else { "**no**" })
}

/// Three significant figures are what these machines can tell.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The page that `cargo xtask bench all` writes.
pub(crate) fn page(groups: &[Group]) -> String {
    let fsyncs = machine::fsyncs_per_second().map_or("unknown".to_owned(), rounded);
    let mut text = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench all`. A figure is a ratio against a baseline measured in the \
         same run, in interleaved rounds, by medians; the spread is that of our rounds. Absolute values are those \
         of this machine: {}, {fsyncs} fsyncs of 8 KiB a second.\n",
        machine::cpu()
    );
    for group in groups {
        let _ = write!(text, "\n{}", table(group));
    }
    text
}
