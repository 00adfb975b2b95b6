//! deny.toml: the licences and duplicates that cargo-deny and tidy both allow.

use anyhow::{Context, Result, bail};

use super::toml_file::{TomlFile, Value};

pub(super) const PATH: &str = "deny.toml";

#[derive(Debug)]
pub(super) struct Deny {
    /// The platforms that count; a package that is only built for others is not looked at.
    pub(super) targets: Vec<String>,
    pub(super) licences: Vec<String>,
    pub(super) duplicates: Vec<AllowedDuplicate>,
}

/// An entry `{ crate = "name@1.2", reason = "…" }` of `bans.skip`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AllowedDuplicate {
    pub(super) name: String,
    /// All versions where absent.
    pub(super) version: Option<String>,
    pub(super) line: usize,
}

impl Deny {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let file = TomlFile::parse(PATH, text)?;
        let skips = array(&file, &["bans", "skip"])?;
        Ok(Self {
            targets: strings(&file, &["graph", "targets"])?,
            licences: strings(&file, &["licenses", "allow"])?,
            duplicates: skips
                .iter()
                .map(|skip| AllowedDuplicate::parse(&file, skip))
                .collect::<Result<_>>()?,
        })
    }
}

impl AllowedDuplicate {
    fn parse(file: &TomlFile<'_>, entry: &Value<'_>) -> Result<Self> {
        let line = file.line(entry.span());
        let text = |key| entry.get_ref().get(key).and_then(|value| value.get_ref().as_str());
        let (Some(spec), Some(_reason)) = (text("crate"), text("reason")) else {
            bail!("{PATH}:{line}: an allowed duplicate is {{ crate = \"name@version\", reason = \"…\" }}");
        };
        let (name, version) =
            spec.split_once('@').map_or((spec, None), |(name, version)| (name, Some(version)));
        Ok(Self { name: name.to_owned(), version: version.map(str::to_owned), line })
    }

    /// Whether the entry means this version; `1.2` means every 1.2.x.
    pub(super) fn covers(&self, name: &str, version: &str) -> bool {
        let within = |own: &String| {
            version.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.name == name && self.version.as_ref().is_none_or(within)
    }
}

fn array<'a, 'text>(file: &'a TomlFile<'text>, keys: &[&str]) -> Result<&'a [Value<'text>]> {
    let value = file.get(keys).and_then(|value| value.get_ref().as_array());
    Ok(value.with_context(|| format!("{PATH}: `{}` is missing, or no array", keys.join(".")))?)
}

fn strings(file: &TomlFile<'_>, keys: &[&str]) -> Result<Vec<String>> {
    let text = |value: &Value<'_>| value.get_ref().as_str().map(str::to_owned);
    let strings = array(file, keys)?.iter().map(text).collect::<Option<_>>();
    strings.with_context(|| format!("{PATH}: `{}` holds something that is no string", keys.join(".")))
}
