use super::forgotten;

const FOLDER: &str = "crates/store/tests/it";

fn check(files: &[&str], main: &str, expected: &[(&str, &str)]) {
    assert_eq!(forgotten(FOLDER, files, main), expected);
}

#[test]
fn named_modules_are_not_forgotten() {
    let files = ["crates/store/tests/it/main.rs", "crates/store/tests/it/leases.rs"];
    check(&files, "//! Tests.\n\nmod leases;\n", &[]);
    check(&files, "#[cfg(feature = \"x\")] pub(crate) mod leases ;", &[]);
}

#[test]
fn file_without_a_module_is_forgotten() {
    let files = ["crates/store/tests/it/leases.rs", "crates/store/tests/it/claims.rs"];
    check(&files, "mod claims;\n// mod leases;\n", &[("crates/store/tests/it/leases.rs", "leases")]);
}

#[test]
fn folder_is_forgotten_by_its_mod_file_alone() {
    let files = ["crates/store/tests/it/feed/mod.rs", "crates/store/tests/it/feed/trim.rs"];
    check(&files, "", &[("crates/store/tests/it/feed/mod.rs", "feed")]);
}
