//! What is said of a generation at three levels: the agent, the thread's handle and the call.

use std::sync::Arc;

use loomwork_models::{LanguageModel, ProviderData, Settings, ToolChoice};

use crate::admission::Admission;
use crate::context::{ContextOptions, Shape};
use crate::exchange::OnExchange;
use crate::guard::{InputGuard, OutputGuard};
use crate::prepare::PrepareStep;
use crate::stop::StopWhen;
use crate::tool::{ParentRun, Tools};
use crate::usage::OnUsage;

/// What is said of a generation at one level. What is not said is left to the level above: the call goes
/// before the thread's handle, and that before the agent.
///
/// Context options and settings merge field by field. Tools replace those of the level above; `Tools` unite and
/// leave out by their own functions.
#[derive(Debug)]
pub struct Options<S = ()> {
    /// What the agent is to be.
    pub instructions: Option<String>,
    /// The model.
    pub model: Option<Arc<dyn LanguageModel>>,
    /// The tools.
    pub tools: Option<Tools<S>>,
    /// Whether a tool may, must or must not be called.
    pub tool_choice: Option<ToolChoice>,
    /// When it stops, though the model goes on calling tools.
    pub stop_when: Option<StopWhen>,
    /// How the context is built.
    pub context: ContextOptions,
    /// Limits, sampling and transport of each call of the model.
    pub settings: Settings,
    /// What single providers shall do with each call, by provider.
    pub provider_options: ProviderData,
    /// Who or what calls the agent, for its tools.
    pub caller: Option<String>,
    /// The run whose tool calls the agent: what is used belongs to that one in the end.
    pub parent: Option<ParentRun>,
    /// Whether another process may go on with the run where a dead one stopped, by
    /// [`resume`](crate::AgentThread::resume). By default it ends with its process.
    pub durable: Option<bool>,
    /// What shapes the context beside its options: a handler with the last word, and what counts tokens.
    pub shape: Option<Shape>,
    /// Who lets runs and calls of the model begin.
    pub admissions: Option<Vec<Admission>>,
    /// Whether the prompt of a run that was refused is saved, to be answered later. By default it is not.
    pub keep_refused_prompt: Option<bool>,
    /// What changes steps before they are made.
    pub prepare_step: Option<PrepareStep<S>>,
    /// What looks at messages before a model is sent them, one behind the other.
    pub input_guards: Option<Vec<InputGuard>>,
    /// What looks at what a model says before anybody sees it, one behind the other.
    pub output_guards: Option<Vec<OutputGuard>>,
    /// Who is told what calls of models used.
    pub on_usage: Option<OnUsage>,
    /// Who is told what was sent to models and what came back.
    pub on_exchange: Option<OnExchange>,
}

/// As a derive would, but for the state, which need be neither.
impl<S> Clone for Options<S> {
    fn clone(&self) -> Self {
        Self {
            instructions: self.instructions.clone(),
            model: self.model.clone(),
            tools: self.tools.clone(),
            tool_choice: self.tool_choice.clone(),
            stop_when: self.stop_when.clone(),
            context: self.context.clone(),
            settings: self.settings.clone(),
            provider_options: self.provider_options.clone(),
            caller: self.caller.clone(),
            parent: self.parent,
            durable: self.durable,
            shape: self.shape.clone(),
            admissions: self.admissions.clone(),
            keep_refused_prompt: self.keep_refused_prompt,
            prepare_step: self.prepare_step.clone(),
            input_guards: self.input_guards.clone(),
            output_guards: self.output_guards.clone(),
            on_usage: self.on_usage.clone(),
            on_exchange: self.on_exchange.clone(),
        }
    }
}

impl<S> Default for Options<S> {
    fn default() -> Self {
        Self {
            instructions: None,
            model: None,
            tools: None,
            tool_choice: None,
            stop_when: None,
            context: ContextOptions::default(),
            settings: Settings::default(),
            provider_options: ProviderData::new(),
            caller: None,
            parent: None,
            durable: None,
            shape: None,
            admissions: None,
            keep_refused_prompt: None,
            prepare_step: None,
            input_guards: None,
            output_guards: None,
            on_usage: None,
            on_exchange: None,
        }
    }
}

impl<S> Options<S> {
    /// Returns what holds where `nearer` is said in a level below this one.
    #[must_use]
    pub fn merged(self, nearer: Self) -> Self {
        let mut provider_options = self.provider_options;
        provider_options.extend(nearer.provider_options);
        Self {
            instructions: nearer.instructions.or(self.instructions),
            model: nearer.model.or(self.model),
            tools: nearer.tools.or(self.tools),
            tool_choice: nearer.tool_choice.or(self.tool_choice),
            stop_when: nearer.stop_when.or(self.stop_when),
            context: self.context.merged(nearer.context),
            settings: merged_settings(self.settings, nearer.settings),
            provider_options,
            caller: nearer.caller.or(self.caller),
            parent: nearer.parent.or(self.parent),
            durable: nearer.durable.or(self.durable),
            shape: nearer.shape.or(self.shape),
            admissions: nearer.admissions.or(self.admissions),
            keep_refused_prompt: nearer.keep_refused_prompt.or(self.keep_refused_prompt),
            prepare_step: nearer.prepare_step.or(self.prepare_step),
            input_guards: nearer.input_guards.or(self.input_guards),
            output_guards: nearer.output_guards.or(self.output_guards),
            on_usage: nearer.on_usage.or(self.on_usage),
            on_exchange: nearer.on_exchange.or(self.on_exchange),
        }
    }
}

fn merged_settings(above: Settings, nearer: Settings) -> Settings {
    let mut headers = above.headers;
    headers.extend(nearer.headers);
    let stop_sequences =
        if nearer.stop_sequences.is_empty() { above.stop_sequences } else { nearer.stop_sequences };
    Settings {
        max_output_tokens: nearer.max_output_tokens.or(above.max_output_tokens),
        temperature: nearer.temperature.or(above.temperature),
        top_p: nearer.top_p.or(above.top_p),
        top_k: nearer.top_k.or(above.top_k),
        presence_penalty: nearer.presence_penalty.or(above.presence_penalty),
        frequency_penalty: nearer.frequency_penalty.or(above.frequency_penalty),
        stop_sequences,
        seed: nearer.seed.or(above.seed),
        reasoning_effort: nearer.reasoning_effort.or(above.reasoning_effort),
        headers,
        timeout: nearer.timeout.or(above.timeout),
        max_retries: nearer.max_retries.or(above.max_retries),
        keep_request_body: nearer.keep_request_body || above.keep_request_body,
    }
}
