//! The messages of a conversation among each other.

use super::{SystemRule, Target, warn};
use crate::{Message, Part, Role, Warning};

/// Leaves out messages that say nothing.
pub(super) fn drop_empty(messages: &mut Vec<Message>) {
    messages.retain(|message| !message.parts.is_empty());
}

/// Leaves out thoughts that nothing follows: the answer was cut behind them, and no provider takes them.
pub(super) fn drop_trailing_reasoning(messages: &mut [Message]) {
    let mut is_followed = false;
    for message in messages.iter_mut().rev() {
        if message.role != Role::Assistant {
            is_followed = false;
            continue;
        }
        while !is_followed && matches!(message.parts.last(), Some(Part::Reasoning(_))) {
            message.parts.pop();
        }
        is_followed |= !message.parts.is_empty();
    }
}

/// Puts system messages where the target takes them, and joins neighbours where it wants turns.
pub(super) fn arrange(messages: Vec<Message>, target: &Target, warnings: &mut Vec<Warning>) -> Vec<Message> {
    let mut messages = match target.system {
        SystemRule::Anywhere => messages,
        SystemRule::Leading => lead(messages, target, warnings),
        SystemRule::AsUser => demote(messages, target, warnings),
    };
    if target.alternating {
        messages = take_turns(messages);
    }
    messages
}

fn lead(messages: Vec<Message>, target: &Target, warnings: &mut Vec<Warning>) -> Vec<Message> {
    let is_system = |message: &Message| message.role == Role::System;
    let first_other = messages.iter().position(|message| !is_system(message)).unwrap_or(messages.len());
    for (index, _) in messages.iter().enumerate().skip(first_other).filter(|(_, message)| is_system(message))
    {
        let why = format!("{} takes system messages at the start only; it is moved there", target.model);
        warn(warnings, format!("system message {index}"), why);
    }
    let (mut leading, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_system);
    leading.extend(others);
    leading
}

fn demote(messages: Vec<Message>, target: &Target, warnings: &mut Vec<Warning>) -> Vec<Message> {
    let mut messages = messages;
    for (index, message) in messages.iter_mut().enumerate() {
        if message.role == Role::System {
            let why = format!("{} takes no system messages; it is a user message", target.model);
            warn(warnings, format!("system message {index}"), why);
            message.role = Role::User;
        }
    }
    messages
}

fn take_turns(messages: Vec<Message>) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match turns.last_mut() {
            Some(last) if last.role == message.role => {
                last.parts.extend(message.parts);
                last.provider_options.extend(message.provider_options);
            }
            _ => turns.push(message),
        }
    }
    turns
}
