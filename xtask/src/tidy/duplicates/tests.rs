use super::{Versions, is_needed, line_in_lock, refused};
use crate::tidy::deny::Deny;

fn versions() -> Versions {
    let mut versions = Versions::new();
    for (name, version, user) in [
        ("getrandom", "0.2.17", "ring"),
        ("getrandom", "0.3.4", "tempfile"),
        ("getrandom", "0.3.4", "ahash"),
        ("serde", "1.0.229", "loomwork-store"),
    ] {
        let of_name = versions.entry(name.to_owned()).or_default();
        of_name.entry(version.to_owned()).or_default().insert(user.to_owned());
    }
    versions
}

fn deny(skip: &str) -> anyhow::Result<Deny> {
    Deny::parse(&format!("graph.targets = []\nlicenses.allow = []\n[bans]\nskip = [{skip}]\n"))
}

fn check(skip: &str, expected: &[&str]) {
    let deny = deny(skip).expect("valid");
    let versions = versions();
    let found: Vec<_> = refused(&versions, &deny.duplicates).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, expected, "{skip}");
}

#[test]
fn two_versions_are_found_with_their_users() {
    check("", &["`getrandom` is there as 0.2.17 (for ring) and 0.3.4 (for ahash, tempfile)"]);
}

#[test]
fn allowed_version_leaves_the_others_alone() {
    check(r#"{ crate = "getrandom@0.2.17", reason = "ring" }"#, &[]);
    check(r#"{ crate = "getrandom@0.2", reason = "ring" }"#, &[]);
    check(r#"{ crate = "getrandom", reason = "ring" }"#, &[]);
    let found = ["`getrandom` is there as 0.2.17 (for ring) and 0.3.4 (for ahash, tempfile)"];
    check(r#"{ crate = "getrandom@0.2.1", reason = "another one" }"#, &found);
}

#[test]
fn entry_is_needed_while_it_allows_a_duplicate() {
    let is_needed = |spec: &str| {
        let deny = deny(&format!(r#"{{ crate = "{spec}", reason = "…" }}"#)).expect("valid");
        is_needed(&deny.duplicates[0], &versions())
    };
    assert!(is_needed("getrandom@0.2"));
    assert!(!is_needed("getrandom@0.1"));
    assert!(!is_needed("serde"));
    assert!(!is_needed("rand"));
}

#[test]
fn entry_without_a_reason_is_refused() {
    let error = deny(r#"{ crate = "getrandom@0.2" }"#).expect_err("no reason").to_string();
    assert_eq!(error, "deny.toml:4: an allowed duplicate is { crate = \"name@version\", reason = \"…\" }");
}

#[test]
fn package_is_found_in_the_lock_file() {
    let lock = "version = 4\n\n[[package]]\nname = \"serde\"\n\n[[package]]\nname = \"serde_json\"\n";
    assert_eq!(line_in_lock(lock, "serde_json"), 7);
    assert_eq!(line_in_lock(lock, "rand"), 1);
}
