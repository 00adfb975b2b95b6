//! Language models' answers: from events to chunks, with new attempts until the first part.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use loomwork_core::Sleep;

use super::answer::{Answer, no_json};
use super::retry::Attempts;
use super::watch::Watch;
use super::{Ask, Call, Http, SseEvent};
use crate::{Chunk, Error, ReplyStream, Result, Usage};

/// How long the end of a body is waited for behind the end of its answer, so that the connection can
/// serve again.
const DRAIN: Duration = Duration::from_millis(100);

/// Turns the events of one protocol into chunks: a plain state machine that knows no network.
///
/// It pushes [`Chunk::Finish`] once the answer is complete; what comes behind is not read.
pub(crate) trait ReadEvents: Send + Unpin + 'static {
    /// Reads the head of the answer, before its events.
    fn head(&mut self, headers: BTreeMap<String, String>);

    /// Reads one event.
    fn event(&mut self, event: SseEvent, chunks: &mut VecDeque<Chunk>) -> Result<()>;

    /// Reads the end of the body; an answer that is not complete here is an error.
    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<()>;

    /// Reads an answer that came as one JSON text, since some servers don't stream.
    fn whole(&mut self, body: Bytes, chunks: &mut VecDeque<Chunk>) -> Result<()>;

    /// Hands on what was held back until it could be told what it is, since the answer broke off.
    fn cut(&mut self, _chunks: &mut VecDeque<Chunk>) {}

    /// Returns what the call has used so far, as it is known or else reckoned, for an answer that breaks
    /// off; `None` if nothing of an answer has come.
    fn usage(&self) -> Option<Usage>;
}

