//! The table of crates in docs/architecture.md, which decides who may depend on whom.

use anyhow::{Context, Result, bail};

use super::markdown::{self, Row};

pub(super) const PATH: &str = "docs/architecture.md";

const HEADER: [&str; 4] = ["floor", "crate", "owns", "depends on"];

#[derive(Debug)]
pub(super) struct CrateTable {
    pub(super) crates: Vec<Crate>,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crate {
    /// The folder in `crates/`, by which the table names it.
    pub(super) name: String,
    pub(super) package: String,
    /// Absent for crates that stand beside the house: test and benchmark tools.
    pub(super) floor: Option<u32>,
    pub(super) may_use: MayUse,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MayUse {
    Any,
    Named(Vec<String>),
}

impl CrateTable {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let table = markdown::tables(text).into_iter().find(|table| table.header == HEADER);
        let table = table.with_context(|| format!("{PATH} has no table `{}`", HEADER.join(" | ")))?;
        Ok(Self { crates: table.rows.iter().map(Crate::parse).collect::<Result<_>>()? })
    }

    pub(super) fn of_package(&self, package: &str) -> Option<&Crate> {
        self.crates.iter().find(|row| row.package == package)
    }
}

impl Crate {
    fn parse(row: &Row) -> Result<Self> {
        let [floor, name, _owns, depends_on] = row.cells.as_slice() else {
            bail!("{PATH}:{}: a row of the crate table has {} cells, not 4", row.line, row.cells.len());
        };
        let floor = parse_floor(floor)
            .with_context(|| format!("{PATH}:{}: the floor `{floor}` is neither a number nor –", row.line))?;
        let mut quoted = name.split('`').skip(1).step_by(2);
        let name = quoted
            .next()
            .with_context(|| format!("{PATH}:{}: `{name}` names no crate in backticks", row.line))?
            .to_owned();
        Ok(Self {
            package: quoted.next().map_or_else(|| format!("loomwork-{name}"), str::to_owned),
            name,
            may_use: if floor.is_some() { parse_may_use(depends_on, row.line)? } else { MayUse::Any },
            floor,
        })
    }
}

fn parse_floor(cell: &str) -> Option<Option<u32>> {
    if is_dash(cell) { Some(None) } else { cell.parse().ok().map(Some) }
}

fn parse_may_use(cell: &str, line: usize) -> Result<MayUse> {
    match cell {
        "all" | "any" => return Ok(MayUse::Any),
        cell if is_dash(cell) => return Ok(MayUse::Named(Vec::new())),
        _ => {}
    }
    let name = |part: &str| {
        let name = part.split('(').next().unwrap_or_default().trim().trim_matches('`');
        let is_name = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
        };
        if name.is_empty() || !name.chars().all(is_name) {
            bail!(
                "{PATH}:{line}: `{}` is no crate; the column lists names, each maybe with a (remark)",
                part.trim()
            );
        }
        Ok(name.to_owned())
    };
    cell.split(',').map(name).collect::<Result<_>>().map(MayUse::Named)
}

fn is_dash(cell: &str) -> bool {
    matches!(cell, "" | "-" | "–" | "—")
}
