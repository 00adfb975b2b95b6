//! The chunks of a model behind its guards.

use std::collections::HashMap;
use std::sync::Arc;

use loomwork_models::{Chunk, Part, PartKind, PartNumber, ProviderData};

use super::{Blocked, Occasion, OutputGuard, Passage};

/// Hands a model's chunks on once the guards have seen what they say.
pub(crate) struct Gatekeeper<'a> {
    guards: &'a [OutputGuard],
    occasion: Arc<Occasion>,
    /// All guards are shown sentences; a single one that wants whole texts has all wait for those.
    is_by_sentence: bool,
    held: HashMap<PartNumber, Held>,
}

/// What a growing text or thought has that nobody has seen.
#[derive(Default)]
struct Held {
    text: String,
    /// Up to where ends of sentences were looked for, and the last one that was found.
    looked: usize,
    sentences: usize,
    /// A guard has put something else in place of some of it.
    is_changed: bool,
}

impl<'a> Gatekeeper<'a> {
    pub(crate) fn new(guards: &'a [OutputGuard], occasion: Arc<Occasion>) -> Self {
        let is_by_sentence = guards.iter().all(|guard| guard.passage == Passage::Sentence);
        Self { guards, occasion, is_by_sentence, held: HashMap::new() }
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
                    let ready = if self.is_by_sentence { held.sentences() } else { 0 };
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

    /// Shows the guards the first bytes of what is held.
    async fn release(&mut self, part: PartNumber, bytes: usize) -> Result<Vec<Chunk>, Blocked> {
        let Some(held) = self.held.get_mut(&part).filter(|_| bytes > 0) else { return Ok(Vec::new()) };
        let rest = held.text.split_off(bytes);
        let said = std::mem::replace(&mut held.text, rest);
        (held.looked, held.sentences) = (held.looked.saturating_sub(bytes), 0);
        let seen = checked(self.guards, &self.occasion, said.clone()).await?;
        held.is_changed |= seen != said;
        Ok(if seen.is_empty() { Vec::new() } else { vec![Chunk::PartDelta { part, delta: seen }] })
    }

    async fn whole(&self, mut part: Part) -> Result<Chunk, Blocked> {
        let text = match &mut part {
            Part::Text(text) => &mut text.text,
            Part::Reasoning(thought) => &mut thought.text,
            _ => return Ok(Chunk::Part { part }),
        };
        let seen = checked(self.guards, &self.occasion, text.clone()).await?;
        let is_changed = seen != *text;
        *text = seen;
        if is_changed && let Some(extras) = part.extras_mut() {
            extras.provider_metadata.clear();
        }
        Ok(Chunk::Part { part })
    }
}

async fn checked(
    guards: &[OutputGuard],
    occasion: &Arc<Occasion>,
    mut text: String,
) -> Result<String, Blocked> {
    for guard in guards {
        text = guard.check(occasion, text).await?;
    }
    Ok(text)
}

impl Held {
    /// Returns the number of bytes up to the last end of a sentence or line that something follows. Each letter is
    /// looked at once, however often the text grows.
    fn sentences(&mut self) -> usize {
        let from = self.looked;
        let mut letters = self.text[from..].char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let behind = from + at + letter.len_utf8();
            let is_end = match (letter, letters.peek()) {
                ('\n' | '。' | '！' | '？', _) => true,
                ('.' | '!' | '?' | '…', Some((_, next))) => next.is_whitespace(),
                // What comes next says it.
                ('.' | '!' | '?' | '…', None) => break,
                _ => false,
            };
            self.looked = behind;
            if is_end {
                self.sentences = behind;
            }
        }
        self.sentences
    }
}
