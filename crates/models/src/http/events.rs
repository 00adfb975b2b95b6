//! Server-sent events out of the bytes of an answer.
//!
//! `sse-stream` decodes them: of the crates at hand it alone is linear for lines of any length, hands an
//! event on at the line end that completes it, and takes all line ends at any cut. It sets no limit to an
//! event, so the bytes are counted here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use sse_stream::SseByteStream;

use super::watch::Watch;
use crate::{Error, ErrorKind, Result};

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Its type, where it names one.
    pub(crate) event: Option<String>,
    /// Its data; several lines are joined by line feeds.
    pub(crate) data: String,
}

/// Decodes events; those without data are skipped. A stream that ends within an event leaves it out.
pub(super) fn decode(
    bytes: impl Stream<Item = Result<Bytes>> + Send + Unpin,
    watch: Watch,
    max_event_bytes: usize,
) -> impl Stream<Item = Result<SseEvent>> + Send {
    let since_event = Arc::new(AtomicUsize::new(0));
    let counted = Counted { bytes, since_event: since_event.clone(), watch: watch.clone(), max_event_bytes };
    let counted = futures_util::stream::unfold(counted, |mut counted| async move {
        let item = counted.next().await?;
        Some((item, counted))
    });
    SseByteStream::new(Box::pin(counted)).filter_map(move |event| {
        since_event.store(0, Ordering::Relaxed);
        let event = match event {
            Ok(event) => event.data.map(|data| Ok(SseEvent { event: event.event, data })),
            Err(error) => Some(Err(into_error(error, &watch))),
        };
        std::future::ready(event)
    })
}

/// Bytes that end with an error once an event has too many of them.
struct Counted<S> {
    bytes: S,
    since_event: Arc<AtomicUsize>,
    watch: Watch,
    max_event_bytes: usize,
}

impl<S: Stream<Item = Result<Bytes>> + Unpin> Counted<S> {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        let bytes = match self.bytes.next().await? {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(error)),
        };
        // What a chunk held behind its last event is not counted: the limit is exact to one chunk.
        let since_event = self.since_event.fetch_add(bytes.len(), Ordering::Relaxed);
        if since_event > self.max_event_bytes {
            let text = format!(
                "an event is longer than {} bytes, the limit `max_event_bytes`",
                self.max_event_bytes
            );
            return Some(Err(self.watch.error(ErrorKind::Protocol, text)));
        }
        Some(Ok(bytes))
    }
}

fn into_error(error: sse_stream::Error, watch: &Watch) -> Error {
    match error {
        sse_stream::Error::Body(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => watch.error(ErrorKind::Interrupted, error.to_string()),
        },
        error => watch.error(ErrorKind::Protocol, format!("the event stream is no UTF-8: {error}")),
    }
}
