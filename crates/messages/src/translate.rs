//! What a model says, in the vocabulary of live answers.

use std::collections::HashMap;

use loomwork_models::{Chunk, Data, Part, PartKind, PartNumber, ProviderData, Source, SourceKind, ToolCall};
use serde_json::{Map, Value};

use crate::chunk::UiChunk;

/// Turns the chunks of one model call into those of a stream.
///
/// Where the step begins and ends is said by who drives it, by [`UiChunk::StartStep`] and
/// [`UiChunk::FinishStep`]: the results of its tools come between the model's last chunk and the end.
///
/// ```
/// use loomwork_messages::{Translator, UiChunk};
/// use loomwork_models::{Chunk, PartKind, ProviderData};
///
/// let mut translator = Translator::default();
/// let start = Chunk::PartStart { part: 0, kind: PartKind::Text, provider_metadata: ProviderData::new() };
/// assert_eq!(translator.push(start), [UiChunk::TextStart { id: "0".into(), provider_metadata: None }]);
/// let delta = translator.push(Chunk::PartDelta { part: 0, delta: "Hi".into() });
/// assert_eq!(delta[0].kind(), "text-delta");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Translator {
    open: HashMap<PartNumber, Open>,
    /// Parts that came whole are numbered behind all that grow.
    whole: u32,
}

/// A part that grows.
#[derive(Clone, Debug)]
enum Open {
    Text,
    Reasoning,
    Call { call: Box<ToolCall>, arguments: String },
}

impl Translator {
    /// Returns what a chunk of the model is in a stream: often one chunk, sometimes several or none.
    pub fn push(&mut self, chunk: Chunk) -> Vec<UiChunk> {
        match chunk {
            Chunk::PartStart { part, kind, provider_metadata } => self.start(part, kind, provider_metadata),
            Chunk::PartDelta { part, delta } => self.grow(part, delta).into_iter().collect(),
            Chunk::PartEnd { part, provider_metadata } => {
                self.end(part, provider_metadata).into_iter().collect()
            }
            Chunk::Part { part } => self.whole(part),
            // What is known of the answer as a whole is saved with its message.
            _ => Vec::new(),
        }
    }

    fn start(&mut self, part: PartNumber, kind: PartKind, said: ProviderData) -> Vec<UiChunk> {
        let (id, provider_metadata) = (part.to_string(), some(said));
        let (open, chunk) = match kind {
            PartKind::Text => (Open::Text, UiChunk::TextStart { id, provider_metadata }),
            PartKind::Reasoning => (Open::Reasoning, UiChunk::ReasoningStart { id, provider_metadata }),
            PartKind::ToolCall { tool_call_id, tool_name, provider_executed } => {
                let call = ToolCall {
                    id: tool_call_id.clone(),
                    name: tool_name.clone(),
                    provider_executed,
                    ..ToolCall::default()
                };
                let chunk = UiChunk::ToolInputStart {
                    tool_call_id,
                    tool_name,
                    dynamic: false,
                    provider_executed,
                    title: None,
                    tool_metadata: None,
                    provider_metadata,
                };
                (Open::Call { call: Box::new(call), arguments: String::new() }, chunk)
            }
            _ => return Vec::new(),
        };
        self.open.insert(part, open);
        vec![chunk]
    }

    fn grow(&mut self, part: PartNumber, delta: String) -> Option<UiChunk> {
        let (id, provider_metadata) = (part.to_string(), None);
        Some(match self.open.get_mut(&part)? {
            Open::Text => UiChunk::TextDelta { id, delta, provider_metadata },
            Open::Reasoning => UiChunk::ReasoningDelta { id, delta, provider_metadata },
            Open::Call { call, arguments } => {
                arguments.push_str(&delta);
                UiChunk::ToolInputDelta { tool_call_id: call.id.clone(), input_text_delta: delta }
            }
        })
    }

