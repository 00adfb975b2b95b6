//! Models that are asked no faster than their provider allows.

mod bucket;
mod limit;
mod line;
mod told;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use loomwork_core::Clock;
use tokio_util::sync::CancellationToken;

use crate::term::Term;
use crate::{
    Chunk, EmbedRequest, EmbeddingModel, Embeddings, Error, ErrorKind, Estimator, ImageModel, ImageRequest,
    Images, LanguageModel, ModelName, Reply, ReplyStream, Request, Result, SchemaSupport, Settings,
    TokenCounter, Usage,
};
use line::{Line, NoTurn, Running};

/// How many calls may wait, where the options don't say.
const MAX_WAITING: usize = 1_000;

/// The longest wait, where the options don't say.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// How long an answer is expected to be, where neither the request nor the options say.
const EXPECTED_OUTPUT_TOKENS: u64 = 1_000;

/// The limits of an account at a provider. Clones share them, so that several models can keep them together.
///
/// Calls wait in the order in which they came. A limit is a bucket that holds what may pass within a minute
/// and is filled evenly, as most providers have it. The tokens of a call are estimated before it, and put
/// right once its real usage is known. What a provider tells of its own count is heeded too: what it says is
/// left, and how long it wants to be left in peace after it has refused a call.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::sync::Arc;
/// use loomwork_models::{LanguageModel, Message, MockModel, Paced, Pacing, PacingOptions, Request};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let pacing = Pacing::new(PacingOptions {
///     requests_per_minute: NonZeroU32::new(500),
///     tokens_per_minute: NonZeroU32::new(200_000),
///     ..PacingOptions::default()
/// });
/// let small = Paced::new(Arc::new(MockModel::always("Yes.")), &pacing);
/// let large = Paced::new(Arc::new(MockModel::always("It depends.")), &pacing);
///
/// let request = Request::new([Message::user("Is it far?")]);
/// assert_eq!(small.generate(request.clone()).await?.text(), "Yes.");
/// assert_eq!(large.generate(request).await?.text(), "It depends.");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pacing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: PacingOptions,
    line: Line,
}

/// What an account may ask of a provider, and how calls wait for it.
///
/// New fields may come; `..PacingOptions::default()` is ready for them.
#[derive(Clone, Debug)]
pub struct PacingOptions {
    /// The most requests within a minute. Default: no limit.
    pub requests_per_minute: Option<NonZeroU32>,
    /// The most tokens within a minute, those of requests and answers together. Default: no limit.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// The most calls at once; a call ends with its answer, or when that is dropped. Default: no limit.
    pub max_concurrent: Option<NonZeroU32>,
    /// The most calls that wait; one more fails at once. Default: 1,000.
    pub max_waiting: usize,
    /// The longest wait; a call that would have to wait for longer fails. Default: 5 minutes.
    pub max_wait: Duration,
    /// The tokens that an answer is expected to have, where its request sets no limit. Default: 1,000.
    pub expected_output_tokens: u64,
    /// Counts the tokens of requests. Default: [`Estimator`].
    pub counter: Arc<dyn TokenCounter>,
    /// The clock that the limits follow. Default: the wall clock.
    pub clock: Clock,
}

impl Default for PacingOptions {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            max_concurrent: None,
            max_waiting: MAX_WAITING,
            max_wait: MAX_WAIT,
            expected_output_tokens: EXPECTED_OUTPUT_TOKENS,
            counter: Arc::new(Estimator),
            clock: Clock::system(),
        }
    }
}

impl Pacing {
    /// Returns limits, of which nothing is used up.
    pub fn new(options: PacingOptions) -> Self {
        let line = Line::new(&options);
        Self(Arc::new(Shared { options, line }))
    }

    /// Waits for a call's turn.
    async fn turn(&self, term: &Term, tokens: u64) -> Result<Turn> {
        let Shared { options, line } = &*self.0;
        let patience = term.left().map_or(options.max_wait, |left| left.min(options.max_wait));
        let turn = term.wait(line.turn(tokens, patience)).await?;
        let running = turn.map_err(|no_turn| refused(term, options, patience, &no_turn))?;
        Ok(Turn { pacing: self.clone(), running, estimate: tokens })
    }
}

/// Returns the error of a call that got no turn.
fn refused(term: &Term, options: &PacingOptions, patience: Duration, no_turn: &NoTurn) -> Error {
    let (scope, retry_after, text) = match no_turn {
        NoTurn::Full => {
            let most = options.max_waiting;
            ("waiting", None, format!("{most} calls wait for their turn already, the limit `max_waiting`"))
        }
        NoTurn::TooLate { by, wait } => {
            let by = by.map_or_else(|| "the calls before it".to_owned(), |limit| limit.to_string());
            let text = match wait {
                Some(wait) => {
                    format!("{by} holds the call up for {wait:?}, and it may wait for {patience:?}")
                }
                None => {
                    format!("the call has waited for {patience:?} and may wait no longer, held up by {by}")
                }
            };
            (no_turn.scope(), *wait, text)
        }
    };
    term.error(ErrorKind::RateLimited { retry_after, scope: Some(scope.to_owned()) }, text)
}

impl NoTurn {
    fn scope(&self) -> &'static str {
        match self {
            Self::TooLate { by: Some(limit), .. } => limit.scope(),
            Self::Full | Self::TooLate { by: None, .. } => "waiting",
        }
    }
}

/// The turn of one call, from its admission to its end.
struct Turn {
    pacing: Pacing,
    running: Running,
    /// The tokens that were taken for it.
    estimate: u64,
}

