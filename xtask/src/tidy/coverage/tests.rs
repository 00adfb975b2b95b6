use super::check_page;
use crate::tidy::Report;

const LEASES: &str = "crates/store/tests/it/leases.rs";

fn read(path: &str) -> Option<String> {
    match path {
        LEASES => Some("#[test]\nfn expired_lease_is_claimed_again() {}\n// fn gone() {}\n".to_owned()),
        "crates/macros/tests/ui/wrong_index.rs" => Some(String::new()),
        _ => None,
    }
}

/// Checks one row with this third cell.
fn check(proof: &str, expected: &[&str]) {
    let page =
        format!("# Store\n\n| section | behaviour | test |\n|---|---|---|\n| 1.2 | leases end | {proof} |\n");
    let mut report = Report::default();
    check_page("docs/coverage/store.md", &page, &read, &mut report);
    let found: Vec<_> = report.findings.iter().map(|finding| finding.wrong.as_str()).collect();
    assert_eq!(found, expected, "{proof}");
    assert!(report.findings.iter().all(|finding| finding.line == 5));
}

#[test]
fn existing_test_is_accepted() {
    check("crates/store/tests/it/leases.rs::expired_lease_is_claimed_again", &[]);
    check("`crates/store/tests/it/leases.rs::expired::expired_lease_is_claimed_again`", &[]);
}

#[test]
fn missing_file_and_test_are_found() {
    check("`crates/store/tests/it/none.rs::a`", &["there is no file `crates/store/tests/it/none.rs`"]);
    check(&format!("{LEASES}::gone"), &["`crates/store/tests/it/leases.rs` has no `fn gone`"]);
    check(
        &format!("{LEASES}::expired_lease"),
        &["`crates/store/tests/it/leases.rs` has no `fn expired_lease`"],
    );
}

#[test]
fn every_test_of_a_list_is_looked_for() {
    let good = "expired_lease_is_claimed_again";
    check(&format!("`{LEASES}::{good}`, `{LEASES}::{good}`<br>{LEASES}::{good}"), &[]);
    let two = ["`crates/store/tests/it/leases.rs` has no `fn a`", "there is no file `b.rs`"];
    check(&format!("`{LEASES}::a`<br>`{LEASES}::{good}`, b.rs::c"), &two);
}

#[test]
fn open_row_says_why() {
    check("open: needs Postgres, which comes later", &[]);
    check(&format!("`{LEASES}::expired_lease_is_claimed_again`, open: the rest, later"), &[]);
    check("open:", &["the row is open and does not say why"]);
}

#[test]
fn empty_proof_is_found() {
    check("", &["the row names no test"]);
}

#[test]
fn whole_file_is_a_test_only_in_a_ui_folder() {
    check("`crates/macros/tests/ui/wrong_index.rs`", &[]);
    check(LEASES, &["`crates/store/tests/it/leases.rs` names no test; only a file in tests/ui is one"]);
}

#[test]
fn row_with_a_cell_too_few_is_found() {
    let page =
        "| section | behaviour | test |\n|---|---|---|\n| 1.2 | leases end |\n\n```\n| no | row |\n```\n";
    let mut report = Report::default();
    check_page("docs/coverage/store.md", page, &read, &mut report);
    let finding = report.findings.first().expect("the row is too short");
    assert_eq!(
        finding.to_string(),
        "docs/coverage/store.md:3: the row has 2 cells; a row is | section | behaviour | path::test or open: why |"
    );
    assert_eq!(report.findings.len(), 1);
}
