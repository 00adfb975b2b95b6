//! A model that takes no time and no memory: what is measured is what stands around it.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use loomwork_models::{
    Chunk, Finish, FinishReason, LanguageModel, ModelName, PartKind, ProviderData, ReplyInfo, ReplyStream,
    Request, Result, Usage,
};

/// Says the same whatever it is asked, and keeps nothing of that.
#[derive(Debug)]
pub(super) struct Still {
    name: ModelName,
    chunks: Vec<Chunk>,
}

impl Still {
    pub(super) fn saying(text: &str) -> Self {
        let name = ModelName::new("bench", "still");
        let (provider, model) = (name.provider.clone(), name.model.clone());
        let info = ReplyInfo { provider, model, ..ReplyInfo::default() };
        let words = text.split_inclusive(' ');
        let usage = Usage { input_fresh: 1, output_text: words.clone().count() as u64, ..Usage::default() };
        let finish = Finish { reason: FinishReason::Stop, usage, ..Finish::default() };
        let provider_metadata = ProviderData::new();
        let start =
            Chunk::PartStart { part: 0, kind: PartKind::Text, provider_metadata: provider_metadata.clone() };
        let words = words.map(|word| Chunk::PartDelta { part: 0, delta: word.to_owned() });
        let end = [Chunk::PartEnd { part: 0, provider_metadata }, Chunk::Finish(finish)];
        Self { name, chunks: [Chunk::Start(info), start].into_iter().chain(words).chain(end).collect() }
    }
}

#[async_trait]
impl LanguageModel for Still {
    fn name(&self) -> &ModelName {
        &self.name
    }

    async fn stream(&self, _request: Request) -> Result<ReplyStream> {
        Ok(stream::iter(self.chunks.clone()).map(Ok).boxed())
    }
}
