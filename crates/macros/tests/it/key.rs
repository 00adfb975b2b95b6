//! `derive(Key)`.

use loomwork_store::{Key, KeyError, Result, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pending,
    TimedOut,
    #[key("failed")]
    Broken,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Key)]
struct Slug(String);

#[derive(Clone, Debug, PartialEq, Key)]
struct Deadline {
    r#in: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "runs", id = "run")]
#[index(by_status(status, slug))]
struct Run {
    status: Status,
    slug: Slug,
}

fn written(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.write(&mut bytes).expect("only floats can be refused");
    bytes
}

fn check_text(status: Status, text: &str) {
    let bytes = written(&status);
    assert_eq!(bytes, written(&text.to_owned()));
    assert_eq!(Status::read(&mut bytes.as_slice()), Ok(status));
}

#[test]
fn a_variant_is_stored_as_its_name() {
    check_text(Status::Pending, "pending");
    check_text(Status::TimedOut, "timed_out");
    check_text(Status::Broken, "failed");
}

#[test]
fn reading_moves_behind_the_part() {
    let bytes = [written(&Status::Pending), written(&7_u32)].concat();
    let mut input = bytes.as_slice();
    assert_eq!(Status::read(&mut input), Ok(Status::Pending));
    assert_eq!(u32::read(&mut input), Ok(7));
}

#[test]
fn a_name_that_no_variant_has_is_refused() {
    let bytes = written(&"paused".to_owned());
    let unknown = Status::read(&mut bytes.as_slice());
    assert_eq!(unknown, Err(KeyError::Mismatch { expected: "Status" }));
}

#[test]
fn a_struct_is_stored_as_its_field() {
    let slug = Slug("hello".into());
    assert_eq!(written(&slug), written(&slug.0));
    assert_eq!(Slug::read(&mut written(&slug).as_slice()), Ok(slug));
}

#[test]
fn a_struct_keeps_apart_no_value_and_a_value_without_one() {
    for deadline in [None, Some(Deadline { r#in: None }), Some(Deadline { r#in: Some(-5) })] {
        let bytes = written(&deadline);
        assert_eq!(Option::<Deadline>::read(&mut bytes.as_slice()), Ok(deadline));
    }
}

#[tokio::test]
async fn rows_sort_by_the_stored_names() -> Result<()> {
    let store = Store::memory().tables([Run::table()]).open().await?;
    let (all, failed) = store
        .mutate(|tx| {
            for status in [Status::TimedOut, Status::Pending, Status::Broken] {
                tx.insert(Run { status, slug: Slug("a".into()) })?;
            }
            let failed = tx.scan(Run::by_status.eq(Status::Broken).eq(Slug("a".into())))?;
            Ok((tx.scan(Run::by_status.all())?, failed))
        })
        .await?;
    let order: Vec<_> = all.iter().map(|run| run.status).collect();
    assert_eq!(order, [Status::Broken, Status::Pending, Status::TimedOut]);
    assert_eq!(failed.len(), 1);
    Ok(())
}
