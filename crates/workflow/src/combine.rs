//! Several steps at once: all of them, the first of them, a few at a time.
//!
//! Outcomes reach the code one at a time and in the order in which they were recorded, so what is polled here
//! does the same when it is run again.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use futures_util::future::{MaybeDone, maybe_done};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use loomwork_store::Result;

use crate::flow::Flow;

/// Which of two was first, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<A, B> {
    /// The first argument.
    Left(A),
    /// The second one.
    Right(B),
}

/// Several at once.
impl Flow {
    /// Waits for both. The first failure is returned at once, and what is left is called off.
    ///
    /// # Errors
    /// That of the first that failed.
    pub async fn join<A, B>(
        &self,
        left: impl IntoFuture<Output = Result<A>>,
        right: impl IntoFuture<Output = Result<B>>,
    ) -> Result<(A, B)> {
        let (mut left, mut right) =
            (pin!(maybe_done(left.into_future())), pin!(maybe_done(right.into_future())));
        poll_fn(|context| {
            let done = [left.as_mut().poll(context).is_ready(), right.as_mut().poll(context).is_ready()];
            if let Some(error) = failure(left.as_mut()) {
                return Poll::Ready(Err(error));
            }
            if let Some(error) = failure(right.as_mut()) {
                return Poll::Ready(Err(error));
            }
            if done != [true, true] {
                return Poll::Pending;
            }
            match (left.as_mut().take_output(), right.as_mut().take_output()) {
                (Some(left), Some(right)) => Poll::Ready(left.and_then(|left| Ok((left, right?)))),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for three.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join3<A, B, C>(
        &self,
        first: impl IntoFuture<Output = Result<A>>,
        second: impl IntoFuture<Output = Result<B>>,
        third: impl IntoFuture<Output = Result<C>>,
    ) -> Result<(A, B, C)> {
        let ((first, second), third) = self.join(self.join(first, second), third).await?;
        Ok((first, second, third))
    }

    /// Waits for all of them, and returns what they return in their order. The first failure is returned at
    /// once, and what is left is called off.
    ///
    /// # Errors
    /// That of the first that failed.
    pub async fn join_all<T, S>(&self, steps: impl IntoIterator<Item = S>) -> Result<Vec<T>>
    where
        S: IntoFuture<Output = Result<T>>,
    {
        let mut running: FuturesUnordered<_> =
            steps.into_iter().enumerate().map(|(at, step)| numbered(at, step.into_future())).collect();
        let mut found: Vec<Option<T>> = Vec::new();
        found.resize_with(running.len(), || None);
        while let Some((at, done)) = running.next().await {
            found[at] = Some(done?);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Does something for each item, `at_once` of them at a time: the next begins as soon as one has ended.
    /// Returns what they return, in the order of the items.
    ///
    /// # Errors
    /// That of the first that failed; what is left is called off.
    pub async fn for_each<I, T, F, S>(
        &self,
        items: impl IntoIterator<Item = I>,
        at_once: usize,
        mut work: F,
    ) -> Result<Vec<T>>
    where
        F: FnMut(Flow, I) -> S,
        S: IntoFuture<Output = Result<T>>,
    {
        let mut items = items.into_iter().enumerate();
        let mut running = FuturesUnordered::new();
        let mut found: Vec<(usize, T)> = Vec::new();
        loop {
            while running.len() < at_once.max(1)
                && let Some((at, item)) = items.next()
            {
                running.push(numbered(at, work(self.clone(), item).into_future()));
            }
            let Some((at, done)) = running.next().await else { break };
            found.push((at, done?));
        }
        found.sort_by_key(|(at, _)| *at);
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }

    /// Waits for the first of two, and calls the other off. Where both are there already, it is the left one.
    pub async fn select<A: IntoFuture, B: IntoFuture>(
        &self,
        left: A,
        right: B,
    ) -> First<A::Output, B::Output> {
        let (mut left, mut right) = (pin!(left.into_future()), pin!(right.into_future()));
        poll_fn(|context| {
            if let Poll::Ready(left) = left.as_mut().poll(context) {
                return Poll::Ready(First::Left(left));
            }
            right.as_mut().poll(context).map(First::Right)
        })
        .await
    }

    /// Waits for the first of several, and calls the others off; returns its place among them too. `None` when
    /// there are none.
    pub async fn select_all<S: IntoFuture>(
        &self,
        steps: impl IntoIterator<Item = S>,
    ) -> Option<(usize, S::Output)> {
        let mut running: Vec<Pin<Box<S::IntoFuture>>> =
            steps.into_iter().map(|step| Box::pin(step.into_future())).collect();
        if running.is_empty() {
            return None;
        }
        poll_fn(|context| {
            for (at, step) in running.iter_mut().enumerate() {
                if let Poll::Ready(done) = step.as_mut().poll(context) {
                    return Poll::Ready(Some((at, done)));
                }
            }
            Poll::Pending
        })
        .await
    }
}

async fn numbered<F: Future>(at: usize, step: F) -> (usize, F::Output) {
    (at, step.await)
}

/// Takes the error of one that has failed.
fn failure<T, F: Future<Output = Result<T>>>(
    mut done: Pin<&mut MaybeDone<F>>,
) -> Option<loomwork_store::Error> {
    if done.as_mut().output_mut()?.is_ok() {
        return None;
    }
    done.take_output()?.err()
}
