//! Usage as OpenAI's protocols report it, in kinds that don't overlap.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::{MAX_COUNT, Usage};

/// The spellings of a field: that of Chat Completions, and that of Responses. Some servers use both at once.
type Spellings = [&'static str; 2];

const PROMPT: Spellings = ["prompt_tokens", "input_tokens"];
const COMPLETION: Spellings = ["completion_tokens", "output_tokens"];
const PROMPT_DETAILS: Spellings = ["prompt_tokens_details", "input_tokens_details"];
const COMPLETION_DETAILS: Spellings = ["completion_tokens_details", "output_tokens_details"];

/// Reads a report: counts by name, some of them within others, and not all servers agree which. `None` if
/// there is none, such as `null` or an empty object; one that cannot be read is kept and flagged.
pub(super) fn read(json: &str) -> Option<Usage> {
    // Numbers may be written that no number holds.
    let raw = serde_json::from_str(json).unwrap_or_else(|_| Value::from(json));
    let is_said = |value: &Value| !value.is_null();
    match &raw {
        Value::Null => return None,
        Value::Object(fields) if !fields.values().any(is_said) => return None,
        _ => {}
    }
    let mut usage = match Counts::of(&raw) {
        Some(counts) => counts.disjoint(),
        None => Usage { inconsistent: true, ..Usage::default() },
    };
    usage.cost = cost(json);
    usage.raw = Some(raw);
    Some(usage)
}

/// Returns the cost as it was written, since it is money and no float.
fn cost(json: &str) -> Option<String> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    let cost = fields.get("cost")?.get().trim_matches('"');
    (cost != "null").then(|| cost.to_owned())
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    /// What the server says of prompt and completion together.
    total: Option<u64>,
    cache_read: u64,
    cache_write: u64,
    input_audio: u64,
    input_image: u64,
    reasoning: u64,
    output_audio: u64,
    output_image: u64,
    /// Whether a count is none, or is told twice and differs.
    has_nonsense: bool,
}

impl Counts {
    fn of(report: &Value) -> Option<Self> {
        let mut reader = Reader { has_nonsense: false };
        let prompt = reader.either(report, PROMPT);
        let completion = reader.either(report, COMPLETION);
        let total = reader.count(&report["total_tokens"]);
        let hit = reader.count(&report["prompt_cache_hit_tokens"]);
        let miss = reader.count(&report["prompt_cache_miss_tokens"]);
        let split = hit.zip(miss).map(|(hit, miss)| hit + miss);
        let prompt = prompt.or(split);
        if prompt.is_none() && completion.is_none() && total.is_none() {
            return None;
        }
        let cached = reader.detail(report, PROMPT_DETAILS, "cached_tokens");
        Some(Self {
            prompt,
            completion,
            total,
            cache_read: hit.unwrap_or(cached),
            cache_write: reader.detail(report, PROMPT_DETAILS, "cache_write_tokens"),
            input_audio: reader.detail(report, PROMPT_DETAILS, "audio_tokens"),
            input_image: reader.detail(report, PROMPT_DETAILS, "image_tokens"),
            reasoning: reader.detail(report, COMPLETION_DETAILS, "reasoning_tokens"),
            output_audio: reader.detail(report, COMPLETION_DETAILS, "audio_tokens"),
            output_image: reader.detail(report, COMPLETION_DETAILS, "image_tokens"),
            has_nonsense: reader.has_nonsense,
        })
    }

