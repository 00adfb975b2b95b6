//! Models that stand in for each other.

mod rest;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, TryStreamExt as _};
use loomwork_core::{Clock, Time};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::opening::Opening;
use crate::term::Term;
use crate::{
    Advice, Error, ErrorKind, Finish, ImageModel, ImageRequest, Images, LanguageModel, ModelName, Reply,
    ReplyStream, Request, Result, SchemaSupport, Settings, Usage, Warning, collect,
};
use rest::Rest;

/// The name under which [`Finish::provider_metadata`] lists the models that failed.
const BAG: &str = "fallback";

/// The headers of a call that mean the same to every provider. Any other is meant for the first model: it
/// may hold a key, under whatever name.
const SHARED_HEADERS: [&str; 7] = [
    "accept-language",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-client-request-id",
    "x-correlation-id",
    "x-request-id",
];

/// Models in the order in which they are asked, until one of them answers.
///
/// It works for language and for image models. Embedding models cannot stand in for each other: their
/// vectors mean different things.
///
/// - What counts as a failure is [configurable](FallbackOptions::falls_over). A streamed answer may come
///   from the next model only before its first part; one that is asked for as a whole, until it is complete.
/// - The models may change within a conversation: each provider leaves out what only another one reads,
///   such as signatures and sealed reasoning, when it [prepares](crate::history) its request. Provider options
///   are kept by provider anyway, and of a call's headers only those that mean the same everywhere, such as
///   `traceparent` and `x-request-id`, go to the others.
/// - The reply's info names the model that answered, with a warning for each that failed; what those used
///   is in the finish's metadata under `fallback`. If all fail, the error names each with its cause, and has
///   what all of them used.
/// - A request's time-out spans all of them.
///
/// Its name is that of its first model.
///
/// ```
/// use std::sync::Arc;
/// use loomwork_models::{Error, ErrorKind, Fallback, LanguageModel, Message, MockModel, Request};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let error = Error::new(ErrorKind::Overloaded, "first", "large", "no room");
/// let first = MockModel::new([error]).with_name("first", "large");
/// let second = MockModel::always("Good morning.").with_name("second", "small");
///
/// let model = Fallback::<dyn LanguageModel>::new(Arc::new(first)).or(Arc::new(second));
/// let reply = model.generate(Request::new([Message::user("Good morning!")])).await?;
///
/// assert_eq!(reply.info.provider, "second");
/// assert_eq!(reply.info.warnings[0].what, "model first/large");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Fallback<M: ?Sized> {
    first: Arc<Candidate<M>>,
    others: Vec<Arc<Candidate<M>>>,
    options: FallbackOptions,
}

/// When a model's failure leads to the next one.
///
/// New fields may come; `..FallbackOptions::default()` is ready for them.
#[derive(Clone, Debug)]
pub struct FallbackOptions {
    /// Which errors lead to the next model; others are the call's. Default: those whose
    /// [advice](Error::advice) is not to stop.
    pub falls_over: fn(&Error) -> bool,
    /// The longest wait for a model's first part, so that one that hangs does not use up the call's time.
    /// Default: none, so that only the providers' own time-outs count.
    pub first_part_within: Option<Duration>,
    /// How long a model that failed by its own fault is asked after all others, and longer where its provider
    /// asks for it. Default: it is asked in its place again with the next call.
    pub cool_down: Option<Duration>,
    /// The clock that limits follow. Default: the wall clock.
    pub clock: Clock,
}

impl Default for FallbackOptions {
    fn default() -> Self {
        Self {
            falls_over: |error| error.advice() != Advice::Stop,
            first_part_within: None,
            cool_down: None,
            clock: Clock::system(),
        }
    }
}

/// One of the models.
#[derive(Debug)]
struct Candidate<M: ?Sized> {
    rest: Rest,
    model: Arc<M>,
}

/// The first success, and how it came about.
struct Outcome<T, M: ?Sized> {
    answer: T,
    by: Arc<Candidate<M>>,
    failures: Vec<Error>,
    warnings: Vec<Warning>,
}

impl<M: ?Sized> Fallback<M> {
    /// Returns the model that is asked first.
    pub fn new(first: Arc<M>) -> Self {
        let options = FallbackOptions::default();
        Self { first: Arc::new(Candidate::new(first)), others: Vec::new(), options }
    }

