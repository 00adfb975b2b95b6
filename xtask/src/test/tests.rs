use super::{
    Counts, Selection, skips,
    summary::{of_libtest, of_nextest},
};

fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
    Counts { passed, failed, skipped }
}

#[test]
fn nextest_summary_is_read() {
    let check = |line: &str, expected| assert_eq!(of_nextest(line), Some(expected), "{line}");
    check("     Summary [   0.092s] 3 tests run: 2 passed, 1 failed, 1 skipped", counts(2, 1, 1));
    check("     Summary [   0.001s] 1 test run: 1 passed, 0 skipped", counts(1, 0, 0));
    check("     Summary [   0.000s] 0 tests run: 0 passed, 4 skipped", counts(0, 0, 4));
    check("     Summary [   9.100s] 3/7 tests run: 1 passed, 2 failed, 0 skipped", counts(1, 2, 0));
}

#[test]
fn nextest_remarks_in_parentheses_are_not_counted() {
    let line = "     Summary [   2.5s] 9 tests run: 6 passed (1 slow, 2 flaky), 3 failed (1 due to being leaky), 0 skipped";
    assert_eq!(of_nextest(line), Some(counts(6, 3, 0)));
}

#[test]
fn nextest_time_outs_and_crashes_are_failures() {
    let line =
        "     Summary [  60.0s] 4 tests run: 1 passed, 1 failed, 1 exec failed, 1 timed out, 0 skipped";
    assert_eq!(of_nextest(line), Some(counts(1, 3, 0)));
}

#[test]
fn coloured_summary_is_read() {
    let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.09s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m";
    assert_eq!(of_nextest(line), Some(counts(2, 0, 0)));
}

#[test]
fn libtest_summary_is_read() {
    let check = |line: &str, expected| assert_eq!(of_libtest(line), Some(expected), "{line}");
    check(
        "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 5 filtered out; finished in 0.00s",
        counts(12, 0, 1),
    );
    check(
        "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        counts(1, 2, 0),
    );
}

#[test]
fn other_lines_are_no_summary() {
    for line in [
        "test basics::two_is_two ... ok",
        "        PASS [   0.010s] (1/3) loomwork-store::it basics::two_is_two",
        "    Starting 3 tests across 2 binaries (1 test skipped)",
        "all doctests ran in 0.27s; merged doctests compilation took 0.26s",
        "",
    ] {
        assert_eq!((of_nextest(line), of_libtest(line)), (None, None), "{line}");
    }
}

#[test]
fn counts_end_with_skips_only_where_there_are_some() {
    assert_eq!(counts(3, 0, 0).to_string(), "3 passed, 0 failed");
    assert_eq!(counts(3, 1, 2).to_string(), "3 passed, 1 failed, 2 skipped");
}

#[test]
fn skips_are_taken_out_of_the_passed_tests() {
    let mut lenient = counts(5, 0, 1);
    lenient.reclassify(2, false);
    assert_eq!(lenient, counts(3, 0, 3));

    let mut strict = counts(5, 0, 1);
    strict.reclassify(2, true);
    assert_eq!(strict, counts(3, 2, 1));
}

#[test]
fn a_test_with_two_reasons_is_one_skip() {
    let skips = skips::parse("a::b: no Postgres\na::b: no S3\na::b: no S3\nc: no Postgres\n\n");
    assert_eq!(skips.len(), 3);
    assert_eq!(skips::distinct_tests(&skips), 2);
    let first = skips.first().expect("there are three");
    assert_eq!((first.test.as_str(), first.reason.as_str()), ("a::b", "no Postgres"));
}

#[test]
fn arguments_select_packages_and_filters() {
    let parse =
        |arguments: &[&str]| Selection::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
    let expected =
        Selection { packages: vec!["xtask".into()], filters: vec!["lease".into(), "claim".into()] };
    assert_eq!(parse(&["lease", "-p", "xtask", "claim"]).expect("valid"), expected);

    let refusal = |arguments: &[&str]| parse(arguments).expect_err("invalid").to_string();
    assert_eq!(refusal(&["--package"]), "`--package` needs a package");
    assert!(refusal(&["--release"]).contains("no option `--release`"));
}
