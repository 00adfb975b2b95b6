//! How servers that speak Chat Completions differ.

use crate::ReasoningEffort;
use crate::history::{DataForm, Readable};

use DataForm::{Bytes, Reference, Url};
use ReasoningEffort::{High, Low, Max, Medium, Minimal, XHigh};

/// What a server takes of Chat Completions, and in which form. What it sends needs no telling: each form
/// is read, from whomever it comes, except thoughts between tags.
///
/// New fields may come; `..Dialect::compatible()` is ready for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialect {
    /// How the limit of the answer is spelled.
    pub max_tokens: MaxTokens,
    /// The role of system messages.
    pub instruction_role: InstructionRole,
    /// Whether models that think reject sampling settings, so that these are left out for them.
    pub thinkers_reject_sampling: bool,
    /// Whether `top_k` is a field.
    pub top_k: bool,
    /// How the reasoning effort is asked for.
    pub effort: EffortForm,
    /// Whether a tool's or a format's `strict` is a field.
    pub strict: bool,
    /// Whether answers can be held to a JSON schema.
    pub json_schema: bool,
    /// Whether `tool_choice` is heeded.
    pub tool_choice: bool,
    /// Whether `tool_choice` may name a tool.
    pub named_tool_choice: bool,
    /// Whether a stream is asked for usage by `stream_options`.
    pub stream_usage: bool,
    /// The field in which an assistant's thoughts go back, if they do.
    pub reasoning_field: Option<&'static str>,
    /// Whether texts hold thoughts between `<think>` and `</think>`.
    pub think_tags: ThinkTags,
    /// The files that it reads in user messages.
    pub files: &'static [Readable],
}

/// How the limit of the answer is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokens {
    /// `max_completion_tokens`, as OpenAI has it today.
    MaxCompletionTokens,
    /// `max_tokens`, which older servers know alone.
    MaxTokens,
}

/// The role of system messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionRole {
    /// `system`.
    System,
    /// `developer`.
    Developer,
    /// `developer` for models that think, `system` for the others.
    ByModel,
}

/// How the reasoning effort is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EffortForm {
    /// `reasoning_effort`, one of these or `none`; another becomes the nearest of them.
    Field(&'static [ReasoningEffort]),
    /// `reasoning: {effort}`.
    Object,
    /// `thinking: {type}`, either on or off.
    Switch,
    /// It cannot be asked for.
    None,
}

/// Whether texts hold thoughts between `<think>` and `</think>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThinkTags {
    /// They don't; the tags are text like any other.
    #[default]
    No,
    /// An answer may begin with them.
    AtStart,
    /// An answer begins within them: the opening tag is part of the prompt.
    OpenedByPrompt,
}

const BY_ADDRESS: Readable = Readable { media_type: "image/*", forms: &[Url] };
const PNG: Readable = Readable { media_type: "image/png", forms: &[Bytes] };
const JPEG: Readable = Readable { media_type: "image/jpeg", forms: &[Bytes] };
const GIF: Readable = Readable { media_type: "image/gif", forms: &[Bytes] };
const WEBP: Readable = Readable { media_type: "image/webp", forms: &[Bytes] };
const ANY_IMAGE: Readable = Readable { media_type: "image/*", forms: &[Bytes, Url] };
const WAV: Readable = Readable { media_type: "audio/wav", forms: &[Bytes] };
const MP3: Readable = Readable { media_type: "audio/mpeg", forms: &[Bytes] };
const PDF: Readable = Readable { media_type: "application/pdf", forms: &[Bytes, Reference] };
/// Texts go into the conversation as they are, so every server reads them.
const TEXT: Readable = Readable { media_type: "text/*", forms: &[Bytes] };
const IMAGE_BYTES: Readable = Readable { media_type: "image/*", forms: &[Bytes] };

const OPENAI_FILES: &[Readable] = &[BY_ADDRESS, PNG, JPEG, GIF, WEBP, WAV, MP3, PDF, TEXT];
const COMPATIBLE_FILES: &[Readable] = &[ANY_IMAGE, WAV, MP3, PDF, TEXT];
const IMAGES: &[Readable] = &[ANY_IMAGE, TEXT];
const IMAGES_WITHOUT_ADDRESSES: &[Readable] = &[IMAGE_BYTES, TEXT];
const TEXTS: &[Readable] = &[TEXT];

