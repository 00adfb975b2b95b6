//! What would be sent to a model.

use std::fmt;

use loomwork_messages::ThreadId;
use loomwork_models::{Message, ModelName, ProviderData, Settings, ToolChoice, ToolSpec};

use crate::context::{Context, ContextValues};
use crate::error::AgentError;
use crate::generate::{Generation, Prepared};
use crate::options::Options;

/// What would be sent, had something been generated: all options of the three levels in one, the context with where
/// it comes from, and what guards and whoever prepares the first step make of them. [`Display`](fmt::Display) shows it
/// to people; headers by their names alone.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The agent.
    pub agent: String,
    /// The model.
    pub model: ModelName,
    /// The thread.
    pub thread: Option<ThreadId>,
    /// Who asks, where that was said.
    pub user: Option<String>,
    /// What the context is, with where it comes from and what was left out, before any guard has seen it. Stored files
    /// stand there by their addresses.
    pub context: Context,
    /// What the model would be told in the first step: the context behind the guards, with the bytes of its files.
    pub messages: Vec<Message>,
    /// How many tokens that is with the tools, as far as they are counted.
    pub tokens: u64,
    /// How the context is built.
    pub values: ContextValues,
    /// The tools, those of sources too.
    pub tools: Vec<ToolSpec>,
    /// Whether a tool may, must or must not be called.
    pub tool_choice: ToolChoice,
    /// Whether the model would be asked again behind a step that has called tools.
    pub goes_on: bool,
    /// Limits, sampling and transport.
    pub settings: Settings,
    /// What single providers shall do.
    pub provider_options: ProviderData,
    /// Who has a say or hears of it, in the order in which they are asked: `input guard secrets`, `admission tokens`.
    pub hooks: Vec<String>,
}

impl DryRun {
    /// Goes the way of a generation up to what would be asked.
    pub(crate) async fn of<S: Send + Sync + 'static>(
        mut generation: Generation<S>,
    ) -> Result<Self, AgentError> {
        generation.model()?;
        generation.settle_tools().await?;
        let values = generation.values()?;
        let context = generation.context(values.clone()).await?;
        let mut messages = context.messages();
        let Prepared { plan, request, .. } = generation.prepare(&mut messages, 0, &[]).await?;
        let hooks = hooks(&generation.options);
        let Generation { agent, target, options, .. } = generation;
        Ok(Self {
            agent: agent.name().to_owned(),
            model: plan.model,
            thread: target.thread,
            user: target.user,
            context,
            messages: request.messages,
            tokens: plan.sent,
            values,
            tools: request.tools,
            tool_choice: request.tool_choice,
            goes_on: options.stop_when.is_some(),
            settings: request.settings,
            provider_options: request.provider_options,
            hooks,
        })
    }
}

/// Lists who has a say in a generation, or hears of it.
fn hooks<S>(options: &Options<S>) -> Vec<String> {
    let Options { context_handler, input_guards, prepare_step, admissions, output_guards, .. } = options;
    let one = |is_there: bool, what: &str| is_there.then(|| what.to_owned());
    let mut hooks: Vec<String> = one(context_handler.is_some(), "context handler").into_iter().collect();
    hooks.extend(input_guards.iter().flatten().map(|guard| format!("input guard {}", guard.name())));
    hooks.extend(one(prepare_step.is_some(), "prepare step"));
    hooks.extend(admissions.iter().flatten().map(|admission| format!("admission {}", admission.name())));
    hooks.extend(output_guards.iter().flatten().map(|guard| format!("output guard {}", guard.name())));
    hooks.extend(options.on_usage.as_ref().map(|handler| format!("usage handler {}", handler.name())));
    hooks.extend(options.on_exchange.as_ref().map(|handler| format!("exchange handler {}", handler.name())));
    hooks
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {:?} asks {}", self.agent, self.model)?;
        match (&self.thread, &self.user) {
            (Some(thread), _) => write!(f, " in {thread}")?,
            (None, Some(user)) => write!(f, " for {user:?}, outside of threads")?,
            (None, None) => f.write_str(" for nobody, outside of threads")?,
        }
        let names: Vec<_> = self.tools.iter().map(name_of).collect();
        match names.as_slice() {
            [] => f.write_str("\nno tools")?,
            names => write!(f, "\ntools: {}", names.join(", "))?,
        }
        if self.tool_choice != ToolChoice::Auto {
            write!(f, "\ntool choice: {:?}", self.tool_choice)?;
        }
        if !self.goes_on {
            f.write_str("\none step")?;
        }
        if self.settings != Settings::default() {
            write!(f, "\n{:?}", self.settings)?;
        }
        for (provider, said) in &self.provider_options {
            write!(f, "\noptions of {provider}: {said}")?;
        }
        if !self.hooks.is_empty() {
            write!(f, "\nhooks: {}", self.hooks.join(", "))?;
        }
        write!(f, "\n{}", self.context)
    }
}

fn name_of(tool: &ToolSpec) -> &str {
    match tool {
        ToolSpec::Function { name, .. } => name,
        ToolSpec::Provider { id, .. } => id,
        _ => "?",
    }
}
