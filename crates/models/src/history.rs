//! Makes a conversation valid for the model that will read it.
//!
//! Conversations come from stores, from browsers and from other models; a run may have been cut at any
//! place in them. Providers refuse what breaks their rules, so each of them calls [`prepare`] before it
//! builds a request, with a [`Target`] that says what it allows. What comes out keeps these rules:
//!
//! - A message of tool calls is followed by one tool message with a result for each, in the order of
//!   the calls. A call without a result gets one that says so; a result without a call is left out.
//! - Ids of calls are unique. Approvals are resolved: a denied call has a denied result. Only those of
//!   tools that this provider runs itself are left, each request with its response.
//! - What a provider said of a part is there for that provider and model family only. A provider
//!   says which model it was in the field [`MADE_BY`] of its bag.
//! - Reasoning is only what the target takes, and something follows it.
//! - Each part is of a type that its role may have; there are no empty parts and no empty messages.
//! - Files have a media type, `data:` addresses have become bytes, and the target reads them all.
//!
//! Preparing what is prepared changes nothing.
//!
//! ```
//! use loomwork_models::history::{Target, prepare};
//! use loomwork_models::{Message, ModelName, Part, Role};
//! use serde_json::json;
//!
//! let cut = [
//!     Message::user("How is the weather in Bern?"),
//!     Message::new(Role::Assistant, [Part::tool_call("call_1", "weather", json!({ "city": "Bern" }))]),
//!     Message::user("Never mind. And in Rome?"),
//! ];
//! let target = Target::new(ModelName::new("openai", "gpt-4o-mini"));
//! let prepared = prepare(cut.to_vec(), &target)?;
//!
//! assert_eq!(prepared.messages[2].role, Role::Tool);
//! assert_eq!(prepared.warnings[0].what, "tool call call_1");
//! # Ok::<_, loomwork_models::Error>(())
//! ```

mod calls;
mod files;
mod order;
mod parts;

use crate::{Extras, Message, ModelName, ProviderData, Result, Warning};

/// The field of a provider's bag that names the model which made the part.
pub const MADE_BY: &str = "model";

/// What a provider allows in a conversation.
#[derive(Clone, Debug)]
pub struct Target {
    /// The provider and the model that will read the conversation.
    pub model: ModelName,
    /// Which reasoning it takes back. Default: its own.
    pub reasoning: ReasoningRule,
    /// What becomes of reasoning that it doesn't take. Default: it is left out.
    pub foreign_reasoning: ForeignReasoning,
    /// Where it takes system messages. Default: anywhere.
    pub system: SystemRule,
    /// Whether it wants users and assistants to take turns. Default: no.
    pub alternating: bool,
    /// The files that it reads in user messages. Default: none.
    pub user_files: &'static [Readable],
    /// The files that it reads in assistant messages. Default: none.
    pub assistant_files: &'static [Readable],
    /// The files that it reads in the outputs of tools. Default: none.
    pub tool_files: &'static [Readable],
    /// What becomes of files that it doesn't read. Default: they are refused.
    pub unreadable_files: UnreadableFiles,
    /// The ids that calls may have. Default: any.
    pub call_ids: NameRule,
    /// The names that tools may have. Default: letters, digits, `_` and `-`, at most 64.
    pub tool_names: NameRule,
}

impl Target {
    /// Returns a provider that reads texts and tool calls, and minds nothing else.
    pub fn new(model: ModelName) -> Self {
        Self {
            model,
            reasoning: ReasoningRule::Own,
            foreign_reasoning: ForeignReasoning::Drop,
            system: SystemRule::Anywhere,
            alternating: false,
            user_files: &[],
            assistant_files: &[],
            tool_files: &[],
            unreadable_files: UnreadableFiles::Refuse,
            call_ids: NameRule::Any,
            tool_names: NameRule::Plain { longest: 64 },
        }
    }

