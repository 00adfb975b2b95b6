//! Entries are kept in step with what is outside.

use std::fs;

use futures_util::stream;
use loomwork_models::MockModel;
use loomwork_rag::{Content, FolderOptions, NewEntry, Query, Reader, Step, SyncOptions, Task, entries};
use loomwork_testkit::soon;

use super::yard::{Door, HALL, Yard, model};

fn there(entries: &[(&str, &str)]) -> Vec<loomwork_rag::Result<(NewEntry, Content)>> {
    entries.iter().map(|(key, text)| Ok((NewEntry::key(*key), Content::from(*text)))).collect()
}

#[tokio::test]
async fn a_second_run_is_free_and_what_is_gone_is_deleted() {
    let yard = Yard::open().await;
    yard.key("own", "of somebody else").await;
    let mirror = || SyncOptions { delete_missing: true, ..SyncOptions::of("wiki") };
    let run = async |entries: &[(&str, &str)]| {
        yard.rag.sync(HALL, mirror(), stream::iter(there(entries)), |_: &Step| {}).await.unwrap()
    };
    let first = run(&[("a", "one"), ("b", "two"), ("c", "three")]).await;
    assert_eq!((first.added, first.same, first.deleted), (3, 0, 0));
    let asked = yard.asked();
    let again = run(&[("a", "one"), ("b", "two"), ("c", "three")]).await;
    assert_eq!((again.added, again.same, again.usage.total(), yard.asked()), (0, 3, 0, asked));
    let less = run(&[("a", "one"), ("b", "second")]).await;
    assert_eq!((less.same, less.replaced, less.deleted), (1, 1, 1));
    assert!(yard.texts(Query::words("three")).await.is_empty());
    assert_eq!(yard.texts(Query::words("somebody")).await.len(), 1);
    // What is only to be added leaves the rest alone.
    let only_new = SyncOptions { only_new: true, ..SyncOptions::of("wiki") };
    let added = yard.rag.sync(HALL, only_new, stream::iter(there(&[("a", "changed"), ("d", "four")])), |_: &Step| {});
    let added = added.await.unwrap();
    assert_eq!((added.added, added.same), (1, 1));
    assert_eq!(yard.texts(Query::words("one")).await.len(), 1);
}

#[tokio::test]
async fn one_that_cannot_be_made_stops_no_other_and_nothing_is_deleted_then() {
    let yard = Yard::open().await;
    let mirror = || SyncOptions { delete_missing: true, ..SyncOptions::of("wiki") };
    yard.rag.sync(HALL, mirror(), stream::iter(there(&[("a", "one")])), |_: &Step| {}).await.unwrap();
    let mut entries = there(&[("b", "two")]);
    entries.insert(0, Err(loomwork_rag::Error::Missing { what: "a page", needs: "a server" }));
    entries.push(Ok((NewEntry::default(), "no key".into())));
    entries.push(Ok((NewEntry::key("c").weighing(2.0), "too heavy".into())));
    let synced = yard.rag.sync(HALL, mirror(), stream::iter(entries), |_: &Step| {}).await.unwrap();
    assert_eq!((synced.added, synced.failed.len(), synced.deleted), (1, 3, 0));
    assert_eq!(yard.texts(Query::words("one")).await.len(), 1);
}

