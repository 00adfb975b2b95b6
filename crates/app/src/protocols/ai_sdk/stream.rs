//! An answer as a page reads it: frames, as its run makes them.

use std::collections::VecDeque;

use axum::http::HeaderValue;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use loomwork_messages::{MessageRow, Position, Run, StreamId, ThreadId, UiMessage};
use loomwork_store::{Row, Tx};

use super::ask::Answer;
use super::frames::Frames;
use crate::app::App;
use crate::auth::{Caller, Need, allow};
use crate::error::{Error, Result};
use crate::http::{RequestId, live};
use crate::runs::RunFollower;

/// The header by which the protocol is known.
const PROTOCOL: &str = "x-vercel-ai-ui-message-stream";

/// The frame behind the last.
const DONE: &str = "[DONE]";

/// Serves an answer, from what its page lacks on.
pub(super) async fn serve(app: &App, caller: Caller, answer: Answer, id: &RequestId) -> Result<Response> {
    let Answer { thread, run, message, steps, before } = answer;
    let follower = match run {
        Some(run) => Some(app.follow_run(run, None).await?),
        None => None,
    };
    let mut frames = Frames::new(app.inner().http.options.ai_sdk);
    let message = message.or_else(|| follower.as_ref().map(|follower| follower.message().to_owned()));
    frames.start(message.as_deref());
    frames.tell(before);
    frames.has(steps);
    let told = Told {
        app: app.clone(),
        thread,
        follower,
        frames,
        stream: None,
        has_ended: false,
        id: id.clone(),
        events: VecDeque::new(),
    };
    let events = unfold(told, |mut told| async move { Some((told.next().await?, told)) });
    let (over, seat) = (live::ends(app, &caller), live::seat(app, &caller)?);
    let lost = loses(app.clone(), caller, thread);
    let mut response = live::sent(app, seat, events.take_until(over).take_until(lost));
    response.headers_mut().insert(PROTOCOL, HeaderValue::from_static("v1"));
    Ok(response)
}

/// Ends when the caller may not read the thread any more.
async fn loses(app: App, caller: Caller, thread: ThreadId) {
    let mut right =
        app.store().try_watch(move |tx| Ok::<_, Error>(allow(tx, &caller, Need::ReadThread(thread))?));
    while let Some(Ok(())) = right.next().await {}
}

/// An answer that is being told.
struct Told {
    app: App,
    thread: ThreadId,
    follower: Option<RunFollower>,
    frames: Frames,
    /// The stream that is read.
    stream: Option<StreamId>,
    has_ended: bool,
    id: RequestId,
    events: VecDeque<Event>,
}

impl Told {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if let Some(frame) = self.frames.next() {
                return Some(Event::default().data(frame.to_string()));
            }
            if self.has_ended {
                return None;
            }
            self.read().await;
        }
    }

    /// Reads what comes next, or ends.
    async fn read(&mut self) {
        let read = match &mut self.follower {
            Some(follower) => follower.next().await,
            None => None,
        };
        let failed = match read {
            Some(Ok(slice)) => {
                let stream = self.follower.as_ref().and_then(RunFollower::cursor).map(|cursor| cursor.stream);
                if stream != self.stream {
                    self.stream = stream;
                    self.frames.begin_stream();
                }
                match slice.chunks() {
                    Ok(chunks) => {
                        chunks.into_iter().for_each(|chunk| self.frames.push(chunk));
                        return;
                    }
                    Err(error) => Error::new(loomwork_core::Kind::Corrupt, error.to_string()),
                }
            }
            Some(Err(error)) => error.into(),
            None => match self.end().await {
                Ok(()) => return,
                Err(error) => error,
            },
        };
        if failed.is_ours() {
            tracing::error!(request = self.id.0, error = %failed, "an answer could not be told");
        }
        self.frames.fail(failed.told(&self.id.0).message);
        self.done();
    }

    /// Tells how the run has ended.
    async fn end(&mut self) -> Result<()> {
        let run = self.follower.as_ref().and_then(RunFollower::ended).cloned();
        let (thread, of_run) = (self.thread, run.clone());
        let message = self.app.store().query(move |tx| match &of_run {
            Some(run) => message_of(tx, thread, run),
            None => Ok(None),
        });
        let message = message.await?;
        self.frames.end(run.as_ref().map(|run| &run.record), message.as_ref());
        self.done();
        Ok(())
    }

    fn done(&mut self) {
        self.has_ended = true;
        while let Some(frame) = self.frames.next() {
            self.events.push_back(Event::default().data(frame.to_string()));
        }
        self.events.push_back(Event::default().data(DONE));
    }
}

/// Returns the message that a run has made.
fn message_of(tx: &Tx, thread: ThreadId, run: &Row<Run>) -> loomwork_store::Result<Option<UiMessage>> {
    let turn = MessageRow::by_position.eq(thread).ge(Position::start_of(run.order));
    let turn: Vec<Row<MessageRow>> = tx.scan(turn.le(Position::end_of(run.order)))?;
    let of_run: Vec<Row<MessageRow>> = turn.into_iter().filter(|row| row.run == Some(run.id)).collect();
    Ok(UiMessage::group(&of_run).into_iter().next())
}
