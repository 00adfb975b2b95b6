//! Takes up background responses again that broke off.
//!
//! The provider works on them without a listener and numbers their events, so a broken connection loses
//! nothing: the rest is asked for behind the last number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::reader::{Place, Reader};
use crate::http::{Ask, Body, Call, ReadEvents, SseEvent};
use crate::openai::{Provider, errors};
use crate::term::Term;
use crate::{Chunk, Error, ErrorKind, ReplyStream, Result, Settings, Usage};

/// How often a response is taken up again before its failure counts.
const MAX_RESUMES: u32 = 5;

/// What is asked again: where, and on what terms.
pub(super) struct Asked {
    pub(super) provider: Arc<Provider>,
    pub(super) path: String,
    pub(super) term: Term,
    pub(super) settings: Settings,
}

/// A response that is read over several connections.
pub(super) struct Resuming {
    asked: Asked,
    reader: Shared,
    stream: ReplyStream,
    resumes: u32,
}

impl Resuming {
    /// Asks for a background response and follows it to its end.
    pub(super) async fn stream(
        asked: Asked,
        call: &Call<'_>,
        ask: &Ask<'_>,
        new_reader: impl Fn() -> Reader,
    ) -> Result<ReplyStream> {
        let reader = Shared { reader: Arc::new(Mutex::new(new_reader())), goes_on: false };
        // An attempt that failed before its first part leaves nothing behind in the reader.
        let renewed = || {
            *reader.lock() = new_reader();
            reader.clone()
        };
        let stream = asked.provider.http.stream(call, ask, renewed).await?;
        let resuming = Self { asked, reader, stream, resumes: 0 };
        Ok(Box::pin(futures_util::stream::unfold(Some(resuming), |resuming| async move {
            let mut resuming = resuming?;
            match resuming.next().await? {
                Ok(chunk) => Some((Ok(chunk), Some(resuming))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    async fn next(&mut self) -> Option<Result<Chunk>> {
        loop {
            let failed = match self.stream.next().await {
                Some(Err(error)) => error,
                other => return other,
            };
            let place = self.reader.lock().place().clone();
            let Some(path) = self.rest(&place).filter(|_| self.may_resume(&failed)) else {
                return Some(Err(self.with_usage(failed)));
            };
            self.resumes += 1;
            tracing::debug!(error = %failed, resume = self.resumes, "a background response broke off, taking it up again");
            match self.asked.resume(&path, &self.reader).await {
                Ok(stream) => self.stream = stream,
                Err(error) => return Some(Err(self.with_usage(error))),
            }
        }
    }

    /// Adds what the answer used until it failed, unless the error says so itself.
    fn with_usage(&self, error: Error) -> Error {
        match self.reader.lock().usage().filter(|_| error.usage().is_none()) {
            Some(usage) => error.with_usage(usage),
            None => error,
        }
    }

    fn may_resume(&self, error: &Error) -> bool {
        let is_transport =
            matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Network | ErrorKind::Timeout);
        is_transport && error.is_retryable() && self.resumes < MAX_RESUMES
    }

    /// Returns where the rest of the response is; `None` if the provider did not say what it takes.
    fn rest(&self, place: &Place) -> Option<String> {
        let (id, number) = (place.id.as_ref()?, place.sequence_number?);
        Some(format!("{}/{id}?stream=true&starting_after={number}", self.asked.path))
    }
}

impl Asked {
    /// Asks for the rest of the response, which the same reader reads.
    async fn resume(&self, path: &str, reader: &Shared) -> Result<ReplyStream> {
        let Self { provider, term, settings, .. } = self;
        let call = Call { term, settings, read_error: errors::read };
        let headers = provider.headers();
        let ask = Ask { path, headers: &headers, body: Body::None };
        provider.http.stream(&call, &ask, || Shared { goes_on: true, ..reader.clone() }).await
    }
}

/// A reader that outlives the connection it reads from.
#[derive(Clone)]
struct Shared {
    reader: Arc<Mutex<Reader>>,
    /// Whether it reads what came before already: its usage is that of one answer, however often that
    /// is taken up.
    goes_on: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Reader> {
        // A reader that panicked has no state worth keeping from its successor.
        self.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ReadEvents for Shared {
    fn head(&mut self, headers: BTreeMap<String, String>) {
        self.lock().head(headers);
    }

    fn event(&mut self, event: SseEvent, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        self.lock().event(event, chunks)
    }

    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        self.lock().end(chunks)
    }

    fn whole(&mut self, body: Bytes, chunks: &mut VecDeque<Chunk>) -> Result<()> {
        self.lock().whole(body, chunks)
    }

    fn usage(&self) -> Option<Usage> {
        if self.goes_on { None } else { self.lock().usage() }
    }
}
