use std::collections::{BTreeMap, BTreeSet};

use loomwork_core::{Random, RawId};
use loomwork_store::engine::Seq;

use super::{Syntax, TextIndex, TextQuery, Tokenizer, snippet};
use crate::doc::Doc;
use crate::index::Schema;
use crate::place::Place;
use crate::{Filter, Language, SnippetOptions, TextOptions, Value};

const WORDS: [&str; 12] = [
    "loom",
    "loomwork",
    "thread",
    "threads",
    "weave",
    "Weberei",
    "snake_case",
    "camelCase",
    "日本語",
    "naïve",
    "don't",
    "x1",
];

fn schema() -> Schema {
    let texts = vec![
        ("title".to_owned(), TextOptions { boost: 2.0, ..TextOptions::default() }),
        ("body".to_owned(), TextOptions::default()),
    ];
    let fields = vec!["owner".to_owned(), "stars".to_owned()];
    Schema {
        name: "notes".into(),
        table: "notes",
        version: 1,
        texts,
        fields,
        embeds: false,
        metric: crate::Metric::Cosine,
    }
}

fn id(number: u64) -> RawId {
    RawId::from_bytes(u128::from(number).to_be_bytes())
}

fn doc(number: u64, random: &Random) -> Doc {
    let text = |random: &Random| {
        let words = (0..random.below(9)).map(|_| WORDS[random.below(WORDS.len() as u64) as usize]);
        words.collect::<Vec<_>>().join(" ")
    };
    let texts = vec![text(random), text(random)];
    let values = vec![
        vec![Value::Text(format!("user {}", random.below(4)))],
        vec![Value::Int(random.below(6) as i64)],
    ];
    Doc { id: id(number), texts, values }
}

/// The plain meaning of a query.
fn meets(doc: &Doc, query: &TextQuery) -> bool {
    let plain = Tokenizer::new(None);
    let fields = |field: &Option<usize>| field.map_or(0..2, |field| field..field + 1);
    match query {
        TextQuery::Word { text, prefix, field } => fields(field).any(|field| {
            let having = plain.words(&doc.texts[field]);
            let asked = plain.words(text);
            let begin = prefix.then(|| super::tokenizer::prefix(text)).flatten();
            having.iter().any(|(word, _)| {
                asked.iter().any(|(asked, _)| asked == word)
                    || begin.as_ref().is_some_and(|begin| word.starts_with(begin))
            })
        }),
        TextQuery::Phrase { text, field } => fields(field).any(|field| {
            let having: BTreeSet<_> = plain.words(&doc.texts[field]).into_iter().collect();
            let asked = plain.phrase(text);
            let start = asked.first().map_or(0, |(_, at)| *at);
            let follows = |from: u32| {
                asked.iter().all(|(word, at)| having.contains(&(word.clone(), from + at - start)))
            };
            !asked.is_empty() && (0..40).any(follows)
        }),
        TextQuery::Any(queries) => queries.iter().any(|query| meets(doc, query)),
        TextQuery::All(queries) => queries.iter().all(|query| meets(doc, query)),
        TextQuery::Prefer(must, _) => meets(doc, must),
        TextQuery::Not(query) => !meets(doc, query),
    }
}

fn query(random: &Random, depth: u32) -> TextQuery {
    let field = [None, None, Some(0), Some(1)][random.below(4) as usize];
    let word = |random: &Random| WORDS[random.below(WORDS.len() as u64) as usize].to_owned();
    match random.below(if depth == 0 { 5 } else { 9 }) {
        0..3 => TextQuery::Word { text: word(random), prefix: false, field },
        3 => TextQuery::Word { text: word(random).chars().take(3).collect(), prefix: true, field },
        4 => TextQuery::Phrase { text: format!("{} {}", word(random), word(random)), field },
        5 => TextQuery::Any((0..1 + random.below(3)).map(|_| query(random, depth - 1)).collect()),
        6 => TextQuery::All((0..1 + random.below(3)).map(|_| query(random, depth - 1)).collect()),
        7 => TextQuery::Prefer(Box::new(query(random, depth - 1)), Box::new(query(random, depth - 1))),
        _ => TextQuery::Not(Box::new(query(random, depth - 1))),
    }
}

