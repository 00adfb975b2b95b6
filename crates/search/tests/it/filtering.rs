//! Filters of every kind and selectivity, against a look at all rows.

use loomwork_core::Random;
use loomwork_search::{Filter, Index, Query, Search, vectors};
use loomwork_store::{Id, Store};

use super::Bed;
use super::yard::{Note, builder, by, hits, open, space};

const ROWS: u32 = 2_000;

/// One of so many rows meets a condition: 0.1, 1, 10 and 50 % of all.
const SHARES: [u32; 4] = [1_000, 100, 10, 2];

/// A filter, and whether a row meets it by its number.
struct Case {
    filter: Filter,
    meets: Box<dyn Fn(u32) -> bool>,
}

fn leaf(of: u32) -> Case {
    Case { filter: Filter::eq(format!("of{of}"), 0), meets: Box::new(move |number| number.is_multiple_of(of)) }
}

/// Every combination of two conditions, with and without their negations.
fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = SHARES.map(leaf).into();
    for one in SHARES {
        for two in SHARES {
            for not in 0..4_u32 {
                let (not_one, not_two) = (not & 1 == 1, not & 2 == 2);
                let signed = |case: Case, not| if not { !case.filter } else { case.filter };
                let both = move || (signed(leaf(one), not_one), signed(leaf(two), not_two));
                let meets = move |number: u32| {
                    (number.is_multiple_of(one) != not_one, number.is_multiple_of(two) != not_two)
                };
                let (first, second) = both();
                let and = Box::new(move |number| meets(number).0 && meets(number).1);
                all.push(Case { filter: first.and(second), meets: and });
                let (first, second) = both();
                let or = Box::new(move |number| meets(number).0 || meets(number).1);
                all.push(Case { filter: first.or(second), meets: or });
            }
        }
    }
    all
}

async fn fill(store: &Store, random: &Random) -> Vec<(Id<Note>, Vec<f32>)> {
    let vector = || (0..3).map(|_| random.unit() as f32 - 0.5).collect::<Vec<f32>>();
    let drawn: Vec<_> = (0..ROWS).map(|_| vector()).collect();
    let insert = move |tx: &mut loomwork_store::Tx| {
        let mut rows = Vec::new();
        for (number, vector) in (0..).zip(drawn) {
            let id = tx.insert(by("ada", number, "wool"))?.id;
            vectors::insert(tx, &space(), id, vector.clone())?;
            rows.push((id, vector));
        }
        Ok(rows)
    };
    store.mutate(insert).await.expect("the notes are written")
}

async fn start(store: &Store) -> Search {
    let notes = Index::<Note>::new("notes").text("body", |note| note.body.as_str()).vectors(space());
    let notes = SHARES
        .iter()
        .fold(notes, |notes, of| notes.field(format!("of{of}"), move |note: &Note| note.stars % of));
    let search = builder(store, None).index(notes).start().await.expect("the search starts");
    search.filled().await.expect("it is filled");
    search
}

#[tokio::test]
async fn every_combination_finds_what_a_look_at_all_rows_finds() {
    let (store, random) = (open(&Bed::new()).await, Random::seeded(5));
    let rows = fill(&store, &random).await;
    let search = start(&store).await;
    for is_committed in [false, true] {
        if is_committed {
            search.commit().await.unwrap();
        }
        for (number, case) in cases().into_iter().enumerate() {
            let meeting = rows.iter().zip(0..).filter(|(_, number)| (case.meets)(*number));
            let mut right: Vec<_> = meeting.map(|((id, vector), _)| (*id, cosine(vector))).collect();
            let text = Query { filter: case.filter.clone(), limit: 1_000, ..Query::text("wool ") };
            let found: Vec<_> = hits(&search, text).await.into_iter().map(|hit| hit.row).collect();
            assert_eq!(found.len(), right.len().min(1_000), "{:?}", case.filter);
            assert!(found.iter().all(|row| (case.meets)(row.stars)), "{:?}", case.filter);

            let exact = number % 2 == 0;
            let near = Query { filter: case.filter.clone(), exact, ..Query::vector([1.0, 0.0, 0.0]) };
            let found = hits(&search, near).await;
            right.sort_by(|one, two| two.1.total_cmp(&one.1));
            right.truncate(10);
            assert_eq!(found.len(), right.len(), "{:?}", case.filter);
            for (hit, right) in found.iter().zip(right) {
                let score = hit.vector.unwrap().score;
                assert!((score - right.1).abs() < 1e-4, "{:?}: {score}, not {}", case.filter, right.1);
            }
        }
    }
}

#[tokio::test]
async fn values_at_the_edges_mean_the_same_before_and_after_a_commit() {
    let store = open(&Bed::new()).await;
    let notes = Index::<Note>::new("notes").text("body", |note| note.body.as_str()).vectors(space());
    let notes = notes.field("author", |note: &Note| note.author.clone());
    let notes = notes.field("most", |note: &Note| i64::MAX - i64::from(note.stars));
    let search = builder(&store, None).index(notes).start().await.unwrap();
    let long = |end: &str| "m".repeat(300) + end;
    let mut rows = Vec::new();
    for (author, stars) in [("a".to_owned(), 0), (long("a"), 1), (long("b"), 2), ("z".to_owned(), 3)] {
        let id = store.mutate(move |tx| {
            let id = tx.insert(by(&author, stars, "wool"))?.id;
            vectors::insert(tx, &space(), id, vec![1.0, 0.0, 0.0])?;
            Ok(id)
        });
        rows.push(id.await.unwrap());
    }
    let beyond = 9_223_372_036_854_775_808.0;
    let cases = [
        (Filter::between("author", "b", "y"), vec![1, 2]),
        (!Filter::between("author", "b", "y"), vec![0, 3]),
        (Filter::at_least("author", "m".repeat(300)), vec![1, 2, 3]),
        (Filter::at_most("author", "m".repeat(299)), vec![0]),
        (Filter::eq("author", long("b")), vec![2]),
        (Filter::between("author", long("a"), long("a")), vec![1]),
        (!Filter::at_least("author", long("b")), vec![0, 1]),
        (Filter::at_least("most", beyond), vec![]),
        (!Filter::at_least("most", beyond), vec![0, 1, 2, 3]),
        (Filter::at_most("most", beyond), vec![0, 1, 2, 3]),
    ];
    for is_committed in [false, true] {
        if is_committed {
            search.commit().await.unwrap();
        }
        for (filter, right) in &cases {
            for query in [Query::text("wool"), Query::vector([1.0, 0.0, 0.0])] {
                let found = hits(&search, Query { filter: filter.clone(), ..query }).await;
                let mut found: Vec<_> = found.into_iter().map(|hit| hit.row.stars).collect();
                found.sort_unstable();
                assert_eq!(found, *right, "{filter:?}, committed: {is_committed}");
            }
        }
    }
}

/// To the vector that is asked for.
fn cosine(vector: &[f32]) -> f32 {
    vector[0] / vector.iter().map(|part| part * part).sum::<f32>().sqrt()
}
