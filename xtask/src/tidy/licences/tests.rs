use super::is_met;

fn check(expression: &str, expected: bool) {
    let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    assert_eq!(is_met(expression, &allowed).expect("a valid expression"), expected, "{expression}");
}

#[test]
fn one_allowed_alternative_is_enough() {
    check("MIT", true);
    check("GPL-3.0-only", false);
    check("Unlicense OR MIT", true);
    check("MIT/Apache-2.0", true);
    check("BSL-1.0 OR GPL-3.0-only", false);
}

#[test]
fn every_required_licence_must_be_allowed() {
    check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
    check("(MIT OR Apache-2.0) AND OpenSSL", false);
    check("GPL-3.0-only OR MIT AND OpenSSL", false);
}

#[test]
fn an_exception_belongs_to_its_licence() {
    check("Apache-2.0 WITH LLVM-exception OR OpenSSL", true);
    check("MIT WITH LLVM-exception", false);
}

#[test]
fn broken_expression_is_an_error() {
    let refusal = |expression: &str| is_met(expression, &[]).expect_err("broken").to_string();
    assert_eq!(refusal("MIT OR"), "a licence is missing in `MIT OR`");
    assert_eq!(refusal("(MIT"), "a parenthesis is left open in `(MIT`");
    assert_eq!(refusal("MIT Apache-2.0"), "unexpected `Apache-2.0` in `MIT Apache-2.0`");
}