    /// Takes the counts apart. The total tells which of them are within others: cached tokens are part of
    /// the prompt and thoughts part of the completion, unless it only adds up with them beside these.
    /// Without a total, what is more than the whole cannot be part of it.
    fn disjoint(self) -> Usage {
        let cached = self.cache_read + self.cache_write;
        let mut reasoning = self.reasoning;
        let (prompt, completion, total) = self.whole();
        let beside = total.map(|total| total.saturating_sub(prompt + completion));
        let (cache_beside, reasoning_beside) = match beside {
            None => (cached > prompt, reasoning > completion),
            Some(0) => (false, false),
            Some(beside) if beside == cached => (true, false),
            Some(beside) if beside == cached + reasoning && cached > 0 => (true, true),
            Some(beside) if reasoning == 0 => {
                // Thoughts that are counted in the total alone are thoughts too.
                reasoning = beside;
                (false, true)
            }
            Some(beside) => (false, beside == reasoning),
        };
        let mut prompt = prompt + if cache_beside { cached } else { 0 };
        let mut completion = completion + if reasoning_beside { reasoning } else { 0 };
        let mut is_inconsistent =
            self.has_nonsense || total.is_some_and(|total| prompt + completion != total);
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

    /// Returns prompt, completion and total. Where one of the first two is missing, it is what the total
    /// has besides the other, and then the total can tell nothing more.
    fn whole(&self) -> (u64, u64, Option<u64>) {
        match (self.prompt, self.completion, self.total) {
            (Some(prompt), Some(completion), total) => (prompt, completion, total),
            (prompt, Some(completion), Some(total)) => {
                (prompt.unwrap_or(total.saturating_sub(completion)), completion, None)
            }
            (Some(prompt), None, Some(total)) => (prompt, total.saturating_sub(prompt), None),
            (None, None, total) => (total.unwrap_or(0), 0, None),
            (prompt, completion, None) => (prompt.unwrap_or(0), completion.unwrap_or(0), None),
        }
    }
}

/// Reads counts, and notices those that are none.
struct Reader {
    has_nonsense: bool,
}

impl Reader {
    fn count(&mut self, value: &Value) -> Option<u64> {
        if value.is_null() {
            return None;
        }
        let number = value.as_u64().or_else(|| value.as_f64().filter(|it| *it >= 0.0).map(|it| it as u64));
        let number = number.filter(|number| *number <= MAX_COUNT);
        self.has_nonsense |= number.is_none();
        number
    }

    /// Reads a count under either spelling. Where both are there and differ, the greater one counts: the
    /// other is most often a zero that stands for nothing.
    fn either(&mut self, fields: &Value, [one, other]: Spellings) -> Option<u64> {
        let (one, other) = (self.count(&fields[one]), self.count(&fields[other]));
        self.has_nonsense |= one.zip(other).is_some_and(|(one, other)| one != other);
        one.max(other)
    }

    fn detail(&mut self, report: &Value, [one, other]: Spellings, name: &str) -> u64 {
        let (one, other) = (self.count(&report[one][name]), self.count(&report[other][name]));
        self.has_nonsense |= one.zip(other).is_some_and(|(one, other)| one != other);
        one.max(other).unwrap_or(0)
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
    fn an_exclusive_report_is_recognised_without_its_total() {
        let report = json!({
            "prompt_tokens": 337, "completion_tokens": 342,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 46209},
        });
        check(report, [337, 0, 46209, 342, 0], false);
        let report = json!({
            "prompt_tokens": 10, "completion_tokens": 5,
            "completion_tokens_details": {"reasoning_tokens": 30},
        });
        check(report, [10, 0, 0, 5, 30], false);
    }

    #[test]
    fn a_count_that_is_missing_is_what_the_total_has_besides_and_no_thoughts() {
        check(json!({"prompt_tokens": 10, "total_tokens": 45}), [10, 0, 0, 35, 0], false);
        check(json!({"completion_tokens": 5, "total_tokens": 45}), [40, 0, 0, 5, 0], false);
        check(json!({"total_tokens": 45}), [45, 0, 0, 0, 0], false);
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
        for json in ["null", "{}", r#"{"prompt_tokens":null}"#] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn a_report_that_cannot_be_read_is_kept_and_flagged() {
        for json in ["[]", "7", r#"{"tokens":7}"#, r#"{"prompt_tokens":"many"}"#] {
            let usage = read(json).unwrap();
            assert_eq!((usage.total(), usage.inconsistent), (0, true), "{json}");
            assert_eq!(usage.raw, serde_json::from_str(json).ok(), "{json}");
        }
        let absurd = r#"{"prompt_tokens":1e400}"#;
        let usage = read(absurd).unwrap();
        assert_eq!((usage.total(), usage.inconsistent, usage.raw), (0, true, Some(json!(absurd))));
    }

    #[test]
    fn a_count_may_come_under_both_spellings() {
        let same = json!({
            "prompt_tokens": 10, "input_tokens": 10, "completion_tokens": 5, "output_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4}, "input_tokens_details": {"cached_tokens": 4},
            "total_tokens": 15,
        });
        let usage = check(same.clone(), [6, 4, 0, 5, 0], false);
        assert_eq!(usage.raw, Some(same));
        let other =
            json!({"prompt_tokens": 10, "input_tokens": 0, "completion_tokens": 5, "total_tokens": 15});
        check(other, [10, 0, 0, 5, 0], true);
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
                prop_assert!(usage.total() >= prompt + completion);
                prop_assert_eq!(usage.total(), total.unwrap_or(usage.total()));
                prop_assert!(usage.input() >= prompt && usage.output() >= completion);
            }
        }
    }
}
