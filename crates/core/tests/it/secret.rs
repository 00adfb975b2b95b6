use loomwork_core::Secret;

#[test]
fn a_secret_is_never_shown() {
    let secret = Secret::from("hunter2");
    for shown in [format!("{secret}"), format!("{secret:?}"), format!("{secret:#?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(secret.clone().expose(), "hunter2");
}

#[test]
fn a_secret_is_read_from_plain_text() {
    let secret: Secret = serde_json::from_str(r#""hunter2""#).unwrap();
    assert_eq!(secret.expose(), "hunter2");
}

#[test]
fn a_refused_secret_is_not_in_the_error() {
    let error = serde_json::from_str::<Secret>("[1]").unwrap_err();
    assert!(error.to_string().contains("expected a string"), "{error}");
}