    /// Adds the model that is asked when all before it fail.
    #[must_use]
    pub fn or(mut self, next: Arc<M>) -> Self {
        self.others.push(Arc::new(Candidate::new(next)));
        self
    }

    /// Sets when a model's failure leads to the next one.
    #[must_use]
    pub fn with_options(self, options: FallbackOptions) -> Self {
        Self { options, ..self }
    }

    /// Asks one model after the other.
    async fn ask<T, F>(
        &self,
        term: &Term,
        settings: &Settings,
        call: impl Fn(Arc<M>, Settings) -> F,
    ) -> Result<Outcome<T, M>>
    where
        F: Future<Output = Result<T>>,
    {
        let mut failures: Vec<Error> = Vec::new();
        let mut line = self.line().into_iter();
        while let Some(candidate) = line.next() {
            if !failures.is_empty() && !term.has_time_for(Duration::ZERO) {
                break;
            }
            let settings = self.settings_for(candidate, term.settings(settings));
            let called = term.wait_for_call(call(candidate.model.clone(), settings)).await;
            let error = match called {
                Ok(Ok(answer)) => {
                    let now = self.options.clock.now();
                    let skipped = line.filter_map(|candidate| candidate.rest.cause(now)).map(rests);
                    let warnings = failures.iter().map(failed).chain(skipped).collect();
                    return Ok(Outcome { answer, by: candidate.clone(), failures, warnings });
                }
                Ok(Err(error)) => error,
                Err(over) => return Err(over.with_more_usage(&spent(&failures))),
            };
            candidate.rest.after(&error, &self.options);
            if !(self.options.falls_over)(&error) {
                return Err(error.with_more_usage(&spent(&failures)));
            }
            tracing::debug!(%error, "a model failed, asking the next one");
            failures.push(error);
        }
        Err(all_failed(failures))
    }

    /// Returns the models in the order in which they are asked now: those that are awake, then those that
    /// rest, the first to wake up first.
    fn line(&self) -> Vec<&Arc<Candidate<M>>> {
        let now = self.options.clock.now();
        let mut line: Vec<_> = std::iter::once(&self.first).chain(&self.others).collect();
        line.sort_by_key(|candidate| Some(candidate.rest.until()).filter(|until| *until > now));
        line
    }

    fn settings_for(&self, candidate: &Arc<Candidate<M>>, mut settings: Settings) -> Settings {
        if !Arc::ptr_eq(candidate, &self.first) {
            let is_shared = |name: &str| SHARED_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known));
            settings.headers.retain(|name, _| is_shared(name));
        }
        settings
    }

    /// Waits for a model's first part.
    async fn in_time<T>(&self, model: &ModelName, first_part: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(limit) = self.options.first_part_within else { return first_part.await };
        match select(pin!(first_part), self.options.clock.sleep(limit)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), _)) => {
                let text =
                    format!("no part of an answer came within {limit:?}, the limit `first_part_within`");
                Err(Error::new(ErrorKind::Timeout, &model.provider, &model.model, text))
            }
        }
    }
}

impl<M: ?Sized> Candidate<M> {
    fn new(model: Arc<M>) -> Self {
        Self { model, rest: Rest::default() }
    }
}

#[async_trait]
impl<M: LanguageModel + ?Sized + 'static> LanguageModel for Fallback<M> {
    fn name(&self) -> &ModelName {
        self.first.model.name()
    }

    /// The way that all of the models know.
    fn schema_support(&self) -> SchemaSupport {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.map(|candidate| candidate.model.schema_support()).max().unwrap_or(SchemaSupport::Prompt)
    }

    async fn stream(&self, request: Request) -> Result<ReplyStream> {
        let term = Term::new(self.name(), &self.options.clock, &request.settings, &request.cancel);
        let call = |model: Arc<M>, settings| self.open(model, Request { settings, ..request.clone() });
        let Outcome { mut answer, by, failures, warnings } = self.ask(&term, &request.settings, call).await?;
        answer.info.warnings.splice(0..0, warnings);
        let options = self.options.clone();
        let used = spent(&failures);
        let fail = move |error: Error| error.with_more_usage(&used);
        let stream = answer.into_stream(move |finish| tell(finish, &failures), fail);
        Ok(stream.inspect_err(move |error| by.rest.after(error, &options)).boxed())
    }

    async fn generate(&self, request: Request) -> Result<Reply> {
        let term = Term::new(self.name(), &self.options.clock, &request.settings, &request.cancel);
        let call = |model: Arc<M>, settings| {
            let opening = self.open(model, Request { settings, ..request.clone() });
            async { collect(opening.await?.into_stream(|_| {}, |error| error)).await }
        };
        let Outcome { mut answer, failures, warnings, .. } = self.ask(&term, &request.settings, call).await?;
        answer.info.warnings.splice(0..0, warnings);
        tell(&mut answer.finish, &failures);
        Ok(answer)
    }
}

