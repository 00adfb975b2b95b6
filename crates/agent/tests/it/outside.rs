//! Answers for a user outside of threads, and for nobody.

use std::sync::Arc;

use loomwork_agent::context::{ContextOptions, SearchOptions};
use loomwork_agent::{Agent, AgentThread, Options, Runtime};
use loomwork_messages::threads::NewThread;
use loomwork_messages::{MessageRow, Run, find};
use loomwork_models::{LanguageModel, Message, MockModel, OfflineEmbedder, Usage};
use loomwork_search::Search;
use loomwork_store::{Store, Table as _};
use loomwork_testkit::soon;
use schemars::JsonSchema;
use serde::Deserialize;

use super::desk::{Desk, text};

/// How many messages and runs there are.
async fn stored(runtime: &Runtime) -> (usize, usize) {
    let count = |tx: &loomwork_store::Tx| Ok((tx.count(MessageRow::all())?, tx.count(Run::all())?));
    runtime.store().query(count).await.expect("counted")
}

#[tokio::test]
async fn what_a_user_said_in_their_threads_is_found_outside_of_threads_and_nothing_is_stored() {
    let store = Store::memory().tables(loomwork_agent::tables()).open().await.expect("a store");
    let search = Search::builder(&store).in_memory().index(find::messages());
    let search = search.embedder(OfflineEmbedder::default()).start().await.expect("a search");
    let runtime = Runtime::start(&store).await.expect("a runtime").with_search(search);
    let model = Arc::new(MockModel::always(text("It is blue.")));
    let options = ContextOptions {
        search: SearchOptions { text: true.into(), ..SearchOptions::default() },
        ..ContextOptions::default()
    };
    let agent = Agent::new("support", model.clone() as Arc<dyn LanguageModel>);
    for (user, said) in [("alice", "My carpet is blue."), ("bob", "My carpet is red.")] {
        let thread: AgentThread =
            agent.create_thread(&runtime, NewThread::for_user(user)).await.expect("a thread");
        thread.generate_text(said).await.expect("an answer");
    }
    let agent = agent.context(options);
    let before = stored(&runtime).await;
    let alice = agent.for_user(&runtime, "alice");
    let reply = soon(alice.generate_text("Which colour has my carpet?")).await.expect("an answer");
    let told = model.requests().pop().expect("it was asked").messages;
    let told: Vec<_> = told.iter().map(Message::text).collect();
    assert!(told.iter().any(|told| told == "My carpet is blue."), "{told:?}");
    assert!(told.iter().all(|told| !told.contains("red")), "{told:?}");
    assert!(reply.usage.total() > 0 && reply.stored.is_none());

    let nobody = agent.for_nobody(&runtime);
    let reply = soon(nobody.generate_text("Which colour has my carpet?")).await.expect("an answer");
    let told = model.requests().pop().expect("it was asked").messages;
    assert_eq!(told, [Message::user("Which colour has my carpet?")]);
    assert!(reply.usage.total() > 0 && reply.stored.is_none());
    assert_eq!(stored(&runtime).await, before);
}

#[derive(Deserialize, JsonSchema)]
struct Colour {
    name: String,
}

#[tokio::test]
async fn all_that_is_asked_in_a_thread_can_be_asked_outside_of_one() {
    let colour =
        loomwork_models::MockReply::default().tool_call("1", "Colour", serde_json::json!({ "name": "blue" }));
    let desk = Desk::with([text("Hello."), text("Hello."), colour.clone(), colour]).await;
    let alice = desk.agent().for_user(&desk.runtime, "alice");
    assert_eq!(alice.generate_text("Hi.").await.expect("an answer").text, "Hello.");
    let mut stream = alice.stream_text("Hi.").await.expect("it begins");
    assert_eq!(soon(stream.next_text()).await.as_deref(), Some("Hello."));
    assert_eq!(soon(stream.finish()).await.expect("an answer").stored, None);
    let colour = alice.generate_object::<Colour>("Which?").await.expect("a colour");
    assert_eq!((colour.object.name.as_str(), colour.stored), ("blue", None));
    assert!(colour.usage != Usage::default());
    let mut stream = alice.stream_object::<Colour>("Which?").await.expect("it begins");
    while soon(stream.next()).await.is_some() {}
    assert_eq!(soon(stream.finish()).await.expect("a colour").object.name, "blue");
    let dry = alice.dry_run("Hi.", Options::default()).await.expect("a dry run");
    assert_eq!((dry.thread, dry.user.as_deref()), (None, Some("alice")));
    assert_eq!(stored(&desk.runtime).await, (0, 0));
}
