//! A model that is asked by Messages.

use std::sync::Arc;

use async_trait::async_trait;

use super::continued::Continued;
use super::family::Family;
use super::request::{Built, build};
use super::stream::Before;
use super::{MessagesOptions, Provider};
use crate::tokens::Reckoning;
use crate::{LanguageModel, ModelName, ReplyInfo, ReplyStream, Request, Result, SchemaSupport, Settings};

const BETA: &str = "anthropic-beta";

/// A model that is asked by Messages.
#[derive(Debug)]
pub(super) struct Messages {
    provider: Arc<Provider>,
    name: ModelName,
    options: Arc<MessagesOptions>,
}

impl Messages {
    pub(super) fn new(provider: Arc<Provider>, model: String, options: MessagesOptions) -> Self {
        let name = ModelName::new(provider.options.provider.clone(), model);
        Self { provider, name, options: Arc::new(options) }
    }

    fn headers(&self, betas: Vec<String>, settings: &mut Settings) -> Vec<(String, String)> {
        let mut headers = self.provider.options.headers();
        headers.push(("anthropic-version".to_owned(), self.options.version.as_str().to_owned()));
        // All who want betas are heard: a header of the call would replace the others.
        let mut all = self.provider.options.betas.clone();
        all.extend(betas);
        settings.headers.retain(|name, value| {
            let is_beta = name.eq_ignore_ascii_case(BETA);
            if is_beta {
                all.extend(value.split(',').map(|beta| beta.trim().to_owned()));
            }
            !is_beta
        });
        let mut betas: Vec<String> = Vec::new();
        for beta in all {
            if !beta.is_empty() && !betas.contains(&beta) {
                betas.push(beta);
            }
        }
        if !betas.is_empty() {
            headers.push((BETA.to_owned(), betas.join(",")));
        }
        headers
    }
}

#[async_trait]
impl LanguageModel for Messages {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn schema_support(&self) -> SchemaSupport {
        let takes_schemas = || Family::of(&self.name.model).takes_schemas();
        if self.options.native_schemas.unwrap_or_else(takes_schemas) {
            SchemaSupport::Native
        } else {
            SchemaSupport::Tool
        }
    }

    async fn stream(&self, mut request: Request) -> Result<ReplyStream> {
        let reckoning = Reckoning::of(&request);
        let built = build(&self.name, &self.options, &mut request)?;
        let Built { body, warnings, documents, betas, may_pause } = built;
        let mut settings = request.settings;
        let headers = self.headers(betas, &mut settings);
        let info = ReplyInfo {
            provider: self.name.provider.clone(),
            model: self.name.model.clone(),
            warnings,
            request_body: Some(body.clone()),
            ..ReplyInfo::default()
        };
        let before = Before {
            name: self.name.clone(),
            info,
            reckoning,
            documents: documents.into(),
            keeps_blocks: may_pause,
            first_part: 0,
        };
        let left = self.options.most_continuations;
        let continued =
            Continued::new(self.provider.clone(), headers, body, settings, request.cancel, before, left);
        continued.begin().await
    }
}
