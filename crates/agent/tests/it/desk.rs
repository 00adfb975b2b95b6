//! An agent at work: a runtime in memory, a scripted model and a thread.

use std::sync::Arc;

use loomwork_agent::{Agent, AgentThread, Runtime};
use loomwork_messages::threads::NewThread;
use loomwork_messages::{List, MessageRow, MessageStatus, list};
use loomwork_models::{LanguageModel, MockModel, MockReply};
use loomwork_store::Row;

/// A runtime, and the model that the agents of a test ask.
pub(crate) struct Desk {
    pub(crate) runtime: Runtime,
    pub(crate) model: Arc<MockModel>,
}

impl Desk {
    pub(crate) async fn with(replies: impl IntoIterator<Item = MockReply>) -> Self {
        let runtime = Runtime::memory().await.expect("a store in memory opens");
        Self { runtime, model: Arc::new(MockModel::new(replies)) }
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::new("support", self.model.clone() as Arc<dyn LanguageModel>).instructions("Be helpful.")
    }

    pub(crate) async fn thread(&self, agent: &Agent) -> AgentThread {
        agent.create_thread(&self.runtime, NewThread::for_user("alice")).await.expect("a thread is made")
    }

    /// Returns the messages of a thread, from the first to the last.
    pub(crate) async fn rows(&self, thread: &AgentThread) -> Vec<Row<MessageRow>> {
        let id = thread.id();
        let page = self.runtime.store().query(move |tx| list(tx, id, &List::oldest(1_000))).await;
        page.expect("the thread is listed").messages
    }

    /// Returns who says what, and where it stands.
    pub(crate) async fn said(&self, thread: &AgentThread) -> Vec<(&'static str, String, MessageStatus)> {
        let rows = self.rows(thread).await;
        rows.iter().map(|row| (row.role().as_str(), row.message.text(), row.status)).collect()
    }
}

/// A reply of one text.
pub(crate) fn text(text: &str) -> MockReply {
    MockReply::default().text(text)
}
