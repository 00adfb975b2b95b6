//! Stores opened again with other definitions of their tables.

mod people;

use loomwork_core::Kind;
use loomwork_store::{Error, FILL_STEP, Id, Problem, Result, Store, Table, TableDef, Tx};

use crate::store::{Account, Bench, Note, Place};

use people::{
    clustered, clustered_backwards, compact, detailed, folded, indexed, initials, initials_only, plain,
    redeclared, two_names, unique, unique_and_raised,
};

async fn open(place: &dyn Place, tables: impl IntoIterator<Item = TableDef>) -> Store {
    Bench::open_with(place, |builder| builder.tables(tables)).await.store
}

/// Tries to open a store that has to be refused.
async fn refusal(place: &dyn Place, table: TableDef) -> Error {
    let refused = Store::builder(place.engine()).tables([table]).open().await;
    refused.expect_err("the store is refused")
}

/// Ends a store whose indexes all fit its rows.
async fn close(store: Store) {
    let report = store.check().await.expect("the check runs");
    assert!(report.is_clean(), "{:?}", report.mismatches);
    store.close().await;
}

async fn insert<T: Table>(store: &Store, records: impl IntoIterator<Item = T>) -> Vec<Id<T>> {
    let records: Vec<T> = records.into_iter().collect();
    let inserted = store.mutate(|tx| records.into_iter().map(|record| Ok(tx.insert(record)?.id)).collect());
    inserted.await.expect("the records commit")
}

async fn read<T: Send + 'static>(store: &Store, read: impl Fn(&Tx) -> Result<T> + Send + 'static) -> T {
    store.query(read).await.expect("the query runs")
}

fn plain(name: &str) -> plain::Person {
    plain::Person { name: name.to_owned() }
}

fn indexed(name: &str) -> indexed::Person {
    indexed::Person { name: name.to_owned() }
}

fn names(tx: &Tx) -> Result<Vec<String>> {
    Ok(tx.scan(indexed::Person::by_name.all())?.into_iter().map(|person| person.record.name).collect())
}

fn long_names(tx: &Tx) -> Result<usize> {
    tx.count(indexed::Person::long.all())
}

/// A store is the same one each time it is opened, and counts its openings.
pub async fn each_opening_is_a_new_epoch_of_the_same_store(place: &dyn Place) {
    let mut openings = Vec::new();
    for _ in 0..3 {
        let store = open(place, [Note::table()]).await;
        assert_eq!(read(&store, |tx| Ok(tx.epoch())).await, store.epoch());
        openings.push((store.id(), store.epoch()));
        close(store).await;
    }
    let id = openings[0].0;
    assert_eq!(openings, [(id, 1), (id, 2), (id, 3)]);
}

/// A table that the store has not had yet is entered beside the others.
pub async fn a_new_table_is_entered(place: &dyn Place) {
    let store = open(place, [Note::table()]).await;
    let [note] = insert(&store, [Note::new("a")]).await[..] else { panic!("one note") };
    close(store).await;
    let store = open(place, [Account::table(), Note::table()]).await;
    let [account] = insert(&store, [Account { owner: "ann".to_owned(), balance: 7 }]).await[..] else {
        panic!("one account")
    };
    close(store).await;
    let store = open(place, [Note::table(), Account::table()]).await;
    let found = read(&store, move |tx| Ok((tx.require(note)?.record, tx.require(account)?.balance))).await;
    assert_eq!(found, (Note::new("a"), 7));
    close(store).await;
}

/// A table that this program does not know stays as it is, with its indexes.
pub async fn a_table_of_another_program_stays_untouched(place: &dyn Place) {
    let store = open(place, [Note::table(), indexed::Person::table()]).await;
    insert(&store, ["ben", "ann"].map(indexed)).await;
    close(store).await;
    let store = open(place, [Note::table()]).await;
    insert(&store, [Note::new("a")]).await;
    close(store).await;
    let store = open(place, [indexed::Person::table(), Note::table()]).await;
    assert_eq!(read(&store, names).await, ["ann", "ben"]);
    insert(&store, ["abe"].map(indexed)).await;
    assert_eq!(read(&store, names).await, ["abe", "ann", "ben"]);
    assert_eq!(read(&store, |tx| tx.count(Note::by_slug.all())).await, 1);
    close(store).await;
}

