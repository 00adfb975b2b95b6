//! Events of a server, which go on when their connection does not.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use loomwork_core::{Clock, Kind};
use reqwest::{RequestBuilder, header};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};

use super::server::{ServerDoor, told};
use crate::error::{Error, Result};

/// How long to wait before a stream that was cut is taken up again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often in a row a stream is taken up again before that is given up.
const MOST_AGAIN: u32 = 30;

struct Events {
    door: ServerDoor,
    request: RequestBuilder,
    /// The id of the last event.
    last: Option<String>,
    open: Option<BoxStream<'static, Result<Sse, sse_stream::Error>>>,
    /// How often in a row nothing came.
    tries: u32,
    clock: Clock,
}

/// Follows events: their names, and what they say. A stream that is cut is taken up where it was.
pub(super) fn follow(
    door: ServerDoor,
    request: RequestBuilder,
) -> BoxStream<'static, Result<(String, Value)>> {
    let start = Events { door, request, last: None, open: None, tries: 0, clock: Clock::system() };
    let events = unfold(Some(start), |events| async move {
        let mut events = events?;
        match events.next().await {
            Ok(event) => Some((Ok(event), Some(events))),
            Err(error) => Some((Err(error), None)),
        }
    });
    events.boxed()
}

impl Events {
    async fn next(&mut self) -> Result<(String, Value)> {
        loop {
            let Some(open) = &mut self.open else {
                match self.connect().await {
                    Ok(()) => {}
                    Err(error) if self.tries > 0 && error.kind().is_retryable() => self.wait(error).await?,
                    Err(error) => return Err(error),
                }
                continue;
            };
            match open.next().await {
                Some(Ok(event)) => {
                    if let Some(event) = self.read(event)? {
                        return Ok(event);
                    }
                }
                Some(Err(_)) | None => {
                    self.open = None;
                    let message = format!("{} has ended the stream", self.door.address());
                    self.wait(Error::new(Kind::Unavailable, message)).await?;
                }
            }
        }
    }

    fn read(&mut self, event: Sse) -> Result<Option<(String, Value)>> {
        self.tries = 0;
        if event.id.is_some() {
            self.last = event.id;
        }
        let Some(data) = event.data else { return Ok(None) };
        let name = event.event.unwrap_or_default();
        let wrong =
            |error| Error::new(Kind::Unavailable, format!("an event of the server is no JSON: {error}"));
        if name == "error" {
            return Err(told(serde_json::from_str(&data).map_err(wrong)?));
        }
        Ok(Some((name, serde_json::from_str(&data).map_err(wrong)?)))
    }

    /// Waits before the next try; fails with `error` where there were enough.
    async fn wait(&mut self, error: Error) -> Result<()> {
        self.tries += 1;
        if self.tries > MOST_AGAIN {
            return Err(error);
        }
        self.clock.sleep(AGAIN).await;
        Ok(())
    }

    async fn connect(&mut self) -> Result<()> {
        let Some(request) = self.request.try_clone() else {
            return Err(Error::new(Kind::Internal, "a request whose body is a stream is not sent again"));
        };
        let request = request.header(header::ACCEPT, "text/event-stream");
        let request = match &self.last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        let answer = self.door.checked(request.send().await).await?;
        self.open = Some(SseByteStream::new(answer.bytes_stream().boxed()).boxed());
        Ok(())
    }
}
