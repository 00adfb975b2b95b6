//! A file reads in one sitting, or is split by concept.

use anyhow::Result;

use super::{Report, Tree};

const NOTED_ABOVE: usize = 600;
const REFUSED_ABOVE: usize = 1_000;

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    for path in tree.files.iter().filter(|path| path.ends_with(".rs")) {
        let lines = tree.read(path)?.lines().count();
        let wrong = format!("the file has {lines} lines");
        if lines > REFUSED_ABOVE {
            report.find(path, lines, wrong, format!("split it by concept; {REFUSED_ABOVE} is the limit"));
        } else if lines > NOTED_ABOVE {
            report.note(path, lines, wrong, "ask what its second concept is");
        }
    }
    Ok(())
}
