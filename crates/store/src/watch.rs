//! Live queries as streams.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::live::Watcher;
use crate::store::Store;
use crate::tx::Tx;
use crate::work::{Read, read_snapshot};

/// The stream of [`Store::watch`]: the query's results as they change.
pub type Watch<T, E = Error> = Follow<T, Option<T>, E>;

type Query<T, C, E> = Arc<dyn Fn(&Tx, &C) -> Result<(T, C), E> + Send + Sync>;
type Run<T, C, E> = Pin<Box<dyn Future<Output = Option<Result<(T, C), E>>> + Send>>;

/// The stream of [`Store::follow`]: each result that moved the cursor.
///
/// It reads when it is polled and something it read has changed, or the cursor has moved. Between
/// polls it holds its cursor, which for a [`Watch`] is the last result.
/// An error is delivered and the stream goes on: the query runs again when a commit touches what
/// it had read. The stream ends when the store is closed.
#[must_use = "a stream reads when it is polled"]
pub struct Follow<T, C, E = Error> {
    store: Store,
    query: Query<T, C, E>,
    cursor: C,
    watcher: Arc<Watcher>,
    running: Option<Run<T, C, E>>,
    /// The last delivery was an error, so the next result is news whatever it is.
    failed: bool,
    /// The query reads its cursor, so that another cursor makes another query.
    reads_cursor: bool,
}

impl<T, C: fmt::Debug, E> fmt::Debug for Follow<T, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("cursor", &self.cursor)
            .field("running", &self.running.is_some())
            .finish_non_exhaustive()
    }
}

impl<T, C, E> Drop for Follow<T, C, E> {
    fn drop(&mut self) {
        self.store.inner.live.remove(&self.watcher);
    }
}

impl<T, C, E> Unpin for Follow<T, C, E> {}

impl<T, C, E> Follow<T, C, E>
where
    T: Send + 'static,
    C: Clone + PartialEq + Send + 'static,
    E: From<Error> + Send + 'static,
{
    pub(crate) fn new(store: Store, cursor: C, query: Query<T, C, E>) -> Self {
        let watcher = store.inner.live.watcher();
        Self { store, query, cursor, watcher, running: None, failed: false, reads_cursor: true }
    }

    /// Follows a query that does not read its cursor.
    pub(crate) fn watching(store: Store, cursor: C, query: Query<T, C, E>) -> Self {
        let mut watch = Self::new(store, cursor, query);
        watch.reads_cursor = false;
        watch
    }

    /// Returns where the next run begins.
    pub fn cursor(&self) -> &C {
        &self.cursor
    }

    /// Waits for the next result; `None` when the store is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call goes on with the same run.
    pub async fn next(&mut self) -> Option<Result<T, E>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Hands a run of the query to the readers. `None` when the store is closed.
    fn start_run(&self) -> Run<T, C, E> {
        let (store, query) = (self.store.clone(), self.query.clone());
        let (cursor, watcher) = (self.cursor.clone(), self.watcher.clone());
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let (live, clock) = (store.inner.live.clone(), store.inner.clock.clone());
            let read: Read = Box::new(move |tx| {
                if reply.is_closed() {
                    return;
                }
                let mark = live.mark();
                let (result, ranges) = read_snapshot(tx, clock.now(), true, &|tx: &Tx| query(tx, &cursor));
                live.settle(&watcher, ranges, &mark, None);
                let _ = reply.send(result);
            });
            store.send_read(read).await.ok()?;
            answer.await.ok()
        })
    }
}

impl<T, C, E> Stream for Follow<T, C, E>
where
    T: Send + 'static,
    C: Clone + PartialEq + Send + 'static,
    E: From<Error> + Send + 'static,
{
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(running) = &mut self.running {
                let Poll::Ready(ended) = running.as_mut().poll(cx) else { return Poll::Pending };
                self.running = None;
                match ended {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => {
                        self.failed = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                    Some(Ok((_, cursor))) if cursor == self.cursor && !self.failed => {}
                    Some(Ok((result, cursor))) => {
                        if self.reads_cursor && cursor != self.cursor {
                            self.watcher.mark_stale();
                        }
                        self.cursor = cursor;
                        self.failed = false;
                        return Poll::Ready(Some(Ok(result)));
                    }
                }
            }
            // Asked first, since it registers the waker: what happens after that is not missed.
            let is_stale = self.watcher.poll_stale(cx.waker());
            if self.store.is_closed() {
                return Poll::Ready(None);
            }
            if !is_stale {
                return Poll::Pending;
            }
            self.running = Some(self.start_run());
        }
    }
}
