//! What chunks make: the parts of a message that is being written.

mod input;
mod tools;

use std::collections::HashMap;

use loomwork_core::{Fault, Kind};
use loomwork_models::ProviderData;
use serde_json::Value;

use crate::Metadata;
use crate::chunk::{DataChunk, RESTART_STEP, UiChunk};
use crate::ui::{GrowthState, UiCustom, UiFile, UiPart, UiSourceDocument, UiSourceUrl, UiText};
use tools::Call;

/// Makes the parts of a message out of chunks, one after the other; the one place that does so.
///
/// What it has to know of earlier chunks it carries along, so a chunk costs what it adds, however long
/// the message is.
///
/// ```
/// use loomwork_messages::{Reducer, UiChunk};
/// use serde_json::json;
///
/// let mut reducer = Reducer::strict();
/// let chunks: Vec<UiChunk> = serde_json::from_value(json!([
///     { "type": "text-start", "id": "t" },
///     { "type": "text-delta", "id": "t", "delta": "Hello, " },
///     { "type": "text-delta", "id": "t", "delta": "world" },
/// ]))?;
/// reducer.extend(chunks)?;
/// assert_eq!(reducer.parts()[0].as_text(), Some("Hello, world"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reducer {
    is_strict: bool,
    message: Option<String>,
    parts: Vec<UiPart>,
    metadata: Metadata,
    end: Option<ChunksEnd>,
    /// How many chunks came.
    count: u64,
    /// Where the parts of the step begin that is being made.
    step: usize,
    /// A chunk spoke of a call that is not among these chunks.
    is_cut: bool,
    texts: HashMap<String, usize>,
    thoughts: HashMap<String, usize>,
    data: HashMap<(String, String), usize>,
    calls: HashMap<String, Call>,
    /// Where the calls stand about which a question was asked.
    approvals: HashMap<String, usize>,
}

/// How the chunks of a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunksEnd {
    /// The message is complete.
    Finished,
    /// It was called off.
    Aborted {
        /// Why.
        reason: Option<String>,
    },
    /// It failed.
    Failed {
        /// What went wrong.
        error_text: String,
    },
}

/// A chunk that does not fit those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk {number}, a `{kind}`, does not fit: {problem}")]
pub struct ReduceError {
    /// The number of the chunk, from 0.
    pub number: u64,
    /// Its type.
    pub kind: String,
    /// What is wrong with it.
    pub problem: ChunkProblem,
}

impl Fault for ReduceError {
    fn kind(&self) -> Kind {
        Kind::Corrupt
    }
}

/// Why a chunk does not fit those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkProblem {
    /// A delta or an end without its start.
    #[error("no text or reasoning {id:?} has begun, or it has ended")]
    NotOpen {
        /// The id that the chunk names.
        id: String,
    },
    /// More arguments of a call whose arguments have not begun or are complete.
    #[error("the arguments of no call {call:?} are growing")]
    NoInput {
        /// The id that the chunk names.
        call: String,
    },
    /// A question about a call that there is not.
    #[error("there is no call {call:?}")]
    NoCall {
        /// The id that the chunk names.
        call: String,
    },
    /// A refusal that nobody asked for.
    #[error("nobody was asked whether the call {call:?} may run")]
    NoRequest {
        /// The id that the chunk names.
        call: String,
    },
    /// The chunks are those of another message.
    #[error("the message is {expected:?}, not {found:?}")]
    OtherMessage {
        /// The id that the chunk names.
        found: String,
        /// The id of the message.
        expected: String,
    },
    /// Metadata that has no names.
    #[error("the metadata of a message is an object")]
    Metadata,
    /// A chunk of a type that this version does not know.
    #[error("its type is unknown; an application's own begin with \"data-\"")]
    UnknownType,
    /// A chunk of a known type.
    #[error("one of its fields is missing or of the wrong type")]
    Malformed,
}

/// What applying a chunk comes to.
type Applied = Result<(), Refusal>;

/// Why a chunk was not applied.
enum Refusal {
    /// It does not fit.
    Problem(ChunkProblem),
    /// It goes on with a call of an earlier stream.
    Elsewhere,
}

impl From<ChunkProblem> for Refusal {
    fn from(problem: ChunkProblem) -> Self {
        Self::Problem(problem)
    }
}

impl Reducer {
    /// Returns one for those who keep what it makes: a chunk that does not fit is an error, and the result
    /// of a call that is not among the chunks ends what it makes.
    pub fn strict() -> Self {
        Self::new(true)
    }

    /// Returns one for those who look at what it makes: what does not fit is left out.
    pub fn tolerant() -> Self {
        Self::new(false)
    }

