//! How many tokens a text or a request has, without asking a provider.

mod estimate;
mod image;
mod reckoning;
#[cfg(feature = "tiktoken")]
mod tiktoken;

use std::fmt;

pub use estimate::Estimator;
pub(crate) use reckoning::Reckoning;
#[cfg(feature = "tiktoken")]
pub use tiktoken::Tiktoken;

use crate::{Data, Format, Message, OutputItem, Part, Reply, Request, ToolOutput, ToolSpec, Usage};

/// What a message costs besides its parts: its role, and the marks around it.
const TOKENS_PER_MESSAGE: u64 = 4;

/// What the beginning of the answer costs, once a request.
const TOKENS_PER_REQUEST: u64 = 3;

/// What a tool, a tool call or a result costs besides its texts.
const TOKENS_PER_TOOL: u64 = 6;

/// What a file costs that is neither text nor an image, such as a document of a few pages.
const TOKENS_PER_FILE: u64 = 1_500;

/// Counts tokens.
///
/// Only [`count`](Self::count) is required; the rest adds up texts and documented rules. [`Estimator`]
/// needs no tables and is the default everywhere; `Tiktoken`, behind the feature `tiktoken`, is exact for
/// the texts of OpenAI's models.
///
/// ```
/// use loomwork_models::{Estimator, Message, Request, TokenCounter};
///
/// let request = Request::new([Message::user("How many tokens are these?")]);
/// assert_eq!(Estimator.count("How many tokens are these?"), 6);
/// assert_eq!(Estimator.count_request(&request), 6 + 4 + 3); // and what frames them
/// ```
pub trait TokenCounter: Send + Sync + fmt::Debug {
    /// Returns the tokens of a text.
    fn count(&self, text: &str) -> u64;

    /// Returns the tokens of an image: one for each 750 pixels, at most 1,600, and 1,600 where the size
    /// cannot be read from its bytes.
    fn count_image(&self, data: &Data) -> u64 {
        image::count(data)
    }

    /// Returns the tokens of a part: of its texts, of its JSON, or of its file. Files of text are counted
    /// as text, others as 1,500 tokens. Parts that a model does not see have none.
    fn count_part(&self, part: &Part) -> u64 {
        match part {
            Part::Text(part) => self.count(&part.text),
            Part::Reasoning(part) => self.count(&part.text),
            Part::RedactedReasoning(part) => self.count(&part.data),
            Part::Image(part) => self.count_image(&part.data),
            Part::File(part) => count_file(self, &part.data, &part.media_type),
            Part::ReasoningFile(part) => count_file(self, &part.data, &part.media_type),
            Part::ToolCall(call) => {
                TOKENS_PER_TOOL + self.count(&call.name) + self.count(&call.input.to_string())
            }
            Part::ToolResult(result) => TOKENS_PER_TOOL + count_output(self, &result.output),
            Part::Custom(_)
            | Part::Source(_)
            | Part::ApprovalRequest(_)
            | Part::ApprovalResponse(_)
            | Part::Unknown(_) => 0,
        }
    }

    /// Returns the tokens of a message: of its parts, and 4 for its frame.
    fn count_message(&self, message: &Message) -> u64 {
        TOKENS_PER_MESSAGE + message.parts.iter().map(|part| self.count_part(part)).sum::<u64>()
    }

    /// Returns the tokens of a tool's description.
    fn count_tool(&self, tool: &ToolSpec) -> u64 {
        let texts = match tool {
            ToolSpec::Function { name, description, input_schema, .. } => {
                self.count(name) + self.count(description) + self.count(&input_schema.to_string())
            }
            ToolSpec::Provider { id, args } => self.count(id) + self.count(&args.to_string()),
        };
        TOKENS_PER_TOOL + texts
    }

    /// Returns the tokens of a request's input: messages, tools and schema, and 3 for its frame.
    fn count_request(&self, request: &Request) -> u64 {
        let messages = request.messages.iter().map(|message| self.count_message(message));
        let tools = request.tools.iter().map(|tool| self.count_tool(tool));
        let schema = match &request.format {
            Format::Schema(output) => self.count(&output.schema.to_string()),
            Format::Text | Format::Json => 0,
        };
        TOKENS_PER_REQUEST + schema + messages.chain(tools).sum::<u64>()
    }

    /// Returns what a call used as far as that can be told from what was sent and what came; marked as
    /// estimated. For calls whose provider's numbers never came.
    fn estimate(&self, request: &Request, reply: &Reply) -> Usage {
        let (thoughts, said): (Vec<&Part>, Vec<&Part>) = reply.parts.iter().partition(|part| {
            matches!(part, Part::Reasoning(_) | Part::ReasoningFile(_) | Part::RedactedReasoning(_))
        });
        let count = |parts: Vec<&Part>| parts.into_iter().map(|part| self.count_part(part)).sum();
        Usage {
            input_fresh: self.count_request(request),
            output_text: count(said),
            output_reasoning: count(thoughts),
            estimated: true,
            ..Usage::default()
        }
    }
}

fn count_file<C: TokenCounter + ?Sized>(counter: &C, data: &Data, media_type: &str) -> u64 {
    if media_type.starts_with("image/") {
        return counter.count_image(data);
    }
    match data.as_text(media_type) {
        Some(text) => counter.count(&text),
        None => TOKENS_PER_FILE,
    }
}

fn count_output<C: TokenCounter + ?Sized>(counter: &C, output: &ToolOutput) -> u64 {
    let ToolOutput::Content(items) = output else { return counter.count(&output.to_text()) };
    let count = |item: &OutputItem| match item {
        OutputItem::Text { text, .. } => counter.count(text),
        OutputItem::File { data, media_type, .. } => count_file(counter, data, media_type),
        OutputItem::Custom { .. } => 0,
    };
    items.iter().map(count).sum()
}
