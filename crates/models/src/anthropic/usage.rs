//! What a call used, out of a report that leaves cached tokens out of the input.

use serde_json::{Map, Value};

use crate::{MAX_COUNT, Usage};

/// The report of an answer, which grows from event to event.
#[derive(Clone, Debug, Default)]
pub(super) struct Report(Map<String, Value>);

impl Report {
    /// Adds a later report: what it says replaces what was said, field by field.
    pub(super) fn add(&mut self, later: &Value) {
        for (name, value) in later.as_object().into_iter().flatten() {
            if !value.is_null() {
                self.0.insert(name.clone(), value.clone());
            }
        }
    }

    /// Returns the tokens by their kinds; `None` if nothing was reported.
    pub(super) fn read(&self) -> Option<Usage> {
        if self.0.is_empty() {
            return None;
        }
        let mut inconsistent = false;
        let mut number = |value: Option<&Value>| {
            let value = value.filter(|value| !value.is_null())?;
            let number = value.as_u64().filter(|number| *number <= MAX_COUNT);
            inconsistent |= number.is_none();
            number
        };
        let written = self.0.get("cache_creation");
        let short = number(written.and_then(|written| written.get("ephemeral_5m_input_tokens")));
        let hour = number(written.and_then(|written| written.get("ephemeral_1h_input_tokens"))).unwrap_or(0);
        let all_written = number(self.0.get("cache_creation_input_tokens"));
        let output = number(self.0.get("output_tokens")).unwrap_or(0);
        let details = self.0.get("output_tokens_details");
        let thinking = number(details.and_then(|details| details.get("thinking_tokens"))).unwrap_or(0);
        let input_fresh = number(self.0.get("input_tokens")).unwrap_or(0);
        let input_cache_read = number(self.0.get("cache_read_input_tokens")).unwrap_or(0);

        // The total is what is billed, so the parts are fitted to it.
        let total = all_written.unwrap_or(short.unwrap_or(0) + hour);
        let is_split = short.is_some() || hour > 0;
        inconsistent |= is_split && short.unwrap_or(0) + hour != total;
        inconsistent |= thinking > output;
        let input_cache_write_hour = hour.min(total);
        let output_reasoning = thinking.min(output);
        let tools = self.0.get("server_tool_use").and_then(Value::as_object);
        let calls = |(name, calls): (&String, &Value)| {
            let name = name.strip_suffix("_requests").unwrap_or(name);
            calls
                .as_u64()
                .filter(|calls| (1..=MAX_COUNT).contains(calls))
                .map(|calls| (name.to_owned(), calls))
        };
        Some(Usage {
            input_fresh,
            input_cache_read,
            input_cache_write: total - input_cache_write_hour,
            input_cache_write_hour,
            output_text: output - output_reasoning,
            output_reasoning,
            provider_tools: tools.into_iter().flatten().filter_map(calls).collect(),
            inconsistent,
            raw: Some(Value::Object(self.0.clone())),
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn usage(report: Value) -> Usage {
        let mut whole = Report::default();
        whole.add(&report);
        whole.read().expect("there is a report")
    }

    #[test]
    fn numbers_beyond_reason_are_no_counts() {
        let usage = usage(
            json!({ "input_tokens": u64::MAX, "cache_read_input_tokens": u64::MAX, "output_tokens": 7 }),
        );
        assert!(usage.inconsistent);
        assert_eq!((usage.input(), usage.output()), (0, 7));
    }

    #[test]
    fn kinds_are_disjoint_and_add_up() {
        let usage = usage(json!({
            "input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 3000,
            "cache_creation": { "ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000 },
            "output_tokens": 50, "output_tokens_details": { "thinking_tokens": 30 },
            "server_tool_use": { "web_search_requests": 2, "web_fetch_requests": 0 },
        }));
        let input = (usage.input_fresh, usage.input_cache_read);
        assert_eq!(input, (10, 200));
        assert_eq!((usage.input_cache_write, usage.input_cache_write_hour), (1000, 2000));
        assert_eq!((usage.output_text, usage.output_reasoning), (20, 30));
        assert_eq!((usage.input(), usage.output()), (3210, 50));
        assert_eq!(usage.provider_tools, [("web_search".to_owned(), 2)].into());
        assert!(!usage.inconsistent && !usage.estimated && usage.raw.is_some());
    }

    #[test]
    fn a_total_of_written_tokens_without_its_split_is_the_usual_kind() {
        let usage = usage(json!({ "input_tokens": 337, "cache_creation_input_tokens": 46209 }));
        assert_eq!((usage.input_cache_write, usage.input(), usage.inconsistent), (46209, 46546, false));
    }

    #[test]
    fn numbers_that_contradict_each_other_keep_the_totals() {
        let usage = usage(json!({
            "input_tokens": -1, "cache_creation_input_tokens": 5,
            "cache_creation": { "ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 9 },
            "output_tokens": 3, "output_tokens_details": { "thinking_tokens": 7 },
        }));
        assert_eq!((usage.input(), usage.output(), usage.inconsistent), (5, 3, true));
    }

    #[test]
    fn nothing_is_no_report() {
        assert_eq!(Report::default().read(), None);
    }
}