/// An index that is new has every row, more of them than one step of the filling takes.
pub async fn a_new_index_is_filled(place: &dyn Place) {
    let count = 2 * FILL_STEP + 3;
    let store = open(place, [plain::Person::table()]).await;
    insert(&store, (0..count).rev().map(|number| plain(&format!("{number:04}")))).await;
    insert(&store, [plain("a long name")]).await;
    close(store).await;
    let store = open(place, [indexed::Person::table()]).await;
    let mut expected: Vec<_> = (0..count).map(|number| format!("{number:04}")).collect();
    expected.push("a long name".to_owned());
    assert_eq!(read(&store, names).await, expected);
    assert_eq!(read(&store, long_names).await, 1);
    close(store).await;
}

/// An index whose version rose has the keys that its new definition makes, and no older ones.
pub async fn a_changed_index_is_filled_anew(place: &dyn Place) {
    let store = open(place, [indexed::Person::table()]).await;
    insert(&store, ["Zoe", "ann", "Ben"].map(indexed)).await;
    assert_eq!(read(&store, names).await, ["Ben", "Zoe", "ann"]);
    close(store).await;
    let store = open(place, [folded::Person::table()]).await;
    let found = read(&store, |tx| {
        let all = tx.scan(folded::Person::by_name.all())?.into_iter().map(|person| person.record.name);
        Ok((all.collect::<Vec<_>>(), tx.count(folded::Person::by_name.eq("Zoe"))?))
    });
    assert_eq!(found.await, (["ann", "Ben", "Zoe"].map(str::to_owned).to_vec(), 0));
    close(store).await;
}

/// An index that is declared over other parts, or for other rows, is filled anew, also where its
/// version was forgotten.
pub async fn a_redeclared_index_is_filled_anew(place: &dyn Place) {
    let store = open(place, [indexed::Person::table()]).await;
    let ids = insert(&store, ["ba", "ab", "a long name"].map(indexed)).await;
    close(store).await;
    let store = open(place, [redeclared::Person::table()]).await;
    let names = |tx: &Tx| {
        let people = tx.scan(redeclared::Person::by_name.all())?;
        Ok(people.into_iter().map(|person| person.record.name).collect::<Vec<_>>())
    };
    assert_eq!(read(&store, names).await, ["ba", "ab", "a long name"]);
    assert_eq!(read(&store, |tx| tx.count(redeclared::Person::long.all())).await, 0);
    let id = Id::<redeclared::Person>::from_raw(ids[0].raw());
    let moved = store.mutate(move |tx| tx.update(id, |person| person.name = "bz".to_owned()));
    moved.await.expect("the mutation commits");
    assert_eq!(read(&store, names).await, ["ab", "a long name", "bz"]);
    close(store).await;
}

/// An index by which the rows lie together is filled anew as well, also where the new key of one
/// row is the old one of another.
pub async fn a_changed_clustering_index_is_filled_anew(place: &dyn Place) {
    let store = open(place, [clustered::Person::table()]).await;
    let names = ["abc", "cba", "ab", "ba", "x"];
    insert(&store, names.map(|name| clustered::Person { name: name.to_owned() })).await;
    close(store).await;
    let store = open(place, [clustered_backwards::Person::table()]).await;
    let people = read(&store, |tx| tx.scan(clustered_backwards::Person::by_name.all())).await;
    let people: Vec<_> = people.into_iter().map(|person| person.record.name).collect();
    assert_eq!(people, ["ba", "cba", "ab", "abc", "x"]);
    close(store).await;
}

/// An index that the program gave up is dropped, and right again when it comes back after rows
/// have changed, come and gone.
pub async fn an_index_that_comes_back_is_right(place: &dyn Place) {
    let store = open(place, [indexed::Person::table()]).await;
    let ids = insert(&store, ["ann", "ben", "a long name"].map(indexed)).await;
    close(store).await;
    let store = open(place, [plain::Person::table()]).await;
    let [ann, ben] = [ids[0], ids[1]].map(|id| Id::<plain::Person>::from_raw(id.raw()));
    let changed = store.mutate(move |tx| {
        tx.update(ann, |person| person.name = "zoe".to_owned())?;
        tx.delete(ben)?;
        tx.insert(plain("abe"))
    });
    changed.await.expect("the mutation commits");
    close(store).await;
    let store = open(place, [indexed::Person::table()]).await;
    assert_eq!(read(&store, names).await, ["a long name", "abe", "zoe"]);
    assert_eq!(read(&store, long_names).await, 1);
    close(store).await;
}

