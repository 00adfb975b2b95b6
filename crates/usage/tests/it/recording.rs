//! An event counts once, with all that follows from it, or not at all.

use std::time::Duration;

use loomwork_core::{Kind, Time};
use loomwork_store::{Error, Page, Table};
use loomwork_usage::{
    Amount, Billing, Budget, Dimension, Event, LEFT_OUT, Level, MAX_KEY_BYTES, MAX_QUANTITY, MAX_REFUSED_BYTES, Measure, Recorded,
    RefusedRow, Unit, UsageError, Window, admit, forget_refused, month_total, record, record_all,
    record_or_set_aside, record_refused, record_within, refused, set_budget, settle_or_set_aside, standing,
    unattributed,
};

use super::desk::{Desk, START, at, money, per_million};

#[tokio::test]
async fn an_event_is_priced_and_billed_in_its_period() {
    let desk = Desk::priced().await;
    let used = [(Unit::InputFresh, 200), (Unit::InputCacheRead, 800), (Unit::OutputText, 100)];
    let id = desk.record(desk.event("one", used)).await.id();
    let row = desk.row(id).await;
    let charge = row.charge.as_ref().expect("it has a price");
    assert_eq!(charge.amount, money("0.0003"));
    assert_eq!(charge.prices[&Unit::OutputText], per_million("1.20"));
    assert_eq!(row.cost, row.charge, "who has no account pays what it costs");
    assert_eq!(row.period, Some(desk.period(START).await.id));
    assert!(!row.unpriced);
}

#[tokio::test]
async fn a_unit_that_could_not_be_read_again_is_refused() {
    let desk = Desk::priced().await;
    for name in [String::new(), "x".repeat(61)] {
        let event = desk.event("one", [(Unit::Tool(name), 1)]);
        let refused = desk.store.mutate(move |tx| record(tx, event.clone())).await.unwrap_err();
        assert!(refused.to_string().contains("name of a unit"), "{refused}");
    }
}

#[tokio::test]
async fn a_repeated_event_changes_nothing() {
    let desk = Desk::priced().await;
    let event = desk.event("one", [(Unit::OutputText, 100)]);
    let first = desk.record(event.clone()).await;
    // Also when it is repeated long after it would have been too old.
    desk.clock.advance(Duration::from_secs(90 * 24 * 60 * 60));
    assert_eq!(desk.record(event).await, Recorded::Repeated(first.id()));
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::Payer, "weavers", moment)).await;
    assert_eq!((sums.events, sums.tokens()), (1, 100));
}

#[tokio::test]
async fn a_key_of_another_event_is_a_conflict_and_the_first_stands() {
    let desk = Desk::priced().await;
    let first = desk.output("one", 100).await;
    let other = desk.event("one", [(Unit::OutputText, 101)]);
    let error = desk.fail(move |tx| record(tx, other)).await;
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(desk.row(first.id()).await.event.quantities.of(&Unit::OutputText), 100);
    // Another source has keys of its own.
    let elsewhere = Event { source: "rag".to_owned(), ..desk.event("one", [(Unit::OutputText, 101)]) };
    assert!(matches!(desk.record(elsewhere).await, Recorded::New(_)));
}

#[tokio::test]
async fn an_event_is_rolled_back_with_what_it_pays_for() {
    let desk = Desk::priced().await;
    let event = desk.event("one", [(Unit::OutputText, 100)]);
    let again = event.clone();
    let failed = move |tx: &mut loomwork_store::Tx| {
        record(tx, event)?;
        Err::<(), _>(Error::message(Kind::Unavailable, "the message is not saved"))
    };
    desk.fail(failed).await;
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::All, "", moment)).await;
    assert_eq!(sums.events, 0);
    assert!(matches!(desk.record(again).await, Recorded::New(_)), "its key is still free");
}

