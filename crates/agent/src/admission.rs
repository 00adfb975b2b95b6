//! Who may ask a model: functions that let a run begin, and each of its calls, or refuse.

use std::fmt;
use std::sync::Arc;

use loomwork_messages::{RunId, ThreadId};
use loomwork_models::Usage;
use loomwork_store::{Result, Tx};

use crate::values::Values;

/// A call of a model that is about to be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedCall {
    /// The run; of an answer outside of threads, a name for it.
    pub run: RunId,
    /// The run to which its usage belongs in the end.
    pub root: RunId,
    /// The number of the step within the run, from 0.
    pub step: u32,
    /// The thread.
    pub thread: Option<ThreadId>,
    /// The user.
    pub user: Option<String>,
    /// The agent.
    pub agent: String,
    /// What the application attaches.
    pub values: Values,
    /// The provider that is asked.
    pub provider: String,
    /// Its model.
    pub model: String,
    /// How many tokens are sent, as they are estimated.
    pub input_tokens: u64,
    /// The most tokens that the answer may have, if the settings say so.
    pub max_output_tokens: Option<u64>,
}

/// A function that lets calls be made, or refuses by an error: a rate limit, a budget, a plan.
///
/// It runs in the transaction that begins the run or the call, so what it takes is taken exactly if that begins. An
/// error of kind [`Limited`](loomwork_core::Kind::Limited) says how long to wait.
#[derive(Clone)]
pub struct Admission {
    name: &'static str,
    stage: Stage,
    admit: Arc<Admit>,
}

type Admit = dyn Fn(&mut Tx, &PlannedCall) -> Result<Hold> + Send + Sync;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Run,
    Call,
}

impl Admission {
    /// Asks a function before each run. Its hold is settled when the run has ended, with what all calls used.
    pub fn before_run(
        name: &'static str,
        admit: impl Fn(&mut Tx, &PlannedCall) -> Result<Hold> + Send + Sync + 'static,
    ) -> Self {
        Self { name, stage: Stage::Run, admit: Arc::new(admit) }
    }

    /// Asks a function before each call of the model, the first one included. Its hold is settled in the commit of
    /// the step.
    pub fn before_call(
        name: &'static str,
        admit: impl Fn(&mut Tx, &PlannedCall) -> Result<Hold> + Send + Sync + 'static,
    ) -> Self {
        Self { name, stage: Stage::Call, admit: Arc::new(admit) }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn is_of_calls(&self) -> bool {
        self.stage == Stage::Call
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Admission").field("name", &self.name).field("stage", &self.stage).finish()
    }
}

/// What an [`Admission`] keeps back for a call until it is known what that used.
///
/// Its function is called once, in the transaction that ends the call or the run: with what was used, or with
/// `None` if nothing was. A process that dies calls it never, so what is kept back needs a term.
#[derive(Clone)]
pub struct Hold(Option<Arc<Settle>>);

type Settle = dyn Fn(&mut Tx, Option<&Usage>) -> Result<()> + Send + Sync;

impl Hold {
    /// Keeps nothing back.
    pub fn none() -> Self {
        Self(None)
    }

    /// Returns a hold that a function puts right, or releases.
    pub fn new(settle: impl Fn(&mut Tx, Option<&Usage>) -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(settle)))
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Hold(..)" } else { "Hold::none()" })
    }
}

/// Holds of one run or call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds(Vec<(&'static str, Hold)>);

impl Holds {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks all admissions of one stage. The error is that of the first that refuses.
    pub(crate) fn admit<'a>(
        tx: &mut Tx,
        admissions: impl IntoIterator<Item = &'a Admission>,
        planned: &PlannedCall,
    ) -> Result<Self> {
        let mut holds = Self::default();
        for admission in admissions {
            let hold = (admission.admit)(tx, planned)
                .map_err(|source| Refused { admission: admission.name, source: Box::new(source) })?;
            holds.0.push((admission.name, hold));
        }
        Ok(holds)
    }

    /// Settles with what was used. A hold that cannot be settled harms nothing: its term ends it.
    pub(crate) fn settle(&self, tx: &mut Tx, used: Option<&Usage>) -> Result<()> {
        for (admission, hold) in &self.0 {
            let Some(settle) = &hold.0 else { continue };
            if let Err(error) = tx.nested(|tx| settle(tx, used)) {
                crate::handled::forgive(error, |error| {
                    tracing::error!(admission, %error, "a hold could not be settled; its term ends it");
                })?;
            }
        }
        Ok(())
    }
}

/// A refusal on its way out of the transaction.
#[derive(Debug, thiserror::Error)]
#[error("{admission} refused: {source}")]
pub(crate) struct Refused {
    pub(crate) admission: &'static str,
    pub(crate) source: Box<loomwork_store::Error>,
}

impl loomwork_core::Fault for Refused {
    fn kind(&self) -> loomwork_core::Kind {
        self.source.kind()
    }
}