/// Rows of older record versions are read as today's, from each version, and found by today's keys.
pub async fn older_record_versions_are_upgraded(place: &dyn Place) {
    let store = open(place, [plain::Person::table()]).await;
    insert(&store, ["Ada Lovelace", "Plato"].map(plain)).await;
    close(store).await;
    let store = open(place, [two_names::Person::table()]).await;
    let lovelace = read(&store, |tx| tx.first(two_names::Person::by_name.eq("Lovelace"))).await;
    assert_eq!(lovelace.expect("the key is that of version 2").first, "Ada");
    insert(&store, [two_names::Person { first: "Alan".to_owned(), last: "Turing".to_owned() }]).await;
    close(store).await;
    let store = open(place, [initials::Person::table()]).await;
    let people = read(&store, |tx| tx.scan(initials::Person::by_name.all())).await;
    let people: Vec<_> =
        people.iter().map(|person| (person.initial.as_deref(), person.family.as_str())).collect();
    assert_eq!(people, [(Some("A"), "Lovelace"), (None, "Plato"), (Some("A"), "Turing")]);
    close(store).await;
}

/// A row that is written again is one of today's version: it needs no upgrade any more, and what
/// the upgrade made something else of is gone.
pub async fn an_upgraded_row_is_written_as_todays_version(place: &dyn Place) {
    let store = open(place, [plain::Person::table()]).await;
    insert(&store, ["Ada Lovelace", "Alan Turing"].map(plain)).await;
    close(store).await;
    let store = open(place, [initials::Person::table()]).await;
    let updated = store.mutate(|tx| {
        let ada = tx.first(initials::Person::by_name.eq("Lovelace"))?.expect("she is there");
        tx.update(ada.id, |person| person.family = "King".to_owned())?;
        // Nothing but the version changes here.
        let alan = tx.first(initials::Person::by_name.eq("Turing"))?.expect("he is there");
        tx.update(alan.id, |_| ())
    });
    updated.await.expect("the mutation commits");
    close(store).await;
    let store = open(place, [initials_only::Person::table()]).await;
    let people = read(&store, |tx| tx.scan(initials_only::Person::by_name.all())).await;
    let people: Vec<_> = people.into_iter().map(|person| person.record).collect();
    let person = |family: &str| initials_only::Person {
        initial: Some("A".to_owned()),
        family: family.to_owned(),
        first: None,
        name: None,
    };
    assert_eq!(people, ["King", "Turing"].map(person));
    close(store).await;
}

/// A record version without an upgrade is refused by name, when an index needs the row.
pub async fn a_version_without_an_upgrade_is_refused(place: &dyn Place) {
    let store = open(place, [plain::Person::table()]).await;
    insert(&store, [plain("Plato")]).await;
    close(store).await;
    let error = refusal(place, initials_only::Person::table()).await;
    let problem = error.downcast_ref();
    let Some(Problem::NoUpgrade { table: "people", from: 1, to: 3 }) = problem else { panic!("{error:?}") };
    close(open(place, [plain::Person::table()]).await).await;
}

/// Fields that an older program does not know survive its updates, whatever their values.
pub async fn unknown_fields_survive_an_update(place: &dyn Place) {
    let store = open(place, [detailed::Person::table()]).await;
    let tags = vec!["\"quoted\"".to_owned(), "{}".to_owned(), "ü".to_owned()];
    let person = detailed::Person { name: "ann".to_owned(), born: Some(1815), tags };
    let id = insert(&store, [person.clone()]).await[0];
    close(store).await;
    let store = open(place, [plain::Person::table()]).await;
    let old = Id::<plain::Person>::from_raw(id.raw());
    for name in ["ann k.", "ann king"] {
        let renamed = store.mutate(move |tx| tx.update(old, |person| person.name = name.to_owned()));
        renamed.await.expect("the mutation commits");
    }
    close(store).await;
    let store = open(place, [detailed::Person::table()]).await;
    let found = read(&store, move |tx| Ok(tx.require(id)?.record)).await;
    assert_eq!(found, detailed::Person { name: "ann king".to_owned(), ..person });
    close(store).await;
}

