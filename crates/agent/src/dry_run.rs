//! What would be sent to a model.

use std::fmt;

use loomwork_messages::ThreadId;
use loomwork_models::{ModelName, ProviderData, Settings, ToolChoice, ToolSpec};

use crate::context::{Context, ContextValues};
use crate::error::AgentError;
use crate::generate::Generation;

/// What would be sent, had something been generated: all options of the three levels in one, the context with where
/// it comes from, and the tools. [`Display`](fmt::Display) shows it to people; headers by their names alone.
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
    /// What the model would be told, and what would be left out. Stored files stand there by their addresses.
    pub context: Context,
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
}

impl DryRun {
    pub(crate) async fn of<S: Send + Sync + 'static>(generation: Generation<S>) -> Result<Self, AgentError> {
        let model = generation.model()?.name().clone();
        let tools = generation.tools().await?.specs();
        let values = generation.values()?;
        let context = generation.context(values.clone()).await?;
        let Generation { agent, target, options, .. } = generation;
        Ok(Self {
            agent: agent.name().to_owned(),
            model,
            thread: target.thread,
            user: target.user,
            context,
            values,
            tools,
            tool_choice: options.tool_choice.unwrap_or_default(),
            goes_on: options.stop_when.is_some(),
            settings: options.settings,
            provider_options: options.provider_options,
        })
    }
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
