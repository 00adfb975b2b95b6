//! A context for people: what would be sent, a line for each message.

use std::fmt;

use loomwork_models::{Message, Part};

use super::{Context, DropReason, Dropped, Piece, Why};

/// How many characters of a message are shown.
const EXCERPT: usize = 60;

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages, {} tokens", self.pieces.len(), self.tokens())?;
        if let Some(most) = self.max_tokens {
            write!(f, " of {most}")?;
        }
        for piece in &self.pieces {
            write!(f, "\n{piece}")?;
        }
        for dropped in &self.dropped {
            write!(f, "\n{dropped}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.position.map(|place| format!("{}.{}", place.order, place.step)).unwrap_or_default();
        let (origin, role) = (self.origin.name(), self.message.role.as_str());
        write!(f, "{origin:<12} {role:<9} {place:<6} {:>6}  {}", self.tokens, excerpt(&self.message))?;
        match self.origin.why() {
            Some(why) => write!(f, "  [{why}]"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "score {:.3}", self.score)?;
        if let Some(rank) = self.text {
            write!(f, ", words {rank}")?;
        }
        match (self.vector, self.cosine) {
            (Some(rank), Some(cosine)) => write!(f, ", vector {rank} ({cosine:.3})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropped: {}", self.origin.name())?;
        if let Some(place) = self.position {
            write!(f, " {}.{}", place.order, place.step)?;
        }
        match &self.reason {
            DropReason::Empty => f.write_str(", it says nothing"),
            DropReason::NoResult { call } => write!(f, ", the call {call} has no result"),
            DropReason::NoCall { call } => write!(f, ", the call {call} of a result is missing"),
            DropReason::NoRequest { request } => write!(f, ", the approval {request} has no call or request"),
            DropReason::Budget { tokens } => write!(f, ", {tokens} tokens too many"),
            DropReason::TurnTooLong => f.write_str(", what follows in its turn is too long"),
        }
    }
}

fn excerpt(message: &Message) -> String {
    let parts = message.parts.iter().map(|part| match part {
        Part::Text(text) => text.text.clone(),
        Part::ToolCall(call) => format!("call {} of {}", call.id, call.name),
        Part::ToolResult(result) => format!("result of {}: {}", result.call, result.output.to_text()),
        part => format!("({})", part.type_name()),
    });
    let text = parts.collect::<Vec<_>>().join(" ");
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(EXCERPT) {
        words.truncate(end);
        words.push('…');
    }
    words
}
