//! A promise of the engine contract that `engine_contract!` does not list runs on no engine, while it looks like
//! a test, also to the pages of docs/coverage.

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::{Report, Tree, source};

const FOLDER: &str = "crates/testkit/src/store/contract";
const LIST: &str = "crates/testkit/src/store/contract.rs";

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    if !tree.exists(LIST) {
        return Ok(());
    }
    let list = tree.read(LIST)?;
    for path in tree.files_in(FOLDER, ".rs") {
        for (line, promise) in unlisted(&tree.read(path)?, &list) {
            let right = format!("list it in `engine_contract!` in {LIST}");
            report.find(path, line, format!("no engine runs `{promise}`"), right);
        }
    }
    Ok(())
}

/// Returns the promises of a file that the list lacks, with their lines.
fn unlisted(text: &str, list: &str) -> Vec<(usize, String)> {
    let (code, list) = (source::code_only(text), source::code_only(list));
    let lines = code.lines().enumerate();
    let promises = lines.filter_map(|(index, line)| {
        let signature = line.strip_prefix("pub async fn ")?;
        let name = signature.split(|part: char| !(part.is_alphanumeric() || part == '_')).next()?;
        Some((index + 1, name.to_owned()))
    });
    promises.filter(|(_, name)| !source::mentions(&list, name)).collect()
}