impl Dialect {
    /// Returns the name of the server at an address, and its dialect. A server that is not known is named by
    /// its host and port, so that what it alone reads goes back to it alone, and gets the least that servers
    /// agree on.
    pub fn of(base_url: &str) -> (String, Self) {
        let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let server = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
        let (host, port) = server.rsplit_once(':').unwrap_or((&server, ""));
        let (name, dialect) = match (host, port) {
            ("api.openai.com", _) => ("openai", Self::openai()),
            ("openrouter.ai", _) => ("openrouter", Self::openrouter()),
            ("api.deepseek.com", _) => ("deepseek", Self::deepseek()),
            ("api.groq.com", _) => ("groq", Self::groq()),
            ("generativelanguage.googleapis.com", _) => ("gemini", Self::gemini()),
            ("api.anthropic.com", _) => ("anthropic-compatible", Self::anthropic()),
            (host, _) if host.ends_with(".azure.com") => ("azure", Self::azure()),
            (_, "11434") => ("ollama", Self::ollama()),
            (_, "1234") => ("lmstudio", Self::lm_studio()),
            ("", _) => ("openai-compatible", Self::compatible()),
            _ => (server.as_str(), Self::compatible()),
        };
        (name.to_owned(), dialect)
    }

    /// Returns what servers agree on.
    pub fn compatible() -> Self {
        Self {
            max_tokens: MaxTokens::MaxTokens,
            instruction_role: InstructionRole::System,
            thinkers_reject_sampling: false,
            top_k: false,
            effort: EffortForm::Field(&[Minimal, Low, Medium, High, XHigh, Max]),
            strict: false,
            json_schema: false,
            tool_choice: true,
            named_tool_choice: true,
            stream_usage: true,
            reasoning_field: None,
            think_tags: ThinkTags::No,
            files: COMPATIBLE_FILES,
        }
    }

    /// Returns the dialect of OpenAI itself.
    pub fn openai() -> Self {
        Self {
            max_tokens: MaxTokens::MaxCompletionTokens,
            instruction_role: InstructionRole::ByModel,
            thinkers_reject_sampling: true,
            strict: true,
            json_schema: true,
            files: OPENAI_FILES,
            ..Self::compatible()
        }
    }

    /// Returns the dialect of Azure OpenAI.
    pub fn azure() -> Self {
        Self::openai()
    }

    /// Returns the dialect of Ollama: it reads no addresses of images and does not heed `tool_choice`.
    pub fn ollama() -> Self {
        Self {
            effort: EffortForm::Field(&[Low, Medium, High]),
            json_schema: true,
            tool_choice: false,
            reasoning_field: Some("reasoning"),
            files: IMAGES_WITHOUT_ADDRESSES,
            ..Self::compatible()
        }
    }

    /// Returns the dialect of vLLM.
    pub fn vllm() -> Self {
        Self {
            max_tokens: MaxTokens::MaxCompletionTokens,
            top_k: true,
            strict: true,
            json_schema: true,
            reasoning_field: Some("reasoning"),
            ..Self::compatible()
        }
    }

    /// Returns the dialect of llama.cpp's server: it takes a named `tool_choice` for `auto`.
    pub fn llama_cpp() -> Self {
        Self {
            top_k: true,
            json_schema: true,
            named_tool_choice: false,
            reasoning_field: Some("reasoning_content"),
            ..Self::compatible()
        }
    }

    /// Returns the dialect of LM Studio.
    pub fn lm_studio() -> Self {
        Self { json_schema: true, top_k: true, files: IMAGES, ..Self::compatible() }
    }

    /// Returns the dialect of OpenRouter.
    pub fn openrouter() -> Self {
        Self {
            effort: EffortForm::Object,
            top_k: true,
            strict: true,
            json_schema: true,
            reasoning_field: Some("reasoning"),
            ..Self::compatible()
        }
    }

    /// Returns the dialect of DeepSeek: it has no schemas, and wants its thoughts back in tool loops.
    pub fn deepseek() -> Self {
        Self {
            effort: EffortForm::Switch,
            reasoning_field: Some("reasoning_content"),
            files: TEXTS,
            ..Self::compatible()
        }
    }

    /// Returns the dialect of Groq.
    pub fn groq() -> Self {
        Self {
            max_tokens: MaxTokens::MaxCompletionTokens,
            effort: EffortForm::Field(&[Low, Medium, High]),
            strict: true,
            json_schema: true,
            files: IMAGES,
            ..Self::compatible()
        }
    }

    /// Returns the dialect of Gemini's compatible layer.
    pub fn gemini() -> Self {
        Self {
            effort: EffortForm::Field(&[Minimal, Low, Medium, High]),
            json_schema: true,
            ..Self::compatible()
        }
    }

    /// Returns the dialect of Anthropic's compatible layer, which ignores formats and efforts.
    pub fn anthropic() -> Self {
        Self { effort: EffortForm::None, ..Self::compatible() }
    }
}

/// Whether a model of OpenAI thinks before it answers: `o1`, `o3-mini`, `gpt-5`; chat models don't.
pub(super) fn thinks(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let is_o =
        name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|sign: char| sign.is_ascii_digit()));
    let generation =
        name.strip_prefix("gpt-").and_then(|rest| rest.split(['.', '-']).next()?.parse::<u32>().ok());
    is_o || generation.is_some_and(|number| number >= 5) && !name.contains("-chat")
}
