//! `#[index(..)]`.

use loomwork_store::{Problem, Result, Row, Store, Table, Tx};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "jobs", id = "job")]
#[index(unique by_key(key))]
#[index(waiting(queue, due), when = Self::is_waiting, version = 2)]
#[index(by_day(day: i64 = Job::day, r#type))]
#[index(by_eight(key, queue, due, done, r#type, a: u8 = one, b: Option<u8> = none, c: u8 = one))]
#[index(r#final(done), when = Job::is_done)]
struct Job {
    key: String,
    queue: String,
    due: i64,
    done: bool,
    r#type: Option<String>,
}

impl Job {
    fn new(key: &str, due: i64) -> Self {
        Self { key: key.into(), queue: "mail".into(), due, done: false, r#type: Some("text".into()) }
    }

    fn is_waiting(&self) -> bool {
        !self.done
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn day(&self) -> i64 {
        self.due.div_euclid(100)
    }
}

fn one(_: &Job) -> u8 {
    1
}

fn none(_: &Job) -> Option<u8> {
    None
}

async fn filled() -> Result<Store> {
    let store = Store::memory().tables([Job::table()]).open().await?;
    store
        .mutate(|tx| {
            tx.insert(Job::new("late", 250))?;
            tx.insert(Job { done: true, ..Job::new("done", 120) })?;
            tx.insert(Job { r#type: None, ..Job::new("early", 110) })?;
            tx.insert(Job { queue: "chat".into(), ..Job::new("other", 130) })?;
            Ok(())
        })
        .await?;
    Ok(store)
}

async fn check(read: fn(&Tx) -> Result<Vec<Row<Job>>>, expected: &[&str]) -> Result<()> {
    let jobs = filled().await?.query(read).await?;
    let keys: Vec<_> = jobs.iter().map(|job| job.key.as_str()).collect();
    assert_eq!(keys, expected);
    Ok(())
}

#[test]
fn definitions_say_what_the_attributes_do() {
    let said: Vec<_> = Job::INDEXES.iter().map(|index| (index.name, index.version, index.unique)).collect();
    let expected = [
        ("by_key", 1, true),
        ("waiting", 2, false),
        ("by_day", 1, false),
        ("by_eight", 1, false),
        ("final", 1, false),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_definition_tells_how_its_key_is_made() {
    let declared: Vec<_> = Job::INDEXES.iter().map(|index| index.declared).collect();
    assert_eq!(declared[0], "key: String");
    assert_eq!(declared[1], "queue: String, due: i64; when Self::is_waiting");
    assert_eq!(declared[2], "day: i64 = Job::day, type: Option<String>");
}

#[test]
fn each_constant_is_the_index_of_its_name() {
    let shown = [
        format!("{:?}", Job::by_key),
        format!("{:?}", Job::waiting),
        format!("{:?}", Job::by_day),
        format!("{:?}", Job::by_eight),
        format!("{:?}", Job::r#final),
    ];
    assert_eq!(shown, ["jobs.by_key", "jobs.waiting", "jobs.by_day", "jobs.by_eight", "jobs.final"]);
}

#[tokio::test]
async fn rows_are_sorted_by_the_parts_from_the_left() -> Result<()> {
    check(|tx| tx.scan(Job::by_day.all()), &["early", "done", "other", "late"]).await?;
    check(|tx| tx.scan(Job::waiting.all()), &["other", "early", "late"]).await
}

#[tokio::test]
async fn when_leaves_rows_out() -> Result<()> {
    check(|tx| tx.scan(Job::waiting.eq("mail")), &["early", "late"]).await?;
    check(|tx| tx.scan(Job::r#final.all()), &["done"]).await
}

#[tokio::test]
async fn a_row_enters_and_leaves_a_partial_index_as_it_changes() -> Result<()> {
    let store = filled().await?;
    let waiting = store
        .mutate(|tx| {
            let late = tx.first(Job::by_key.eq("late"))?.expect("it was inserted").id;
            let done = tx.first(Job::by_key.eq("done"))?.expect("it was inserted").id;
            tx.update(late, |job| job.done = true)?;
            tx.update(done, |job| job.done = false)?;
            tx.scan(Job::waiting.eq("mail"))
        })
        .await?;
    let keys: Vec<_> = waiting.iter().map(|job| job.key.as_str()).collect();
    assert_eq!(keys, ["early", "done"]);
    Ok(())
}

#[tokio::test]
async fn a_computed_part_is_what_its_function_returns() -> Result<()> {
    check(|tx| tx.scan(Job::by_day.eq(2)), &["late"]).await?;
    check(|tx| tx.scan(Job::by_day.eq(1).eq("text")), &["done", "other"]).await
}

#[tokio::test]
async fn eight_parts_can_all_be_given() -> Result<()> {
    let last = |tx: &Tx| {
        let six = Job::by_eight.eq("late").eq("mail").eq(250).eq(false).eq("text").eq(1);
        tx.scan(six.eq(None).eq(1))
    };
    check(last, &["late"]).await
}

#[tokio::test]
async fn a_unique_index_refuses_a_second_row_of_a_key() -> Result<()> {
    let store = filled().await?;
    let refused = store.mutate(|tx| tx.insert(Job::new("late", 0))).await;
    let problem = refused.expect_err("the key is taken");
    assert!(matches!(problem.downcast_ref(), Some(Problem::Duplicate { index: "by_key", .. })), "{problem}");
    Ok(())
}
