//! JSON that is still being written.

use loomwork_models::PartialJson;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any value, without the numbers that JSON texts do not keep.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("a number of JSON", |number| number.is_finite()).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Returns whether a value is what the beginning of the other one's text can make.
fn is_contained(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::String(part), Value::String(whole)) => whole.starts_with(part),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() <= whole.len() && part.iter().zip(whole).all(|(part, whole)| is_contained(part, whole))
        }
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| is_contained(part, whole)))
        }
        (part, whole) => part == whole,
    }
}

/// Returns the text with every letter that can be escaped escaped.
fn escaped(text: &str) -> String {
    let mut inside = false;
    let mut escaped = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                inside = !inside;
                escaped.push('"');
            }
            '\\' => {
                let kind = letters.next().expect("JSON has a letter behind each slash");
                let digits = if kind == 'u' { 4 } else { 0 };
                escaped.extend(['\\', kind].into_iter().chain(letters.by_ref().take(digits)));
            }
            letter if inside => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

proptest! {
    #[test]
    fn any_beginning_is_contained_in_the_whole(value in values(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }?;
        for (end, _) in text.char_indices() {
            let mut json = PartialJson::default();
            json.push(&text[..end])?;
            if let Some(part) = json.value() {
                prop_assert!(is_contained(part, &value), "{part} of {value} at {end}");
            }
        }
    }

    #[test]
    fn however_the_text_is_cut_the_value_is_the_same(value in values(), cuts in prop::collection::vec(0_usize..40, 0..40)) {
        let text = escaped(&value.to_string());
        let (mut json, mut rest, mut cuts) = (PartialJson::default(), text.as_str(), cuts.into_iter());
        while !rest.is_empty() {
            let end = rest.char_indices().map(|(at, _)| at).nth(cuts.next().unwrap_or(1) + 1).unwrap_or(rest.len());
            json.push(&rest[..end])?;
            let _ = json.value();
            rest = &rest[end..];
        }
        prop_assert_eq!(json.finish()?, value);
    }

    #[test]
    fn a_text_that_is_no_json_is_an_error_and_never_a_panic(text in r#"[\[\]{}":,0-9a-z\\ \.\-é]{0,40}"#) {
        let mut json = PartialJson::default();
        let pushed = json.push(&text);
        let _ = json.value();
        let read = pushed.and_then(|()| json.finish());
        prop_assert_eq!(read.ok(), serde_json::from_str::<Value>(&text).ok());
    }
}

#[test]
fn a_number_is_shown_when_it_is_complete() {
    let mut json = PartialJson::default();
    json.push("[1, 2").expect("JSON");
    assert_eq!(json.value(), Some(&json!([1])));
    json.push("3").expect("JSON");
    assert_eq!(json.value(), Some(&json!([1])));
    json.push(",").expect("JSON");
    assert_eq!(json.value(), Some(&json!([1, 23])));

    let mut alone = PartialJson::default();
    alone.push("42").expect("JSON");
    assert_eq!(alone.value(), None);
    assert_eq!(alone.finish().expect("a number"), json!(42));
}

#[test]
fn half_an_escape_is_not_shown() {
    let mut json = PartialJson::default();
    for (text, shown) in
        [(r#""a\"#, "a"), (r"ud83d", "a"), (r"\ude", "a"), (r"00", "a😀"), (r"\", "a😀"), ("n", "a😀\n")]
    {
        json.push(text).expect("JSON");
        assert_eq!(json.value(), Some(&json!(shown)));
    }
}

#[test]
fn a_key_that_comes_again_replaces_its_value() {
    let text = r#"{"a": {"x": [1]}, "b": 2, "a": {"y": [3, 4]}}"#;
    let mut json = PartialJson::default();
    for letter in text.chars() {
        json.push(&letter.to_string()).expect("JSON");
        assert!(json.value().is_some());
    }
    assert_eq!(json.finish().expect("JSON"), serde_json::from_str::<Value>(text).expect("JSON"));
}

#[test]
fn an_error_says_where_and_keeps_the_value() {
    let mut json = PartialJson::default();
    let error = json.push(r#"{"city": "Paris", 7}"#).expect_err("a number is no key");
    assert_eq!(error.to_string(), "the text is no JSON at byte 18: '7' stands where a key would be right");
    assert_eq!(json.value(), Some(&json!({ "city": "Paris" })));
}

#[test]
fn nesting_has_a_limit() {
    let error = PartialJson::default().push(&"[".repeat(129)).expect_err("too deep");
    assert_eq!(
        error.to_string(),
        "the text is no JSON at byte 128: the value is nested deeper than 128 levels"
    );
}

/// Quadratic work would copy or compare some 10^11 bytes here, which no test run survives.
#[test]
fn a_long_text_in_small_pieces_costs_no_more_than_its_length() {
    let mut json = PartialJson::default();
    json.push(r#"{"text": ""#).expect("JSON");
    for _ in 0..400_000 {
        json.push("loom ").expect("JSON");
        assert!(json.value().is_some());
    }
    json.push(r#"", "list": [0"#).expect("JSON");
    for _ in 0..400_000 {
        json.push(", 1").expect("JSON");
        assert!(json.value().is_some());
    }
    json.push("]}").expect("JSON");
    let value = json.finish().expect("JSON");
    assert_eq!(value["text"].as_str().map(str::len), Some(2_000_000));
    assert_eq!(value["list"].as_array().map(Vec::len), Some(400_001));
}