    fn new(is_strict: bool) -> Self {
        Self {
            is_strict,
            message: None,
            parts: Vec::new(),
            metadata: Metadata::new(),
            end: None,
            count: 0,
            step: 0,
            is_cut: false,
            texts: HashMap::new(),
            thoughts: HashMap::new(),
            data: HashMap::new(),
            calls: HashMap::new(),
            approvals: HashMap::new(),
        }
    }

    /// Sets the id of the message, so that a `start` of another one does not fit.
    #[must_use]
    pub fn for_message(mut self, id: impl Into<String>) -> Self {
        self.message = Some(id.into());
        self
    }

    /// Adds a chunk. One that is an error changes nothing.
    pub fn push(&mut self, chunk: UiChunk) -> Result<(), ReduceError> {
        if self.is_cut {
            return Ok(());
        }
        let number = self.count;
        self.count += 1;
        let (kind, applied) = match (chunk.known_kind(), chunk) {
            (_, UiChunk::Unread(chunk)) if self.is_strict => {
                let known = chunk.has_known_type();
                let problem = if known { ChunkProblem::Malformed } else { ChunkProblem::UnknownType };
                return Err(ReduceError { number, kind: chunk.kind().to_owned(), problem });
            }
            (kind, chunk) => (kind.unwrap_or_default(), self.apply(chunk)),
        };
        match applied {
            Err(Refusal::Problem(problem)) if self.is_strict => {
                Err(ReduceError { number, kind: kind.to_owned(), problem })
            }
            Err(Refusal::Elsewhere) if self.is_strict => {
                self.is_cut = true;
                Ok(())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Adds chunks, up to the first that is an error.
    pub fn extend(&mut self, chunks: impl IntoIterator<Item = UiChunk>) -> Result<(), ReduceError> {
        chunks.into_iter().try_for_each(|chunk| self.push(chunk))
    }

    /// Returns the parts that the chunks have made.
    pub fn parts(&self) -> &[UiPart] {
        &self.parts
    }

    /// Returns the parts that the chunks have made.
    pub fn into_parts(self) -> Vec<UiPart> {
        self.parts
    }

    /// Returns what the chunks say of the message besides its parts.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns how the message ended, if a chunk said so.
    pub fn end(&self) -> Option<&ChunksEnd> {
        self.end.as_ref()
    }

    /// Returns whether a strict reducer has stopped at the result of a call that is not among the chunks.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl Reducer {
    fn apply(&mut self, chunk: UiChunk) -> Applied {
        match chunk {
            UiChunk::Start { message_id, message_metadata } => self.start(message_id, message_metadata)?,
            UiChunk::Finish { message_metadata } => {
                self.add_metadata(message_metadata)?;
                self.end = Some(ChunksEnd::Finished);
            }
            UiChunk::MessageMetadata { message_metadata } => self.add_metadata(Some(message_metadata))?,
            UiChunk::StartStep => {
                self.parts.push(UiPart::StepStart);
                self.step = self.parts.len();
            }
            UiChunk::FinishStep => self.finish_step(),
            UiChunk::Abort { reason } => self.end = Some(ChunksEnd::Aborted { reason }),
            UiChunk::Error { error_text } => self.end = Some(ChunksEnd::Failed { error_text }),
            UiChunk::TextStart { id, provider_metadata } => {
                self.texts.insert(id, self.parts.len());
                let text = UiText::growing(provider_metadata.unwrap_or_default());
                self.parts.push(UiPart::Text(text));
            }
            UiChunk::TextDelta { id, delta, provider_metadata } => {
                grow(open(&mut self.parts, &self.texts, id)?, delta, provider_metadata);
            }
            UiChunk::TextEnd { id, provider_metadata } => {
                let text = close(&mut self.parts, &mut self.texts, id)?;
                replace(&mut text.provider_metadata, provider_metadata);
            }
            UiChunk::ReasoningStart { id, provider_metadata } => {
                self.thoughts.insert(id, self.parts.len());
                let text = UiText::growing(provider_metadata.unwrap_or_default());
                self.parts.push(UiPart::Reasoning(text));
            }
            UiChunk::ReasoningDelta { id, delta, provider_metadata } => {
                grow(open(&mut self.parts, &self.thoughts, id)?, delta, provider_metadata);
            }
            UiChunk::ReasoningEnd { id, provider_metadata } => {
                let text = close(&mut self.parts, &mut self.thoughts, id)?;
                replace(&mut text.provider_metadata, provider_metadata);
            }
            UiChunk::Data(data) if data.kind() == RESTART_STEP => self.restart_step(),
            UiChunk::Data(data) => self.add_data(data),
            UiChunk::Unread(_) => {}
            chunk @ (UiChunk::ReasoningFile { .. }
            | UiChunk::File { .. }
            | UiChunk::Custom { .. }
            | UiChunk::SourceUrl { .. }
            | UiChunk::SourceDocument { .. }) => self.parts.extend(whole(chunk)),
            chunk => self.apply_tool(chunk)?,
        }
        Ok(())
    }

    fn start(&mut self, message_id: Option<String>, message_metadata: Option<Value>) -> Applied {
        if let (Some(expected), Some(found)) = (&self.message, message_id)
            && *expected != found
        {
            return Err(ChunkProblem::OtherMessage { found, expected: expected.clone() }.into());
        }
        self.add_metadata(message_metadata)
    }

    fn add_metadata(&mut self, more: Option<Value>) -> Applied {
        match more {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Object(more)) => {
                self.metadata.extend(more);
                Ok(())
            }
            Some(_) => Err(ChunkProblem::Metadata.into()),
        }
    }

    fn finish_step(&mut self) {
        self.texts.clear();
        self.thoughts.clear();
        // A step that is complete is not made again.
        self.step = self.parts.len();
    }

    /// Drops what the cut attempt at the step has made.
    fn restart_step(&mut self) {
        let step = self.step;
        self.parts.truncate(step);
        self.texts.clear();
        self.thoughts.clear();
        self.calls.retain(|_, call| call.index < step);
        self.approvals.retain(|_, index| *index < step);
        self.data.retain(|_, index| *index < step);
    }

    fn add_data(&mut self, data: DataChunk) {
        if data.transient {
            return;
        }
        let index = match &data.id {
            Some(id) => *self.data.entry((data.kind().to_owned(), id.clone())).or_insert(self.parts.len()),
            None => self.parts.len(),
        };
        match self.parts.get_mut(index) {
            Some(part) => *part = UiPart::Data(data),
            None => self.parts.push(UiPart::Data(data)),
        }
    }
}

/// Returns the part of a chunk that is a whole one.
fn whole(chunk: UiChunk) -> Option<UiPart> {
    Some(match chunk {
        UiChunk::ReasoningFile { url, media_type, provider_metadata } => {
            let provider_metadata = provider_metadata.unwrap_or_default();
            UiPart::ReasoningFile(UiFile { url, media_type, provider_metadata, ..UiFile::default() })
        }
        UiChunk::File { url, media_type, filename, provider_metadata } => {
            let provider_metadata = provider_metadata.unwrap_or_default();
            UiPart::File(UiFile { url, media_type, filename, provider_metadata, ..UiFile::default() })
        }
        UiChunk::Custom { kind, provider_metadata } => {
            UiPart::Custom(UiCustom { kind, provider_metadata: provider_metadata.unwrap_or_default() })
        }
        UiChunk::SourceUrl { source_id, url, title, provider_metadata } => {
            let provider_metadata = provider_metadata.unwrap_or_default();
            UiPart::SourceUrl(UiSourceUrl { source_id, url, title, provider_metadata })
        }
        UiChunk::SourceDocument { source_id, media_type, title, filename, provider_metadata } => {
            let provider_metadata = provider_metadata.unwrap_or_default();
            UiPart::SourceDocument(UiSourceDocument {
                source_id,
                media_type,
                title,
                filename,
                provider_metadata,
            })
        }
        _ => return None,
    })
}

/// Returns the text that is open under an id.
fn open<'a>(
    parts: &'a mut [UiPart],
    texts: &HashMap<String, usize>,
    id: String,
) -> Result<&'a mut UiText, ChunkProblem> {
    match texts.get(&id).and_then(|index| parts.get_mut(*index)) {
        Some(UiPart::Text(text) | UiPart::Reasoning(text)) => Ok(text),
        _ => Err(ChunkProblem::NotOpen { id }),
    }
}

/// Marks the text that is open under an id as complete, and forgets the id.
fn close<'a>(
    parts: &'a mut [UiPart],
    texts: &mut HashMap<String, usize>,
    id: String,
) -> Result<&'a mut UiText, ChunkProblem> {
    let text = open(parts, texts, id.clone())?;
    texts.remove(&id);
    text.state = Some(GrowthState::Done);
    Ok(text)
}

fn grow(text: &mut UiText, delta: String, provider_metadata: Option<ProviderData>) {
    // The first delta is taken as it is: a text that came whole is not copied.
    if text.text.is_empty() {
        text.text = delta;
    } else {
        text.text.push_str(&delta);
    }
    replace(&mut text.provider_metadata, provider_metadata);
}

/// Later metadata takes the place of earlier metadata; none leaves it.
fn replace(known: &mut ProviderData, later: Option<ProviderData>) {
    if let Some(later) = later {
        *known = later;
    }
}
