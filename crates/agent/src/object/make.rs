//! Making a value: one answer, whose text is streamed and stored as the value's JSON.

use loomwork_messages::{NewMessage, UiChunk};
use loomwork_models::{LanguageModel, Message, Object, ObjectOptions, Request, stream_value};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ObjectReply, ObjectSpec};
use crate::error::AgentError;
use crate::generate::{Generation, Out, Record};

/// The number of the text part that holds the value.
const PART: &str = "0";

/// Asks for a value, hands on its text as it grows, and stores its JSON as the answer.
pub(crate) async fn make<S: Send + Sync + 'static, T: DeserializeOwned + Send>(
    mut generation: Generation<S>,
    spec: ObjectSpec<T>,
    out: Out,
) -> Result<ObjectReply<T>, AgentError> {
    let model = generation.model()?;
    if spec.is_impossible {
        let (agent, what) = (generation.agent.name().to_owned(), "choose");
        return Err(AgentError::Lacks {
            agent,
            what,
            lacks: "there is no text to choose; give one at least",
        });
    }
    let messages = generation.prepare().await?;
    let mut record = Record::begin(&generation).await?;
    let cancel = generation.cancel.child_token();
    let request = Request {
        settings: generation.options.settings.clone(),
        provider_options: generation.options.provider_options.clone(),
        cancel: cancel.clone(),
        ..Request::new(messages)
    };
    let clock = generation.runtime.store.clock().clone();
    let spec = ObjectSpec { options: ObjectOptions { clock, ..spec.options.clone() }, ..spec };
    let writing = Writing { agent: generation.agent.name(), record: &record, out: &out };
    let made = tokio::select! {
        made = writing.write(&*model, request, spec) => made,
        lost = record.lost() => {
            cancel.cancel();
            Err(AgentError::Ended(Box::new(lost)))
        }
    };
    let object = match made {
        Ok(object) => object,
        Err(error) => return Err(record.fail(error).await),
    };
    generation.delegated.report(&object.usage);
    let Object { value, json, reply, usage, calls } = object;
    let said = NewMessage {
        model: Some(reply.info.model.clone()),
        provider: Some(reply.info.provider.clone()),
        provider_metadata: reply.finish.provider_metadata.clone(),
        usage: Some(usage.clone()),
        finish_reason: Some(reply.finish.reason),
        warnings: reply.info.warnings.clone(),
        ..NewMessage::new(Message::assistant(json.to_string()))
    };
    record.commit(vec![said], false).await?;
    Ok(ObjectReply {
        object: value,
        json,
        calls,
        usage,
        finish_reason: reply.finish.reason,
        model: reply.info.model,
        provider: reply.info.provider,
        warnings: reply.info.warnings,
        stored: record.stored(),
    })
}

/// Where the text of a value goes while it is written.
struct Writing<'a> {
    agent: &'a str,
    record: &'a Record,
    out: &'a Out,
}

/// What was handed on of a text.
#[derive(Default)]
struct Handed {
    beginning: u32,
    bytes: usize,
    text: String,
}

impl Writing<'_> {
    async fn write<T: DeserializeOwned>(
        &self,
        model: &dyn LanguageModel,
        request: Request,
        spec: ObjectSpec<T>,
    ) -> Result<Object<T>, AgentError> {
        let failed = |error| AgentError::Model { agent: self.agent.to_owned(), source: Box::new(error) };
        self.begin().await?;
        let mut handed = Handed { beginning: 1, ..Handed::default() };
        let mut stream =
            stream_value::<T>(model, request, spec.schema, &spec.options).await.map_err(failed)?;
        loop {
            let grown = stream.next().await.map(|grown| grown.is_some());
            // What came before an error is kept.
            self.hand_on(stream.text(), stream.beginnings(), &mut handed).await?;
            if !grown.map_err(failed)? {
                break;
            }
        }
        let object = stream.finish().await.map_err(failed)?;
        // It may have been repaired, or written in a way of which nothing could be shown.
        let is_told = serde_json::from_str::<Value>(&handed.text).is_ok_and(|told| told == object.json);
        if !is_told {
            let beginning = if handed.bytes > 0 { handed.beginning + 1 } else { handed.beginning };
            self.hand_on(&object.json.to_string(), beginning, &mut handed).await?;
        }
        self.say(UiChunk::TextEnd { id: PART.to_owned(), provider_metadata: None }).await?;
        self.say(UiChunk::FinishStep).await?;
        Ok(object)
    }

    async fn begin(&self) -> Result<(), AgentError> {
        self.say(UiChunk::StartStep).await?;
        self.say(UiChunk::TextStart { id: PART.to_owned(), provider_metadata: None }).await
    }

    /// Hands on what is new of a text; one that has begun anew takes the place of what was told.
    async fn hand_on(&self, text: &str, beginning: u32, handed: &mut Handed) -> Result<(), AgentError> {
        if beginning > handed.beginning {
            let has_told = handed.bytes > 0;
            *handed = Handed { beginning, ..Handed::default() };
            if has_told {
                self.say(UiChunk::restart_step(beginning)).await?;
                self.say(UiChunk::TextStart { id: PART.to_owned(), provider_metadata: None }).await?;
            }
        }
        let Some(new) = text.get(handed.bytes..).filter(|new| !new.is_empty()) else { return Ok(()) };
        handed.bytes = text.len();
        handed.text.push_str(new);
        let (id, delta) = (PART.to_owned(), new.to_owned());
        self.say(UiChunk::TextDelta { id, delta, provider_metadata: None }).await
    }

    async fn say(&self, chunk: UiChunk) -> Result<(), AgentError> {
        if let Some(out) = self.out {
            // A reader who has gone is no reason to stop.
            let _ = out.send(chunk.clone()).await;
        }
        self.record.push(chunk).await
    }
}
