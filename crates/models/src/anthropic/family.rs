//! What the families of models can do, as far as their names tell.

use super::ThinkingForm;

/// The most tokens of an answer, by generation from the newest, for all models or for those whose name has
/// the word. What is asked above the limit of a model is refused, so these are the limits themselves.
const MAX_TOKENS: &[(Generation, &str, u64)] = &[
    (Generation(5, 0), "", 64_000),
    (Generation(4, 6), "opus", 128_000),
    (Generation(4, 5), "", 64_000),
    (Generation(4, 0), "opus", 32_000),
    (Generation(4, 0), "", 64_000),
    (Generation(3, 7), "", 64_000),
    (Generation(3, 5), "", 8_192),
    (Generation(0, 0), "", 4_096),
];

/// The most tokens of an answer of a model that is none of Anthropic's.
const MAX_TOKENS_OF_OTHERS: u64 = 8_192;

/// The first generations that can do a thing.
const THINKS: Generation = Generation(3, 7);
const ADAPTS: Generation = Generation(4, 6);
const TAKES_SCHEMAS: Generation = Generation(4, 5);
/// From here on, a request has a temperature or a top-p, and not both.
const TAKES_ONE_SAMPLING: Generation = Generation(4, 1);

/// Major and minor number of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Generation(u32, u32);

/// What is known of a model by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family<'a> {
    name: &'a str,
    /// `None` for models that are none of Anthropic's.
    generation: Option<Generation>,
}

impl<'a> Family<'a> {
    /// Reads a name such as `claude-sonnet-4-5-20250929`, `claude-3-haiku-20240307` or
    /// `us.anthropic.claude-opus-4-1-v1:0`.
    pub(super) fn of(model: &'a str) -> Self {
        let Some((_, name)) = model.split_once("claude-") else {
            return Self { name: model, generation: None };
        };
        // A date has eight digits.
        let number = |word: &str| word.parse().ok().filter(|_| word.len() <= 2);
        let mut numbers =
            name.split(['-', '.', '@', ':']).map(number).skip_while(Option::is_none).map_while(|n| n);
        let generation = Generation(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self { name, generation: Some(generation) }
    }

    /// Returns the most tokens of an answer.
    pub(super) fn max_tokens(&self) -> u64 {
        let Some(generation) = self.generation else { return MAX_TOKENS_OF_OTHERS };
        let fits =
            |(since, word, _): &&(Generation, &str, u64)| generation >= *since && self.name.contains(word);
        MAX_TOKENS.iter().find(fits).map_or(MAX_TOKENS_OF_OTHERS, |(_, _, limit)| *limit)
    }

    /// Returns how the model is told to think; others than Anthropic's speak the older form.
    pub(super) fn thinking(&self) -> ThinkingForm {
        match self.generation {
            Some(generation) if generation >= ADAPTS => ThinkingForm::Adaptive,
            Some(generation) if generation < THINKS => ThinkingForm::None,
            _ => ThinkingForm::Budget,
        }
    }

    /// Returns whether the model takes the schema of an answer with the request.
    pub(super) fn takes_schemas(&self) -> bool {
        self.generation.is_some_and(|generation| generation >= TAKES_SCHEMAS)
    }

    /// Returns whether the model refuses a request that has both a temperature and a top-p.
    pub(super) fn takes_one_sampling(&self) -> bool {
        self.generation.is_some_and(|generation| generation >= TAKES_ONE_SAMPLING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_their_names() {
        for (model, max_tokens, thinking, takes_schemas) in [
            ("claude-3-haiku-20240307", 4_096, ThinkingForm::None, false),
            ("claude-3-5-sonnet-20241022", 8_192, ThinkingForm::None, false),
            ("claude-3-7-sonnet-latest", 64_000, ThinkingForm::Budget, false),
            ("claude-opus-4-20250514", 32_000, ThinkingForm::Budget, false),
            ("us.anthropic.claude-opus-4-1-20250805-v1:0", 32_000, ThinkingForm::Budget, false),
            ("claude-sonnet-4-5-20250929", 64_000, ThinkingForm::Budget, true),
            ("anthropic/claude-sonnet-4.5", 64_000, ThinkingForm::Budget, true),
            ("claude-opus-4-6", 128_000, ThinkingForm::Adaptive, true),
            ("claude-sonnet-5", 64_000, ThinkingForm::Adaptive, true),
            ("kimi-k2", 8_192, ThinkingForm::Budget, false),
        ] {
            let family = Family::of(model);
            let found = (family.max_tokens(), family.thinking(), family.takes_schemas());
            assert_eq!(found, (max_tokens, thinking, takes_schemas), "{model}");
        }
    }
}
