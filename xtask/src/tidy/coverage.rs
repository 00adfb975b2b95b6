//! The pages in docs/coverage map each behaviour to the test that proves it, or say why it is open.

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::{Report, Tree, markdown, source};

const FOLDER: &str = "docs/coverage";

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    for path in tree.files_in(FOLDER, ".md") {
        check_page(path, &tree.read(path)?, &|file| tree.read(file).ok(), report);
    }
    Ok(())
}

/// Checks a page against the files that `read` knows.
fn check_page(path: &str, text: &str, read: &dyn Fn(&str) -> Option<String>, report: &mut Report) {
    for row in markdown::tables(text).into_iter().flat_map(|table| table.rows) {
        let [_section, _behaviour, proof] = row.cells.as_slice() else {
            let wrong = format!("the row has {} cells", row.cells.len());
            report.find(path, row.line, wrong, "a row is | section | behaviour | path::test or open: why |");
            continue;
        };
        for problem in problems(proof, read) {
            report.find(path, row.line, problem, "name a test that exists as path::test, or say `open: why`");
        }
    }
}

fn problems(proof: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    if proof.is_empty() {
        return vec!["the row names no test".to_owned()];
    }
    let proof = proof.replace("<br/>", "<br>");
    let mut problems = Vec::new();
    let mut rest = proof.as_str();
    while !rest.is_empty() {
        if let Some(why) = rest.strip_prefix("open:") {
            if why.trim().is_empty() {
                problems.push("the row is open and does not say why".to_owned());
            }
            break;
        }
        let end = [rest.find(','), rest.find("<br>")].into_iter().flatten().min().unwrap_or(rest.len());
        problems.extend(problem(rest[..end].trim().trim_matches('`'), read));
        rest = rest[end..].trim_start_matches("<br>").trim_start_matches(',').trim_start();
    }
    problems
}

/// Says what is wrong with `path::test`, or with the path of a file that is a test as a whole.
fn problem(proof: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let (path, test) = proof.split_once("::").map_or((proof, None), |(path, test)| (path, Some(test)));
    let Some(text) = read(path) else {
        return Some(format!("there is no file `{path}`"));
    };
    let Some(test) = test else {
        let is_test = path.split('/').collect::<Vec<_>>().windows(2).any(|pair| pair == ["tests", "ui"]);
        return (!is_test).then(|| format!("`{path}` names no test; only a file in tests/ui is one"));
    };
    let name = test.rsplit("::").next().unwrap_or(test);
    let is_there = source::mentions(&source::code_only(&text), &format!("fn {name}"));
    (!is_there).then(|| format!("`{path}` has no `fn {name}`"))
}
