use super::check_manifest;
use crate::tidy::Report;

const MANIFEST: &str = r#"[package]
name = "loomwork-store"

[dependencies]
anyhow.workspace = true
serde = { workspace = true, features = ["rc"] }
rand = "0.10"
tokio = { version = "1" }

[dev-dependencies.proptest]
path = "../proptest"

[target.'cfg(unix)'.dependencies]
libc = "0.2"
"#;

#[test]
fn versions_outside_the_root_are_found_with_their_line() {
    let mut report = Report::default();
    check_manifest("crates/store/Cargo.toml", MANIFEST, &mut report).expect("valid TOML");
    let mut found: Vec<_> = report.findings.iter().map(|found| (found.line, found.wrong.as_str())).collect();
    found.sort_unstable();
    let expected = [
        (7, "`rand` is declared here"),
        (8, "`tokio` is declared here"),
        (10, "`proptest` is declared here"),
        (14, "`libc` is declared here"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn broken_manifest_is_refused_with_its_line() {
    let mut report = Report::default();
    let error = check_manifest("xtask/Cargo.toml", "[package]\nname = \n", &mut report);
    let error = error.expect_err("invalid TOML").to_string();
    assert!(error.starts_with("xtask/Cargo.toml:2: "), "{error}");
}
