//! Making a value: one answer, whose text is streamed and stored as the value's JSON.

use loomwork_messages::runs::Then;
use loomwork_messages::{NewMessage, UiChunk};
use loomwork_models::{LanguageModel, Message, Object, ObjectOptions, Request, stream_value};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Instrument as _;

use super::{ObjectReply, ObjectSpec};
use crate::error::AgentError;
use crate::generate::{Generation, Out, Plan, Record, say, unless_called_off};
use crate::guard::{Blocked, OutputGuard};
use crate::spans::{self, Traced};
use crate::stream::Pending;

/// The number of the text part that holds the value.
const PART: &str = "0";

/// Asks for a value, and waits for it.
pub(crate) async fn generate<S: Send + Sync + 'static, T: DeserializeOwned + Send + 'static>(
    generation: Generation<S>,
    spec: ObjectSpec<T>,
) -> Result<ObjectReply<T>, AgentError> {
    Pending::spawn(generation.of_one_step(), |generation| make(generation, spec, None)).or_call_off().await
}

/// Asks for a value, hands on its text as it grows, and stores its JSON as the answer.
pub(crate) async fn make<S: Send + Sync + 'static, T: DeserializeOwned + Send>(
    generation: Generation<S>,
    spec: ObjectSpec<T>,
    out: Out,
) -> Result<ObjectReply<T>, AgentError> {
    let span = spans::invoke_agent(&generation, generation.options.model.as_ref().map(|model| model.name()));
    let made = answer(generation, spec, out).instrument(span.clone()).await;
    spans::agent_ended(&span, made.as_ref().map(|reply| &reply.usage));
    made
}

async fn answer<S: Send + Sync + 'static, T: DeserializeOwned + Send>(
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
    let (call_off, run) = (generation.call_off.clone(), generation.unstored);
    let (mut messages, embedded) = unless_called_off(&call_off, run, generation.told()).await?;
    let cancel = call_off.token().child_token();
    let begun = async {
        generation.guard_input(&mut messages, 0).await?;
        let mut settings = generation.options.settings.clone();
        settings.keep_request_body |= generation.options.on_exchange.is_some();
        let provider_options = generation.options.provider_options.clone();
        let request =
            Request { settings, provider_options, cancel: cancel.clone(), ..Request::new(messages) };
        let plan = Plan::of(generation.counter(), model.name(), &request);
        let record = Record::begin(&generation, &plan, embedded.clone()).await?;
        Ok((request, plan, record))
    };
    let (request, plan, mut record) = match unless_called_off(&call_off, run, begun).await {
        Ok(begun) => begun,
        Err(error) => {
            generation.tell_embedded(embedded, &error).await;
            return Err(error);
        }
    };
    if let Some(out) = &out {
        out.begun(record.begun());
    }
    record.asking(plan);
    let clock = generation.runtime.store.clock().clone();
    let options = ObjectOptions { clock: clock.clone(), ..spec.options.clone() };
    let spec = ObjectSpec { options, ..spec };
    let guards = generation.options.output_guards.as_deref().unwrap_or_default();
    let writing = Writing { generation: &generation, guards, record: &record, out: &out };
    let traced = Traced::new(&*model, &clock);
    let made = generation.while_held(&record, &cancel, writing.write(&traced, request, spec));
    let object = match made.await {
        Ok(object) => object,
        Err(error) => return Err(generation.fail(&mut record, error).await),
    };
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
    record.commit(vec![said], Then::End, Vec::new()).await?;
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
struct Writing<'a, S> {
    generation: &'a Generation<S>,
    /// Where there are some, nothing is handed on before they have seen the whole value.
    guards: &'a [OutputGuard],
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

impl<S: Send + Sync + 'static> Writing<'_, S> {
    async fn write<T: DeserializeOwned>(
        &self,
        model: &dyn LanguageModel,
        request: Request,
        spec: ObjectSpec<T>,
    ) -> Result<Object<T>, AgentError> {
        let failed = |error| self.generation.model_failed(error);
        self.begin().await?;
        let mut handed = Handed { beginning: 1, ..Handed::default() };
        let mut stream =
            stream_value::<T>(model, request, spec.schema, &spec.options).await.map_err(failed)?;
        loop {
            let grown = stream.next().await.map(|grown| grown.is_some());
            self.record.heard(stream.text(), stream.beginnings());
            // What came before an error is kept.
            if self.guards.is_empty() {
                self.hand_on(stream.text(), stream.beginnings(), &mut handed).await?;
            }
            if !grown.map_err(failed)? {
                break;
            }
        }
        let object = stream.finish().await.map_err(failed)?;
        let mut came = object.reply.clone();
        came.finish.usage.clone_from(&object.usage);
        self.record.knows(&came);
        let object = self.guarded(object).await?;
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

    /// Lets the guards see a value.
    async fn guarded<T: DeserializeOwned>(&self, mut object: Object<T>) -> Result<Object<T>, AgentError> {
        let blocked = |blocked| self.generation.blocked(blocked, "the answer");
        let occasion = self.generation.occasion();
        for guard in self.guards {
            let text = object.json.to_string();
            let seen = guard.check(&occasion, text.clone()).await.map_err(blocked)?;
            if seen == text {
                continue;
            }
            let json: serde_json::Result<Value> = serde_json::from_str(&seen);
            let value = json.and_then(|json| Ok((T::deserialize(&json)?, json)));
            let wrong = |error: serde_json::Error| {
                let reason = format!("what it has put in the place of the value is of another type: {error}");
                blocked(Blocked { guard: guard.name(), reason })
            };
            (object.value, object.json) = value.map_err(wrong)?;
        }
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
        say(chunk, self.record, self.out).await
    }
}
