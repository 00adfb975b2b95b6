//! What a provider says of its limits.

use std::collections::BTreeMap;

/// Returns how many `requests` or `tokens` the provider has left for us, as its headers say it.
pub(super) fn left(headers: &BTreeMap<String, String>, unit: &str) -> Option<u64> {
    let header = |name: String| headers.get(&name).map(|text| text.trim());
    let pairs = [
        (format!("x-ratelimit-remaining-{unit}"), format!("x-ratelimit-reset-{unit}")),
        (format!("anthropic-ratelimit-{unit}-remaining"), format!("anthropic-ratelimit-{unit}-reset")),
    ];
    pairs.into_iter().find_map(|(remaining, reset)| {
        let left = header(remaining)?.parse().ok()?;
        // Nothing left and nothing to wait for is how some say that they don't know.
        let is_known =
            left > 0 || header(reset).is_some_and(|reset| !matches!(reset, "" | "0" | "0s" | "-1"));
        is_known.then_some(left)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read_from_either_family_of_headers() {
        let cases: [(&[(&str, &str)], Option<u64>); 7] = [
            (&[("x-ratelimit-remaining-tokens", "150000")], Some(150_000)),
            (&[("anthropic-ratelimit-tokens-remaining", "7")], Some(7)),
            (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6s")], Some(0)),
            (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "0")], None),
            (&[("x-ratelimit-remaining-tokens", "0")], None),
            (&[("x-ratelimit-remaining-tokens", "-1")], None),
            (&[("x-ratelimit-remaining-requests", "3")], None),
        ];
        for (headers, expected) in cases {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let headers: BTreeMap<_, _> = headers.collect();
            assert_eq!(left(&headers, "tokens"), expected, "{headers:?}");
        }
    }
}
