//! When a generation stops calling its model.

use std::fmt;
use std::sync::Arc;

use crate::reply::StepReply;

/// When a generation stops, though the model has called tools and has their results. Without one it stops
/// behind its first step.
///
/// Several conditions stop it as soon as one of them says so.
#[derive(Clone)]
pub struct StopWhen(Condition);

type Condition = Arc<dyn Fn(&[StepReply]) -> bool + Send + Sync>;

impl StopWhen {
    /// Stops when a function of the steps so far says so.
    pub fn new(says_so: impl Fn(&[StepReply]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(says_so))
    }

    /// Stops when one of two conditions says so.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::new(move |steps| self.is_met(steps) || other.is_met(steps))
    }

    pub(crate) fn is_met(&self, steps: &[StepReply]) -> bool {
        self.0(steps)
    }
}

impl fmt::Debug for StopWhen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StopWhen(..)")
    }
}

/// Stops behind so many steps.
pub fn step_count(steps: usize) -> StopWhen {
    StopWhen::new(move |made| made.len() >= steps)
}

/// Stops behind a step in which a tool was called and did what it was called for.
pub fn has_successful_tool_call(tool: impl Into<String>) -> StopWhen {
    let tool = tool.into();
    StopWhen::new(move |made| {
        let last = made.last();
        last.is_some_and(|step| step.calls.iter().any(|call| call.call.name == tool && call.succeeded()))
    })
}
