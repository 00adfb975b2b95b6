//! Models that need no provider: no network and no key, and the same answer to the same request each time.

mod embedder;
mod facts;
mod fill;
mod given;
mod images;
mod retrieve;
mod talk;
mod tools;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loomwork_core::Clock;
use serde_json::{Map, Value};

use crate::playback::{Playback, Step, pieces};
use crate::{
    Chunk, Error, ErrorKind, Estimator, Finish, FinishReason, Format, LanguageModel, ModelName, PartKind,
    PartNumber, ProviderData, ReasoningEffort, Reply, ReplyInfo, ReplyStream, Request, Result, SchemaSupport,
    TokenCounter, ToolCall, ToolSpec, Usage, Warning, collect,
};
pub use embedder::OfflineEmbedder;
use fill::Mode;
use given::Given;
pub use images::OfflineImages;
use tools::Choice;
pub(crate) use words::hash;

/// A language model that follows rules instead of knowing anything, and says so in each answer.
///
/// It greets, quotes the sentences of the conversation, of its documents and of tool results that share the
/// words of a question, and otherwise says that it does not know. It calls a tool when the prompt names it,
/// or has the words of its name or description, and when the arguments that the tool requires can be read
/// out of the prompt; then it tells what the tool returned. It fills a JSON schema with what the prompt says.
/// That is enough to try out an application, to demonstrate it and to test it; for answers, use a provider.
///
/// It obeys the tool choice, `max_output_tokens`, stop sequences, the time-out and the token that cancels.
/// Where [`reasoning_effort`](crate::Settings::reasoning_effort) is set it says which rule it followed.
///
/// ```
/// use loomwork_models::{LanguageModel, Message, OfflineModel, Request};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let request = Request::new([
///     Message::user("The loom was patented in 1804. The shuttle is older."),
///     Message::user("When was the loom patented?"),
/// ]);
/// let reply = OfflineModel::default().generate(request).await?;
/// assert!(reply.text().contains("> The loom was patented in 1804. (you, earlier)"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OfflineModel {
    name: ModelName,
    pace: Duration,
    clock: Clock,
    counter: Arc<dyn TokenCounter>,
}

impl OfflineModel {
    /// How long it waits before each word that it streams, unless another pace is set: about as fast as one
    /// reads. An answer that is asked for [as a whole](LanguageModel::generate) comes at once.
    pub const DEFAULT_PACE: Duration = Duration::from_millis(30);

    /// Sets how long it waits before each word that it streams.
    pub fn with_pace(self, pace: Duration) -> Self {
        Self { pace, ..self }
    }

    /// Sets the clock on which it waits.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sets what counts its tokens.
    pub fn with_counter(self, counter: impl TokenCounter + 'static) -> Self {
        Self { counter: Arc::new(counter), ..self }
    }

    fn answer(&self, request: &Request, pace: Duration) -> Result<VecDeque<Step>> {
        let error =
            |text: String| Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text);
        if request.messages.is_empty() {
            return Err(error("the request has no messages".to_owned()));
        }
        let said = decide(request).map_err(error)?;
        let input = self.counter.count_request(request);
        let mut speech = Speech::new(request, pace, &*self.counter, input);
        speech.say(said, &self.name);
        Ok(speech.steps)
    }
}

impl Default for OfflineModel {
    fn default() -> Self {
        Self {
            name: ModelName::new("offline", "offline"),
            pace: Self::DEFAULT_PACE,
            clock: Clock::system(),
            counter: Arc::new(Estimator),
        }
    }
}

#[async_trait]
impl LanguageModel for OfflineModel {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn schema_support(&self) -> SchemaSupport {
        SchemaSupport::Native
    }

    async fn stream(&self, request: Request) -> Result<ReplyStream> {
        let steps = self.answer(&request, self.pace)?;
        Ok(Playback::new(&self.name, &self.clock, &request).play(steps, ()))
    }

    async fn generate(&self, request: Request) -> Result<Reply> {
        let steps = self.answer(&request, Duration::ZERO)?;
        collect(Playback::new(&self.name, &self.clock, &request).play(steps, ())).await
    }
}

/// What the model says, and by which rule.
struct Said {
    rule: String,
    text: Option<String>,
    calls: Vec<ToolCall>,
}

/// Decides what to say; an error says what is wrong with the request.
fn decide(request: &Request) -> Result<Said, String> {
    let given = Given::read(request);
    let text = |rule: &str, text: String| Said { rule: rule.to_owned(), text: Some(text), calls: Vec::new() };
    match tools::choose(request, &given)? {
        Choice::Call(calls) => {
            let names: Vec<String> =
                calls.iter().map(|call| format!("`{}` with {}", call.name, call.input)).collect();
            let rule = format!("The tools ask to be called: {}.", names.join(", "));
            return Ok(Said { rule, text: None, calls });
        }
        Choice::Ask { tool, missing } if request.format == Format::Text => {
            return Ok(text("A tool is named, but not all of its arguments.", talk::ask(tool, &missing)));
        }
        Choice::Ask { .. } | Choice::Nothing => {}
    }
    Ok(match &request.format {
        Format::Schema(output) => {
            let value = fill::fill(&output.schema, &given.whole_text(), &given.question, Mode::Invent);
            let value = value
                .ok_or("the schema cannot be filled: it has no end, or a reference that leads nowhere")?;
            text("The answer has to fit a schema, which I fill with what the prompt says.", value.to_string())
        }
        Format::Json => text("The answer has to be JSON.", as_json(&given)),
        Format::Text if !given.results.is_empty() => {
            text("The tools have answered, so I tell what they say.", talk::tell(&given.results, request))
        }
        Format::Text => text(
            "No tool is asked for, so I look for an answer in what I was given.",
            talk::answer(&given, request),
        ),
    })
}