impl Http {
    /// Asks for a streamed answer and reads it. Until its first part, a failure is followed by another
    /// attempt, each with a reader of its own.
    pub(crate) async fn stream<R: ReadEvents>(
        &self,
        call: &Call<'_>,
        ask: &Ask<'_>,
        reader: impl Fn() -> R,
    ) -> Result<ReplyStream> {
        let watch = self.watch(call);
        let body = ask.body.encode(&watch)?;
        let mut attempts = Attempts::new(&watch, &self.options.random, call.retries());
        loop {
            let failed = match self.send(&watch, call, ask, &body).await {
                Ok(answer) => match Reading::begin(answer, reader()).await {
                    Ok(reading) => {
                        return Ok(Box::pin(Reading { spent: attempts.into_spent(), ..reading }));
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            attempts.after(failed).await?;
        }
    }
}

/// An answer that is being read.
struct Reading<R> {
    events: Pin<Box<dyn Stream<Item = Result<SseEvent>> + Send>>,
    reader: R,
    chunks: VecDeque<Chunk>,
    /// What goes wrong behind the chunks at hand.
    failure: Option<Error>,
    /// What the attempts before used.
    spent: Usage,
    /// Ends the wait for the end of the body.
    enough: Option<Pin<Box<Sleep>>>,
    watch: Watch,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The answer is complete, the body may not be.
    Finished,
    Ended,
}

impl<R: ReadEvents> Reading<R> {
    fn of(events: impl Stream<Item = Result<SseEvent>> + Send + 'static, reader: R, watch: Watch) -> Self {
        let (events, chunks) = (Box::pin(events), VecDeque::new());
        Self {
            events,
            reader,
            chunks,
            failure: None,
            spent: Usage::default(),
            enough: None,
            watch,
            state: State::Open,
        }
    }

    /// Reads up to the first part, or to the end of an answer without any.
    async fn begin(answer: Answer, mut reader: R) -> Result<Self> {
        reader.head(answer.telling_headers());
        let watch = answer.watch.clone();
        let mut chunks = VecDeque::new();
        // Servers that don't stream answer with JSON, and proxies with web pages, at any wish for events.
        if answer.is("application/json") || answer.is("text/html") {
            let url = answer.url.clone();
            let body = answer.bytes().await?;
            serde_json::from_slice::<serde::de::IgnoredAny>(&body)
                .map_err(|error| no_json(&watch, &url, &body, &error))?;
            let read = reader.whole(body, &mut chunks);
            read.map_err(|error| with_usage(error, &reader))?;
            let reading = Self::of(futures_util::stream::empty(), reader, watch);
            return Ok(Self { chunks, state: State::Ended, ..reading });
        }
        let mut reading = Self::of(answer.events(), reader, watch);
        let is_start = |chunk: &Chunk| matches!(chunk, Chunk::Start(_));
        while reading.state == State::Open && reading.chunks.iter().all(is_start) {
            let event = reading.events.next().await;
            if let Err(error) = reading.read(event) {
                if reading.chunks.iter().all(is_start) {
                    return Err(with_usage(error, &reading.reader));
                }
                reading.fail(error);
            }
        }
        Ok(reading)
    }

    /// Reads what came, an event or the end of the body, and notices the end of the answer.
    fn read(&mut self, event: Option<Result<SseEvent>>) -> Result<()> {
        match event {
            Some(event) => self.reader.event(event?, &mut self.chunks)?,
            None => {
                self.state = State::Ended;
                self.reader.end(&mut self.chunks)?;
            }
        }
        if self.state == State::Open && matches!(self.chunks.back(), Some(Chunk::Finish(_))) {
            self.state = State::Finished;
        }
        Ok(())
    }

    /// Ends the answer with an error, behind the chunks that came before it.
    fn fail(&mut self, error: Error) {
        self.state = State::Ended;
        self.reader.cut(&mut self.chunks);
        self.failure = Some(with_usage(error, &self.reader));
    }

    /// Waits for the end of the body, but not for long.
    fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.events.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let clock = &self.watch.clock;
        self.enough.get_or_insert_with(|| Box::pin(clock.sleep(DRAIN))).as_mut().poll(context)
    }
}

/// Adds what the answer used until it failed, unless the error says so itself.
fn with_usage(error: Error, reader: &impl ReadEvents) -> Error {
    match reader.usage().filter(|_| error.usage().is_none()) {
        Some(usage) => error.with_usage(usage),
        None => error,
    }
}

/// A stream by hand: chunks are large, and a combinator would move the whole reading for each of them.
impl<R: ReadEvents> Stream for Reading<R> {
    type Item = Result<Chunk>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Chunk>>> {
        let reading = &mut *self;
        loop {
            if let Some(mut chunk) = reading.chunks.pop_front() {
                if let Chunk::Finish(finish) = &mut chunk {
                    finish.usage.join(&reading.spent);
                }
                return Poll::Ready(Some(Ok(chunk)));
            }
            match reading.state {
                State::Open => {
                    let event = ready!(reading.events.as_mut().poll_next(context));
                    if let Err(error) = reading.read(event) {
                        reading.fail(error);
                    }
                }
                State::Finished => {
                    ready!(reading.poll_drained(context));
                    reading.state = State::Ended;
                }
                State::Ended => {
                    // What follows an answer is not waited for: this closes its connection, or gives it back.
                    reading.events = Box::pin(futures_util::stream::empty());
                    let failure = reading.failure.take();
                    return Poll::Ready(failure.map(|error| Err(error.with_more_usage(&reading.spent))));
                }
            }
        }
    }
}

/// Reads an answer that is at hand, as it would be read from a connection.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn read_at_hand(body: Vec<Bytes>, reader: impl ReadEvents) -> ReplyStream {
    let (options, settings) = (super::HttpOptions::default(), crate::Settings::default());
    let cancel = tokio_util::sync::CancellationToken::new();
    let term = crate::term::Term::new(&crate::ModelName::new("", ""), &options.clock, &settings, &cancel);
    let call = Call { term: &term, settings: &settings, read_error: |_, _| super::Said::default() };
    let watch = Watch::new(&options, &call);
    let bytes = futures_util::stream::iter(body.into_iter().map(Ok));
    let events = super::events::decode(bytes, watch.clone(), options.max_event_bytes);
    Box::pin(Reading::of(events, reader, watch))
}
