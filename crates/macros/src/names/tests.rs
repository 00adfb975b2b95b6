use super::{instead_of, is_id_prefix, is_stored_name, list, snake_case};

#[test]
fn stored_names_are_lowercase_words() {
    for good in ["messages", "m", "stream_deltas", "v2", &"a".repeat(60)] {
        assert!(is_stored_name(good), "{good}");
    }
    for bad in ["", "Messages", "_messages", "2nd", "stream-deltas", "größe", &"a".repeat(61)] {
        assert!(!is_stored_name(bad), "{bad}");
    }
}

#[test]
fn id_prefixes_have_no_underscore() {
    for good in ["message", "m2", &"a".repeat(24)] {
        assert!(is_id_prefix(good), "{good}");
    }
    for bad in ["", "Message", "stream_delta", "2m", &"a".repeat(25)] {
        assert!(!is_id_prefix(bad), "{bad}");
    }
}

#[test]
fn variants_are_written_as_serde_does() {
    for (variant, stored) in [("Pending", "pending"), ("TimedOut", "timed_out"), ("V2Ready", "v2_ready")] {
        assert_eq!(snake_case(variant), stored);
    }
    assert_eq!(snake_case("IOError"), "i_o_error");
}

#[test]
fn a_close_name_is_suggested_and_a_far_one_is_not() {
    let names = ["queue", "due"];
    assert_eq!(instead_of("quue", &names), "did you mean `queue`? There are `queue` and `due`");
    assert_eq!(instead_of("owner", &names), "there are `queue` and `due`");
    assert_eq!(instead_of("quue", &["queue"]), "did you mean `queue`?");
    assert_eq!(instead_of("owner", &["queue"]), "there is `queue`");
    assert_eq!(instead_of("owner", &[""; 0]), "there is none");
}

#[test]
fn lists_read_as_sentences_do() {
    assert_eq!(list(&["a"]), "`a`");
    assert_eq!(list(&["a", "b", "c"]), "`a`, `b` and `c`");
}
