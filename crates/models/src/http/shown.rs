//! What may be shown of addresses and headers, any of which may hold a key.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::Url;

/// What stands for a user and a password in an address that cannot be read.
const SECRET: &str = "[secret]";

/// Returns an address without what may be secret: the query, a user and a password.
pub(super) fn url(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both only fail for URLs without a host, which have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// Returns a text that should be an address without what may be secret in it.
pub(crate) fn address(text: &str) -> String {
    match Url::parse(text) {
        Ok(parsed) if parsed.has_host() => {
            let shown = url(&parsed);
            // A bare host is shown as it was written.
            if text.ends_with('/') { shown } else { shown.trim_end_matches('/').to_owned() }
        }
        _ => {
            let text = text.split(['?', '#']).next().unwrap_or_default();
            match text.rsplit_once('@') {
                Some((_, host)) => format!("{SECRET}@{host}"),
                None => text.to_owned(),
            }
        }
    }
}

/// Shows the names of headers or of a query's fields, and none of their values.
pub(crate) struct Names<'a>(pub(crate) &'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (text, shown) in [
            ("https://user:hunter2@a.b:1/v1?key=hunter2#hunter2", "https://a.b:1/v1"),
            ("http://user:hunter2@a b/v1?key=hunter2", "[secret]@a b/v1"),
            ("user:hunter2@a.b", "[secret]@a.b"),
            ("a.b/v1?key=hunter2", "a.b/v1"),
            ("", ""),
        ] {
            assert_eq!(address(text), shown, "{text}");
        }
    }
}
