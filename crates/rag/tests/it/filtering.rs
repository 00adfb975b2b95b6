//! Filters find what a look at all chunks finds.

use std::collections::{BTreeMap, BTreeSet};

use loomwork_core::Random;
use loomwork_rag::{CHUNK_FIELD, Filter, MAX_FILTER_DEPTH, NewChunk, NewEntry, Query};
use serde_json::{Value, json};

use super::yard::{Yard, fault, model};

/// More names than other systems have places for.
const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

type Fields = BTreeMap<String, Value>;

/// The plain meaning of a filter.
fn meets(filter: &Filter, fields: &Fields) -> bool {
    let number = |value: &Value| value.as_f64();
    let compared = |name: &String, wanted: &Value| {
        let value = fields.get(name)?;
        match (number(value), number(wanted)) {
            (Some(one), Some(two)) => one.partial_cmp(&two),
            _ => value.as_str()?.partial_cmp(wanted.as_str()?),
        }
    };
    let same = |one: &Value, two: &Value| match (number(one), number(two)) {
        (Some(one), Some(two)) => one == two,
        _ => one == two,
    };
    match filter {
        Filter::Everything => true,
        Filter::All(all) => all.iter().all(|filter| meets(filter, fields)),
        Filter::Any(any) => any.iter().any(|filter| meets(filter, fields)),
        Filter::Not(filter) => !meets(filter, fields),
        Filter::Eq(name, wanted) => fields.get(name).is_some_and(|value| same(value, wanted)),
        Filter::In(name, wanted) => fields.get(name).is_some_and(|value| wanted.iter().any(|one| same(value, one))),
        Filter::Contains(name, item) => {
            let items = fields.get(name).and_then(Value::as_array);
            items.is_some_and(|items| items.iter().any(|one| same(one, item)))
        }
        Filter::Exists(name) => fields.contains_key(name),
        Filter::Lt(name, wanted) => compared(name, wanted).is_some_and(std::cmp::Ordering::is_lt),
        Filter::Le(name, wanted) => compared(name, wanted).is_some_and(std::cmp::Ordering::is_le),
        Filter::Gt(name, wanted) => compared(name, wanted).is_some_and(std::cmp::Ordering::is_gt),
        Filter::Ge(name, wanted) => compared(name, wanted).is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn value(random: &Random) -> Value {
    match random.below(8) {
        0 => json!(random.below(3)),
        1 => json!(random.below(3) as f64 / 2.0),
        2 => json!(-(random.below(3) as i64)),
        3 => json!(["x", "y", "1"][random.below(3) as usize]),
        4 => json!(random.below(2) == 0),
        5 => json!([random.below(2), "x"]),
        6 => json!({ "k": random.below(2) }),
        _ => Value::Null,
    }
}

fn name(random: &Random) -> String {
    let name = NAMES[random.below(NAMES.len() as u64) as usize];
    if random.below(4) == 0 { format!("{CHUNK_FIELD}{name}") } else { name.to_owned() }
}

fn filter(random: &Random, depth: u32) -> Filter {
    let comparable = |random: &Random| loop {
        let value = value(random);
        if value.is_number() || value.is_string() {
            return value;
        }
    };
    match random.below(if depth == 0 { 8 } else { 11 }) {
        0 => Filter::eq(name(random), value(random)),
        1 => Filter::one_of(name(random), [value(random), value(random)]),
        2 => Filter::contains(name(random), value(random)),
        3 => Filter::exists(name(random)),
        4 => Filter::lt(name(random), comparable(random)),
        5 => Filter::le(name(random), comparable(random)),
        6 => Filter::gt(name(random), comparable(random)),
        7 => Filter::ge(name(random), comparable(random)),
        8 => filter(random, depth - 1).and(filter(random, depth - 1)),
        9 => filter(random, depth - 1).or(filter(random, depth - 1)),
        _ => !filter(random, depth - 1),
    }
}

#[tokio::test]
async fn whatever_is_asked_is_what_a_look_at_all_chunks_finds() {
    let yard = Yard::open_with(model(), |builder| builder.filters(NAMES)).await;
    let random = Random::seeded(7);
    let mut all: Vec<(String, Fields)> = Vec::new();
    for at in 0..60 {
        let key = format!("entry {at}");
        let mut new = NewEntry::key(&key);
        if random.below(8) > 0 {
            for name in NAMES {
                new = new.filter(name, value(&random));
            }
        }
        let mut own = serde_json::Map::new();
        for name in NAMES {
            if random.below(3) == 0 {
                own.insert(name.to_owned(), value(&random));
            }
        }
        let mut fields: Fields = new.filters.clone().into_iter().collect();
        fields.extend(own.iter().map(|(name, value)| (format!("{CHUNK_FIELD}{name}"), value.clone())));
        let embedding = Some(vec![0.0, 1.0, random.unit() as f32, 0.0]);
        let chunk = NewChunk { metadata: own, embedding, ..NewChunk::from(format!("word {key}")) };
        yard.add(new, vec![chunk]).await;
        all.push((key, fields));
    }
    for round in 0..150 {
        let filter = filter(&random, 3);
        let right: BTreeSet<&str> =
            all.iter().filter(|(_, fields)| meets(&filter, fields)).map(|(key, _)| key.as_str()).collect();
        let query = if round % 2 == 0 { Query::from(vec![0.0, 1.0, 0.0, 0.0]) } else { Query::words("word") };
        let limit = if round % 3 == 0 { 5 } else { 100 };
        let found = yard.find(Query { filter: filter.clone(), limit, ..query }).await;
        let keys: BTreeSet<&str> = found.entries.iter().filter_map(|found| found.entry.key.as_deref()).collect();
        assert!(keys.is_subset(&right), "{filter:?} finds too much");
        assert_eq!(keys.len(), right.len().min(limit), "{filter:?}");
    }
}

#[tokio::test]
async fn or_over_several_values_finds_by_rank_and_not_by_the_order_of_the_filters() {
    let yard = Yard::open_with(model(), |builder| builder.filters(["team"])).await;
    yard.add(NewEntry::key("far").filter("team", "one"), "loom and many other words beside it").await;
    yard.add(NewEntry::key("near").filter("team", "two"), "loom").await;
    let filter = Filter::eq("team", "one").or(Filter::eq("team", "two"));
    assert_eq!(yard.texts(Query { filter, limit: 1, ..Query::words("loom") }).await, ["loom"]);
}

#[tokio::test]
async fn filters_that_make_no_sense_say_what_would() {
    let yard = Yard::open().await;
    let deep = (0..=MAX_FILTER_DEPTH).fold(Filter::eq("a", 1), |filter, _| !filter);
    let (_, why) = fault(yard.rag.search("hall", Query { filter: deep, ..Query::from("x") }).await);
    assert!(why.contains("nested deeper"), "{why}");
    let unordered = Filter::lt("a", json!([1]));
    let (_, why) = fault(yard.rag.search("hall", Query { filter: unordered, ..Query::from("x") }).await);
    assert!(why.contains("number or a text"), "{why}");
}

#[tokio::test]
async fn names_in_metadata_are_never_taken_for_marks_of_others() {
    let yard = Yard::open().await;
    let long = "n".repeat(70_000);
    let with = |name: &str| {
        let mut chunk = NewChunk::from(format!("word of {}", &name[..name.len().min(9)].replace('\0', "-")));
        chunk.metadata.insert(name.to_owned(), json!("x"));
        vec![chunk]
    };
    yard.add(NewEntry::key("forged"), with("a\0<sfoo")).await;
    yard.add(NewEntry::key("long"), with(&long)).await;
    let keys = async |filter: Filter| {
        let found = yard.find(Query { filter, ..Query::words("word") }).await;
        found.entries.iter().filter_map(|found| found.entry.key.clone()).collect::<Vec<_>>()
    };
    assert!(keys(Filter::ge("chunk.a", "f")).await.is_empty());
    assert!(keys(Filter::exists("chunk.a")).await.is_empty());
    assert_eq!(keys(Filter::eq("chunk.a\0<sfoo", "x")).await, ["forged"]);
    assert_eq!(keys(Filter::exists(format!("chunk.{long}"))).await, ["long"]);
    assert_eq!(keys(!Filter::exists(format!("chunk.{long}"))).await, ["forged"]);
}
