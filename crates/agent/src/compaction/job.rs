//! The job that writes the summaries of a thread, a call of the model each.

use std::sync::Arc;

use loomwork_core::{Kind, Tasks};
use loomwork_messages::{HostRow, ThreadId};
use loomwork_store::{Error, Id, Result, Tx};
use loomwork_workpool::JobContext;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::work::Work;
use super::{Compaction, run_of};
use crate::admission::Holds;
use crate::agent_tool::Delegated;
use crate::generate::{Attempt, Ending, Reporter, step_row};
use crate::handled::forgive;
use crate::runtime::Runtime;
use crate::tables::{StepEnd, StepId};
use crate::values::Values;

/// How many calls one attempt of the job makes at most; a thread that needs more is gone on with by the next job.
const MAX_CALLS: u32 = 64;

/// Summarises a thread until all but its newest turns is covered. Each call is a commit, so whoever takes the job over
/// goes on behind the last one.
pub(super) async fn run(
    compaction: Compaction,
    runtime: Runtime,
    job: JobContext,
    thread: ThreadId,
) -> Result<()> {
    for number in 0..MAX_CALLS {
        let call = Call { compaction: compaction.clone(), runtime: runtime.clone(), thread, number };
        let made = tokio::select! {
            made = in_task(&runtime.tasks, |cancel| call.make(job.clone(), cancel)) => made?,
            () = job.cancelled() => {
                return Err(Error::message(Kind::Cancelled, format!("{} was told to stop", job.id())));
            }
        };
        if !made {
            break;
        }
    }
    Ok(())
}

/// Lets something go on in a task of its own, which is called off when nobody waits for it any more: so it comes to
/// its end, and tells what it used.
async fn in_task<T, F>(tasks: &Tasks, make: impl FnOnce(CancellationToken) -> F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let cancel = CancellationToken::new();
    let _called_off = cancel.clone().drop_guard();
    let (done, ended) = oneshot::channel();
    let mut making = Box::pin(make(cancel.clone()));
    tasks.spawn("summary of a thread", move |shutdown| async move {
        let made = tokio::select! {
            made = &mut making => made,
            () = shutdown.requested() => {
                cancel.cancel();
                making.await
            }
        };
        // Nobody may wait for it.
        let _ = done.send(made);
    });
    let gone =
        |_| Error::message(Kind::Unavailable, "the process ends, so the summary is left to another one");
    ended.await.map_err(gone)?
}

/// One call of the summariser.
struct Call {
    compaction: Compaction,
    runtime: Runtime,
    thread: ThreadId,
    /// The number of the call within the attempt of the job, from 0.
    number: u32,
}

impl Call {
    /// Makes it, and says whether there was something to do.
    async fn make(self, job: JobContext, cancel: CancellationToken) -> Result<bool> {
        let store = self.runtime.store.clone();
        let host = self.runtime.host.id();
        let call = Arc::new(self);
        let (begins, of) = (call.clone(), job.clone());
        let Some((work, row)) = store.mutate(move |tx| begins.begin(tx, &of, host)).await? else {
            return Ok(false);
        };
        let what = work.to_summarise();
        let mut attempt = call.attempt(&job, &work, Some((row, host)));
        let written = call.compaction.write(what, &mut attempt, store.clock(), cancel.clone()).await;
        let end = match &written {
            Ok(_) => StepEnd::Success,
            Err(_) if cancel.is_cancelled() => StepEnd::Aborted,
            Err(_) => StepEnd::Failed,
        };
        let ending = Ending {
            reporter: Arc::new(call.reporter(&job, &work)),
            row: attempt.row,
            step: attempt.step,
            attempt: attempt.attempt,
            closing: attempt.cut(end, written.as_ref().err()),
            last_call: None,
            unsaid: None,
            exchange: None,
            call_holds: Holds::default(),
            run_holds: Holds::default(),
            total: None,
            stays_open: false,
        };
        let (text, failed) = match written {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(error)),
        };
        let author = call.compaction.author().to_owned();
        let refused = store.mutate(move |tx| {
            let mut refused = None;
            if let Some(text) = text
                && let Err(error) = tx.nested(|tx| work.put(tx, text, author))
            {
                forgive(error, |error| refused = Some(error))?;
            }
            ending.apply(tx)?;
            Ok(refused)
        });
        match (refused.await?, failed) {
            (Some(refused), _) => Err(refused),
            (None, Some(failed)) => Err(failed.into()),
            // Whether it was kept or not: the next look says what is left.
            (None, None) => Ok(true),
        }
    }

    /// Reads what there is to do, and notes that the model is about to be asked: whatever becomes of this process,
    /// what the call used is told.
    fn begin(&self, tx: &mut Tx, job: &JobContext, host: Id<HostRow>) -> Result<Option<(Work, StepId)>> {
        let Some(work) = Work::read(tx, self.thread, &self.compaction.limits)? else { return Ok(None) };
        let attempt = self.attempt(job, &work, None);
        let row = tx.insert(step_row(tx, &self.reporter(job, &work), &attempt, self.thread, host))?.id;
        Ok(Some((work, row)))
    }

    fn attempt(&self, job: &JobContext, work: &Work, row: Option<(StepId, Id<HostRow>)>) -> Attempt {
        let plan = self.compaction.plan(&work.to_summarise());
        Attempt::new(plan, self.number, job.attempt(), row, Holds::default())
    }

    fn reporter(&self, job: &JobContext, work: &Work) -> Reporter {
        let run = run_of(job.id());
        Reporter {
            run,
            root: run,
            thread: Some(self.thread),
            user: work.user.clone(),
            agent: self.compaction.name.into(),
            values: Values::default(),
            on_usage: self.compaction.on_usage.clone(),
            on_exchange: None,
            delegated: Delegated::default(),
        }
    }
}
