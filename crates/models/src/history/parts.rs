//! What each part may be, taken for itself.

use serde_json::{Map, Value};

use super::{ForeignReasoning, ReasoningRule, Target, files, warn};
use crate::content::is_blank;
use crate::{Extras, Message, OutputItem, Part, Reasoning, Result, Role, Text, ToolOutput, Warning};

/// The field of a provider's bag that holds sealed reasoning of the older spelling.
const REDACTED_DATA: &str = "redactedData";

/// Leaves out parts that their role may not have, and makes of the others what the target reads.
pub(super) fn clean(
    messages: Vec<Message>,
    target: &Target,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Message>> {
    let clean = |(index, mut message): (usize, Message)| {
        let role = message.role;
        target.scrub_bag(&mut message.provider_options);
        let mut parts = Vec::with_capacity(message.parts.len());
        for (number, part) in message.parts.into_iter().enumerate() {
            let place = Place { message: index, part: number, role };
            parts.extend(clean_part(part, &place, target, warnings)?);
        }
        Ok(Message { parts, ..message })
    };
    messages.into_iter().enumerate().map(clean).collect()
}

/// Where a part stands.
pub(super) struct Place {
    pub(super) message: usize,
    pub(super) part: usize,
    pub(super) role: Role,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "part {} of message {} ({})", self.part, self.message, self.role.as_str())
    }
}

fn clean_part(
    mut part: Part,
    place: &Place,
    target: &Target,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Part>> {
    if let Some(extras) = part.extras_mut() {
        // Kept for our store; no provider knows these fields.
        extras.unknown = Map::new();
    }
    // Whose it is has to be known before the bags of others are gone.
    let is_own = part.extras().is_some_and(|extras| target.owns(extras));
    let is_unclaimed = part.extras().is_some_and(|extras| extras.provider_metadata.is_empty());
    if let Some(extras) = part.extras_mut() {
        target.scrub(extras);
    }
    let kind = part.type_name().to_owned();
    Ok(match (place.role, part) {
        (Role::System | Role::User | Role::Assistant, Part::Text(text)) => {
            (!is_blank(&text.text)).then_some(Part::Text(text))
        }
        (Role::User, part @ (Part::Image(_) | Part::File(_))) => {
            Some(files::readable(part, target.user_files, place, target, warnings)?)
        }
        (Role::Assistant, part @ (Part::Image(_) | Part::File(_))) => {
            Some(files::readable(part, target.assistant_files, place, target, warnings)?)
        }
        (Role::Assistant, Part::Reasoning(reasoning)) => keep_reasoning(reasoning, is_own, target),
        (Role::Assistant, Part::RedactedReasoning(sealed)) => {
            let opens = target.reasoning == ReasoningRule::Own && (is_own || is_unclaimed);
            opens.then(|| unseal(sealed.data, sealed.extras, target))
        }
        (Role::User | Role::Assistant, Part::Custom(custom)) if is_own => Some(Part::Custom(custom)),
        // Where an answer came from was said in the answer.
        (_, Part::Source(_)) => None,
        (Role::Assistant, Part::ToolCall(call)) if is_own || !call.provider_executed => {
            Some(Part::ToolCall(call))
        }
        (Role::Assistant, part @ Part::ApprovalRequest(_)) => Some(part),
        (_, Part::ToolResult(mut result)) => {
            result.output = clean_output(result.output, place, target, warnings)?;
            Some(Part::ToolResult(result))
        }
        (_, part @ Part::ApprovalResponse(_)) => Some(part),
        (_, Part::Custom(_) | Part::Unknown(_)) | (Role::Assistant, Part::ToolCall(_)) => {
            let why = format!("{} does not know it; it is left out", target.model);
            warn(warnings, format!("{kind}, {place}"), why);
            None
        }
        _ => {
            let why = format!("a {} message has no such part; it is left out", place.role.as_str());
            warn(warnings, format!("{kind}, {place}"), why);
            None
        }
    })
}

fn keep_reasoning(reasoning: Reasoning, is_own: bool, target: &Target) -> Option<Part> {
    let says_something = !is_blank(&reasoning.text);
    let takes = match target.reasoning {
        ReasoningRule::Own => is_own,
        ReasoningRule::Any => is_own || says_something,
        ReasoningRule::None => false,
    };
    match target.foreign_reasoning {
        _ if takes => Some(Part::Reasoning(reasoning)),
        ForeignReasoning::Text if says_something => {
            Some(Part::text(format!("<thinking>\n{}\n</thinking>", reasoning.text)))
        }
        _ => None,
    }
}

/// Returns sealed reasoning in today's spelling: without a text, and the seal in the provider's bag.
fn unseal(data: String, mut extras: Extras, target: &Target) -> Part {
    let provider = target.model.provider.clone();
    let bag = extras.provider_metadata.entry(provider).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(bag) = bag {
        bag.insert(REDACTED_DATA.to_owned(), Value::String(data));
    }
    Part::Reasoning(Reasoning { text: String::new(), extras })
}

fn clean_output(
    output: ToolOutput,
    place: &Place,
    target: &Target,
    warnings: &mut Vec<Warning>,
) -> Result<ToolOutput> {
    let ToolOutput::Content(items) = output else { return Ok(output) };
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        kept.extend(match item {
            OutputItem::Text { text, mut extras } => {
                target.scrub(&mut extras);
                extras.unknown = Map::new();
                (!is_blank(&text)).then_some(OutputItem::Text { text, extras })
            }
            OutputItem::File { data, media_type, filename, mut extras } => {
                target.scrub(&mut extras);
                extras.unknown = Map::new();
                let file = crate::File { data, media_type, filename, extras };
                let readable = files::readable(Part::File(file), target.tool_files, place, target, warnings)?;
                match readable {
                    Part::File(crate::File { data, media_type, filename, extras }) => {
                        Some(OutputItem::File { data, media_type, filename, extras })
                    }
                    Part::Text(Text { text, extras }) => Some(OutputItem::Text { text, extras }),
                    _ => None,
                }
            }
            // What it is stands in the bag of the provider that knows it.
            OutputItem::Custom { mut extras } => {
                let is_own = target.owns(&extras);
                target.scrub(&mut extras);
                if !is_own {
                    let why = format!("{} does not know it; it is left out", target.model);
                    warn(warnings, format!("custom output, {place}"), why);
                }
                is_own.then_some(OutputItem::Custom { extras })
            }
        });
    }
    Ok(ToolOutput::Content(kept))
}
