//! Where the crates are that an expansion names, seen from the package that is compiled.

use std::env;
use std::fs;
use std::path::Path as FilePath;
use std::sync::OnceLock;

use proc_macro2::Span;
use syn::{Ident, Path, parse_quote};

/// The package that re-exports all others, each by the last part of its name.
const FACADE: &str = "loomwork";

/// Returns the path of `loomwork-NAME`: its own where the package depends on it, and the one that `loomwork` re-exports
/// it by where it depends on that alone. `crate = path` is for packages that call them otherwise.
pub(crate) fn of(name: &str) -> Path {
    let package = format!("{FACADE}-{name}");
    let is_of_facade = [Kind::Normal, Kind::Dev].into_iter().find_map(|kind| {
        let has = |package: &str| dependencies().iter().any(|(of, known)| *of == kind && known == package);
        if has(&package) { Some(false) } else { has(FACADE).then_some(true) }
    });
    if is_of_facade == Some(true) {
        let name = Ident::new(name, Span::call_site());
        return parse_quote!(::loomwork::#name);
    }
    let own = Ident::new(&package.replace('-', "_"), Span::call_site());
    parse_quote!(::#own)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Dev,
}

/// Returns what the package depends on. Whoever compiles without a manifest depends on nothing that is known here.
fn dependencies() -> &'static [(Kind, String)] {
    static READ: OnceLock<Vec<(Kind, String)>> = OnceLock::new();
    READ.get_or_init(|| {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").map(|folder| FilePath::new(&folder).join("Cargo.toml"));
        let text = manifest.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        read(&text)
    })
}

/// Reads the names of the dependencies of a manifest, of all targets alike.
fn read(manifest: &str) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let mut within = None;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let parts: Vec<&str> = header.trim_end_matches(']').split('.').collect();
            let at = parts.iter().position(|part| kind(part).is_some());
            within = at.and_then(|at| kind(parts[at]));
            // `[dependencies.NAME]`
            if let (Some(kind), Some(name)) = (within, at.and_then(|at| parts.get(at + 1))) {
                found.push((kind, plain(name)));
                within = None;
            }
        } else if let (Some(kind), Some((key, _))) = (within, line.split_once('=')) {
            // `NAME = ..` and `NAME.workspace = true`
            found.push((kind, plain(key.split('.').next().unwrap_or_default())));
        }
    }
    found
}

fn kind(table: &str) -> Option<Kind> {
    match table {
        "dependencies" => Some(Kind::Normal),
        "dev-dependencies" => Some(Kind::Dev),
        _ => None,
    }
}

fn plain(key: &str) -> String {
    key.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Kind, read};

    #[test]
    fn dependencies_are_read_however_they_are_written() {
        let manifest = "
            [package]
            name = \"mine\"
            loomwork-store = \"no dependency\"
            [dependencies]
            loomwork = { version = \"1\" } # a comment
            serde.workspace = true
            \"quoted\" = \"1\"
            [dev-dependencies.loomwork-store]
            path = \"../store\"
            [target.'cfg(unix)'.dependencies]
            nix = \"1\"
        ";
        let names = |kind| -> Vec<String> {
            read(manifest).into_iter().filter(|(of, _)| *of == kind).map(|(_, name)| name).collect()
        };
        assert_eq!(names(Kind::Normal), ["loomwork", "serde", "quoted", "nix"]);
        assert_eq!(names(Kind::Dev), ["loomwork-store"]);
    }
}
