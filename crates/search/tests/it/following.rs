//! What is derived follows the rows, whatever happens to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loomwork_core::{Clock, Tasks, Time};
use loomwork_models::MockEmbeddings;
use loomwork_search::{COMMIT_DOCS, COMMIT_EVERY, Filter, Index, Query, Search, vectors};
use loomwork_store::engine::Seq;
use loomwork_store::{Store, feed};
use loomwork_testkit::soon;
use tokio::sync::OnceCell;

use super::Bed;
use super::yard::{
    Card, DEADLINE, Note, add, builder, by, embedded, end, found, ids, note, notes, open, open_at, space, start,
    start_embedding,
};

#[tokio::test]
async fn rows_that_were_there_before_are_found() {
    let store = open(&Bed::new()).await;
    let insert = |tx: &mut loomwork_store::Tx| {
        for number in 0..1_200 {
            let id = tx.insert(note(&format!("number{number}"), "wool"))?.id;
            vectors::insert(tx, &space(), id, vec![1.0, number as f32, 0.0])?;
        }
        Ok(())
    };
    store.mutate(insert).await.unwrap();
    let search = start(&store, None).await;
    let new = add(&store, note("fresh", "yarn")).await;
    assert_eq!(found(&search, "fresh").await, [new]);
    assert_eq!(found(&search, "number1199").await.len(), 1);
    assert_eq!(ids(&search, Query { limit: 1_000, ..Query::vector([0.0, 1.0, 0.0]) }).await.len(), 1_000);
    soon(search.filled()).await.unwrap();
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_one_stopped() {
    let (bed, folder) = (Bed::new(), tempfile::tempdir().unwrap());
    let store = open(&bed).await;
    let search = start(&store, Some(folder.path())).await;
    let one = add(&store, note("one", "wool")).await;
    store.mutate(move |tx| vectors::insert(tx, &space(), one, vec![1.0, 0.0, 0.0])).await.unwrap();
    soon(search.filled()).await.unwrap();
    end(search).await;
    let two = add(&store, note("two", "yarn")).await;
    store.mutate(move |tx| tx.update(one, |note| note.body = "silk".into())).await.unwrap();

    let search = start(&store, Some(folder.path())).await;
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
    assert_eq!(found(&search, "yarn").await, [two]);
    assert!(found(&search, "wool").await.is_empty());
    assert_eq!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await, [one]);
    end(search).await;
    store.close().await;
    drop(store);

    let store = open(&bed).await;
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
    assert_eq!(found(&search, "silk").await, [one]);
}

#[tokio::test]
async fn deleting_the_folder_makes_no_call_to_the_model() {
    let (bed, folder) = (Bed::new(), tempfile::tempdir().unwrap());
    let store = open(&bed).await;
    let model = Arc::new(MockEmbeddings::new(16));
    let (search, pool) = start_embedding(&store, Some(folder.path()), &model).await;
    let one = add(&store, note("", "sheep give wool")).await;
    let two = add(&store, note("", "the price of tea")).await;
    embedded(&store, &search).await;
    pool.shutdown(DEADLINE).await.unwrap();
    end(search).await;
    std::fs::remove_dir_all(folder.path().join("notes")).unwrap();

    let calls = model.requests().len();
    let (search, _pool) = start_embedding(&store, Some(folder.path()), &model).await;
    soon(search.filled()).await.unwrap();
    embedded(&store, &search).await;
    assert_eq!(model.requests().len(), calls);
    let vector = search.embed("notes", "sheep give wool").await.unwrap();
    assert_eq!(ids(&search, Query::vector(vector)).await, [one, two]);
}

#[tokio::test]
async fn an_older_folder_is_made_anew() {
    let (bed, folder, copy) = (Bed::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&bed).await;
    let search = start(&store, Some(folder.path())).await;
    let one = add(&store, note("one", "wool")).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    copy_all(folder.path(), copy.path());

    let search = start(&store, Some(folder.path())).await;
    store.mutate(move |tx| tx.delete(one)).await.unwrap();
    let two = add(&store, note("two", "yarn")).await;
    end(search).await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    copy_all(copy.path(), folder.path());

    let search = start(&store, Some(folder.path())).await;
    assert!(found(&search, "wool").await.is_empty());
    assert_eq!(found(&search, "yarn").await, [two]);
}

#[tokio::test]
async fn what_is_unreadable_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&Bed::new()).await;
    let one = add(&store, note("one", "wool")).await;
    store.mutate(move |tx| vectors::insert(tx, &space(), one, vec![1.0, 0.0, 0.0])).await.unwrap();
    let search = start(&store, Some(folder.path())).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    spoil(folder.path());
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(found(&search, "wool").await, [one]);
    assert_eq!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await, [one]);
}

