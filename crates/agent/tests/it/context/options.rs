use std::time::Duration;

use loomwork_agent::context::{
    ContextError, ContextOptions, ContextValues, EditsRule, Layer, MAX_EDITS, MAX_RECENT, RecencyRule,
    SearchOptions, Setting,
};

fn refused(options: ContextOptions) -> (&'static str, String) {
    match options.resolve() {
        Err(ContextError::BadOption { option, found, .. }) => (option, found),
        other => panic!("it is refused, not {other:?}"),
    }
}

fn searching(search: SearchOptions) -> ContextOptions {
    ContextOptions { search, ..ContextOptions::default() }
}

#[test]
fn what_nobody_says_has_its_default() {
    let values = ContextOptions::default().resolve().expect("nothing is wrong");
    assert_eq!(values, ContextValues::default());
    assert_eq!((values.recent, values.exclude_tools, values.other_threads), (100, false, false));
    assert_eq!((values.search, values.edits), (None, EditsRule::Last(5)));
}

#[test]
fn there_is_a_search_where_words_or_vectors_are_asked_for() {
    let text = SearchOptions { text: true.into(), ..SearchOptions::default() };
    let search = searching(text.clone()).resolve().expect("it is right").search.expect("there is a search");
    assert_eq!((search.limit, search.before, search.after, search.threshold), (10, 2, 1, 0.0));
    let none = SearchOptions { limit: 0.into(), ..text };
    assert_eq!(searching(none).resolve().expect("it is right").search, None);
    let limit = SearchOptions { limit: 5.into(), ..SearchOptions::default() };
    assert_eq!(searching(limit).resolve().expect("it is right").search, None);
}

#[test]
fn levels_merge_field_by_field() {
    let agent = ContextOptions {
        recent: 20.into(),
        exclude_tools: true.into(),
        search: SearchOptions {
            text: true.into(),
            limit: 3.into(),
            before: 0.into(),
            ..SearchOptions::default()
        },
        drop_first: vec![Layer::Turns].into(),
        ..ContextOptions::default()
    };
    let thread =
        ContextOptions { recent: Setting::Unset, max_tokens: 1_000.into(), ..ContextOptions::default() };
    let call =
        searching(SearchOptions { limit: Setting::Unset, after: 4.into(), ..SearchOptions::default() });
    let values = agent.merged(thread).merged(call).resolve().expect("it is right");
    assert_eq!((values.recent, values.exclude_tools, values.max_tokens), (100, true, Some(1_000)));
    let search = values.search.expect("there is a search");
    assert_eq!((search.limit, search.before, search.after), (10, 0, 4));
    assert_eq!(values.drop_first, [Layer::Turns]);
}

#[test]
fn options_survive_their_json() {
    let recency = RecencyRule { half_life: Duration::from_secs(60), weight: 0.5 };
    let options = ContextOptions {
        recent: Setting::Unset,
        edits: EditsRule::Targets(vec!["headline".into()]).into(),
        search: SearchOptions { recency: recency.into(), threshold: 0.25.into(), ..SearchOptions::default() },
        ..ContextOptions::default()
    };
    let json = serde_json::to_string(&options).expect("it is written");
    assert_eq!(serde_json::from_str::<ContextOptions>(&json).expect("it is read"), options);
    assert!(serde_json::from_str::<ContextOptions>(r#"{"recentMessages":3}"#).is_err(), "an unknown name");
}

#[test]
fn an_option_that_makes_no_sense_is_refused_by_name() {
    let recent = ContextOptions { recent: (MAX_RECENT + 1).into(), ..ContextOptions::default() };
    assert_eq!(refused(recent), ("recent", "10001".to_owned()));
    let turn = ContextOptions { max_turn: 1.into(), ..ContextOptions::default() };
    assert_eq!(refused(turn).0, "maxTurn");
    for edits in [EditsRule::Last(0), EditsRule::Relevant(MAX_EDITS + 1), EditsRule::Targets(Vec::new())] {
        assert_eq!(refused(ContextOptions { edits: edits.into(), ..ContextOptions::default() }).0, "edits");
    }
    let limit = SearchOptions { limit: 1_001.into(), ..SearchOptions::default() };
    assert_eq!(refused(searching(limit)).0, "search.limit");
    let threshold = SearchOptions { threshold: f32::NAN.into(), ..SearchOptions::default() };
    assert_eq!(refused(searching(threshold)).0, "search.threshold");
    let range = SearchOptions { before: 101.into(), ..SearchOptions::default() };
    assert_eq!(refused(searching(range)).0, "search.before");
    let never = RecencyRule { half_life: Duration::ZERO, weight: 0.5 };
    let recency = SearchOptions { recency: never.into(), ..SearchOptions::default() };
    assert_eq!(refused(searching(recency)).0, "search.recency.halfLife");
}
