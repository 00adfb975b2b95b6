use super::unlisted;

const CLAIMS: &str = "\
//! Claims.
fn helper() {}

pub async fn a_claim_can_read(place: &dyn Place) {}
pub async fn a_failing_claim_takes_nothing(place: &dyn Place) {}
";

fn check(list: &str, expected: &[(usize, &str)]) {
    let found = unlisted(CLAIMS, list);
    assert_eq!(found.iter().map(|(line, name)| (*line, name.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn listed_promises_are_run() {
    check("claims, $place; a_claim_can_read a_failing_claim_takes_nothing", &[]);
}

#[test]
fn promise_outside_the_list_is_found_with_its_line() {
    check("a_claim_can_read // a_failing_claim_takes_nothing", &[(5, "a_failing_claim_takes_nothing")]);
    check("a_claim_can_read_twice a_failing_claim_takes_nothing", &[(4, "a_claim_can_read")]);
}
