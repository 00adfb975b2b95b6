//! cargo-deny, where it is installed: advisories and all that deny.toml says.

use std::process::Stdio;

use anyhow::Result;

use super::{Report, Tree};
use crate::process;

pub(super) fn check(_: &Tree, report: &mut Report) -> Result<()> {
    let mut installed = process::cargo();
    installed.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !installed.status().is_ok_and(|status| status.success()) {
        report.note(
            "deny.toml",
            1,
            "cargo-deny is not installed, so it was skipped",
            "the forge's workflow runs it",
        );
        return Ok(());
    }
    let mut deny = process::cargo();
    deny.args(["deny", "check", "bans", "licenses", "sources"]);
    if !process::status(&mut deny)?.success() {
        report.find("deny.toml", 1, "cargo-deny found what its rules forbid", "its own words are above");
    }
    Ok(())
}
