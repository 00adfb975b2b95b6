//! Sagas: what was done is undone in reverse when what follows fails.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use loomwork_core::{Fault, Kind};
use loomwork_store::{Error, Result};

use crate::error::with_sources;
use crate::flow::{Continue, Flow};

type Undo = Box<dyn FnOnce(Flow) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send>;

/// What is to be undone if a [`Flow::saga`] fails. Clones are the same list.
#[derive(Clone, Default)]
pub struct Saga {
    undos: Arc<Mutex<Vec<(String, Undo)>>>,
}

impl fmt::Debug for Saga {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.undos().iter().map(|(name, _)| name.clone()).collect();
        f.debug_tuple("Saga").field(&names).finish()
    }
}

impl Saga {
    /// Registers how to undo what was just done. It is run if the saga fails later: the last one first, by steps
    /// like any others, so a crash in between loses none and repeats none.
    pub fn undo<F, W>(&self, name: impl Into<String>, undo: F)
    where
        F: FnOnce(Flow) -> W + Send + 'static,
        W: Future<Output = Result<()>> + Send + 'static,
    {
        self.undos().push((name.into(), Box::new(move |wf| Box::pin(undo(wf)))));
    }

    fn undos(&self) -> MutexGuard<'_, Vec<(String, Undo)>> {
        self.undos.lock().expect("nothing panics while it holds the list")
    }
}

/// A saga that failed, and in which not all could be undone.
#[derive(Debug)]
pub struct SagaError {
    /// Why the saga failed.
    pub cause: Error,
    /// What could not be undone, and why.
    pub failed: Vec<(String, Error)>,
}

impl fmt::Display for SagaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; not undone:", with_sources(&self.cause))?;
        let mut between = " ";
        for (name, error) in &self.failed {
            write!(f, "{between}{name:?} ({})", with_sources(error))?;
            between = ", ";
        }
        Ok(())
    }
}

impl std::error::Error for SagaError {}

impl Fault for SagaError {
    fn kind(&self) -> Kind {
        self.cause.kind()
    }
}

impl Flow {
    /// Runs `work`. If it fails, what it has registered to be undone is undone, the last one first, and its
    /// error is returned. One that cannot be undone does not keep the others from it.
    ///
    /// ```
    /// # use loomwork_workflow::Flow;
    /// # use loomwork_workpool::Job;
    /// # const BOOK: Job<String, u64> = Job::new("book");
    /// # const CANCEL: Job<u64, ()> = Job::new("cancel");
    /// # const PAY: Job<u64, ()> = Job::new("pay");
    /// async fn travel(wf: Flow, city: String) -> loomwork_store::Result<u64> {
    ///     wf.saga(|wf, saga| async move {
    ///         let hotel = wf.run(&BOOK, city).await?;
    ///         saga.undo("hotel", move |wf| async move { wf.run(&CANCEL, hotel).await });
    ///         wf.run(&PAY, hotel).await?;
    ///         Ok(hotel)
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// Nothing is undone when the workflow is cancelled or its code panics, and when the saga itself is dropped: as a
    /// branch of a join whose other side failed, or as the loser of a race.
    ///
    /// # Errors
    /// That of `work`; a [`SagaError`] around it when not all could be undone.
    pub async fn saga<T, F, W>(&self, work: F) -> Result<T>
    where
        F: FnOnce(Flow, Saga) -> W,
        W: Future<Output = Result<T>>,
    {
        let saga = Saga::default();
        let cause = match work(self.clone(), saga.clone()).await {
            Err(error) if error.downcast_ref::<Continue>().is_none() => error,
            done => return done,
        };
        let undos = std::mem::take(&mut *saga.undos());
        let mut failed = Vec::new();
        for (name, undo) in undos.into_iter().rev() {
            if let Err(error) = undo(self.clone()).await {
                failed.push((name, error));
            }
        }
        if failed.is_empty() { Err(cause) } else { Err(SagaError { cause, failed }.into()) }
    }
}
