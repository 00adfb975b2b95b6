//! Asking the model, and handing on what it says as it comes.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use loomwork_messages::{Translator, offload};
use loomwork_models::{Chunk, LanguageModel as _, Message, Part, PartKind, Reply, Request, Role};

use super::files::is_too_large;
use super::step::Prepared;
use super::{Generation, Out, Record};
use crate::error::AgentError;
use crate::guard::Gatekeeper;
use crate::spans::Traced;

impl<S: Send + Sync + 'static> Generation<S> {
    /// Asks the model, and hands on what it says as it comes.
    pub(super) async fn ask(
        &self,
        prepared: &Prepared<S>,
        request: Request,
        record: &Record,
        out: &Out,
    ) -> Result<Reply, AgentError> {
        let failed = |error| self.model_failed(error);
        let mut translator = Translator::default();
        let mut gate =
            Gatekeeper::new(self.options.output_guards.as_deref().unwrap_or_default(), self.occasion());
        let mut ids = CallIds::default();
        let model = Traced::new(&*prepared.model, self.runtime.store.clock());
        record.asking(prepared.plan.clone());
        let mut chunks = model.stream(request).await.map_err(failed)?;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            record.said(&chunk);
            let chunk = self.put_away(ids.made_unique(chunk), record).await?;
            let seen = gate.pass(chunk).await.map_err(|blocked| self.blocked(blocked, "the answer"))?;
            for chunk in seen {
                if !is_unsayable(&chunk, record) {
                    for chunk in translator.push(chunk.clone()) {
                        self.say(chunk, record, out).await?;
                    }
                }
                record.came(chunk).map_err(failed)?;
            }
        }
        record.whole().map_err(failed)
    }

    /// Says again what the model said before its process was gone.
    pub(super) async fn say_again(
        &self,
        reply: &Reply,
        record: &Record,
        out: &Out,
    ) -> Result<(), AgentError> {
        let mut translator = Translator::default();
        for part in &reply.parts {
            for chunk in translator.push(Chunk::Part { part: part.clone() }) {
                self.say(chunk, record, out).await?;
            }
        }
        Ok(())
    }

    /// Puts a large file that the model made into the file store before anybody is told of it.
    async fn put_away(&self, chunk: Chunk, record: &Record) -> Result<Chunk, AgentError> {
        let (mut part, files) = match (chunk, &self.runtime.files) {
            (Chunk::Part { part }, Some(files)) if record.kept().is_some() => (part, files),
            (chunk, _) => return Ok(chunk),
        };
        if is_too_large(&part) {
            let mut holder = Message::new(Role::Assistant, [part]);
            offload(files, &mut holder).await?;
            part = holder.parts.remove(0);
        }
        Ok(Chunk::Part { part })
    }
}

/// Whether a chunk holds a file that no message of the thread can: there is no file store.
fn is_unsayable(chunk: &Chunk, record: &Record) -> bool {
    matches!(chunk, Chunk::Part { part } if record.kept().is_some() && is_too_large(part))
}

/// The ids of a step's calls. Some servers give several calls one id; results and commits go by them.
#[derive(Default)]
struct CallIds(HashSet<String>);

impl CallIds {
    fn made_unique(&mut self, mut chunk: Chunk) -> Chunk {
        let id = match &mut chunk {
            Chunk::PartStart {
                kind: PartKind::ToolCall { tool_call_id, provider_executed: false, .. },
                ..
            } => tool_call_id,
            Chunk::Part { part: Part::ToolCall(call) } if !call.provider_executed => &mut call.id,
            _ => return chunk,
        };
        let mut number = 1_u32;
        let mut unique = id.clone();
        while !self.0.insert(unique.clone()) {
            number += 1;
            unique = format!("{id}-{number}");
        }
        *id = unique;
        chunk
    }
}