#[tokio::test]
async fn a_folder_is_taken_in_and_goes_on_where_it_was_interrupted() {
    let yard = Yard::open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("below/deeper")).unwrap();
    fs::write(path("looms.md"), "# Looms\n\nThey weave.").unwrap();
    fs::write(path("below/table.csv"), "name,year\njacquard,1804\n").unwrap();
    fs::write(path("below/deeper/code.rs"), "fn weave() {}\n").unwrap();
    fs::write(path("below/bad.txt"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(path(".hidden"), "secret").unwrap();
    let run = async |options: FolderOptions| {
        let mut steps = 0;
        let done = yard.rag.add_folder(HALL, folder.path(), options, |_: &Step| steps += 1).await.unwrap();
        (done, steps)
    };
    let (first, steps) = run(FolderOptions::default()).await;
    assert_eq!((first.added, first.failed.len(), steps), (3, 1, 4), "{:?}", first.failed);
    let hall = yard.hall().await.id;
    let entry = yard.store.query(move |tx| entries::by_key(tx, hall, "looms.md")).await.unwrap().unwrap();
    assert_eq!((entry.title.as_deref(), entry.metadata["path"].as_str()), (Some("Looms"), Some("looms.md")));
    assert_eq!(yard.texts(Query::words("jacquard")).await, ["name: jacquard\nyear: 1804"]);
    let asked = yard.asked();
    let (again, _) = run(FolderOptions { endings: vec!["md".into(), "csv".into(), "rs".into()], ..FolderOptions::default() }).await;
    assert_eq!((again.added, again.same, yard.asked()), (0, 3, asked));
    fs::remove_file(path("looms.md")).unwrap();
    fs::remove_file(path("below/bad.txt")).unwrap();
    fs::write(path("below/deeper/code.rs"), "fn weave_again() {}\n").unwrap();
    let (last, _) = run(FolderOptions { delete_missing: true, ..FolderOptions::default() }).await;
    assert_eq!((last.replaced, last.same, last.deleted), (1, 1, 1));
    assert!(yard.texts(Query::words("looms")).await.is_empty());
    assert!(yard.rag.add_folder(HALL, path("nowhere"), FolderOptions::default(), |_: &Step| {}).await.is_err());
}

#[tokio::test]
async fn equal_files_are_an_entry_each() {
    let yard = Yard::open().await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.txt", "b.txt"] {
        fs::write(folder.path().join(name), "the same text").unwrap();
    }
    let run = async || {
        let entry = NewEntry { dedupe: true, ..NewEntry::default() };
        let options = FolderOptions { delete_missing: true, entry, ..FolderOptions::default() };
        yard.rag.add_folder(HALL, folder.path(), options, |_: &Step| {}).await.unwrap()
    };
    assert_eq!(run().await.added, 2);
    assert_eq!(run().await.same, 2);
    fs::remove_file(folder.path().join("a.txt")).unwrap();
    let last = run().await;
    assert_eq!((last.same, last.deleted), (1, 1));
    let found = yard.find(Query::words("same")).await;
    assert_eq!(found.entries.len(), 1);
    assert_eq!(found.entries[0].entry.metadata["path"], "b.txt");
}

#[tokio::test]
async fn an_entry_of_another_key_keeps_what_is_said_of_it() {
    let yard = Yard::open().await;
    let mine = yard.add(NewEntry::key("mine").titled("Mine"), "north").await;
    let new = NewEntry { dedupe: true, ..NewEntry::key("yours").titled("Yours") };
    let same = yard.add(new, "north").await;
    assert_eq!((same.created, same.entry.id), (false, mine.entry.id));
    assert_eq!(yard.entry(mine.entry.id).await.title.as_deref(), Some("Mine"));
}

#[tokio::test]
async fn what_another_run_adds_meanwhile_stays() {
    let yard = Yard::open().await;
    let mirror = || SyncOptions { delete_missing: true, ..SyncOptions::of("wiki") };
    yard.rag.sync(HALL, mirror(), stream::iter(there(&[("a", "one")])), |_: &Step| {}).await.unwrap();
    let door = Door::default();
    let listed = vec![Ok((NewEntry::key("b"), door.stream(200, "listed", 150)))];
    let slow = yard.rag.sync(HALL, mirror(), stream::iter(listed), |_: &Step| {});
    let beside = async {
        door.reached().await;
        let others = there(&[("c", "three")]);
        yard.rag.sync(HALL, SyncOptions::of("wiki"), stream::iter(others), |_: &Step| {}).await.unwrap();
        door.open();
    };
    let (synced, ()) = tokio::join!(soon(slow), soon(beside));
    assert_eq!(synced.unwrap().deleted, 1);
    assert_eq!(yard.texts(Query::words("three")).await, ["three"]);
}

