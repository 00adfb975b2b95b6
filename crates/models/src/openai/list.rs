//! Which models a server has.

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{OpenAi, errors};
use crate::http::{Ask, Body, Call};
use crate::{Result, Settings};

#[derive(Debug, Deserialize)]
struct Answer {
    /// An Ollama without any model says `null`.
    data: Option<Vec<Listed>>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
}

impl OpenAi {
    /// Returns the names of the models that the server has, in its order. Of the settings, only headers,
    /// time-out and retries matter.
    pub async fn models(&self, settings: &Settings) -> Result<Vec<String>> {
        let cancel = CancellationToken::new();
        let term = self.0.http.term("*", settings, &cancel);
        let call = Call { term: &term, settings, read_error: errors::read };
        let headers = self.0.headers();
        let ask = Ask { path: "models", headers: &headers, body: Body::None };
        let (answer, _) = self.0.http.json::<Answer>(&call, &ask).await?;
        Ok(answer.data.unwrap_or_default().into_iter().map(|model| model.id).collect())
    }
}
