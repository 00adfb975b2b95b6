//! A model that is asked again when it fails.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loomwork_core::{Clock, Random, RetryPolicy};
use tokio_util::sync::CancellationToken;

use crate::opening::Opening;
use crate::term::Term;
use crate::{
    EmbedRequest, EmbeddingModel, Embeddings, Error, Finish, ImageModel, ImageRequest, Images, LanguageModel,
    ModelName, Reply, ReplyStream, Request, Result, SchemaSupport, Settings, Usage,
};

/// The longest wait that a provider may ask for, where the options don't say.
const LONGEST_WAIT_ASKED: Duration = Duration::from_secs(120);

/// A model that is asked again when it fails and [a retry can help](Error::is_retryable).
///
/// It works for language, embedding and image models alike, and is a model of the same sort. The wait that
/// a provider asks for goes before the policy's own. A streamed answer is begun anew only until its first
/// part is handed on; one that is asked for as a whole, until it is complete. A request's time-out spans all
/// attempts, and its `max_retries` goes before the policy's attempts. The model itself is told to make none,
/// so that nothing is tried again twice. What failed attempts used, as far as a provider says, is part of
/// the usage of the answer, or of the error.
///
/// ```
/// use std::sync::Arc;
/// use loomwork_core::{Clock, RetryPolicy, Time};
/// use loomwork_models::{Error, ErrorKind, LanguageModel, Message, MockModel, Request, Retry, RetryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let model = MockModel::new([Error::new(ErrorKind::Overloaded, "mock", "mock", "no room")]);
/// model.push("Here I am.");
///
/// let patient = RetryOptions {
///     policy: RetryPolicy::default().with_attempts(8).with_initial(std::time::Duration::from_millis(1)),
///     ..RetryOptions::default()
/// };
/// let model = Retry::with(Arc::new(model), patient);
/// let reply = model.generate(Request::new([Message::user("Are you there?")])).await?;
/// assert_eq!(reply.text(), "Here I am.");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Retry<M: ?Sized> {
    model: Arc<M>,
    options: RetryOptions,
}

/// How a model is asked again.
///
/// New fields may come; `..RetryOptions::default()` is ready for them.
#[derive(Clone, Debug)]
pub struct RetryOptions {
    /// How often to ask, and how long to wait in between. Default: 5 attempts, from 250 ms on.
    pub policy: RetryPolicy,
    /// The longest wait that a provider may ask for; the call fails at once where it asks for more.
    /// Default: 2 minutes.
    pub longest_wait_asked: Duration,
    /// The clock that waits and deadlines follow. Default: the wall clock.
    pub clock: Clock,
    /// Spreads the waits. Default: the system's randomness.
    pub random: Random,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            policy: RetryPolicy::default(),
            longest_wait_asked: LONGEST_WAIT_ASKED,
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}

impl<M: ?Sized> Retry<M> {
    /// Returns the model with default options.
    pub fn new(model: Arc<M>) -> Self {
        Self::with(model, RetryOptions::default())
    }

    /// Returns the model with these options.
    pub fn with(model: Arc<M>, options: RetryOptions) -> Self {
        Self { model, options }
    }

    /// Makes the attempts of a call. Returns the first success, and what the failures before it used.
    async fn attempts<T, F>(
        &self,
        term: &Term,
        settings: &Settings,
        attempt: impl Fn(Settings) -> F,
    ) -> Result<(T, Usage)>
    where
        F: Future<Output = Result<T>>,
    {
        let policy = self.options.policy;
        let most = settings.max_retries.map_or(policy.attempts, |retries| retries.saturating_add(1));
        let mut spent = Usage::default();
        let mut made = 1;
        loop {
            let settings = Settings { max_retries: Some(0), ..term.settings(settings) };
            let called = term.wait_for_call(attempt(settings)).await;
            let error = match called {
                Ok(Ok(answer)) => return Ok((answer, spent)),
                Ok(Err(error)) => error,
                Err(over) => return Err(over.with_all_usage(&spent)),
            };
            spent.join(error.usage().unwrap_or(&Usage::default()));
            let Some(wait) =
                self.wait_after(&error, made).filter(|wait| made < most && term.has_time_for(*wait))
            else {
                return Err(error.with_all_usage(&spent));
            };
            tracing::debug!(%error, attempt = made, ?wait, "a model failed, asking it again");
            let waited = term.wait(self.options.clock.sleep(wait)).await;
            waited.map_err(|over| over.with_all_usage(&spent))?;
            made += 1;
        }
    }

    /// Returns the wait after so many failed attempts, or nothing where another one cannot help.
    fn wait_after(&self, error: &Error, made: u32) -> Option<Duration> {
        let RetryOptions { policy, longest_wait_asked, random, .. } = &self.options;
        let wait = match error.retry_after() {
            Some(asked) if asked > *longest_wait_asked => return None,
            Some(asked) => asked,
            None => policy.delay(made, random),
        };
        error.is_retryable().then_some(wait)
    }

    fn term(&self, model: &ModelName, settings: &Settings, cancel: &CancellationToken) -> Term {
        Term::new(model, &self.options.clock, settings, cancel)
    }
}

#[async_trait]
impl<M: LanguageModel + ?Sized> LanguageModel for Retry<M> {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    fn schema_support(&self) -> SchemaSupport {
        self.model.schema_support()
    }

    async fn stream(&self, request: Request) -> Result<ReplyStream> {
        let term = self.term(self.model.name(), &request.settings, &request.cancel);
        let attempt = |settings| async {
            let stream = self.model.stream(Request { settings, ..request.clone() }).await?;
            Opening::of(self.model.name(), stream).await
        };
        let (opening, spent) = self.attempts(&term, &request.settings, attempt).await?;
        let of_error = spent.clone();
        let finish = move |finish: &mut Finish| finish.usage.join(&spent);
        Ok(opening.into_stream(finish, move |error| error.with_more_usage(&of_error)))
    }

    async fn generate(&self, request: Request) -> Result<Reply> {
        let term = self.term(self.model.name(), &request.settings, &request.cancel);
        let attempt = |settings| self.model.generate(Request { settings, ..request.clone() });
        let (mut reply, spent) = self.attempts(&term, &request.settings, attempt).await?;
        reply.finish.usage.join(&spent);
        Ok(reply)
    }
}

#[async_trait]
impl<M: EmbeddingModel + ?Sized> EmbeddingModel for Retry<M> {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    fn dimensions(&self) -> Option<usize> {
        self.model.dimensions()
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings> {
        let term = self.term(self.model.name(), &request.settings, &CancellationToken::new());
        let attempt = |settings| self.model.embed(EmbedRequest { settings, ..request.clone() });
        let (mut embeddings, spent) = self.attempts(&term, &request.settings, attempt).await?;
        embeddings.usage.join(&spent);
        Ok(embeddings)
    }
}

#[async_trait]
impl<M: ImageModel + ?Sized> ImageModel for Retry<M> {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    async fn generate(&self, request: ImageRequest) -> Result<Images> {
        let term = self.term(self.model.name(), &request.settings, &CancellationToken::new());
        let attempt = |settings| self.model.generate(ImageRequest { settings, ..request.clone() });
        let (mut images, spent) = self.attempts(&term, &request.settings, attempt).await?;
        images.usage.join(&spent);
        Ok(images)
    }
}
