use super::forbidden;

fn check(text: &str, expected: &[(usize, &str)]) {
    let found: Vec<_> = forbidden(text).into_iter().map(|(line, name, _)| (line, name)).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn wall_clock_timers_and_randomness_are_found_with_their_line() {
    check("fn f() {\n    std::time::Instant::now()\n}", &[(2, "Instant::now")]);
    check("let id = uuid::Uuid::now_v7();", &[(1, "Uuid::now_v7")]);
    check("tokio::time::sleep(second).await;\nrand::rng()", &[(1, "tokio::time::sleep"), (2, "rand::rng")]);
}

#[test]
fn comments_literals_and_longer_names_are_not_found() {
    check("/// As `Instant::now`, but\n// SystemTime::now()\n/* rand::rng() */ f();", &[]);
    check("let text = \"SystemTime::now\";", &[]);
    check("use rand::rngs::StdRng; MyInstant::now(); my_getrandom();", &[]);
}