#[tokio::test]
async fn events_that_are_too_old_or_ahead_are_refused_and_said_so() {
    let desk = Desk::priced().await;
    for (moment, is_fine) in [
        ("2026-07-06T12:00:00Z", true),
        ("2026-07-06T11:59:59.999Z", false),
        ("2026-08-10T12:05:00Z", true),
        ("2026-08-10T12:05:00.001Z", false),
    ] {
        let event = Event { at: at(moment), ..desk.event(moment, [(Unit::OutputText, 1)]) };
        let recorded = desk.store.mutate(move |tx| record(tx, event)).await;
        match recorded {
            Ok(_) => assert!(is_fine, "{moment}"),
            Err(error) => {
                assert!(!is_fine, "{moment}: {error}");
                assert!(matches!(error.downcast_ref(), Some(UsageError::OutOfWindow { .. })));
            }
        }
    }
    let event = Event { at: at("2020-01-01T00:00:00Z"), ..desk.event("old", [(Unit::OutputText, 1)]) };
    let window = Window { back: Duration::from_secs(10 * 366 * 24 * 60 * 60), ..Window::default() };
    desk.commit(move |tx| record_within(tx, event, &window)).await;
}

#[tokio::test]
async fn events_that_make_no_sense_are_refused_and_leave_nothing() {
    let desk = Desk::priced().await;
    let event = || desk.event("one", [(Unit::OutputText, 1)]);
    let long = "x".repeat(201);
    let mut tagged = event();
    tagged.tags = (0..21).map(|tag| (tag.to_string(), String::new())).collect();
    let many = (0..51).map(|unit| (Unit::Own(unit.to_string()), 1));
    let wrong = [
        event().used(many),
        Event { source: String::new(), ..event() },
        Event { key: "x".repeat(401), ..event() },
        Event { key: "reversal:one".to_owned(), ..event() },
        Event { model: long.clone(), ..event() },
        event().paid_by(""),
        event().used_by(Level::Team, long),
        event().used([(Unit::OutputText, MAX_QUANTITY + 1)]),
        tagged,
    ];
    for event in wrong {
        let shown = format!("{event:?}");
        let error = desk.fail(move |tx| record(tx, event)).await;
        assert_eq!(error.kind(), Kind::Invalid, "{shown}");
    }
    let left = desk.read(|tx| loomwork_usage::events(tx, None, 10)).await;
    assert!(left.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_bill_is_set_aside_and_harms_no_answer() {
    let desk = Desk::priced().await;
    desk.output("one", 100).await;
    let conflicting = desk.event("one", [(Unit::OutputText, 7)]);
    let kept = conflicting.clone();
    assert_eq!(desk.commit(move |tx| record_or_set_aside(tx, conflicting)).await, None);
    let refused = desk.read(|tx| tx.scan(RefusedRow::all())).await;
    assert_eq!((refused.len(), &refused[0].event), (1, &kept));
    assert!(refused[0].why.contains("recorded before with other contents"), "{}", refused[0].why);
    let fine = desk.event("two", [(Unit::OutputText, 7)]);
    assert!(desk.commit(move |tx| record_or_set_aside(tx, fine)).await.is_some());
}

#[tokio::test]
async fn of_several_events_each_has_an_outcome_of_its_own() {
    let desk = Desk::priced().await;
    let event = |key, tokens| desk.event(key, [(Unit::OutputText, tokens)]);
    let events = vec![event("one", 1), event("two", 2), event("one", 1), event("two", 3), event("", 4)];
    let done = desk.commit(move |tx| record_all(tx, events)).await;
    assert!(matches!(done[0], Ok(Recorded::New(_))) && matches!(done[1], Ok(Recorded::New(_))));
    assert!(matches!(done[2], Ok(Recorded::Repeated(_))));
    assert!(matches!(done[3], Err(UsageError::Conflict { .. })));
    assert!(matches!(done[4], Err(UsageError::BadText { what: "key", .. })));
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::All, "", moment)).await;
    assert_eq!(sums.tokens(), 3);
}

