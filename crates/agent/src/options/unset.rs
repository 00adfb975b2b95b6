//! The options that a level can take back, by name.

use super::Options;
use crate::tool::ToolChanges;
use crate::values::Values;

/// An option that a level takes back by [`Options::unset`]. Those of the context are taken back by
/// [`Setting::Unset`](crate::context::Setting::Unset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// Instructions.
    Instructions,
    /// The model.
    Model,
    /// The model that makes images.
    ImageModel,
    /// The tools, and what is different about them.
    Tools,
    /// Whether tools are called.
    ToolChoice,
    /// When it stops.
    StopWhen,
    /// What keeps long threads short.
    Compaction,
    /// Who has the last word on what is sent.
    ContextHandler,
    /// What counts tokens.
    TokenCounter,
    /// The messages before the prompt.
    Messages,
    /// What is stored.
    Storage,
    /// What single providers shall do.
    ProviderOptions,
    /// Who calls.
    Caller,
    /// What the application attaches.
    Values,
    /// The run that calls.
    Parent,
    /// Whether another process may go on.
    Durable,
    /// Who lets it begin.
    Admissions,
    /// Whether a refused prompt is saved.
    KeepRefusedPrompt,
    /// What changes steps.
    PrepareStep,
    /// What looks at the input.
    InputGuards,
    /// What looks at the answer.
    OutputGuards,
    /// Who is told of usage.
    OnUsage,
    /// Who is told of exchanges.
    OnExchange,
    /// [`Settings::max_output_tokens`](loomwork_models::Settings::max_output_tokens).
    MaxOutputTokens,
    /// [`Settings::temperature`](loomwork_models::Settings::temperature).
    Temperature,
    /// [`Settings::top_p`](loomwork_models::Settings::top_p).
    TopP,
    /// [`Settings::top_k`](loomwork_models::Settings::top_k).
    TopK,
    /// [`Settings::presence_penalty`](loomwork_models::Settings::presence_penalty).
    PresencePenalty,
    /// [`Settings::frequency_penalty`](loomwork_models::Settings::frequency_penalty).
    FrequencyPenalty,
    /// [`Settings::stop_sequences`](loomwork_models::Settings::stop_sequences).
    StopSequences,
    /// [`Settings::seed`](loomwork_models::Settings::seed).
    Seed,
    /// [`Settings::reasoning_effort`](loomwork_models::Settings::reasoning_effort).
    ReasoningEffort,
    /// [`Settings::headers`](loomwork_models::Settings::headers).
    Headers,
    /// [`Settings::timeout`](loomwork_models::Settings::timeout).
    Timeout,
    /// [`Settings::max_retries`](loomwork_models::Settings::max_retries).
    MaxRetries,
    /// [`Settings::keep_request_body`](loomwork_models::Settings::keep_request_body).
    KeepRequestBody,
}

impl Field {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Instructions,
        Self::Model,
        Self::ImageModel,
        Self::Tools,
        Self::ToolChoice,
        Self::StopWhen,
        Self::Compaction,
        Self::ContextHandler,
        Self::TokenCounter,
        Self::Messages,
        Self::Storage,
        Self::ProviderOptions,
        Self::Caller,
        Self::Values,
        Self::Parent,
        Self::Durable,
        Self::Admissions,
        Self::KeepRefusedPrompt,
        Self::PrepareStep,
        Self::InputGuards,
        Self::OutputGuards,
        Self::OnUsage,
        Self::OnExchange,
        Self::MaxOutputTokens,
        Self::Temperature,
        Self::TopP,
        Self::TopK,
        Self::PresencePenalty,
        Self::FrequencyPenalty,
        Self::StopSequences,
        Self::Seed,
        Self::ReasoningEffort,
        Self::Headers,
        Self::Timeout,
        Self::MaxRetries,
        Self::KeepRequestBody,
    ];
}

