//! Models for tests: they say what a script says, and remember what they were asked.

mod embeddings;
mod gate;
mod images;
mod reply;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loomwork_core::{Clock, Random};

use crate::playback::{Guard, Playback, Step};
use crate::{
    Chunk, Error, ErrorKind, LanguageModel, ModelName, ReplyInfo, ReplyStream, Request, Result, SchemaSupport,
};
pub use embeddings::MockEmbeddings;
pub use gate::Gate;
pub use images::MockImages;
pub use reply::MockReply;

/// A language model that follows a script, one reply for each call.
///
/// ```
/// use loomwork_models::{LanguageModel, Message, MockModel, MockReply, Request};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let model = MockModel::new([
///     MockReply::default().tool_call("call_1", "weather", json!({ "city": "Paris" })),
///     MockReply::from("It is sunny."),
/// ]);
/// let request = Request::new([Message::user("How is the weather in Paris?")]);
///
/// let first = model.generate(request.clone()).await?;
/// assert_eq!(first.tool_calls().next().map(|call| call.name.as_str()), Some("weather"));
/// let second = model.generate(request).await?;
/// assert_eq!(second.text(), "It is sunny.");
/// assert_eq!(model.requests().len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct MockModel {
    name: ModelName,
    schema_support: SchemaSupport,
    clock: Clock,
    script: Script<MockReply>,
    failures: Option<Failures>,
    asked: Mutex<Vec<Request>>,
    dropped: Arc<AtomicUsize>,
}

/// Calls that fail by chance.
struct Failures {
    rate: f64,
    random: Random,
    error: Error,
}

impl MockModel {
    /// Returns a model that gives these replies, one for each call; a call beyond them is an error.
    pub fn new<R: Into<MockReply>>(replies: impl IntoIterator<Item = R>) -> Self {
        Self::of(Script::new(replies.into_iter().map(Into::into)))
    }

    /// Returns a model that gives the same reply to each call.
    pub fn always(reply: impl Into<MockReply>) -> Self {
        Self::of(Script::always(reply.into()))
    }

    fn of(script: Script<MockReply>) -> Self {
        Self {
            name: ModelName::new("mock", "mock"),
            schema_support: SchemaSupport::Tool,
            clock: Clock::system(),
            script,
            failures: None,
            asked: Mutex::default(),
            dropped: Arc::default(),
        }
    }

    /// Sets the provider and the model that it says it is.
    pub fn with_name(self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { name: ModelName::new(provider, model), ..self }
    }

    /// Sets how it gives an answer that fits a schema.
    pub fn with_schema_support(self, schema_support: SchemaSupport) -> Self {
        Self { schema_support, ..self }
    }

    /// Sets the clock on which it waits.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Makes a share of the calls, from 0 to 1, fail before they take a reply from the script.
    pub fn with_failures(self, rate: f64, random: Random, error: Error) -> Self {
        Self { failures: Some(Failures { rate, random, error }), ..self }
    }

    /// Adds a reply to the script.
    pub fn push(&self, reply: impl Into<MockReply>) {
        self.script.push(reply.into());
    }

    /// Returns what it was asked, in the order of the calls.
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.asked).clone()
    }

    /// Returns how many answers were dropped before they had ended.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Acquire)
    }

    fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        Error::new(kind, &self.name.provider, &self.name.model, text)
    }
}

#[async_trait]
impl LanguageModel for MockModel {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn schema_support(&self) -> SchemaSupport {
        self.schema_support
    }

    async fn stream(&self, request: Request) -> Result<ReplyStream> {
        let playback = Playback::new(&self.name, &self.clock, &request);
        locked(&self.asked).push(request);
        if let Some(failures) = &self.failures
            && failures.random.unit() < failures.rate
        {
            return Err(failures.error.clone());
        }
        let reply = self.script.next().map_err(|text| self.error(ErrorKind::BadRequest, text))?;
        let steps = reply.into_steps().map_err(|text| self.error(ErrorKind::BadRequest, text))?;
        let info = ReplyInfo {
            provider: self.name.provider.clone(),
            model: self.name.model.clone(),
            ..ReplyInfo::default()
        };
        // A call that fails at once never began to answer.
        let start = (!matches!(steps.first(), Some(Step::Fail(_)))).then(|| Step::Chunk(Chunk::Start(info)));
        let steps: VecDeque<Step> = start.into_iter().chain(steps).collect();
        Ok(playback.play(steps, Dropped { count: self.dropped.clone(), ended: false }))
    }
}

impl fmt::Debug for MockModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = locked(&self.asked).len();
        formatter.debug_struct("MockModel").field("name", &self.name).field("calls", &calls).finish()
    }
}

/// Counts the answers that were dropped before they had ended.
struct Dropped {
    count: Arc<AtomicUsize>,
    ended: bool,
}

impl Guard for Dropped {
    fn ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        if !self.ended {
            self.count.fetch_add(1, Ordering::Release);
        }
    }
}

/// What a mock does, call by call.
#[derive(Debug)]
struct Script<T> {
    state: Mutex<Calls<T>>,
}

#[derive(Debug)]
struct Calls<T> {
    next: VecDeque<T>,
    otherwise: Option<T>,
    taken: usize,
}

impl<T: Clone> Script<T> {
    fn new(entries: impl IntoIterator<Item = T>) -> Self {
        let calls = Calls { next: entries.into_iter().collect(), otherwise: None, taken: 0 };
        Self { state: Mutex::new(calls) }
    }

    fn always(entry: T) -> Self {
        let calls = Calls { next: VecDeque::new(), otherwise: Some(entry), taken: 0 };
        Self { state: Mutex::new(calls) }
    }

    fn push(&self, entry: T) {
        locked(&self.state).next.push_back(entry);
    }

    fn next(&self) -> Result<T, String> {
        let mut calls = locked(&self.state);
        let next = calls.next.pop_front().or_else(|| calls.otherwise.clone());
        let taken = calls.taken;
        calls.taken += usize::from(next.is_some());
        next.ok_or_else(|| format!("the script is for {taken} calls, and this is one more"))
    }
}

/// A mutex of a mock guards plain data, which is whole even if a test's thread has panicked.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