/// Answers in JSON without a schema: the `key: value` lines of the prompt, or the prompt itself.
fn as_json(given: &Given<'_>) -> String {
    let pairs = given.prompt.lines().filter_map(|line| line.split_once(':'));
    let fields: Map<String, Value> = pairs
        .filter(|(key, value)| key.split_whitespace().count() <= 3 && !value.trim().is_empty())
        .map(|(key, value)| (key.trim().to_lowercase().replace(' ', "_"), value.trim().into()))
        .collect();
    if fields.is_empty() { serde_json::json!({ "prompt": given.prompt }) } else { Value::Object(fields) }
        .to_string()
}

/// The steps of an answer, within the limits of its request.
struct Speech<'request> {
    request: &'request Request,
    counter: &'request dyn TokenCounter,
    pace: Duration,
    steps: VecDeque<Step>,
    parts: PartNumber,
    left: u64,
    usage: Usage,
}

/// Whether an answer goes on.
#[derive(PartialEq)]
enum Flow {
    On,
    Cut,
}

impl<'request> Speech<'request> {
    fn new(
        request: &'request Request,
        pace: Duration,
        counter: &'request dyn TokenCounter,
        input: u64,
    ) -> Self {
        let left = request.settings.max_output_tokens.unwrap_or(u64::MAX);
        let usage = Usage { input_fresh: input, ..Usage::default() };
        Self { request, counter, pace, steps: VecDeque::new(), parts: 0, left, usage }
    }

    fn say(&mut self, said: Said, name: &ModelName) {
        let (provider, model) = (name.provider.clone(), name.model.clone());
        let warnings = warnings(self.request);
        self.chunk(Chunk::Start(ReplyInfo { provider, model, warnings, ..ReplyInfo::default() }));
        let finish = self.parts_of(said);
        let usage = self.usage.clone();
        self.chunk(Chunk::Finish(Finish { usage, ..finish }));
    }

    fn parts_of(&mut self, said: Said) -> Finish {
        let finish =
            |reason, raw: &str| Finish { reason, raw_reason: Some(raw.to_owned()), ..Finish::default() };
        let length = || finish(FinishReason::Length, "max_output_tokens");
        let thinks =
            self.request.settings.reasoning_effort.is_some_and(|effort| effort != ReasoningEffort::None);
        if thinks && self.part(PartKind::Reasoning, &said.rule) == Flow::Cut {
            return length();
        }
        if let Some(text) = said.text {
            let end = self.request.settings.stop_sequences.iter().filter(|stop| !stop.is_empty());
            let end = end.filter_map(|stop| text.find(stop.as_str())).min();
            if self.part(PartKind::Text, &text[..end.unwrap_or(text.len())]) == Flow::Cut {
                return length();
            }
            return finish(FinishReason::Stop, if end.is_some() { "stop_sequence" } else { "stop" });
        }
        for call in said.calls {
            let kind =
                PartKind::ToolCall { tool_call_id: call.id, tool_name: call.name, provider_executed: false };
            if self.part(kind, &call.input.to_string()) == Flow::Cut {
                return length();
            }
        }
        finish(FinishReason::ToolCalls, "tool_calls")
    }

    /// Adds a part word by word, as far as the limit lets it.
    fn part(&mut self, kind: PartKind, text: &str) -> Flow {
        let part = self.parts;
        self.parts += 1;
        let is_reasoning = kind == PartKind::Reasoning;
        self.chunk(Chunk::PartStart { part, kind, provider_metadata: ProviderData::new() });
        let mut flow = Flow::On;
        for piece in pieces(text) {
            let tokens = self.counter.count(piece);
            if tokens > self.left {
                flow = Flow::Cut;
                break;
            }
            self.left -= tokens;
            let kind =
                if is_reasoning { &mut self.usage.output_reasoning } else { &mut self.usage.output_text };
            *kind += tokens;
            if !self.pace.is_zero() {
                self.steps.push_back(Step::Wait(self.pace));
            }
            self.chunk(Chunk::PartDelta { part, delta: piece.to_owned() });
        }
        self.chunk(Chunk::PartEnd { part, provider_metadata: ProviderData::new() });
        flow
    }

    fn chunk(&mut self, chunk: Chunk) {
        self.steps.push_back(Step::Chunk(chunk));
    }
}

fn warnings(request: &Request) -> Vec<Warning> {
    let tool = |tool: &ToolSpec| match tool {
        ToolSpec::Provider { id, .. } => Some(Warning {
            what: format!("tool {id}"),
            why: "the offline model runs no tools of providers".to_owned(),
        }),
        ToolSpec::Function { .. } => None,
    };
    request.tools.iter().filter_map(tool).collect()
}

/// Writes a name as words: `getWeather` and `get_weather` are `get weather`.
fn spaced(name: &str) -> String {
    let mut spaced = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if matches!(letter, '_' | '-' | '.') {
            spaced.push(' ');
        } else {
            if was_lower && letter.is_uppercase() {
                spaced.push(' ');
            }
            spaced.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase() || letter.is_ascii_digit();
    }
    spaced
}