impl<S> Options<S> {
    /// Returns whether this level says something of an option.
    pub fn says(&self, field: Field) -> bool {
        match field {
            Field::Instructions => self.instructions.is_some(),
            Field::Model => self.model.is_some(),
            Field::ImageModel => self.image_model.is_some(),
            Field::Tools => self.tools.is_some() || !self.tool_changes.is_empty(),
            Field::ToolChoice => self.tool_choice.is_some(),
            Field::StopWhen => self.stop_when.is_some(),
            Field::Compaction => self.compaction.is_some(),
            Field::ContextHandler => self.context_handler.is_some(),
            Field::TokenCounter => self.token_counter.is_some(),
            Field::Messages => self.messages.is_some(),
            Field::Storage => self.storage.is_some(),
            Field::ProviderOptions => !self.provider_options.is_empty(),
            Field::Caller => self.caller.is_some(),
            Field::Values => !self.values.is_empty(),
            Field::Parent => self.parent.is_some(),
            Field::Durable => self.durable.is_some(),
            Field::Admissions => self.admissions.is_some(),
            Field::KeepRefusedPrompt => self.keep_refused_prompt.is_some(),
            Field::PrepareStep => self.prepare_step.is_some(),
            Field::InputGuards => self.input_guards.is_some(),
            Field::OutputGuards => self.output_guards.is_some(),
            Field::OnUsage => self.on_usage.is_some(),
            Field::OnExchange => self.on_exchange.is_some(),
            Field::MaxOutputTokens => self.settings.max_output_tokens.is_some(),
            Field::Temperature => self.settings.temperature.is_some(),
            Field::TopP => self.settings.top_p.is_some(),
            Field::TopK => self.settings.top_k.is_some(),
            Field::PresencePenalty => self.settings.presence_penalty.is_some(),
            Field::FrequencyPenalty => self.settings.frequency_penalty.is_some(),
            Field::StopSequences => !self.settings.stop_sequences.is_empty(),
            Field::Seed => self.settings.seed.is_some(),
            Field::ReasoningEffort => self.settings.reasoning_effort.is_some(),
            Field::Headers => !self.settings.headers.is_empty(),
            Field::Timeout => self.settings.timeout.is_some(),
            Field::MaxRetries => self.settings.max_retries.is_some(),
            Field::KeepRequestBody => self.settings.keep_request_body,
        }
    }

    /// Takes back what this level says of an option.
    pub(super) fn forget(&mut self, field: Field) {
        match field {
            Field::Instructions => self.instructions = None,
            Field::Model => self.model = None,
            Field::ImageModel => self.image_model = None,
            Field::Tools => (self.tools, self.tool_changes) = (None, ToolChanges::default()),
            Field::ToolChoice => self.tool_choice = None,
            Field::StopWhen => self.stop_when = None,
            Field::Compaction => self.compaction = None,
            Field::ContextHandler => self.context_handler = None,
            Field::TokenCounter => self.token_counter = None,
            Field::Messages => self.messages = None,
            Field::Storage => self.storage = None,
            Field::ProviderOptions => self.provider_options.clear(),
            Field::Caller => self.caller = None,
            Field::Values => self.values = Values::default(),
            Field::Parent => self.parent = None,
            Field::Durable => self.durable = None,
            Field::Admissions => self.admissions = None,
            Field::KeepRefusedPrompt => self.keep_refused_prompt = None,
            Field::PrepareStep => self.prepare_step = None,
            Field::InputGuards => self.input_guards = None,
            Field::OutputGuards => self.output_guards = None,
            Field::OnUsage => self.on_usage = None,
            Field::OnExchange => self.on_exchange = None,
            Field::MaxOutputTokens => self.settings.max_output_tokens = None,
            Field::Temperature => self.settings.temperature = None,
            Field::TopP => self.settings.top_p = None,
            Field::TopK => self.settings.top_k = None,
            Field::PresencePenalty => self.settings.presence_penalty = None,
            Field::FrequencyPenalty => self.settings.frequency_penalty = None,
            Field::StopSequences => self.settings.stop_sequences.clear(),
            Field::Seed => self.settings.seed = None,
            Field::ReasoningEffort => self.settings.reasoning_effort = None,
            Field::Headers => self.settings.headers.clear(),
            Field::Timeout => self.settings.timeout = None,
            Field::MaxRetries => self.settings.max_retries = None,
            Field::KeepRequestBody => self.settings.keep_request_body = false,
        }
    }
}