fn filter(random: &Random) -> Filter {
    let owner = Filter::eq("owner", format!("user {}", random.below(4)));
    let stars = Filter::between("stars", random.below(3) as i64, 4.5);
    match random.below(7) {
        0 => owner,
        1 => stars,
        2 => owner.or(stars),
        3 => !owner.and(stars),
        4 => Filter::between("owner", "user 1", "user 2"),
        5 => Filter::has("stars").and(Filter::one_of("stars", [1, 3])),
        _ => Filter::Everything,
    }
}

#[test]
fn whatever_happened_the_rows_are_those_that_a_plain_search_finds() {
    for seed in 0..6 {
        let random = Random::seeded(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let place = if seed % 3 == 0 { Place::Memory } else { Place::Folder(folder.path().join("text")) };
        let (mut index, _) = TextIndex::open(&place, &schema(), id(9)).expect("it opens");
        let (mut rows, mut committed, mut seq) = (BTreeMap::new(), None, 0);
        for step in 0..160 {
            seq += 1;
            match random.below(20) {
                0..14 => {
                    let docs: Vec<_> =
                        (0..1 + random.below(5)).map(|_| doc(random.below(120), &random)).collect();
                    rows.extend(docs.iter().map(|doc| (doc.id, doc.clone())));
                    index.put(Seq(seq), docs, &[]);
                }
                14..17 => {
                    let gone = id(random.below(120));
                    rows.remove(&gone);
                    index.put(Seq(seq), Vec::new(), &[gone]);
                }
                17..19 => {
                    let applied = index.commit().expect("it is committed");
                    assert_eq!(applied, index.applied());
                    committed = Some((applied, rows.clone()));
                }
                _ if place != Place::Memory => {
                    drop(index);
                    let opened = TextIndex::open(&place, &schema(), id(9)).expect("it opens");
                    assert_eq!(opened.1, committed.as_ref().map(|(applied, _)| *applied));
                    index = opened.0;
                    rows = committed.as_ref().map(|(_, rows)| rows.clone()).unwrap_or_default();
                }
                _ => {}
            }
            if step % 10 == 0 {
                for _ in 0..8 {
                    let (query, filter) = (query(&random, 2), filter(&random));
                    let found = index.find(&query, &filter, None, 1_000).expect("it is found");
                    let found: BTreeSet<_> = found.into_iter().map(|hit| hit.id).collect();
                    let met = rows
                        .values()
                        .filter(|doc| filter.matches(&schema(), &doc.values) && meets(doc, &query));
                    assert_eq!(found, met.map(|doc| doc.id).collect(), "{query:?} {filter:?}");
                }
            }
        }
    }
}

#[test]
fn a_text_counts_the_same_before_and_after_its_commit() {
    let (random, none) = (Random::seeded(5), Filter::Everything);
    let (index, _) = TextIndex::open(&Place::Memory, &schema(), id(9)).expect("it opens");
    index.put(Seq(1), (0..80).map(|number| doc(number, &random)).collect(), &[]);
    let query = TextQuery::parse("loom weave threads", Syntax::Words, &schema()).expect("it is read");
    let before = index.find(&query, &none, None, 10).expect("it is found");
    index.commit().expect("it is committed");
    let after = index.find(&query, &none, None, 10).expect("it is found");
    assert_eq!(before.len(), 10);
    for (before, after) in before.iter().zip(&after) {
        // Lengths are rounded where they are committed.
        assert!((before.score - after.score).abs() < 0.02 * before.score, "{before:?} {after:?}");
    }
}

#[test]
fn what_was_typed_wrong_is_shown() {
    let wrong = |text: &str| {
        TextQuery::parse(text, Syntax::Operators, &schema()).expect_err("it is wrong").to_string()
    };
    assert_eq!(
        wrong(r#"loom "two words"#),
        r#"the query "loom \"two words" cannot be read: at letter 5, this quote is never closed"#
    );
    assert_eq!(wrong("(loom"), r#"the query "(loom" cannot be read: at letter 5, a `)` is missing here"#);
    assert_eq!(
        wrong("loom)"),
        r#"the query "loom)" cannot be read: at letter 4, a `)` has no `(` before it"#
    );
    assert_eq!(wrong("a AND"), r#"the query "a AND" cannot be read: at letter 5, a word is missing here"#);
    assert_eq!(
        wrong("name:loom"),
        r#"the query "name:loom" cannot be read: at letter 0, there is no text field `name`; there are: title, body"#
    );
    assert!(TextQuery::parse("  ", Syntax::Words, &schema()).is_err());
}

#[test]
fn operators_are_read_as_they_are_meant() {
    let read = |text: &str| TextQuery::parse(text, Syntax::Operators, &schema()).expect("it is read");
    let random = Random::seeded(4);
    let docs: Vec<_> = (0..200).map(|number| doc(number, &random)).collect();
    let same = |one: &str, two: TextQuery| {
        let one = read(one);
        docs.iter().for_each(|doc| assert_eq!(meets(doc, &one), meets(doc, &two), "{one:?} {two:?} {doc:?}"));
    };
    let word = |text: &str| TextQuery::Word { text: text.into(), prefix: false, field: None };
    same("loom weave", TextQuery::Any(vec![word("loom"), word("weave")]));
    same("loom AND weave", TextQuery::All(vec![word("loom"), word("weave")]));
    same(
        "loom OR weave AND x1",
        TextQuery::Any(vec![word("loom"), TextQuery::All(vec![word("weave"), word("x1")])]),
    );
    same("+loom weave -x1", TextQuery::All(vec![word("loom"), TextQuery::Not(Box::new(word("x1")))]));
    same("loom -x1", TextQuery::All(vec![word("loom"), TextQuery::Not(Box::new(word("x1")))]));
    same("NOT (loom OR x1)", TextQuery::Not(Box::new(TextQuery::Any(vec![word("loom"), word("x1")]))));
    same("title:thr*", TextQuery::Word { text: "thr".into(), prefix: true, field: Some(0) });
    same("body:\"loom weave\"", TextQuery::Phrase { text: "loom weave".into(), field: Some(1) });
}

#[test]
fn words_of_all_scripts_are_found() {
    let plain =
        |text: &str| Tokenizer::new(None).words(text).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(plain("Straße, Ærø und Łódź"), ["strasse", "aero", "und", "lodz"]);
    assert_eq!(plain("naïve CAFÉ"), ["naive", "cafe"]);
    assert_eq!(plain("日本語を話す"), ["日本", "本語", "語を", "を話", "話す"]);
    assert_eq!(
        plain("한국어 中"),
        ["한국".chars().collect::<String>(), "국어".to_owned(), "中".to_owned()].map(|pair| {
            let mut folded = String::new();
            super::tokenizer::fold(&pair, &mut folded);
            folded
        })
    );
    assert_eq!(
        plain("get_user HTTPServer don't ERR_X_502"),
        [
            "get_user",
            "get",
            "user",
            "httpserver",
            "http",
            "server",
            "dont",
            "don",
            "t",
            "err_x_502",
            "err",
            "x",
            "502",
        ]
    );
    let english = Tokenizer::new(Some(Language::English)).words("running weaves");
    assert_eq!(english.into_iter().map(|(word, _)| word).collect::<Vec<_>>(), ["run", "weav"]);
    let long = "a".repeat(1_000);
    assert_eq!(plain(&long), ["a".repeat(super::tokenizer::MAX_WORD_BYTES)]);
}

#[test]
fn a_snippet_shows_where_the_words_are() {
    let text = format!(
        "{}The loom weaves a thread, and the thread is long.{}",
        "Nothing here. ".repeat(20),
        " More.".repeat(30)
    );
    let query = TextQuery::parse("loom thread", Syntax::Words, &schema()).expect("it is read");
    let options = SnippetOptions { letters: 60 };
    let snippet = snippet(&text, 1, &query, &Tokenizer::new(None), options).expect("it has the words");
    assert!(snippet.text.chars().count() <= 60, "{}", snippet.text);
    let marked = snippet.marked("[", "]", str::to_owned);
    assert!(marked.contains("The [loom] weaves a [thread]"), "{marked}");
}
