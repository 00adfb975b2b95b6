//! What is said of a generation at three levels: the agent, the thread's handle and the call.

mod unset;

use std::sync::Arc;

use loomwork_models::{ImageModel, LanguageModel, Message, ProviderData, Settings, TokenCounter, ToolChoice};
use serde_json::Value;

use crate::admission::Admission;
use crate::compaction::Compaction;
use crate::context::{ContextHandler, ContextOptions};
use crate::exchange::OnExchange;
use crate::guard::{InputGuard, OutputGuard};
use crate::prepare::PrepareStep;
use crate::stop::StopWhen;
use crate::tool::{ParentRun, ToolChanges, ToolMount, Tools};
use crate::usage::OnUsage;
use crate::values::Values;

pub use unset::Field;

/// What is said of a generation at one level. What is not said is left to the level above: the call goes
/// before the thread's handle, and that before the agent.
///
/// Context options, settings, headers, values and provider options merge field by field. Admissions and guards come to those
/// of the levels above: a call does not get rid of a limit by having one of its own. Tools replace those of the level
/// above; [`add_tools`](Self::add_tools), [`tool_source`](Self::tool_source) and
/// [`without_tool`](Self::without_tool) change them instead. What [`unset`](Self::unset) names is taken back.
///
/// New fields may come; `..Options::default()` is ready for them.
///
/// ```
/// use loomwork_agent::{Field, Options};
/// use loomwork_models::Settings;
///
/// let settings = Settings { temperature: Some(0.2), seed: Some(7), ..Settings::default() };
/// let agent: Options = Options { settings, ..Options::default() };
/// let call = Options { unset: vec![Field::Temperature], ..Options::default() };
/// let merged = agent.merged(call);
/// assert_eq!((merged.settings.temperature, merged.settings.seed), (None, Some(7)));
/// ```
#[derive(Debug)]
pub struct Options<S = ()> {
    /// What the agent is to be.
    pub instructions: Option<String>,
    /// The model.
    pub model: Option<Arc<dyn LanguageModel>>,
    /// The model that makes images.
    pub image_model: Option<Arc<dyn ImageModel>>,
    /// The tools.
    pub tools: Option<Tools<S>>,
    /// What is different about the tools, those of the levels above or these.
    pub tool_changes: ToolChanges<S>,
    /// Whether a tool may, must or must not be called.
    pub tool_choice: Option<ToolChoice>,
    /// When it stops, though the model goes on calling tools.
    pub stop_when: Option<StopWhen>,
    /// How the context is built.
    pub context: ContextOptions,
    /// What keeps long threads short. Default: nothing.
    pub compaction: Option<Compaction>,
    /// Has the last word on what is sent.
    pub context_handler: Option<ContextHandler>,
    /// Counts the tokens of the context. Default: an estimate.
    pub token_counter: Option<Arc<dyn TokenCounter>>,
    /// Messages that go before the prompt. Unless [`storage`](Self::storage) says so, they are not stored.
    pub messages: Option<Vec<Message>>,
    /// What of an answer its thread stores. By default the prompt and the answer.
    pub storage: Option<Storage>,
    /// Limits, sampling and transport of each call of the model.
    pub settings: Settings,
    /// What single providers shall do with each call, by provider.
    pub provider_options: ProviderData,
    /// Who or what calls the agent, for its tools.
    pub caller: Option<String>,
    /// What the application attaches, for all that it hangs on the agent.
    pub values: Values,
    /// The run whose tool calls the agent: what is used belongs to that one in the end.
    pub parent: Option<ParentRun>,
    /// Whether another process may go on with the run where a dead one stopped, by
    /// [`resume`](crate::AgentHandle::resume). By default it ends with its process.
    pub durable: Option<bool>,
    /// Who lets runs and calls of the model begin, beside those of the levels above.
    pub admissions: Option<Vec<Admission>>,
    /// Whether the prompt of a run that was refused is saved, to be answered later. By default it is not.
    pub keep_refused_prompt: Option<bool>,
    /// What changes steps before they are made.
    pub prepare_step: Option<PrepareStep<S>>,
    /// What looks at messages before a model is sent them, one behind the other, behind those of the levels above.
    pub input_guards: Option<Vec<InputGuard>>,
    /// What looks at what a model says before anybody sees it, one behind the other, behind those of the levels
    /// above.
    pub output_guards: Option<Vec<OutputGuard>>,
    /// Who is told what calls of models used.
    pub on_usage: Option<OnUsage>,
    /// Who is told what was sent to models and what came back.
    pub on_exchange: Option<OnExchange>,
    /// What the levels above say of these is taken back; what this level says of them holds.
    pub unset: Vec<Field>,
}

/// What of an answer in a thread is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// The prompt and the answer.
    #[default]
    PromptAndAnswer,
    /// The [messages](Options::messages) before the prompt too.
    All,
    /// Nothing: the thread is context alone.
    Nothing,
}

