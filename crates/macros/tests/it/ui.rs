/// The messages are snapshots: after a wanted change, write them anew with `TRYBUILD=overwrite`
/// and read them.
#[test]
fn wrong_code_is_told_what_is_wrong_and_what_would_be_right() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
