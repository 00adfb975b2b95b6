//! Values of a type.

use loomwork_core::Kind;
use loomwork_messages::NewMessage;
use loomwork_models::{Message, Object, ObjectOptions, Request, generate_object};
use loomwork_store::Error;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::error::AgentError;
use crate::generate::{Generation, Plan, Record};
use crate::reply::Stored;

/// Asks for a value, and stores its JSON as the answer.
pub(crate) async fn generate<S: Send + Sync + 'static, T: JsonSchema + DeserializeOwned>(
    generation: Generation<S>,
    options: &ObjectOptions,
) -> Result<(Object<T>, Stored), AgentError> {
    let model = generation.model()?;
    let (messages, embedded) = generation.context().await?;
    let request = Request {
        settings: generation.options.settings.clone(),
        provider_options: generation.options.provider_options.clone(),
        cancel: generation.cancel.child_token(),
        ..Request::new(messages)
    };
    let plan = Plan::of(model.name(), &request);
    let mut record = Record::begin(&generation, &plan, embedded).await?;
    record.asking(plan);
    let made = tokio::select! {
        made = generate_object::<T>(&*model, request, options) => made.map_err(|error| AgentError::Model {
            agent: generation.agent.name().to_owned(),
            source: Box::new(error),
        }),
        lost = record.lost() => Err(AgentError::Ended(Box::new(lost))),
    };
    let object = match made {
        Ok(object) => object,
        Err(error) => return Err(record.fail(error).await),
    };
    let reply = &object.reply;
    let said = NewMessage {
        model: Some(reply.info.model.clone()),
        provider: Some(reply.info.provider.clone()),
        provider_metadata: reply.finish.provider_metadata.clone(),
        usage: Some(object.usage.clone()),
        finish_reason: Some(reply.finish.reason),
        warnings: reply.info.warnings.clone(),
        ..NewMessage::new(Message::assistant(reply.text()))
    };
    record.commit(vec![said], false).await?;
    let unstored = || Error::message(Kind::Internal, "the answer has no thread that stores it");
    let stored = record.stored().ok_or_else(unstored)?;
    Ok((object, stored))
}
