//! A file in tests/it that main.rs does not name is never compiled, and its tests never run.

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::{Report, Tree, source};

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    for package in tree.metadata.members_in("crates") {
        let folder = format!("{}/tests/it", tree.metadata.folder_of(package));
        let files: Vec<&str> = tree.files_in(&folder, ".rs").collect();
        let main = format!("{folder}/main.rs");
        let text = if files.is_empty() { String::new() } else { tree.read(&main)? };
        for (path, module) in forgotten(&folder, &files, &text) {
            report.find(path, 1, "no test in this file runs", format!("add `mod {module};` to {main}"));
        }
    }
    Ok(())
}

/// Returns the files, each with its module, that main.rs should name and does not.
fn forgotten<'a>(folder: &str, files: &[&'a str], main: &str) -> Vec<(&'a str, &'a str)> {
    let modules = modules(main);
    let entries = files.iter().filter_map(|path| Some((*path, module_of(path.strip_prefix(folder)?)?)));
    entries.filter(|(_, module)| *module != "main" && !modules.iter().any(|named| named == module)).collect()
}

/// Returns the module that `/name.rs` or `/name/mod.rs` is; deeper files are the affair of those.
fn module_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix('/')?;
    let name = name.strip_suffix("/mod.rs").or_else(|| name.strip_suffix(".rs"))?;
    (!name.contains('/')).then_some(name)
}

fn modules(main: &str) -> Vec<String> {
    let code = source::code_only(main);
    let words: Vec<&str> = code.split(|end: char| end.is_whitespace() || matches!(end, ';' | '{')).collect();
    words.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1].to_owned()).collect()
}
