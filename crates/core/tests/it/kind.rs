use std::time::Duration;

use loomwork_core::Kind;

fn check(kind: Kind, name: &str, is_retryable: bool) {
    assert_eq!(kind.as_str(), name);
    assert_eq!(kind.to_string(), name);
    assert_eq!(kind.is_retryable(), is_retryable, "{name}");
}

#[test]
fn each_kind_has_a_name_and_says_whether_to_retry() {
    check(Kind::Invalid, "invalid", false);
    check(Kind::Denied, "denied", false);
    check(Kind::NotFound, "not_found", false);
    check(Kind::Conflict, "conflict", true);
    check(Kind::Limited { wait: Duration::from_secs(1) }, "limited", true);
    check(Kind::Unavailable, "unavailable", true);
    check(Kind::Cancelled, "cancelled", false);
    check(Kind::Corrupt, "corrupt", false);
    check(Kind::Internal, "internal", false);
}