#[tokio::test]
async fn tests_and_answers_from_a_cache_of_our_own_cost_nothing() {
    let desk = Desk::priced().await;
    let cached = Event { billing: Billing::Cached, ..desk.event("cached", [(Unit::OutputText, 100)]) };
    let test = Event { billing: Billing::Test, ..desk.event("test", [(Unit::OutputText, 1_000)]) };
    for event in [cached, test] {
        let id = desk.record(event).await.id();
        let row = desk.row(id).await;
        assert_eq!((&row.cost, &row.charge, row.period, row.unpriced), (&None, &None, None, false));
    }
    let moment = at(START);
    let sums = desk.read(move |tx| month_total(tx, Dimension::User, "ada", moment)).await;
    assert_eq!((sums.tokens(), sums.charge.len()), (100, 0), "what was cached is counted, a test is not");
}

#[tokio::test]
async fn usage_of_nobody_is_kept() {
    let desk = Desk::priced().await;
    let event = Event { payer: None, ..desk.event("one", [(Unit::OutputText, 100)]) };
    let id = desk.record(event).await.id();
    let row = desk.row(id).await;
    assert_eq!(row.cost.as_ref().map(|cost| cost.amount), Some(money("0.00012")));
    assert_eq!((row.charge.as_ref(), row.period), (None, None));
    let found = desk.read(|tx| unattributed(tx, None, Page::first(10))).await;
    assert_eq!(found.rows.len(), 1);
}

#[tokio::test]
async fn what_was_set_aside_is_listed_once_and_can_be_put_right() {
    let desk = Desk::priced().await;
    let wrong = desk.event("one", [(Unit::OutputText, MAX_QUANTITY + 1)]);
    for _ in 0..3 {
        desk.clock.advance(Duration::from_secs(60));
        let again = Event { at: desk.clock.clock().now(), ..wrong.clone() };
        assert_eq!(desk.commit(move |tx| record_or_set_aside(tx, again)).await, None);
    }
    let found = desk.read(|tx| refused(tx, Page::first(10))).await.rows;
    assert_eq!((found.len(), found[0].is_cut), (1, false), "a retry is the same refusal");
    desk.clock.advance(Duration::from_secs(90 * 24 * 60 * 60));
    let (id, kept) = (found[0].id, found[0].event.clone());
    let right = kept.used([(Unit::OutputText, 100)]);
    assert!(matches!(desk.commit(move |tx| record_refused(tx, id, right)).await, Recorded::New(_)));
    assert!(desk.read(|tx| refused(tx, Page::first(10))).await.rows.is_empty());
    assert!(!desk.commit(move |tx| forget_refused(tx, id)).await);
}

#[tokio::test]
async fn what_is_set_aside_is_small_and_can_be_read() {
    let desk = Desk::priced().await;
    let huge = Event { key: "k".repeat(MAX_REFUSED_BYTES), ..desk.event("", [(Unit::OutputText, 7)]) };
    let unnamed = desk.event("unnamed", [(Unit::Own(String::new()), 1), (Unit::OutputText, 8)]);
    for event in [huge, unnamed] {
        desk.commit(move |tx| record_or_set_aside(tx, event)).await;
    }
    let found = desk.read(|tx| refused(tx, Page::first(10))).await.rows;
    let told: Vec<_> = found.iter().map(|row| (row.is_cut, row.event.quantities.tokens())).collect();
    assert_eq!(told, [(true, 7), (true, 8)]);
    assert_eq!(found[0].event.key.len(), MAX_KEY_BYTES);
}

#[tokio::test]
async fn what_is_fine_in_a_refused_event_is_kept_as_it_is() {
    let desk = Desk::priced().await;
    let unit = || [(Unit::Own(String::new()), 1), (Unit::OutputText, 8)];
    let payer = "p".repeat(60);
    let id = "0123456789-".repeat(6);
    for key in [format!("{id}/0/1"), format!("{id}/1/1")] {
        let event = desk.event(&key, unit()).paid_by(&payer);
        desk.commit(move |tx| record_or_set_aside(tx, event)).await;
    }
    let found = desk.read(|tx| refused(tx, Page::first(10))).await.rows;
    assert!(found.iter().all(|row| row.is_cut && row.cut_names.is_empty()));
    for row in found {
        assert_eq!(row.event.payer.as_ref(), Some(&payer));
        let (refused, right) = (row.id, row.event.clone());
        let recorded = desk.commit(move |tx| record_refused(tx, refused, right)).await;
        assert!(matches!(recorded, Recorded::New(_)), "neither is taken for the other");
    }
    // The call that is tried again with what it had to say repeats what was put right.
    let again = desk.event(&format!("{id}/0/1"), [(Unit::OutputText, 8)]).paid_by(&payer);
    assert!(matches!(desk.record(again).await, Recorded::Repeated(_)));
}