#[tokio::test]
async fn another_declaration_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&Bed::new()).await;
    let one = add(&store, note("one", "wool")).await;
    let search = start(&store, Some(folder.path())).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    let titles = Index::<Note>::new("notes").text("title", |note| note.title.as_str()).version(2);
    let search = builder(&store, Some(folder.path())).index(titles).start().await.unwrap();
    assert_eq!(found(&search, "one").await, [one]);
    assert!(found(&search, "wool").await.is_empty());
}

#[tokio::test]
async fn vectors_of_other_tables_are_nobody_elses() {
    let store = open(&Bed::new()).await;
    let cards = Index::<Card>::new("cards").text("text", |card| card.text.as_str()).vectors(space());
    let search = builder(&store, None).index(notes()).index(cards).start().await.unwrap();
    let one = add(&store, note("one", "wool")).await;
    let card = store.mutate(|tx| Ok(tx.insert(Card { text: "wool".into() })?.id)).await.unwrap();
    store.mutate(move |tx| vectors::insert(tx, &space(), card, vec![1.0, 0.0, 0.0])).await.unwrap();
    assert!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await.is_empty());
    assert_eq!(found(&search, "wool").await, [one]);
    let found = search.find::<Card>("cards", Query::hybrid("wool", [1.0, 0.0, 0.0])).await.unwrap();
    assert_eq!(found.into_iter().map(|hit| hit.row.id).collect::<Vec<_>>(), [card]);
}

#[tokio::test]
async fn the_feed_waits_for_no_index_that_was_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&Bed::new()).await;
    let search = start(&store, Some(folder.path())).await;
    end(search).await;
    assert!(store.query(|tx| feed::position(tx, "search/notes")).await.is_ok());
    store.mutate(|tx| loomwork_search::forget(tx, "notes", "")).await.unwrap();
    assert!(store.query(|tx| feed::position(tx, "search/notes")).await.is_err());
}

#[tokio::test]
async fn a_fill_that_is_interrupted_goes_on_where_it_stopped() {
    const ROWS: usize = 8_000;
    let (store, folder) = (open(&Bed::new()).await, tempfile::tempdir().unwrap());
    let insert = |tx: &mut loomwork_store::Tx| {
        (0..ROWS as u32).try_for_each(|stars| tx.insert(by("ada", stars, "wool")).map(drop))
    };
    store.mutate(insert).await.unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let start = || {
        let read = read.clone();
        let notes = Index::<Note>::new("notes").text("body", |note| note.body.as_str());
        let notes = notes.field("stars", move |note| {
            read.fetch_add(1, Ordering::Relaxed);
            note.stars
        });
        builder(&store, Some(folder.path())).index(notes).start()
    };
    let search = start().await.unwrap();
    // A search reads some rows itself, and says that there are more.
    let found = search.find::<Note>("notes", Query::text("wool ")).await.unwrap();
    assert!(found.filling.is_some_and(|filling| filling.rows < ROWS && filling.of == ROWS));
    end(search).await;
    let first = read.swap(0, Ordering::Relaxed);
    assert!((1..ROWS).contains(&first), "{first}");

    let search = start().await.unwrap();
    soon(search.filled()).await.unwrap();
    assert_eq!(first + read.load(Ordering::Relaxed), ROWS, "each row is read once");
    let all = Query { limit: 1_000, filter: Filter::at_least("stars", 7_500), ..Query::text("wool ") };
    assert_eq!(ids(&search, all).await.len(), 500);
}

