use super::{code_only, mentions};

fn check(text: &str, expected: &str) {
    assert_eq!(code_only(text), expected, "{text}");
}

#[test]
fn comments_are_hidden_and_lines_kept() {
    check("a(); // b()\nc();", "a();  \nc();");
    check("a(/* b\n /* c */ d */ e);", "a( \n e);");
}

#[test]
fn literals_are_hidden() {
    check(r#"f("a \" // b", c)"#, "f( , c)");
    check("f(r#\"a \" b\"#, c)", "f( , c)");
    check(r"f('\'', '/', c)", "f( ,  , c)");
    check("f(b\"a\\\\\", 'ä')", "f(b ,  )");
}

#[test]
fn lifetimes_and_raw_names_are_code() {
    check("fn f<'a>(r#type: &'a str)", "fn f<'a>(r#type: &'a str)");
}

#[test]
fn unfinished_literal_hides_the_rest() {
    check("a \"b\nc", "a  \n");
    check("a /* b", "a  ");
    check("a r#\"b", "a  ");
}

#[test]
fn a_name_is_found_whole() {
    assert!(mentions("std::time::Instant::now()", "Instant::now"));
    assert!(mentions("rand::rngs; rand::rng()", "rand::rng"));
    assert!(!mentions("rand::rngs::StdRng", "rand::rng"));
    assert!(!mentions("do_getrandom()", "getrandom"));
}
