//! What the examples share: a store in memory with a pool of model calls, and a wait for an end.

use std::fmt::Debug;

use loomwork_models::{LanguageModel as _, Message, OfflineModel, Request};
use loomwork_store::{Result, Store, TableDef};
use loomwork_workflow::{Outcome, Workflow, WorkflowId, outcome, with_steps};
use loomwork_workpool::{Job, JobContext, JobError, Workpool};
use serde::de::DeserializeOwned;

/// A call of a model: a job, so that its pool's limits and retries are its own.
pub(crate) const ASK: Job<String, String> = Job::new("ask").in_pool("llm");

async fn ask(_: JobContext, prompt: String) -> Result<String> {
    // Any model could stand here; this one needs no key.
    let model = OfflineModel::default();
    let answer = model.generate(Request::new([Message::user(prompt)])).await;
    answer.map(|reply| reply.text()).map_err(|error| JobError::retry(error.to_string()).into())
}

/// Opens a store in memory, also with tables of one's own, and a pool that makes two calls at once.
pub(crate) async fn open(own: impl IntoIterator<Item = TableDef>) -> Result<(Store, Workpool)> {
    let tables = Store::memory().tables(loomwork_workpool::tables()).tables(loomwork_workflow::tables());
    let store = tables.tables(own).open().await?;
    let pool = with_steps(Workpool::builder(&store)).pool("llm", 2).on(ASK, ask).start().await?;
    Ok((store, pool))
}

/// Waits for the end of a workflow.
pub(crate) async fn wait<I, R>(store: &Store, workflow: Workflow<I, R>, id: WorkflowId) -> Result<Outcome<R>>
where
    I: 'static,
    R: DeserializeOwned + Clone + PartialEq + Debug + Send + 'static,
{
    let mut live = store.watch(move |tx| outcome(tx, &workflow, id));
    loop {
        if let Some(ended) = live.next().await.expect("the store is open")? {
            return Ok(ended);
        }
    }
}