/// As a derive would, but for the state, which need be neither.
impl<S> Clone for Options<S> {
    fn clone(&self) -> Self {
        Self {
            instructions: self.instructions.clone(),
            model: self.model.clone(),
            image_model: self.image_model.clone(),
            tools: self.tools.clone(),
            tool_changes: self.tool_changes.clone(),
            tool_choice: self.tool_choice.clone(),
            stop_when: self.stop_when.clone(),
            context: self.context.clone(),
            compaction: self.compaction.clone(),
            context_handler: self.context_handler.clone(),
            token_counter: self.token_counter.clone(),
            messages: self.messages.clone(),
            storage: self.storage,
            settings: self.settings.clone(),
            provider_options: self.provider_options.clone(),
            caller: self.caller.clone(),
            values: self.values.clone(),
            parent: self.parent,
            durable: self.durable,
            admissions: self.admissions.clone(),
            keep_refused_prompt: self.keep_refused_prompt,
            prepare_step: self.prepare_step.clone(),
            input_guards: self.input_guards.clone(),
            output_guards: self.output_guards.clone(),
            on_usage: self.on_usage.clone(),
            on_exchange: self.on_exchange.clone(),
            unset: self.unset.clone(),
        }
    }
}

impl<S> Default for Options<S> {
    fn default() -> Self {
        Self {
            instructions: None,
            model: None,
            image_model: None,
            tools: None,
            tool_changes: ToolChanges::default(),
            tool_choice: None,
            stop_when: None,
            context: ContextOptions::default(),
            compaction: None,
            context_handler: None,
            token_counter: None,
            messages: None,
            storage: None,
            settings: Settings::default(),
            provider_options: ProviderData::new(),
            caller: None,
            values: Values::default(),
            parent: None,
            durable: None,
            admissions: None,
            keep_refused_prompt: None,
            prepare_step: None,
            input_guards: None,
            output_guards: None,
            on_usage: None,
            on_exchange: None,
            unset: Vec::new(),
        }
    }
}

impl<S> Options<S> {
    /// Offers these tools beside those of the levels above.
    #[must_use]
    pub fn add_tools(self, tools: Tools<S>) -> Self {
        Self { tool_changes: self.tool_changes.with_tools(tools), ..self }
    }

    /// Offers the tools that a source has when the model is asked, beside those of the levels above.
    #[must_use]
    pub fn tool_source(self, source: impl Into<ToolMount>) -> Self {
        Self { tool_changes: self.tool_changes.with_source(source), ..self }
    }

    /// Takes away a tool that a level above offers.
    #[must_use]
    pub fn without_tool(self, name: impl Into<String>) -> Self {
        Self { tool_changes: self.tool_changes.without(name), ..self }
    }

    /// Returns what holds where `nearer` is said in a level below this one.
    #[must_use]
    pub fn merged(mut self, nearer: Self) -> Self {
        for field in &nearer.unset {
            self.forget(*field);
        }
        let tool_changes = match nearer.tools {
            Some(_) => nearer.tool_changes,
            None => self.tool_changes.then(nearer.tool_changes),
        };
        let mut unset = self.unset;
        unset.extend(nearer.unset.into_iter().filter(|field| !unset.contains(field)).collect::<Vec<_>>());
        Self {
            instructions: nearer.instructions.or(self.instructions),
            model: nearer.model.or(self.model),
            image_model: nearer.image_model.or(self.image_model),
            tools: nearer.tools.or(self.tools),
            tool_changes,
            tool_choice: nearer.tool_choice.or(self.tool_choice),
            stop_when: nearer.stop_when.or(self.stop_when),
            context: self.context.merged(nearer.context),
            compaction: nearer.compaction.or(self.compaction),
            context_handler: nearer.context_handler.or(self.context_handler),
            token_counter: nearer.token_counter.or(self.token_counter),
            messages: nearer.messages.or(self.messages),
            storage: nearer.storage.or(self.storage),
            settings: merged_settings(self.settings, nearer.settings),
            provider_options: merged_providers(self.provider_options, nearer.provider_options),
            caller: nearer.caller.or(self.caller),
            values: self.values.merged(nearer.values),
            parent: nearer.parent.or(self.parent),
            durable: nearer.durable.or(self.durable),
            admissions: joined(self.admissions, nearer.admissions),
            keep_refused_prompt: nearer.keep_refused_prompt.or(self.keep_refused_prompt),
            prepare_step: nearer.prepare_step.or(self.prepare_step),
            input_guards: joined(self.input_guards, nearer.input_guards),
            output_guards: joined(self.output_guards, nearer.output_guards),
            on_usage: nearer.on_usage.or(self.on_usage),
            on_exchange: nearer.on_exchange.or(self.on_exchange),
            unset,
        }
    }
}

/// Returns what is said above, and behind it what is said nearer.
fn joined<T>(above: Option<Vec<T>>, nearer: Option<Vec<T>>) -> Option<Vec<T>> {
    match (above, nearer) {
        (Some(mut all), Some(nearer)) => {
            all.extend(nearer);
            Some(all)
        }
        (above, nearer) => above.or(nearer),
    }
}

/// Returns what is said of each provider, field by field.
fn merged_providers(above: ProviderData, nearer: ProviderData) -> ProviderData {
    let mut merged = above;
    for (provider, said) in nearer {
        match (merged.get_mut(&provider), said) {
            (Some(Value::Object(above)), Value::Object(said)) => above.extend(said),
            (_, said) => drop(merged.insert(provider, said)),
        }
    }
    merged
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
