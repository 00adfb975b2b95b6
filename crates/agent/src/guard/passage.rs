//! The chunks of a model behind its guards.

use std::collections::HashMap;

use loomwork_models::{Chunk, Part, PartKind, PartNumber, ProviderData};

use super::{Blocked, OutputGuard, Passage};

/// Hands a model's chunks on once the guards have seen what they say.
pub(crate) struct Gatekeeper<'a> {
    guards: &'a [OutputGuard],
    held: HashMap<PartNumber, Held>,
}

/// What a growing text or thought has that nobody has seen.
#[derive(Default)]
struct Held {
    text: String,
    /// A guard has put something else in place of some of it.
    is_changed: bool,
}

impl<'a> Gatekeeper<'a> {
    pub(crate) fn new(guards: &'a [OutputGuard]) -> Self {
        Self { guards, held: HashMap::new() }
    }

    /// Returns what may be seen now.
    pub(crate) async fn pass(&mut self, chunk: Chunk) -> Result<Vec<Chunk>, Blocked> {
        if self.guards.is_empty() {
            return Ok(vec![chunk]);
        }
        match chunk {
            Chunk::PartStart { part, kind: PartKind::Text | PartKind::Reasoning, .. } => {
                self.held.insert(part, Held::default());
                Ok(vec![chunk])
            }
            Chunk::PartDelta { part, delta } => match self.held.get_mut(&part) {
                Some(held) => {
                    held.text.push_str(&delta);
                    let ready = self.ready(part);
                    self.release(part, ready).await
                }
                None => Ok(vec![Chunk::PartDelta { part, delta }]),
            },
            Chunk::PartEnd { part, provider_metadata } => {
                let all = self.held.get(&part).map_or(0, |held| held.text.len());
                let mut seen = self.release(part, all).await?;
                let is_changed = self.held.remove(&part).is_some_and(|held| held.is_changed);
                // What a provider has signed is not this text any more.
                let provider_metadata = if is_changed { ProviderData::new() } else { provider_metadata };
                seen.push(Chunk::PartEnd { part, provider_metadata });
                Ok(seen)
            }
            Chunk::Part { part } => Ok(vec![self.whole(part).await?]),
            Chunk::Finish(_) => {
                let mut seen = Vec::new();
                let mut open: Vec<_> = self.held.keys().copied().collect();
                open.sort_unstable();
                for part in open {
                    let all = self.held.get(&part).map_or(0, |held| held.text.len());
                    seen.extend(self.release(part, all).await?);
                }
                seen.push(chunk);
                Ok(seen)
            }
            other => Ok(vec![other]),
        }
    }

    /// Returns how many bytes of what is held are whole passages.
    fn ready(&self, part: PartNumber) -> usize {
        let by_sentence = self.guards.iter().all(|guard| guard.passage == Passage::Sentence);
        match self.held.get(&part) {
            Some(held) if by_sentence => end_of_sentences(&held.text),
            _ => 0,
        }
    }

    /// Shows the guards the first bytes of what is held.
    async fn release(&mut self, part: PartNumber, bytes: usize) -> Result<Vec<Chunk>, Blocked> {
        let Some(held) = self.held.get_mut(&part).filter(|_| bytes > 0) else { return Ok(Vec::new()) };
        let rest = held.text.split_off(bytes);
        let said = std::mem::replace(&mut held.text, rest);
        let seen = checked(self.guards, said.clone()).await?;
        held.is_changed |= seen != said;
        Ok(if seen.is_empty() { Vec::new() } else { vec![Chunk::PartDelta { part, delta: seen }] })
    }

    async fn whole(&self, mut part: Part) -> Result<Chunk, Blocked> {
        let text = match &mut part {
            Part::Text(text) => &mut text.text,
            Part::Reasoning(thought) => &mut thought.text,
            _ => return Ok(Chunk::Part { part }),
        };
        let seen = checked(self.guards, text.clone()).await?;
        let is_changed = seen != *text;
        *text = seen;
        if is_changed && let Some(extras) = part.extras_mut() {
            extras.provider_metadata.clear();
        }
        Ok(Chunk::Part { part })
    }
}

async fn checked(guards: &[OutputGuard], mut text: String) -> Result<String, Blocked> {
    for guard in guards {
        text = guard.check(text).await?;
    }
    Ok(text)
}

/// Returns the number of bytes up to the last end of a sentence or line that something follows.
fn end_of_sentences(text: &str) -> usize {
    let mut end = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        let is_end = match letter {
            '\n' | '。' | '！' | '？' => true,
            '.' | '!' | '?' | '…' => next.is_some_and(char::is_whitespace),
            _ => false,
        };
        if is_end {
            end = at + letter.len_utf8();
        }
    }
    end
}
