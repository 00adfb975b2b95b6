//! Kinds of units are disjoint, and named as models report them.

use loomwork_models::Usage;
use loomwork_usage::{Quantities, Unit};

#[test]
fn a_unit_has_a_name_and_is_read_back_from_it() {
    for unit in [
        Unit::InputFresh,
        Unit::InputCacheWriteHour,
        Unit::OutputReasoning,
        Unit::StorageByteHours,
        Unit::Tool("web_search".to_owned()),
        Unit::Own("pages".to_owned()),
    ] {
        assert_eq!(unit.to_string().parse::<Unit>().as_ref(), Ok(&unit));
    }
    assert!("own:".parse::<Unit>().is_err() && "tokens".parse::<Unit>().is_err());
    assert!(format!("own:{}", "x".repeat(61)).parse::<Unit>().is_err());
}

#[test]
fn a_models_report_is_taken_over_token_by_token() {
    let mut usage = Usage {
        input_fresh: 1,
        input_cache_read: 2,
        input_cache_write: 4,
        input_cache_write_hour: 8,
        input_audio: 16,
        input_image: 32,
        output_text: 64,
        output_reasoning: 128,
        output_audio: 256,
        output_image: 512,
        embedding: 1024,
        images: 3,
        ..Usage::default()
    };
    usage.provider_tools.insert("web_search".to_owned(), 5);
    let report = serde_json::to_value(&usage).expect("it is written");
    let quantities = Quantities::of_report(&report);
    assert_eq!(quantities.input(), usage.input());
    assert_eq!(quantities.tokens(), usage.total());
    assert_eq!(quantities.of(&Unit::Images), 3);
    assert_eq!(quantities.of(&Unit::Tool("web_search".to_owned())), 5);
    assert_eq!(quantities.iter().count(), 13);
}

#[test]
fn nothing_is_left_out_and_no_default_is_one() {
    assert!(Quantities::of_report(&serde_json::json!({ "inputFresh": 0, "total": 7 })).is_empty());
    assert!(Quantities::of_report(&serde_json::json!("no object")).is_empty());
    assert!(Quantities::of_report(&serde_json::json!({ "inputFresh": -1, "outputText": 1.5 })).is_empty());
}