impl<M: LanguageModel + ?Sized> Fallback<M> {
    async fn open(&self, model: Arc<M>, request: Request) -> Result<Opening> {
        let opening = async { Opening::of(model.name(), model.stream(request).await?).await };
        self.in_time(model.name(), opening).await
    }
}

#[async_trait]
impl<M: ImageModel + ?Sized> ImageModel for Fallback<M> {
    fn name(&self) -> &ModelName {
        self.first.model.name()
    }

    async fn generate(&self, request: ImageRequest) -> Result<Images> {
        let cancel = CancellationToken::new();
        let term = Term::new(self.name(), &self.options.clock, &request.settings, &cancel);
        let call = |model: Arc<M>, settings| {
            let request = ImageRequest { settings, ..request.clone() };
            async move { self.in_time(model.name(), model.generate(request)).await }
        };
        let Outcome { mut answer, warnings, .. } = self.ask(&term, &request.settings, call).await?;
        answer.warnings.splice(0..0, warnings);
        Ok(answer)
    }
}

fn failed(error: &Error) -> Warning {
    warning(error, format!("it failed, so the next model was asked: {}", cause(error)))
}

fn rests((until, error): (Time, Error)) -> Warning {
    warning(&error, format!("it failed before and is asked last until {until}: {}", cause(&error)))
}

fn warning(error: &Error, why: String) -> Warning {
    Warning { what: format!("model {}/{}", error.provider(), error.model()), why }
}

fn cause(error: &Error) -> String {
    format!("{}: {}", error.kind().as_str(), error.message())
}

/// Says in the finish which models failed, and what they used: their tokens have other prices, so they are
/// not part of the answer's usage.
fn tell(finish: &mut Finish, failures: &[Error]) {
    if failures.is_empty() {
        return;
    }
    let failure = |error: &Error| {
        let usage = error.usage().map(|usage| json!(usage));
        let (provider, model, kind) = (error.provider(), error.model(), error.kind().as_str());
        json!({ "provider": provider, "model": model, "kind": kind, "usage": usage })
    };
    let failures: Vec<Value> = failures.iter().map(failure).collect();
    finish.provider_metadata.insert(BAG.to_owned(), json!({ "failed": failures }));
}

/// Returns what failed calls used, for an error that has no other place to tell.
fn spent(failures: &[Error]) -> Usage {
    let mut spent = Usage::default();
    failures.iter().filter_map(Error::usage).for_each(|usage| spent.join(usage));
    spent
}

/// Returns the error of a call that no model answered, with what all of them used. It is of the kind that
/// gives the most hope, since a caller who asks again asks all of them.
fn all_failed(mut failures: Vec<Error>) -> Error {
    let hope = |error: &Error| match error.advice() {
        Advice::Retry => (0, error.retry_after()),
        Advice::Fallback => (1, None),
        Advice::Stop => (2, None),
    };
    let causes: Vec<String> = failures.iter().map(Error::to_string).collect();
    let best = (0..failures.len()).min_by_key(|index| hope(&failures[*index])).unwrap_or_default();
    let spent = spent(&failures);
    let best = failures.swap_remove(best).with_all_usage(&spent);
    match causes.as_slice() {
        [_] => best,
        causes => {
            let text = format!("none of {} models answered: {}", causes.len(), causes.join("; "));
            best.with_message(text)
        }
    }
}