fn check_newer(error: &Error, name: &str, versions: (u32, u32)) {
    let problem = error.downcast_ref();
    let Some(Problem::Newer { what, found, known }) = problem else { panic!("{error:?}") };
    assert!(what.contains(name), "{what}");
    assert_eq!((*found, *known), versions);
    assert_eq!(error.kind(), Kind::Invalid);
}

/// A table that a newer program wrote is refused by name, and stays as it is.
pub async fn a_newer_table_is_refused(place: &dyn Place) {
    let store = open(place, [two_names::Person::table()]).await;
    insert(&store, [two_names::Person { first: "Ada".to_owned(), last: "Lovelace".to_owned() }]).await;
    close(store).await;
    check_newer(&refusal(place, indexed::Person::table()).await, "table `people`", (2, 1));
    let store = open(place, [two_names::Person::table()]).await;
    assert_eq!(read(&store, |tx| tx.count(two_names::Person::by_name.eq("Lovelace"))).await, 1);
    close(store).await;
}

/// An index that a newer program filled is refused by name, and stays as it is.
pub async fn a_newer_index_is_refused(place: &dyn Place) {
    let store = open(place, [folded::Person::table()]).await;
    insert(&store, [folded::Person { name: "Ann".to_owned() }]).await;
    close(store).await;
    check_newer(&refusal(place, indexed::Person::table()).await, "index `people.by_name`", (2, 1));
    let store = open(place, [folded::Person::table()]).await;
    assert_eq!(read(&store, |tx| tx.count(folded::Person::by_name.eq("ann"))).await, 1);
    close(store).await;
}

/// A table whose records would be written in another way is refused, and stays as it is.
pub async fn a_changed_codec_is_refused(place: &dyn Place) {
    let store = open(place, [plain::Person::table()]).await;
    insert(&store, [plain("ann")]).await;
    close(store).await;
    let error = refusal(place, compact::Person::table()).await;
    assert!(matches!(error.downcast_ref(), Some(Problem::BadSchema(_))), "{error:?}");
    assert!(error.to_string().contains("`people`"), "{error}");
    let store = open(place, [plain::Person::table()]).await;
    assert_eq!(read(&store, |tx| tx.count(plain::Person::all())).await, 1);
    close(store).await;
}

/// Rows that break a unique index refuse the store, which stays what it was for the program that
/// wrote it, and opens as asked once the rows fit.
async fn check_refused_by_duplicates(place: &dyn Place, asked: TableDef) {
    let store = open(place, [indexed::Person::table()]).await;
    let ids = insert(&store, ["ann", "ben", "ann"].map(indexed)).await;
    close(store).await;
    let error = refusal(place, asked.clone()).await;
    let problem = error.downcast_ref();
    let Some(Problem::Duplicate { table: "people", index: "by_name", key, id, .. }) = problem else {
        panic!("{error:?}")
    };
    assert_eq!((key.as_str(), *id), ("(\"ann\")", ids[0].raw()));

    let store = open(place, [indexed::Person::table()]).await;
    assert_eq!(read(&store, names).await, ["ann", "ann", "ben"]);
    let third = ids[2];
    let renamed = store.mutate(move |tx| tx.update(third, |person| person.name = "abe".to_owned()));
    renamed.await.expect("the mutation commits");
    close(store).await;
    close(open(place, [asked]).await).await;
}

/// An index that becomes unique is refused while rows share a key; the old program goes on.
pub async fn an_index_becomes_unique_only_over_unique_keys(place: &dyn Place) {
    check_refused_by_duplicates(place, unique::Person::table()).await;
    let store = open(place, [unique::Person::table()]).await;
    let again = store.mutate(|tx| tx.insert(unique::Person { name: "abe".to_owned() })).await;
    let error = again.expect_err("the name is taken");
    assert!(matches!(error.downcast_ref(), Some(Problem::Duplicate { .. })), "{error:?}");
    close(store).await;
}

/// An opening that is refused has not raised a table's version: the old program goes on.
pub async fn a_refused_opening_raises_no_version(place: &dyn Place) {
    check_refused_by_duplicates(place, unique_and_raised::Person::table()).await;
}