/// Waits until the log no longer reaches back to a position.
async fn forgotten(store: &Store, seq: Seq) -> Tasks {
    let tasks = Tasks::new();
    store.start_upkeep(&tasks, feed::upkeep());
    // Nobody is told of it: what is forgotten is no row.
    let trimmed = async {
        while store.query(move |tx| feed::changes(tx, seq, 1)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(trimmed).await;
    tasks
}

#[tokio::test]
async fn a_log_that_was_forgotten_too_far_makes_the_index_anew() {
    // Whoever is open hears of it from the feed. On a clock that stands still, it does not follow by itself.
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let store = open_at(&Bed::new(), clock.clock()).await;
    let search = start(&store, None).await;
    let one = add(&store, note("one", "wool")).await;
    assert_eq!(found(&search, "wool").await, [one]);
    let seen = store.committed();
    let two = add(&store, note("two", "yarn")).await;
    store.mutate(move |tx| tx.delete(one)).await.unwrap();
    let _trimming = forgotten(&store, seen).await;
    assert_eq!(found(&search, "wool yarn").await, [two]);

    // Whoever was closed, and forgotten, sees it when it is opened.
    let (store, folder) = (open(&Bed::new()).await, tempfile::tempdir().unwrap());
    let search = start(&store, Some(folder.path())).await;
    let one = add(&store, note("one", "wool")).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    let seen = store.committed();
    store.mutate(|tx| loomwork_search::forget(tx, "notes", "")).await.unwrap();
    let two = add(&store, note("two", "yarn")).await;
    store.mutate(move |tx| tx.delete(one)).await.unwrap();
    let _trimming = forgotten(&store, seen).await;
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(found(&search, "wool yarn").await, [two]);
}

#[tokio::test]
async fn an_index_that_a_newer_version_wrote_is_made_anew() {
    let (store, folder) = (open(&Bed::new()).await, tempfile::tempdir().unwrap());
    let one = add(&store, note("one", "wool")).await;
    store.mutate(move |tx| vectors::insert(tx, &space(), one, vec![1.0, 0.0, 0.0])).await.unwrap();
    let search = start(&store, Some(folder.path())).await;
    soon(search.filled()).await.unwrap();
    end(search).await;
    let manifest = files(folder.path(), "manifest").remove(0);
    let ours = std::fs::read(&manifest).unwrap();
    let meta = files(folder.path(), "meta.json").remove(0);

    // The version is the first thing in the manifest, and a checksum the last.
    let mut newer = ours[..ours.len() - 4].to_vec();
    newer[0] += 1;
    newer.extend(crc32fast::hash(&newer).to_le_bytes());
    std::fs::write(&manifest, newer).unwrap();
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await, [one]);
    soon(search.filled()).await.unwrap();
    end(search).await;
    assert_eq!(std::fs::read(&manifest).unwrap()[0], ours[0]);

    let text = std::fs::read_to_string(&meta).unwrap();
    let newer = text.replace("\\\"version\\\":2", "\\\"version\\\":3");
    assert_ne!(newer, text);
    std::fs::write(&meta, newer).unwrap();
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(found(&search, "wool").await, [one]);
    assert_eq!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await, [one]);
}