#[tokio::test]
async fn what_is_left_of_a_name_is_no_name_to_be_recorded_under() {
    let desk = Desk::priced().await;
    let long = desk.event(&"k".repeat(MAX_KEY_BYTES + 1), [(Unit::OutputText, 7)]).paid_by("p".repeat(201));
    desk.commit(move |tx| record_or_set_aside(tx, long)).await;
    let row = desk.read(|tx| refused(tx, Page::first(10))).await.rows.remove(0);
    assert_eq!(row.cut_names, ["key", "payer"]);
    let id = row.id;
    for wrong in [row.event.clone(), row.event.clone().paid_by("weavers"), Event { key: "k".to_owned(), ..row.event.clone() }] {
        let refused = desk.refused(move |tx| record_refused(tx, id, wrong)).await;
        assert!(matches!(refused, UsageError::CutName { .. }), "{refused}");
    }
    let right = Event { key: "k".to_owned(), ..row.event.clone().paid_by("weavers") };
    assert!(matches!(desk.commit(move |tx| record_refused(tx, id, right)).await, Recorded::New(_)));
}

#[tokio::test]
async fn a_time_beyond_all_calendars_is_refused_and_stops_no_total() {
    let desk = Desk::priced().await;
    let window = Window { back: Duration::MAX, ahead: Duration::MAX };
    for millis in [1_786_363_200_000_000, 253_402_000_000_000, -63_000_000_000_000, i64::MAX, i64::MIN] {
        let event = Event { at: Time::from_millis(millis), payer: None, ..desk.event("one", [(Unit::OutputText, 1)]) };
        let refused = desk.refused(move |tx| record_within(tx, event, &window)).await;
        assert!(matches!(refused, UsageError::Calendar(_)), "{refused}");
    }
    for (key, millis) in [("early", -62_000_000_000_000), ("late", 253_000_000_000_000)] {
        let event = Event { at: Time::from_millis(millis), ..desk.event(key, [(Unit::OutputText, 1)]) };
        desk.commit(move |tx| record_within(tx, event, &window)).await;
    }
    let tasks = desk.keep_up();
    desk.folded().await;
    drop(tasks);
}

#[tokio::test]
async fn a_call_with_a_hold_never_fails_for_its_bill() {
    let desk = Desk::priced().await;
    let quota = Budget::units("ada", Level::User, "ada", Measure::Tokens, 1_000);
    desk.commit(move |tx| set_budget(tx, quota)).await;
    let estimate = desk.event("estimate", [(Unit::OutputText, 600)]);
    let hold = desk.commit(move |tx| admit(tx, &estimate, Duration::from_secs(60))).await;
    let wrong = Event { source: String::new(), ..desk.event("one", [(Unit::OutputText, 500)]) };
    assert_eq!(desk.commit(move |tx| settle_or_set_aside(tx, hold, wrong)).await, None);
    assert_eq!(desk.read(|tx| standing(tx, "ada")).await.held, Amount::Units(0), "its hold has ended");
}

#[tokio::test]
async fn a_report_keeps_its_flags_and_says_what_is_left_out() {
    let desk = Desk::priced().await;
    let report = serde_json::json!({ "inputFresh": 10, "outputText": 5, "estimated": true });
    let event = desk.event("one", []).reported(&report);
    assert_eq!((event.quantities.tokens(), event.estimated, event.inconsistent), (15, true, false));
    let odd = serde_json::json!({ "inputFresh": 10, "outputText": 1.5, "smiles": 3, "providerTools": { "": 1 } });
    let event = desk.event("two", []).reported(&odd);
    assert_eq!((event.quantities.tokens(), event.inconsistent), (10, true));
    assert_eq!(event.tags.get(LEFT_OUT).map(String::as_str), Some("outputText, smiles, tool:"));
    desk.record(event).await;
}
