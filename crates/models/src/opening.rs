//! The beginning of an answer: what nobody has seen yet, so that another answer may take its place.

use futures_util::{StreamExt as _, stream};

use crate::{Chunk, Error, ErrorKind, Finish, ModelName, ReplyInfo, ReplyStream, Result};

/// An answer up to its first part, or to its end where it has none.
pub(crate) struct Opening {
    /// What is known of it besides its parts.
    pub(crate) info: ReplyInfo,
    first: Chunk,
    rest: ReplyStream,
}

impl Opening {
    /// Reads the beginning of a model's answer.
    pub(crate) async fn of(model: &ModelName, mut stream: ReplyStream) -> Result<Self> {
        let (provider, name) = (model.provider.clone(), model.model.clone());
        let mut info = ReplyInfo { provider, model: name, ..ReplyInfo::default() };
        while let Some(chunk) = stream.next().await {
            match chunk? {
                Chunk::Start(more) => info.add(more),
                first => return Ok(Self { info, first, rest: stream }),
            }
        }
        let text = "the answer ended before it began";
        Err(Error::new(ErrorKind::Interrupted, &model.provider, &model.model, text))
    }

    /// Returns the whole answer. To its end `complete` adds what only the caller knows, and `fail` to the
    /// error that it may break off with.
    pub(crate) fn into_stream(
        self,
        complete: impl Fn(&mut Finish) + Send + 'static,
        fail: impl Fn(Error) -> Error + Send + 'static,
    ) -> ReplyStream {
        let Self { info, first, rest } = self;
        let begin = stream::iter([Ok(Chunk::Start(info)), Ok(first)]);
        let whole = begin.chain(rest).map(move |mut chunk| {
            if let Ok(Chunk::Finish(finish)) = &mut chunk {
                complete(finish);
            }
            chunk.map_err(&fail)
        });
        Box::pin(whole)
    }
}