    /// Returns whether this provider made the part, with a model of the same family.
    fn owns(&self, extras: &Extras) -> bool {
        let bags = [&extras.provider_options, &extras.provider_metadata];
        bags.into_iter().any(|bag| bag.get(&self.model.provider).is_some_and(|bag| self.is_own(bag)))
    }

    fn is_own(&self, bag: &serde_json::Value) -> bool {
        let made_by = bag.get(MADE_BY).and_then(serde_json::Value::as_str);
        made_by.is_none_or(|model| family(model) == family(&self.model.model))
    }

    /// Leaves out what concerns other providers and model families.
    fn scrub(&self, extras: &mut Extras) {
        self.scrub_bag(&mut extras.provider_options);
        self.scrub_bag(&mut extras.provider_metadata);
    }

    fn scrub_bag(&self, bag: &mut ProviderData) {
        bag.retain(|provider, bag| *provider == self.model.provider && self.is_own(bag));
    }
}

/// Which reasoning a provider takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningRule {
    /// Its own, which its bag proves.
    Own,
    /// Anybody's, as text.
    Any,
    /// None.
    None,
}

/// What becomes of reasoning that a provider doesn't take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignReasoning {
    /// It is left out.
    #[default]
    Drop,
    /// It becomes a text of the assistant, between `<thinking>` and `</thinking>`.
    Text,
}

/// Where a provider takes system messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemRule {
    /// Anywhere between the others.
    Anywhere,
    /// Before all others; later ones are moved there, with a warning.
    Leading,
    /// Nowhere; they become user messages, with a warning.
    AsUser,
}

/// A kind of file that a provider reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    /// The media type: `image/png`, or `image/*` for all images.
    pub media_type: &'static str,
    /// The forms in which it takes them.
    pub forms: &'static [DataForm],
}

/// A form of a file's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataForm {
    /// The bytes themselves.
    Bytes,
    /// An address on the web.
    Url,
    /// The provider's id of the file.
    Reference,
}

/// What becomes of files that a provider doesn't read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnreadableFiles {
    /// In a user's message, the call is an error of kind `bad_request` that names the part. What models
    /// and tools made is nobody's request, so a note stands in its place, with a warning.
    #[default]
    Refuse,
    /// A note stands in their place, with a warning.
    Note,
}

/// The names or ids that a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// Any that are not empty.
    Any,
    /// Those of at most so many characters.
    Short {
        /// The most characters, at least 8.
        longest: usize,
    },
    /// Those of letters, digits, `_` and `-`, and of at most so many characters.
    Plain {
        /// The most characters, at least 8.
        longest: usize,
    },
}

/// A conversation that its target takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The messages.
    pub messages: Vec<Message>,
    /// What was left out, moved or made up.
    pub warnings: Vec<Warning>,
}

/// Makes a conversation valid for the model that will read it; see the [module](self) for the rules.
///
/// # Errors
/// `bad_request` that names the message and the part, for a file that the target does not read where
/// [`unreadable_files`](Target::unreadable_files) says to refuse it.
pub fn prepare(messages: Vec<Message>, target: &Target) -> Result<Prepared> {
    let mut warnings = Vec::new();
    let mut cleaned = parts::clean(messages, target, &mut warnings)?;
    order::drop_empty(&mut cleaned);
    let mut paired = calls::pair(cleaned, target, &mut warnings);
    order::drop_trailing_reasoning(&mut paired);
    order::drop_empty(&mut paired);
    let messages = order::arrange(paired, target, &mut warnings);
    Ok(Prepared { messages, warnings })
}

/// Returns what models of one kind have in common: the name before its first number, so that
/// `claude-sonnet-4-5` and `claude-sonnet-5` are one family, and `o3` and `gpt-5` are not.
fn family(model: &str) -> &str {
    let digit = model.find(|character: char| character.is_ascii_digit());
    model[..digit.unwrap_or(model.len())].trim_end_matches(['-', '_', '.', ':'])
}

fn warn(warnings: &mut Vec<Warning>, what: impl Into<String>, why: impl Into<String>) {
    warnings.push(Warning { what: what.into(), why: why.into() });
}
