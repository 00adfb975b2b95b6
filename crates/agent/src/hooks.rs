//! What applications hang on an agent: who admits, guards, changes and hears of what it does.

use crate::admission::Admission;
use crate::agent::Agent;
use crate::exchange::OnExchange;
use crate::guard::{InputGuard, OutputGuard};
use crate::prepare::PrepareStep;
use crate::usage::OnUsage;

impl<S: Send + Sync + 'static> Agent<S> {
    /// Tells a handler what calls of models used.
    #[must_use]
    pub fn on_usage(mut self, on_usage: OnUsage) -> Self {
        self.options.on_usage = Some(on_usage);
        self
    }

    /// Tells a handler what was sent to models and what came back.
    #[must_use]
    pub fn on_exchange(mut self, on_exchange: OnExchange) -> Self {
        self.options.on_exchange = Some(on_exchange);
        self
    }

    /// Asks one more function who may ask the model.
    #[must_use]
    pub fn admission(mut self, admission: Admission) -> Self {
        self.options.admissions.get_or_insert_default().push(admission);
        self
    }

    /// Changes steps before they are made.
    #[must_use]
    pub fn prepare_step(mut self, prepare: PrepareStep<S>) -> Self {
        self.options.prepare_step = Some(prepare);
        self
    }

    /// Puts one more guard before the model.
    #[must_use]
    pub fn input_guard(mut self, guard: InputGuard) -> Self {
        self.options.input_guards.get_or_insert_default().push(guard);
        self
    }

    /// Puts one more guard before the user.
    #[must_use]
    pub fn output_guard(mut self, guard: OutputGuard) -> Self {
        self.options.output_guards.get_or_insert_default().push(guard);
        self
    }

    /// Lets other processes go on with its runs where a dead one stopped, by
    /// [`resume`](crate::AgentHandle::resume).
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.options.durable = Some(true);
        self
    }
}
