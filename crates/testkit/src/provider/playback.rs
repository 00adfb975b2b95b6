//! A body that does its steps in turn.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use super::delivery::Step;
use super::line::Line;
use super::recorded::Recorded;
use super::shared::Shared;

/// An answer under way. When it is dropped before its end, the client has closed the connection.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) request: Recorded,
    pub(super) line: Line,
    pub(super) is_over: bool,
}

impl Exchange {
    /// Closes the connection from our side.
    pub(super) fn cut(&mut self) {
        self.is_over = true;
        self.line.cut();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.client_left(self.request.clone());
        }
    }
}

pub(super) struct Playback {
    exchange: Exchange,
    steps: VecDeque<Step>,
    /// What the next step waits for.
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Playback {
    pub(super) fn new(exchange: Exchange, steps: VecDeque<Step>) -> Self {
        Self { exchange, steps, wait: None }
    }
}

impl fmt::Debug for Playback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Playback").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl Stream for Playback {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(context));
                self.wait = None;
            }
            match self.steps.pop_front() {
                Some(Step::Write(bytes)) => {
                    // The server flushes when there is nothing to write for a moment.
                    self.wait = Some(Box::pin(tokio::task::yield_now()));
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Step::Pass(gate)) => self.wait = Some(Box::pin(gate.pass())),
                #[expect(clippy::disallowed_methods, reason = "the pace of a server is real time")]
                Some(Step::Pause(time)) => self.wait = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Hang) => self.wait = Some(Box::pin(std::future::pending())),
                Some(Step::Cut) => {
                    self.exchange.cut();
                    self.wait = Some(Box::pin(std::future::pending()));
                }
                None => {
                    self.exchange.is_over = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}
