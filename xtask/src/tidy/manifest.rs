//! The dependencies that a Cargo.toml lists, with their lines.

use anyhow::Result;
use toml::de::DeTable;

use super::toml_file::TomlFile;

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) struct Manifest<'text> {
    file: TomlFile<'text>,
    pub(super) dependencies: Vec<Declared>,
}

/// One dependency line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) line: usize,
    /// Whether it says `workspace = true`.
    pub(super) is_inherited: bool,
}

impl<'text> Manifest<'text> {
    pub(super) fn parse(path: &str, text: &'text str) -> Result<Self> {
        let file = TomlFile::parse(path, text)?;
        let platforms = file.get(&["target"]).and_then(|value| value.get_ref().as_table());
        let platforms = platforms.into_iter().flat_map(DeTable::values);
        let tables = platforms.filter_map(|platform| platform.get_ref().as_table());
        let dependencies =
            std::iter::once(&file.table).chain(tables).flat_map(|table| declared_in(&file, table)).collect();
        Ok(Self { file, dependencies })
    }

    /// Returns the line of the first dependency of this name.
    pub(super) fn line_of(&self, name: &str) -> usize {
        self.dependencies.iter().find(|declared| declared.name == name).map_or(1, |declared| declared.line)
    }

    pub(super) fn inherits_lints(&self) -> bool {
        self.file.get(&["lints", "workspace"]).and_then(|value| value.get_ref().as_bool()) == Some(true)
    }
}

fn declared_in(file: &TomlFile<'_>, table: &DeTable<'_>) -> Vec<Declared> {
    let tables = TABLES.iter().filter_map(|name| table.get(*name)?.get_ref().as_table());
    tables
        .flat_map(DeTable::iter)
        .map(|(name, value)| Declared {
            name: name.get_ref().to_string(),
            line: file.line(name.span()),
            is_inherited: value.get_ref().get("workspace").and_then(|value| value.get_ref().as_bool())
                == Some(true),
        })
        .collect()
}