impl Turn {
    /// The provider has said in headers what it has left for us.
    fn heard(&self, headers: &BTreeMap<String, String>) {
        let line = &self.pacing.0.line;
        for (bucket, unit) in [(&line.requests, "requests"), (&line.tokens, "tokens")] {
            if let (Some(bucket), Some(left)) = (bucket, told::left(headers, unit)) {
                bucket.leave(left);
            }
        }
    }

    /// The call has ended, and used this. One that does not say so counts as estimated.
    fn ended(&mut self, usage: &Usage) {
        self.running = None;
        if let (Some(tokens), true) = (&self.pacing.0.line.tokens, usage.total() > 0) {
            let used = usage.total();
            tokens.give_back(self.estimate.saturating_sub(used));
            tokens.owe(used.saturating_sub(self.estimate));
            self.estimate = used;
        }
    }

    fn failed(&mut self, error: &Error) {
        self.ended(error.usage().unwrap_or(&Usage::default()));
        if let ErrorKind::RateLimited { retry_after: Some(wait), .. } = error.kind() {
            self.pacing.0.line.pause((*wait).min(self.pacing.0.options.max_wait));
        }
    }

    /// Ends a call that comes whole.
    fn end<T>(mut self, outcome: Result<T>, usage: impl FnOnce(&T) -> &Usage) -> Result<T> {
        match &outcome {
            Ok(answer) => self.ended(usage(answer)),
            Err(error) => self.failed(error),
        }
        outcome
    }

    fn saw(&mut self, chunk: &Result<Chunk>) {
        match chunk {
            Ok(Chunk::Start(info)) => self.heard(&info.headers),
            Ok(Chunk::Finish(finish)) => self.ended(&finish.usage),
            Ok(_) => {}
            Err(error) => self.failed(error),
        }
    }
}

/// A model that is asked no faster than a provider allows.
///
/// It works for language, embedding and image models alike, and is a model of the same sort. A call that gets
/// no turn fails with an error of kind `rate_limited` that names the limit. Put [`Retry`](crate::Retry)
/// around it rather than into it, so that each attempt waits for its turn.
#[derive(Debug)]
pub struct Paced<M: ?Sized> {
    model: Arc<M>,
    pacing: Pacing,
}

impl<M: ?Sized> Paced<M> {
    /// Returns a model that keeps these limits.
    pub fn new(model: Arc<M>, pacing: &Pacing) -> Self {
        Self { model, pacing: pacing.clone() }
    }

    /// Waits for the turn of a call. Returns it with the settings of what is left of the call.
    async fn turn(
        &self,
        model: &ModelName,
        settings: &Settings,
        cancel: &CancellationToken,
        tokens: u64,
    ) -> Result<(Turn, Settings)> {
        let term = Term::new(model, &self.pacing.0.options.clock, settings, cancel);
        let turn = self.pacing.turn(&term, tokens).await?;
        Ok((turn, term.settings(settings)))
    }
}

impl<M: LanguageModel + ?Sized> Paced<M> {
    async fn admit(&self, request: Request) -> Result<(Turn, Request)> {
        let PacingOptions { counter, expected_output_tokens, .. } = &self.pacing.0.options;
        let output = request.settings.max_output_tokens.unwrap_or(*expected_output_tokens);
        let tokens = counter.count_request(&request).saturating_add(output);
        let (turn, settings) =
            self.turn(self.model.name(), &request.settings, &request.cancel, tokens).await?;
        Ok((turn, Request { settings, ..request }))
    }
}

#[async_trait]
impl<M: LanguageModel + ?Sized> LanguageModel for Paced<M> {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    fn schema_support(&self) -> SchemaSupport {
        self.model.schema_support()
    }

    async fn stream(&self, request: Request) -> Result<ReplyStream> {
        let (mut turn, request) = self.admit(request).await?;
        match self.model.stream(request).await {
            Ok(stream) => Ok(stream.inspect(move |chunk| turn.saw(chunk)).boxed()),
            Err(error) => {
                turn.failed(&error);
                Err(error)
            }
        }
    }

    async fn generate(&self, request: Request) -> Result<Reply> {
        let (turn, request) = self.admit(request).await?;
        let reply = self.model.generate(request).await;
        if let Ok(reply) = &reply {
            turn.heard(&reply.info.headers);
        }
        turn.end(reply, Reply::usage)
    }
}

#[async_trait]
impl<M: EmbeddingModel + ?Sized> EmbeddingModel for Paced<M> {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    fn dimensions(&self) -> Option<usize> {
        self.model.dimensions()
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings> {
        let counter = &self.pacing.0.options.counter;
        let tokens = request.texts.iter().map(|text| counter.count(text)).sum();
        let never = CancellationToken::new();
        let (turn, settings) = self.turn(self.model.name(), &request.settings, &never, tokens).await?;
        let embeddings = self.model.embed(EmbedRequest { settings, ..request }).await;
        if let Ok(embeddings) = &embeddings {
            turn.heard(&embeddings.headers);
        }
        turn.end(embeddings, |embeddings| &embeddings.usage)
    }
}

#[async_trait]
impl<M: ImageModel + ?Sized> ImageModel for Paced<M> {
    fn name(&self) -> &ModelName {
        self.model.name()
    }

    async fn generate(&self, request: ImageRequest) -> Result<Images> {
        let tokens = self.pacing.0.options.counter.count(&request.prompt);
        let never = CancellationToken::new();
        let (turn, settings) = self.turn(self.model.name(), &request.settings, &never, tokens).await?;
        let images = self.model.generate(ImageRequest { settings, ..request }).await;
        if let Ok(images) = &images {
            turn.heard(&images.headers);
        }
        turn.end(images, |images| &images.usage)
    }
}
