//! Models on one's own machine.

use super::{Dialect, OpenAi, OpenAiOptions};

/// Where an Ollama listens that was told nothing else.
const PORT: u16 = 11434;

/// Models that an [Ollama](https://ollama.com) runs, over its OpenAI-compatible protocol.
#[derive(Debug)]
pub struct Ollama;

impl Ollama {
    /// Returns the Ollama that `OLLAMA_HOST` names, or the one of this machine.
    pub fn local() -> OpenAi {
        Self::at(&std::env::var("OLLAMA_HOST").unwrap_or_default())
    }

    /// Returns the Ollama at this address, as `OLLAMA_HOST` has it: `10.0.0.7`, `10.0.0.7:11434`, or an URL.
    pub fn at(host: &str) -> OpenAi {
        OpenAi::with(OpenAiOptions {
            provider: "ollama".to_owned(),
            dialect: Dialect::ollama(),
            ..OpenAiOptions::compatible(base_url(host), "ollama")
        })
    }
}

/// Returns the address of the protocol on a host.
fn base_url(host: &str) -> String {
    let host = host.trim().trim_end_matches('/');
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port_at = authority.rfind(':').filter(|at| authority[at + 1..].parse::<u16>().is_ok());
    let (name, port) = match port_at {
        Some(at) => (&authority[..at], authority[at + 1..].to_owned()),
        None if host.contains("://") && scheme == "https" => (authority, "443".to_owned()),
        None if host.contains("://") => (authority, "80".to_owned()),
        None => (authority, PORT.to_string()),
    };
    // What a server listens on is no address that a client can ask.
    let name = match name {
        "" | "0.0.0.0" | "[::]" => "127.0.0.1",
        name => name,
    };
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    let path = path.strip_suffix("/v1").unwrap_or(&path);
    format!("{scheme}://{name}:{port}{path}/v1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_form_of_a_host_is_an_address() {
        let cases = [
            ("", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0:9999", "http://127.0.0.1:9999/v1"),
            (":8080", "http://127.0.0.1:8080/v1"),
            ("gpu", "http://gpu:11434/v1"),
            ("[::1]:11434", "http://[::1]:11434/v1"),
            ("http://gpu:1/", "http://gpu:1/v1"),
            ("https://models.example.com", "https://models.example.com:443/v1"),
            ("http://gpu:1/ollama", "http://gpu:1/ollama/v1"),
            ("http://gpu:1/v1", "http://gpu:1/v1"),
        ];
        for (host, url) in cases {
            assert_eq!(base_url(host), url, "{host:?}");
        }
    }
}
