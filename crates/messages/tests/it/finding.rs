use std::sync::Arc;
use std::time::Duration;

use loomwork_messages::edits::{self, NewEdit};
use loomwork_messages::find::{self, Whose};
use loomwork_messages::threads::{self, NewThread, ThreadPatch, Which};
use loomwork_messages::{MessageId, MessagePatch, MessageRow, MessageStatus, ThreadId, fork, last, update};
use loomwork_models::{Message, MockEmbeddings};
use loomwork_search::{Filter, Query, Search, Space, VectorRow, vectors};
use loomwork_store::Id;
use loomwork_testkit::soon;
use loomwork_workpool::Workpool;

use super::house::{House, message, with_status};

const DEADLINE: Duration = Duration::from_secs(20);

async fn titled(house: &House, user: Option<&str>, title: &str) -> ThreadId {
    let new = NewThread {
        user: user.map(str::to_owned),
        title: Some(title.to_owned()),
        tags: vec![title.to_lowercase()],
        ..NewThread::default()
    };
    house.commit(move |tx| Ok(threads::create(tx, new)?.id)).await
}

async fn titles(search: &Search, whose: Whose<'_>, which: Which, words: &str) -> Vec<ThreadId> {
    let hits = soon(find::search_titles(search, whose, which, Query::text(words))).await;
    let mut ids: Vec<_> = hits.expect("the query is right").into_iter().map(|hit| hit.row.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn titles_are_searched_among_those_of_one_user() {
    let house = House::open().await;
    let search = Search::builder(&house.store).in_memory().index(find::titles());
    let search = search.start().await.expect("the search starts");
    let hers = titled(&house, Some("alice"), "Carpets").await;
    let his = titled(&house, Some("bob"), "Carpets").await;
    let anonymous = titled(&house, None, "Carpets").await;
    let away = titled(&house, Some("alice"), "Carpets").await;
    house.commit(move |tx| threads::update(tx, away, ThreadPatch::archive())).await;
    let gone = titled(&house, Some("alice"), "Carpets").await;
    house.commit(move |tx| threads::delete(tx, gone)).await;
    let alice = Whose::User("alice");
    assert_eq!(titles(&search, alice, Which::Active, "carpets").await, [hers]);
    assert_eq!(titles(&search, alice, Which::Archived, "carpets").await, [away]);
    assert_eq!(titles(&search, alice, Which::All, "carpets").await, [hers, away]);
    assert_eq!(titles(&search, Whose::User("bob"), Which::Active, "carpets").await, [his]);
    assert_eq!(titles(&search, Whose::Anonymous, Which::Active, "carpets").await, [anonymous]);
    let everyone = titles(&search, Whose::Everyone, Which::Active, "carpets").await;
    assert_eq!(everyone, [hers, his, anonymous]);
    assert!(titles(&search, alice, Which::Active, "rugs").await.is_empty());
    let renamed = ThreadPatch { title: Some(Some("Rugs".into())), ..ThreadPatch::default() };
    house.commit(move |tx| threads::update(tx, hers, renamed)).await;
    assert_eq!(titles(&search, alice, Which::Active, "rugs").await, [hers]);
    let tagged = Query { filter: Filter::eq("tag", "carpets"), ..Query::text("rugs") };
    let hits = soon(find::search_titles(&search, alice, Which::Active, tagged)).await;
    assert_eq!(hits.expect("the query is right").hits.len(), 1);
    search.shutdown(DEADLINE).await.expect("the search ends");
}

async fn messages(search: &Search, filter: Filter) -> Vec<Id<MessageRow>> {
    let query = Query { filter, ..Query::text("carpets") };
    let hits = soon(search.find::<MessageRow>(find::MESSAGES, query)).await;
    hits.expect("the query is right").into_iter().map(|hit| hit.row.id).collect()
}

#[tokio::test]
async fn a_hidden_message_is_found_in_its_thread_only() {
    let house = House::open().await;
    let search = Search::builder(&house.store).in_memory().embedder(MockEmbeddings::new(4));
    let search = search.index(find::messages()).start().await.expect("the search starts");
    let id = house.thread("alice").await;
    let hidden = house
        .commit(move |tx| {
            let mut row = message(id, 0, 0, "carpets");
            row.hidden = true;
            Ok(tx.insert(row)?.id)
        })
        .await;
    let shown = house.say(id, 1, 0, "carpets of winter").await;
    assert_eq!(messages(&search, Filter::eq("user", "alice")).await, [shown]);
    let mut in_thread = messages(&search, Filter::eq("thread", id)).await;
    in_thread.sort();
    assert_eq!(in_thread, [hidden, shown]);
    let first_turn = Filter::eq("thread", id).and(Filter::at_most("order", 0_i64));
    assert_eq!(messages(&search, first_turn).await, [hidden]);
    search.shutdown(DEADLINE).await.expect("the search ends");
}

#[tokio::test]
async fn only_complete_messages_and_snippets_are_embedded() {
    let house = House::open().await;
    let model = Arc::new(MockEmbeddings::new(4));
    let search = Search::builder(&house.store).in_memory().index(find::messages()).index(find::edits());
    let search = search.embedder_for(find::MESSAGES, model.clone()).embedder_for(find::EDITS, model);
    let search = search.start().await.expect("the search starts");
    let pool = search.bind(Workpool::builder(&house.store)).start().await.expect("the pool starts");
    let id = house.thread("alice").await;
    let said = house.say(id, 0, 0, "carpets").await;
    let edit = house
        .commit(move |tx| {
            for (step, status) in [MessageStatus::Failed, MessageStatus::Pending, MessageStatus::Aborted]
                .into_iter()
                .enumerate()
            {
                tx.insert(with_status(message(id, 1, step as u64, "carpets"), status))?;
            }
            Ok(edits::append(tx, NewEdit::new(id, "a", "replace", "the carpet is red"))?.id)
        })
        .await;
    soon(search.embedded(house.store.committed())).await.expect("all is embedded");
    let vectors = house.read(|tx| tx.scan(VectorRow::by_space.all())).await;
    assert_eq!(vectors.len(), 2);
    assert!(vectors.iter().any(|vector| vector.owner() == Some(said)));
    assert!(vectors.iter().any(|vector| vector.owner() == Some(edit)));
    pool.shutdown(DEADLINE).await.expect("the pool ends");
    search.shutdown(DEADLINE).await.expect("the search ends");
}

#[tokio::test]
async fn a_copied_vector_is_made_anew_when_the_text_of_the_copy_changes() {
    let house = House::open().await;
    let model = Arc::new(MockEmbeddings::new(4));
    let space = Space::of(&*model).expect("four is a length").expect("the model knows its length");
    let search = Search::builder(&house.store).in_memory().index(find::messages());
    let search = search.embedder_for(find::MESSAGES, model).start().await.expect("the search starts");
    let pool = search.bind(Workpool::builder(&house.store)).start().await.expect("the pool starts");
    let id = house.thread("alice").await;
    let said = house.say(id, 0, 0, "carpets").await;
    soon(search.embedded(house.store.committed())).await.expect("all is embedded");
    let copy = house.commit(move |tx| fork::start(tx, id, fork::At::End, fork::Options::default())).await.id;
    let copied = house.read(move |tx| last(tx, copy)).await.expect("it was copied").id;
    let vector = async |of: MessageId| {
        let space = space.clone();
        let row = house.read(move |tx| vectors::of(tx, &space, of)).await;
        row.expect("it has one").vector().to_vec()
    };
    let before = vector(said).await;
    assert_eq!(vector(copied).await, before);
    let patch = MessagePatch { message: Some(Message::user("rugs")), ..MessagePatch::default() };
    house.commit(move |tx| update(tx, copied, patch)).await;
    soon(search.embedded(house.store.committed())).await.expect("all is embedded");
    assert_ne!(vector(copied).await, before);
    assert_eq!(vector(said).await, before);
    pool.shutdown(DEADLINE).await.expect("the pool ends");
    search.shutdown(DEADLINE).await.expect("the search ends");
}

#[tokio::test]
async fn edits_are_found_in_their_thread_by_words_and_by_meaning() {
    let house = House::open().await;
    let model = Arc::new(MockEmbeddings::new(4));
    let search = Search::builder(&house.store).in_memory().index(find::edits());
    let search = search.embedder_for(find::EDITS, model).start().await.expect("the search starts");
    let pool = search.bind(Workpool::builder(&house.store)).start().await.expect("the pool starts");
    let (id, other) = (house.thread("alice").await, house.thread("alice").await);
    let mut edits = Vec::new();
    for (thread, target) in [(id, "headline"), (id, "footer"), (other, "headline")] {
        let edit = NewEdit::new(thread, target, "replace", format!("the {target} tells of carpets"));
        edits.push(house.commit(move |tx| Ok(edits::append(tx, edit)?.id)).await);
    }
    soon(search.embedded(house.store.committed())).await.expect("all is embedded");
    let vector = soon(search.embed(find::EDITS, "the headline tells of carpets")).await;
    let vector = vector.expect("it is embedded");
    for query in [Query::text("carpets"), Query::vector(vector.clone()), Query::hybrid("carpets", vector)] {
        let all = soon(find::search_edits(&search, id, None, query.clone())).await;
        let mut all: Vec<_> = all.expect("the query is right").into_iter().map(|hit| hit.row.id).collect();
        all.sort();
        assert_eq!(all, edits[..2]);
        let footer = soon(find::search_edits(&search, id, Some("footer"), query)).await;
        let footer = footer.expect("the query is right");
        assert_eq!(footer.hits.iter().map(|hit| hit.row.id).collect::<Vec<_>>(), [edits[1]]);
    }
    pool.shutdown(DEADLINE).await.expect("the pool ends");
    search.shutdown(DEADLINE).await.expect("the search ends");
}
