//! Ready tools over the edits of a thread: what was done to documents beside the conversation.

use loomwork_messages::edits::{NewEdit, append, list_of};
use loomwork_messages::{EditChange, ThreadId};
use loomwork_store::Page;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::context::{EditsRule, MAX_EDITS, edits};
use crate::tool::{BoxError, Tool, ToolContext, ToolError};

/// How many edits are recalled where the model says no number.
pub const RECALLED: usize = 5;

/// An edit as a model tells of it.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Done {
    /// What was edited: the name of a document, a cell, a node.
    target: String,
    /// What was done to it, in a word: `insert`, `replace`, `delete`, `style`.
    kind: String,
    /// What there is now, in words that are understood without this conversation.
    snippet: String,
    /// What was there before, if that matters.
    #[serde(default)]
    before: Option<Value>,
    /// What is there now, if that matters.
    #[serde(default)]
    after: Option<Value>,
}

/// Which edits a model wants.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct Wanted {
    /// The target whose edits are wanted; without one, those of all targets.
    #[serde(default)]
    target: Option<String>,
    /// Words that the edits are about; without any, the newest ones are returned.
    #[serde(default)]
    about: Option<String>,
    /// How many edits at most.
    #[serde(default)]
    count: Option<usize>,
}

/// Returns the tool `record_edit`: it keeps an edit with the thread, as the next version of its target, by the
/// agent. Later turns are told of it as the context's [`EditsRule`] says.
pub fn record_edit<S: Send + Sync + 'static>() -> Tool<S> {
    let description = "Keeps a note of an edit to a document or canvas, so that later turns can refer to it.";
    Tool::new("record_edit", description, |context: ToolContext<S>, done: Done| async move {
        let thread = thread_of(&context)?;
        let Done { target, kind, snippet, before, after } = done;
        let change = match (before, after) {
            (None, None) => EditChange::Unsaid,
            (before, after) => EditChange::Replaced {
                before: before.unwrap_or(Value::Null),
                after: after.unwrap_or(Value::Null),
            },
        };
        let (author, message) = (Some(context.agent().to_owned()), context.message());
        let edit = NewEdit { change, author, message, ..NewEdit::new(thread, target, kind, snippet) };
        let edit = context.store().mutate(move |tx| append(tx, edit)).await?;
        Ok::<_, BoxError>(format!("kept as version {} of {:?}", edit.version, edit.target))
    })
}

/// Returns the tool `recall_edits`: the edits of the thread, of one target or by what they are about. Without a
/// search, what they are about is not asked.
pub fn recall_edits<S: Send + Sync + 'static>() -> Tool<S> {
    let description = "Returns edits that were made to documents or the canvas beside this conversation.";
    Tool::new("recall_edits", description, |context: ToolContext<S>, wanted: Wanted| async move {
        let thread = thread_of(&context)?;
        let Wanted { target, about, count } = wanted;
        let count = count.unwrap_or(RECALLED).clamp(1, MAX_EDITS);
        let about = about.filter(|about| !about.trim().is_empty());
        let found = match (context.search(), about) {
            (Some(search), Some(about)) => {
                edits::relevant(search, thread, target.as_deref(), &about, count, false).await?
            }
            _ => {
                let recall = move |tx: &loomwork_store::Tx| match &target {
                    None => edits::recall(tx, thread, &EditsRule::Last(count)),
                    Some(target) => {
                        let mut newest = list_of(tx, thread, target, Page::first(count))?.rows;
                        newest.reverse();
                        Ok(newest)
                    }
                };
                context.store().query(recall).await?
            }
        };
        Ok::<_, BoxError>(match found.is_empty() {
            true => "there are no such edits".to_owned(),
            false => edits::render(&found),
        })
    })
}

fn thread_of<S>(context: &ToolContext<S>) -> Result<ThreadId, ToolError> {
    let lacks = || ToolError::invalid("edits are kept with threads, and this conversation has none");
    context.thread().ok_or_else(lacks)
}