#[tokio::test]
async fn what_nothing_reads_is_skipped_and_a_failure_says_which_file_it_is() {
    let yard = Yard::open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("gone.txt"), "it goes").unwrap();
    fs::write(path("bad.txt"), "fine at first").unwrap();
    fs::write(path("moth.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    fs::write(path("all.zip"), b"PK\x03\x04\x14\0\0\0\x08\0\xff\xfe").unwrap();
    let film = fs::File::create(path("film.mp4")).unwrap();
    film.set_len(1 << 40).unwrap();
    let run = async || {
        let options = FolderOptions { delete_missing: true, ..FolderOptions::default() };
        yard.rag.add_folder(HALL, folder.path(), options, |_: &Step| {}).await.unwrap()
    };
    let first = run().await;
    assert_eq!((first.added, first.skipped, first.failed.len()), (2, 2, 1), "{:?}", first.failed);
    let (key, error) = &first.failed[0];
    assert_eq!(key.as_deref(), Some("film.mp4"));
    assert!(error.to_string().contains("film.mp4 has 1099511627776 bytes"), "{error}");
    fs::remove_file(path("gone.txt")).unwrap();
    fs::write(path("bad.txt"), [0xff, 0xfe]).unwrap();
    let second = run().await;
    assert_eq!((second.deleted, second.failed.len()), (1, 2), "{:?}", second.failed);
    assert_eq!(yard.texts(Query::words("fine")).await.len(), 1);
    assert!(yard.texts(Query::words("goes")).await.is_empty());
}

#[tokio::test]
async fn a_folder_that_was_interrupted_goes_on_and_embeds_nothing_twice() {
    let yard = Yard::open().await;
    let folder = tempfile::tempdir().unwrap();
    let words = |file: usize| (0..40).map(move |at| format!("Paragraph {at} of file {file}.\n\n{}", "word ".repeat(180)));
    for file in 0..12 {
        let text: Vec<String> = words(file).collect();
        fs::write(folder.path().join(format!("{file}.txt")), text.join("\n\n")).unwrap();
    }
    let steps = std::sync::atomic::AtomicUsize::new(0);
    let first = yard.rag.add_folder(HALL, folder.path(), FolderOptions::default(), |_: &Step| {
        steps.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let some = async {
        while steps.load(std::sync::atomic::Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    };
    // It is dropped in the midst of its work.
    tokio::select! {
        biased;
        () = some => {}
        done = first => panic!("it takes more than three steps: {done:?}"),
    }
    let rest = yard.rag.add_folder(HALL, folder.path(), FolderOptions::default(), |_: &Step| {}).await.unwrap();
    assert!(rest.same >= 3 && rest.added + rest.same == 12, "{rest:?}");
    let (_, chunks, _) = yard.counts().await;
    // What was on its way when it was dropped is asked for again: of four files at most.
    assert!(yard.asked() <= chunks + 4 * chunks / 12, "{} for {chunks}", yard.asked());
}

#[tokio::test]
async fn reading_by_a_model_is_told() {
    let told: std::sync::Arc<std::sync::Mutex<Vec<(Task, u64)>>> = std::sync::Arc::default();
    let heard = told.clone();
    let reader = Reader::default().images(MockModel::new(["A moth."]));
    let yard = Yard::open_with(model(), |builder| {
        builder.reader(reader).on_used(move |_, used| {
            heard.lock().unwrap().push((used.task, used.usage.total()));
            Ok(())
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("moth.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    yard.rag.add_folder(HALL, folder.path(), FolderOptions::default(), |_: &Step| {}).await.unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(told.iter().map(|(task, _)| *task).collect::<Vec<_>>(), [Task::Read, Task::EmbedChunks]);
    assert!(told.iter().all(|(_, tokens)| *tokens > 0), "{told:?}");
}

#[tokio::test]
async fn places_in_a_file_count_the_mark_before_its_text() {
    let yard = Yard::open().await;
    let folder = tempfile::tempdir().unwrap();
    let text = "\u{feff}The loom weaves.";
    fs::write(folder.path().join("marked.txt"), text).unwrap();
    yard.rag.add_folder(HALL, folder.path(), FolderOptions::default(), |_: &Step| {}).await.unwrap();
    let found = yard.find(Query::words("loom")).await;
    let citation = &found.citations()[0];
    let range = citation.place.start.unwrap() as usize..citation.place.end.unwrap() as usize;
    assert_eq!((range.start, &text[range], citation.text.as_str()), (3, "The loom weaves.", "The loom weaves."));
}

#[tokio::test]
async fn what_another_run_adds_stays_though_the_last_publication_is_gone() {
    let yard = Yard::open().await;
    let mirror = || SyncOptions { delete_missing: true, ..SyncOptions::of("wiki") };
    yard.rag.sync(HALL, mirror(), stream::iter(there(&[("a", "one")])), |_: &Step| {}).await.unwrap();
    let last = yard.key("last", "two").await.entry.id;
    let door = Door::default();
    let listed = vec![Ok((NewEntry::key("b"), door.stream(200, "listed", 150)))];
    let slow = yard.rag.sync(HALL, mirror(), stream::iter(listed), |_: &Step| {});
    let beside = async {
        door.reached().await;
        let rag = yard.rag.clone();
        yard.store.mutate(move |tx| rag.delete(tx, last)).await.unwrap();
        yard.rag.gone(last).await.unwrap();
        let others = there(&[("c", "three")]);
        yard.rag.sync(HALL, SyncOptions::of("wiki"), stream::iter(others), |_: &Step| {}).await.unwrap();
        door.open();
    };
    let (synced, ()) = tokio::join!(soon(slow), soon(beside));
    assert_eq!(synced.unwrap().deleted, 1);
    assert_eq!(yard.texts(Query::words("three")).await, ["three"]);
}

#[tokio::test]
async fn a_folder_is_the_same_however_its_path_is_written() {
    let yard = Yard::open().await;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("docs");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.txt"), "the first").unwrap();
    fs::write(folder.join("b.txt"), "the second").unwrap();
    let run = async |path: std::path::PathBuf| {
        let options = FolderOptions { delete_missing: true, ..FolderOptions::default() };
        yard.rag.add_folder(HALL, path, options, |_: &Step| {}).await.unwrap()
    };
    assert_eq!(run(folder.clone()).await.added, 2);
    fs::remove_file(folder.join("a.txt")).unwrap();
    let again = run(folder.join("..").join("docs").join(".")).await;
    assert_eq!((again.same, again.deleted, again.failed.len()), (1, 1, 0));
}

#[tokio::test]
async fn two_folders_in_one_namespace_do_not_touch_what_is_of_the_other() {
    let yard = Yard::open().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, text) in [(&one, "the first readme"), (&two, "the second readme")] {
        fs::write(folder.path().join("README.md"), text).unwrap();
    }
    let run = async |folder: &tempfile::TempDir, prefix: &str, origin: Option<&str>| {
        let options = FolderOptions {
            delete_missing: true,
            prefix: prefix.to_owned(),
            origin: origin.map(str::to_owned),
            ..FolderOptions::default()
        };
        yard.rag.add_folder(HALL, folder.path(), options, |_: &Step| {}).await.unwrap()
    };
    assert_eq!(run(&one, "", None).await.added, 1);
    // A key that is of the other one is left to it, and the run says so.
    let refused = run(&two, "", None).await;
    let why = refused.failed[0].1.to_string();
    assert!(why.contains("README.md") && why.contains(&*one.path().to_string_lossy()), "{why}");
    assert_eq!(run(&two, "two/", None).await.added, 1);
    assert_eq!((run(&one, "", None).await.same, run(&two, "two/", None).await.same), (1, 1));
    assert_eq!(yard.texts(Query::words("readme")).await.len(), 2);
    let entry = yard.find(Query::words("second")).await.entries[0].entry.clone();
    assert_eq!((entry.key.as_deref(), entry.metadata["path"].as_str()), (Some("two/README.md"), Some("README.md")));
    // One that has moved goes on under its former name.
    let moved = tempfile::tempdir().unwrap();
    fs::rename(one.path().join("README.md"), moved.path().join("README.md")).unwrap();
    let origin = format!("folder {}", one.path().canonicalize().unwrap().display());
    assert_eq!(run(&moved, "", Some(&origin)).await.same, 1);
}

#[tokio::test]
async fn what_was_weighed_by_hand_stays_so_unless_somebody_says_otherwise() {
    let yard = Yard::open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    fs::write(&path, "north").unwrap();
    let run = async |importance: Option<f32>| {
        let entry = NewEntry { importance, ..NewEntry::default() };
        let options = FolderOptions { entry, ..FolderOptions::default() };
        yard.rag.add_folder(HALL, folder.path(), options, |_: &Step| {}).await.unwrap()
    };
    run(None).await;
    let id = yard.find(Query::words("north")).await.entries[0].entry.id;
    yard.rag.weigh(id, 0.25).await.unwrap();
    assert_eq!(run(None).await.same, 1);
    fs::write(&path, "northeast").unwrap();
    assert_eq!(run(None).await.replaced, 1);
    let found = yard.find("northeast").await;
    assert_eq!(found.entries[0].entry.importance, 0.25);
    assert!((found.results[0].score - 0.25).abs() < 1e-5);
    assert_eq!(run(Some(1.0)).await.replaced, 1);
    assert_eq!(yard.find("northeast").await.entries[0].entry.importance, 1.0);
}

/// A knowledge base whose images are read by a model, and what it is told of reading them.
async fn reading(says: &'static str) -> (Yard, std::sync::Arc<std::sync::Mutex<Vec<u64>>>) {
    let told: std::sync::Arc<std::sync::Mutex<Vec<u64>>> = std::sync::Arc::default();
    let heard = told.clone();
    let yard = Yard::open_with(model(), |builder| {
        builder.reader(Reader::default().images(MockModel::always(says))).on_used(move |_, used| {
            if used.task == Task::Read {
                assert_eq!(used.namespaces, [HALL]);
                heard.lock().expect("nobody panics").push(used.usage.total());
            }
            Ok(())
        })
    })
    .await;
    (yard, told)
}

#[tokio::test]
async fn what_a_model_read_is_kept_until_it_is_an_entry() {
    let (yard, told) = reading("A moth.").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("moth.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    let run = async || yard.rag.add_folder(HALL, folder.path(), FolderOptions::default(), |_: &Step| {}).await.unwrap();
    let hot = || loomwork_models::Error::new(loomwork_models::ErrorKind::BadRequest, "mock", "mock", "too hot");
    for _ in 0..2 {
        yard.model.fail_next(hot());
        assert_eq!(run().await.failed.len(), 1);
    }
    assert_eq!((run().await.added, told.lock().unwrap().len()), (1, 1));
    assert_eq!(yard.texts(Query::words("moth")).await, ["A moth."]);
    // Then it is forgotten: whoever wants it read anew gets that.
    let hall = yard.hall().await.id;
    yard.rag.delete_by_key(hall, "moth.png", None).await.unwrap();
    assert_eq!((run().await.added, told.lock().unwrap().len()), (1, 2));
    yard.rag.delete_namespace(hall).await.unwrap();
}

#[tokio::test]
async fn a_model_that_says_nothing_of_an_image_is_paid() {
    let (yard, told) = reading(" ").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("moth.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    let done = yard.rag.add_folder(HALL, folder.path(), FolderOptions::default(), |_: &Step| {}).await.unwrap();
    assert_eq!(done.failed[0].0.as_deref(), Some("moth.png"));
    let why = done.failed[0].1.to_string();
    assert!(why.contains("says nothing of an image"), "{why}");
    let told = told.lock().unwrap().clone();
    assert!(told.len() == 1 && told[0] > 0, "{told:?}");
}