#[tokio::test]
async fn what_has_no_room_in_memory_is_read_from_the_folder() {
    let (store, folder) = (open(&Bed::new()).await, tempfile::tempdir().unwrap());
    let insert = |tx: &mut loomwork_store::Tx| {
        for number in 0..500_u32 {
            let id = tx.insert(by("ada", number, "wool"))?.id;
            vectors::insert(tx, &space(), id, vec![1.0, number as f32 / 100.0, 0.0])?;
        }
        Ok(())
    };
    store.mutate(insert).await.unwrap();
    let search = start(&store, Some(folder.path())).await;
    soon(search.filled()).await.unwrap();
    let queries = [
        Query { exact: true, limit: 50, ..Query::vector([1.0, 2.0, 0.0]) },
        Query { filter: Filter::between("stars", 300, 309), ..Query::vector([1.0, 0.0, 0.0]) },
        Query { filter: Filter::at_least("stars", 100), ..Query::vector([0.0, 1.0, 0.0]) },
    ];
    let mut right = Vec::new();
    for query in &queries {
        right.push(ids(&search, query.clone()).await);
    }
    end(search).await;
    let roomy = start(&store, Some(folder.path())).await;
    let of_roomy = roomy.stats()[0].clone();
    assert_eq!((of_roomy.vectors, of_roomy.on_disk), (500, 0));
    end(roomy).await;

    let search = builder(&store, Some(folder.path())).index(notes()).memory(0).start().await.unwrap();
    assert_eq!(search.stats()[0].on_disk, 500);
    assert_eq!(search.stats()[0].bytes + 500 * 3, of_roomy.bytes);
    for (query, right) in queries.into_iter().zip(right) {
        assert_eq!(ids(&search, query).await, right);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_writers_finds_what_it_wrote_while_others_commit() {
    let (store, folder) = (open(&Bed::new()).await, tempfile::tempdir().unwrap());
    let search = start(&store, Some(folder.path())).await;
    let write = async |writer: usize| {
        for round in 0..12 {
            let word = format!("w{writer}r{round}");
            let (title, vector) = (word.clone(), vec![1.0, writer as f32, round as f32]);
            let insert = move |tx: &mut loomwork_store::Tx| {
                let id = tx.insert(note(&title, "wool"))?.id;
                vectors::insert(tx, &space(), id, vector.clone())?;
                Ok(id)
            };
            let id = store.mutate(insert).await.unwrap();
            let text = format!("{word} ");
            assert_eq!(found(&search, &text).await, [id]);
            let near = || Query { limit: 1, ..Query::vector([1.0, writer as f32, round as f32]) };
            assert_eq!(ids(&search, near()).await, [id]);
            match round % 3 {
                0 => {
                    store.mutate(move |tx| tx.delete(id)).await.unwrap();
                    assert!(found(&search, &text).await.is_empty());
                    assert_ne!(ids(&search, near()).await, [id]);
                }
                1 => search.commit().await.unwrap(),
                _ => {
                    store.mutate(move |tx| tx.update(id, |note| note.title = "other".into())).await.unwrap();
                    assert!(found(&search, &text).await.is_empty());
                    assert_eq!(ids(&search, near()).await, [id]);
                }
            }
        }
    };
    tokio::join!(write(0), write(1), write(2), write(3));
}

#[tokio::test]
async fn a_folder_that_can_be_written_again_is_written_again() {
    // The clock stands, so that no commit but those asked for meets a folder on its way.
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let (store, folder) = (open_at(&Bed::new(), clock.clock()).await, tempfile::tempdir().unwrap());
    let search = start(&store, Some(folder.path())).await;
    let one = add(&store, note("one", "wool")).await;
    search.commit().await.unwrap();
    let two = add(&store, note("two", "yarn")).await;
    store.mutate(move |tx| vectors::insert(tx, &space(), two, vec![1.0, 0.0, 0.0])).await.unwrap();
    let (here, away) = (folder.path().join("notes"), folder.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    assert!(soon(search.commit()).await.is_err());
    assert_eq!(found(&search, "yarn").await, [two]);
    if here.exists() {
        std::fs::remove_dir_all(&here).unwrap();
    }
    std::fs::rename(&away, &here).unwrap();
    soon(search.commit()).await.unwrap();
    assert_eq!(search.stats()[0].rows, 2);
    end(search).await;
    let search = start(&store, Some(folder.path())).await;
    assert_eq!(search.progress().await.unwrap()[0].filling, None);
    assert_eq!(found(&search, "one two").await.len(), 2);
    assert_eq!(found(&search, "wool").await, [one]);
    assert_eq!(ids(&search, Query::vector([1.0, 0.0, 0.0])).await, [two]);
}

#[tokio::test]
async fn whoever_was_away_for_long_commits_on_the_way() {
    const ROWS: usize = 6_000;
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let store = open_at(&Bed::new(), clock.clock()).await;
    let (most, search) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceCell::<Search>::new()));
    let (seen, of) = (most.clone(), search.clone());
    let notes = Index::<Note>::new("notes").text("body", |note| note.body.as_str());
    let notes = notes.field("stars", move |note| {
        let pending = of.get().map_or(0, |search| search.stats()[0].pending);
        seen.fetch_max(pending, Ordering::Relaxed);
        note.stars
    });
    let search = search.get_or_init(async || builder(&store, None).index(notes).start().await.unwrap()).await;
    soon(search.filled()).await.unwrap();
    let insert = |tx: &mut loomwork_store::Tx| {
        (0..ROWS as u32).try_for_each(|stars| tx.insert(by("ada", stars, "wool")).map(drop))
    };
    store.mutate(insert).await.unwrap();
    let committed = async {
        while search.stats()[0].rows < ROWS {
            clock.advance(COMMIT_EVERY);
            tokio::task::yield_now().await;
        }
    };
    soon(committed).await;
    let most = most.load(Ordering::Relaxed);
    assert!(most <= 2 * COMMIT_DOCS, "{most} rows waited for a commit");
}

/// The files of a name, wherever in the folder they are.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is at hand") {
        let path = entry.expect("the folder is at hand").path();
        if path.is_dir() {
            all.extend(files(&path, name));
        } else if path.file_name().is_some_and(|of| of == name) {
            all.push(path);
        }
    }
    all
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder is at hand");
    for entry in std::fs::read_dir(from).expect("the folder is at hand") {
        let entry = entry.expect("the folder is at hand");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("the folder is at hand").is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("the folder is at hand");
        }
    }
}

/// Overwrites each file with something else.
fn spoil(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("the folder is at hand") {
        let entry = entry.expect("the folder is at hand");
        if entry.file_type().expect("the folder is at hand").is_dir() {
            spoil(&entry.path());
        } else {
            std::fs::write(entry.path(), "spoilt").expect("the folder is at hand");
        }
    }
}