    fn end(&mut self, part: PartNumber, said: ProviderData) -> Option<UiChunk> {
        let (id, provider_metadata) = (part.to_string(), some(said));
        Some(match self.open.remove(&part)? {
            Open::Text => UiChunk::TextEnd { id, provider_metadata },
            Open::Reasoning => UiChunk::ReasoningEnd { id, provider_metadata },
            Open::Call { mut call, arguments } => {
                if arguments.trim().is_empty() {
                    call.input = Value::Object(Map::new());
                } else {
                    match serde_json::from_str(&arguments) {
                        Ok(input) => call.input = input,
                        Err(error) => {
                            call.invalid = Some(format!("the arguments are no JSON: {error}"));
                            call.input = Value::String(arguments);
                        }
                    }
                }
                called(*call, provider_metadata)
            }
        })
    }

    fn whole(&mut self, part: Part) -> Vec<UiChunk> {
        let id = format!("whole-{}", self.whole);
        self.whole += 1;
        let provider_metadata = part.extras().and_then(|extras| some(extras.provider_metadata.clone()));
        match part {
            Part::Text(text) => vec![
                UiChunk::TextStart { id: id.clone(), provider_metadata },
                UiChunk::TextDelta { id: id.clone(), delta: text.text, provider_metadata: None },
                UiChunk::TextEnd { id, provider_metadata: None },
            ],
            Part::Reasoning(thought) => vec![
                UiChunk::ReasoningStart { id: id.clone(), provider_metadata },
                UiChunk::ReasoningDelta { id: id.clone(), delta: thought.text, provider_metadata: None },
                UiChunk::ReasoningEnd { id, provider_metadata: None },
            ],
            Part::ToolCall(call) => vec![called(call, provider_metadata)],
            Part::ToolResult(result) => vec![UiChunk::tool_result(&result)],
            Part::File(file) => {
                let (media_type, filename) = (file.media_type, file.filename);
                let url = url(&file.data, &media_type);
                vec![UiChunk::File { url, media_type, filename, provider_metadata }]
            }
            Part::ReasoningFile(file) => {
                let url = url(&file.data, &file.media_type);
                vec![UiChunk::ReasoningFile { url, media_type: file.media_type, provider_metadata }]
            }
            Part::Custom(custom) => vec![UiChunk::Custom { kind: custom.kind, provider_metadata }],
            Part::Source(source) => vec![cited(source, provider_metadata)],
            _ => Vec::new(),
        }
    }
}

fn called(call: ToolCall, provider_metadata: Option<ProviderData>) -> UiChunk {
    let ToolCall { id, name, input, invalid, provider_executed, title, tool_metadata, .. } = call;
    let (tool_call_id, tool_name, dynamic) = (id, name, false);
    match invalid {
        None => UiChunk::ToolInputAvailable {
            tool_call_id,
            tool_name,
            input,
            dynamic,
            provider_executed,
            title,
            tool_metadata,
            provider_metadata,
        },
        Some(error_text) => UiChunk::ToolInputError {
            tool_call_id,
            tool_name,
            input,
            error_text,
            dynamic,
            provider_executed,
            title,
            tool_metadata,
            provider_metadata,
        },
    }
}

fn cited(source: Source, provider_metadata: Option<ProviderData>) -> UiChunk {
    let (source_id, title) = (source.id, source.title);
    match source.kind {
        SourceKind::Document { media_type, filename } => {
            let title = title.or_else(|| filename.clone()).unwrap_or_default();
            UiChunk::SourceDocument { source_id, media_type, title, filename, provider_metadata }
        }
        SourceKind::Url { url } => UiChunk::SourceUrl { source_id, url, title, provider_metadata },
        _ => UiChunk::SourceUrl { source_id, url: String::new(), title, provider_metadata },
    }
}

/// A file that only its provider has shows no address.
fn url(data: &Data, media_type: &str) -> String {
    data.to_url(media_type).unwrap_or_default()
}

fn some(said: ProviderData) -> Option<ProviderData> {
    (!said.is_empty()).then_some(said)
}
