//! Usage as OpenAI's protocols report it, in kinds that don't overlap.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{MAX_COUNT, Usage};

/// A report: counts by name, some of them within others, and not all servers agree which.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report<'a> {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<Value>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<Value>,
    total_tokens: Option<Value>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<Value>,
    #[serde(alias = "output_tokens_details")]
    completion_tokens_details: Option<Value>,
    prompt_cache_hit_tokens: Option<Value>,
    prompt_cache_miss_tokens: Option<Value>,
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
}

/// Reads a report. `None` if it is no report, such as `null` or an empty object.
pub(super) fn read(json: &str) -> Option<Usage> {
    let report: Report<'_> = serde_json::from_str(json).ok()?;
    let counts = Counts::of(&report)?;
    let mut usage = counts.disjoint();
    // The cost is kept as it was written, since it is money and no float.
    usage.cost = report.cost.map(|cost| cost.get().trim_matches('"').to_owned());
    usage.raw = serde_json::from_str(json).ok();
    Some(usage)
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    prompt: u64,
    completion: u64,
    /// What the server says of prompt and completion together.
    total: Option<u64>,
    cache_read: u64,
    cache_write: u64,
    input_audio: u64,
    input_image: u64,
    reasoning: u64,
    output_audio: u64,
    output_image: u64,
    /// Whether a count is none: negative, beyond [`MAX_COUNT`], or no number.
    has_nonsense: bool,
}

