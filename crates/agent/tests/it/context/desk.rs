//! A store with threads that are talked in.

use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::context::{Asked, Context, ContextError, ContextValues, Given, Piece, Shape, build};
use loomwork_core::{Clock, ManualClock, Random, Time};
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{
    MessageId, MessageRow, MessageStatus, NewMessage, Place, Save, ThreadId, find, save,
};
use loomwork_models::{
    ApprovalRequest, ApprovalResponse, EmbeddingModel, Message, OfflineEmbedder, Part, Role, ToolCall,
    ToolResult,
};
use loomwork_search::Search;
use loomwork_store::{Memory, Result, Row, Store, Tx};
use loomwork_testkit::{Begun, Tallied, soon};
use loomwork_workpool::Workpool;
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(20);

/// A store, and a thread of Ada's.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) thread: ThreadId,
    pub(crate) begun: Arc<Begun>,
    pub(crate) clock: ManualClock,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
        let (engine, begun) = Tallied::over(Memory::new());
        let builder = Store::builder(engine).clock(clock.clock()).random(Random::seeded(1));
        let tables = builder.tables(loomwork_messages::tables()).tables(loomwork_search::tables());
        let store = tables.tables(loomwork_workpool::tables()).open().await.expect("the store opens");
        let thread = store.mutate(|tx| Ok(threads::create(tx, NewThread::for_user("ada"))?.id)).await;
        Self { store, thread: thread.expect("a thread"), begun, clock }
    }

    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.store.mutate(change).await.expect("the mutation commits")
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static,
    ) -> T {
        self.store.query(query).await.expect("the query succeeds")
    }

    pub(crate) async fn thread(&self, user: &str, title: &str) -> ThreadId {
        let new = NewThread { title: Some(title.to_owned()), ..NewThread::for_user(user) };
        self.commit(move |tx| Ok(threads::create(tx, new)?.id)).await
    }

    pub(crate) async fn save(&self, what: impl Into<Save>) -> Vec<Row<MessageRow>> {
        self.save_in(self.thread, what).await
    }

    pub(crate) async fn save_in(&self, thread: ThreadId, what: impl Into<Save>) -> Vec<Row<MessageRow>> {
        let what = what.into();
        self.commit(move |tx| save(tx, thread, what)).await
    }

    /// Saves turns of a question and an answer.
    pub(crate) async fn turns(&self, turns: std::ops::Range<usize>) {
        let turns = turns.flat_map(|n| [user(&format!("q{n}")), assistant(&format!("a{n}"))]);
        self.save(Save::all(turns)).await;
    }

    pub(crate) fn asked(&self, values: ContextValues) -> Asked {
        Asked::thread(self.thread).with(values)
    }

    pub(crate) fn answering(&self, prompt: MessageId, values: ContextValues) -> Asked {
        Asked::answering(self.thread, prompt).with(values)
    }

    /// Builds a context without a search.
    pub(crate) async fn context(&self, asked: &Asked, given: Given) -> Context {
        build(&self.store, None, asked, given, &Shape::default()).await.expect("the context is built")
    }

    pub(crate) async fn refused(&self, asked: &Asked) -> ContextError {
        let refused = build(&self.store, None, asked, Given::default(), &Shape::default()).await;
        refused.expect_err("it is refused")
    }

    /// Starts to search, by words and by vectors.
    pub(crate) async fn library(&self) -> Library {
        self.library_with(Arc::new(OfflineEmbedder::default())).await
    }

    pub(crate) async fn library_with(&self, model: Arc<dyn EmbeddingModel>) -> Library {
        let search = Search::builder(&self.store).in_memory().index(find::messages()).index(find::edits());
        let search = search.embedder_for(find::MESSAGES, model.clone()).embedder_for(find::EDITS, model);
        let search = search.start().await.expect("the search starts");
        let pool = search.bind(Workpool::builder(&self.store)).start().await.expect("the pool starts");
        Library { desk: self.clone(), search, pool }
    }
}

/// A search over a desk.
pub(crate) struct Library {
    pub(crate) desk: Desk,
    pub(crate) search: Search,
    pool: Workpool,
}

impl Library {
    /// Waits until all is found by its vector.
    pub(crate) async fn ready(&self) {
        soon(self.search.embedded(self.desk.store.committed())).await.expect("all is embedded");
    }

    pub(crate) async fn context(&self, asked: &Asked, given: Given) -> Context {
        let shape = Shape::default();
        let built = build(&self.desk.store, Some(&self.search), asked, given, &shape);
        soon(built).await.expect("the context is built")
    }

    pub(crate) async fn close(self) {
        self.pool.shutdown(DEADLINE).await.expect("the pool ends");
        self.search.shutdown(DEADLINE).await.expect("the search ends");
    }
}

pub(crate) fn recent(recent: usize) -> ContextValues {
    ContextValues { recent, ..ContextValues::default() }
}

pub(crate) fn user(text: &str) -> NewMessage {
    Message::user(text).into()
}

pub(crate) fn assistant(text: &str) -> NewMessage {
    Message::assistant(text).into()
}

pub(crate) fn with_status(status: MessageStatus, text: &str) -> NewMessage {
    NewMessage { status, ..assistant(text) }
}

pub(crate) fn call(id: &str) -> Part {
    Part::tool_call(id, "look", json!({}))
}

pub(crate) fn asks(id: &str) -> Part {
    Part::ApprovalRequest(ApprovalRequest {
        id: format!("ask {id}"),
        call: id.to_owned(),
        ..ApprovalRequest::default()
    })
}

pub(crate) fn answer(id: &str, approved: bool) -> Part {
    Part::ApprovalResponse(ApprovalResponse {
        id: format!("ask {id}"),
        approved,
        ..ApprovalResponse::default()
    })
}

pub(crate) fn result(id: &str) -> Part {
    let call = ToolCall { id: id.to_owned(), name: "look".to_owned(), ..ToolCall::default() };
    Part::ToolResult(ToolResult::new(&call, "seen".to_owned()))
}

pub(crate) fn says(role: Role, parts: impl IntoIterator<Item = Part>) -> NewMessage {
    Message::new(role, parts).into()
}

/// Puts messages into the turn of a prompt.
pub(crate) fn reply<M: Into<NewMessage>>(prompt: MessageId, messages: impl IntoIterator<Item = M>) -> Save {
    Save::all(messages).at(Place::Reply(prompt))
}

/// Returns where each piece comes from, and what it says.
pub(crate) fn told(context: &Context) -> Vec<(&'static str, String)> {
    context.pieces.iter().map(|piece| (piece.origin.name(), said(piece))).collect()
}

/// Returns what the pieces say.
pub(crate) fn texts(context: &Context) -> Vec<String> {
    context.pieces.iter().map(said).collect()
}

pub(crate) fn said(piece: &Piece) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.text.clone(),
        Part::ToolCall(call) => format!("call {}", call.id),
        Part::ToolResult(result) => format!("result {}", result.call),
        Part::ApprovalRequest(request) => request.id.clone(),
        Part::ApprovalResponse(response) => format!("{} {}", response.id, response.approved),
        part => part.type_name().to_owned(),
    };
    piece.message.parts.iter().map(part).collect::<Vec<_>>().join(", ")
}