impl Counts {
    fn of(report: &Report<'_>) -> Option<Self> {
        let mut has_nonsense = false;
        let mut count = |value: Option<&Value>| match value {
            None | Some(Value::Null) => None,
            Some(value) => {
                let number =
                    value.as_u64().or_else(|| value.as_f64().filter(|it| *it >= 0.0).map(|it| it as u64));
                let number = number.filter(|number| *number <= MAX_COUNT);
                has_nonsense |= number.is_none();
                number
            }
        };
        let detail = |details: &'_ Option<Value>, name: &str| {
            details.as_ref().and_then(|details| details.get(name).cloned())
        };
        let mut within =
            |details: &Option<Value>, name: &str| count(detail(details, name).as_ref()).unwrap_or(0);
        let (input, output) = (&report.prompt_tokens_details, &report.completion_tokens_details);
        let (cached, cache_write) = (within(input, "cached_tokens"), within(input, "cache_write_tokens"));
        let (input_audio, input_image) = (within(input, "audio_tokens"), within(input, "image_tokens"));
        let reasoning = within(output, "reasoning_tokens");
        let (output_audio, output_image) = (within(output, "audio_tokens"), within(output, "image_tokens"));
        let hit = count(report.prompt_cache_hit_tokens.as_ref());
        let miss = count(report.prompt_cache_miss_tokens.as_ref());
        let split = hit.zip(miss).map(|(hit, miss)| hit + miss);
        let prompt = count(report.prompt_tokens.as_ref()).or(split);
        let completion = count(report.completion_tokens.as_ref());
        let total = count(report.total_tokens.as_ref());
        if prompt.is_none() && completion.is_none() && total.is_none() {
            return None;
        }
        Some(Self {
            prompt: prompt.unwrap_or(0),
            completion: completion.unwrap_or(0),
            total,
            cache_read: hit.unwrap_or(cached),
            cache_write,
            input_audio,
            input_image,
            reasoning,
            output_audio,
            output_image,
            has_nonsense,
        })
    }

    /// Takes the counts apart. The total tells which of them are within others: cached tokens are part of
    /// the prompt and thoughts part of the completion, unless it only adds up with them beside these.
    fn disjoint(self) -> Usage {
        let cached = self.cache_read + self.cache_write;
        let both = self.prompt + self.completion;
        let total = self.total.unwrap_or(both);
        let beside = total.saturating_sub(both);
        let (cache_beside, reasoning_beside) = match beside {
            0 => (false, false),
            _ if beside == cached => (true, false),
            _ if beside == cached + self.reasoning && cached > 0 => (true, true),
            // Thoughts that are counted in the total alone are thoughts too.
            _ => (false, self.reasoning == 0 || beside == self.reasoning),
        };
        let reasoning = if reasoning_beside && self.reasoning == 0 { beside } else { self.reasoning };
        let mut prompt = self.prompt + if cache_beside { cached } else { 0 };
        let mut completion = self.completion + if reasoning_beside { reasoning } else { 0 };
        let mut is_inconsistent = self.has_nonsense || prompt + completion != total;
        // Nothing can be taken away that is not there.
        let mut take = |from: &mut u64, part: u64| {
            let taken = part.min(*from);
            is_inconsistent |= taken < part;
            *from -= taken;
            taken
        };
        let usage = Usage {
            input_cache_read: take(&mut prompt, self.cache_read),
            input_cache_write: take(&mut prompt, self.cache_write),
            input_audio: take(&mut prompt, self.input_audio),
            input_image: take(&mut prompt, self.input_image),
            output_reasoning: take(&mut completion, reasoning),
            output_audio: take(&mut completion, self.output_audio),
            output_image: take(&mut completion, self.output_image),
            ..Usage::default()
        };
        Usage { input_fresh: prompt, output_text: completion, inconsistent: is_inconsistent, ..usage }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Reads a report, and returns fresh, cache read, cache write, text and reasoning.
    #[track_caller]
    fn check(report: Value, kinds: [u64; 5], is_inconsistent: bool) -> Usage {
        let usage = read(&report.to_string()).unwrap();
        let is = [
            usage.input_fresh,
            usage.input_cache_read,
            usage.input_cache_write,
            usage.output_text,
            usage.output_reasoning,
        ];
        assert_eq!((is, usage.inconsistent), (kinds, is_inconsistent), "{report}");
        if !is_inconsistent && let Some(total) = report["total_tokens"].as_u64() {
            assert_eq!(usage.total(), total, "{report}");
        }
        usage
    }

    #[test]
    fn numbers_beyond_reason_are_no_counts() {
        for absurd in ["18446744073709551615", "1e30", "281474976710657"] {
            let report =
                format!(r#"{{"prompt_tokens":{absurd},"completion_tokens":7,"total_tokens":{absurd}}}"#);
            let usage = read(&report).expect("it is a report");
            assert!(usage.inconsistent, "{absurd}");
            assert_eq!((usage.input(), usage.output()), (0, 7), "{absurd}");
        }
    }

    #[test]
    fn inclusive_reports_are_taken_apart() {
        let report = json!({
            "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 3},
        });
        let usage = check(report, [25, 60, 10, 27, 20], false);
        assert_eq!((usage.input_audio, usage.output_audio), (5, 3));
        assert_eq!((usage.input(), usage.output()), (100, 50));
    }

    #[test]
    fn exclusive_reports_are_taken_as_they_are() {
        let report = json!({
            "prompt_tokens": 337, "completion_tokens": 342, "total_tokens": 46888,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 46209},
        });
        check(report, [337, 0, 46209, 342, 0], false);
    }

    #[test]
    fn thoughts_beside_the_completion_are_added() {
        let report = json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45,
            "completion_tokens_details": {"reasoning_tokens": 30},
        });
        check(report, [10, 0, 0, 5, 30], false);
        let silent = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45});
        check(silent, [10, 0, 0, 5, 30], false);
    }

    #[test]
    fn details_may_be_null_and_totals_missing() {
        let report = json!({
            "prompt_tokens": 10, "completion_tokens": 5,
            "prompt_tokens_details": null, "completion_tokens_details": null,
        });
        check(report, [10, 0, 0, 5, 0], false);
    }

    #[test]
    fn cache_hits_and_misses_are_the_prompt() {
        let report = json!({
            "prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107,
            "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
        });
        check(report, [36, 64, 0, 7, 0], false);
    }

    #[test]
    fn contradictions_are_flagged_and_never_negative() {
        let report = json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 60},
        });
        check(report, [0, 10, 0, 5, 0], true);
        check(json!({"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 5}), [0, 0, 0, 5, 0], true);
        check(
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3}),
            [10, 0, 0, 5, 0],
            true,
        );
    }

    #[test]
    fn the_cost_is_kept_as_it_was_written() {
        let usage = read(r#"{"prompt_tokens":1,"completion_tokens":1,"cost":0.00001500}"#).unwrap();
        assert_eq!(usage.cost.as_deref(), Some("0.00001500"));
    }

    #[test]
    fn nothing_is_no_report() {
        for json in ["null", "{}", r#"{"prompt_tokens":null}"#, "[]", "7"] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn kinds_add_up_to_the_providers_totals_or_are_flagged(
            prompt in 0u64..1000, completion in 0u64..1000, total in proptest::option::of(0u64..3000),
            cached in 0u64..1000, write in 0u64..1000, reasoning in 0u64..1000, audio in 0u64..100,
        ) {
            let report = json!({
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
                "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": write, "audio_tokens": audio},
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            });
            let usage = read(&report.to_string()).unwrap();
            if !usage.inconsistent {
                prop_assert_eq!(usage.total(), total.unwrap_or(prompt + completion));
                prop_assert!(usage.input() >= prompt && usage.output() >= completion);
            }
        }
    }
}
