//! What a conversation gives the offline model to answer with.

use serde_json::Value;

use crate::{Data, Message, OutputItem, Part, Request, Role, ToolOutput, ToolResult};

/// The longest sentence that is quoted whole, in characters.
const MAX_SENTENCE: usize = 400;

/// The longest paragraph that is taken for a question, in characters.
const MAX_QUESTION: usize = 300;

/// A sentence, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Passage {
    pub(super) text: String,
    /// Where it stands, in words for a person.
    pub(super) source: String,
    /// How far it is trusted to be an answer, from 0 to 1.
    pub(super) trust: f64,
}

/// A conversation, taken apart.
#[derive(Debug, Default)]
pub(super) struct Given<'request> {
    /// What the person said last.
    pub(super) prompt: String,
    /// The question in it.
    pub(super) question: String,
    /// All that may hold an answer, oldest first.
    pub(super) passages: Vec<Passage>,
    /// What tools returned since.
    pub(super) results: Vec<&'request ToolResult>,
    /// Whether the last message has images, which the model cannot see.
    pub(super) has_images: bool,
    /// Whether the person has said something before.
    pub(super) is_under_way: bool,
}

impl<'request> Given<'request> {
    pub(super) fn read(request: &'request Request) -> Self {
        let messages = &request.messages;
        let last = messages.iter().rposition(|message| message.role == Role::User);
        let mut given = Self::default();
        for (index, message) in messages.iter().enumerate() {
            if Some(index) == last {
                given.read_prompt(message);
            } else {
                given.is_under_way |= message.role == Role::User;
                given.read_earlier(message);
            }
        }
        let since = last.map_or(0, |last| last + 1);
        given.results = messages[since..].iter().flat_map(Message::tool_results).collect();
        given
    }

    /// Returns all that was said and given, as one text.
    pub(super) fn whole_text(&self) -> String {
        let given = self.passages.iter().filter(|passage| passage.trust > 0.9);
        let texts: Vec<&str> = given.map(|passage| passage.text.as_str()).collect();
        format!("{}\n{}", self.prompt, texts.join("\n"))
    }

    fn read_prompt(&mut self, message: &Message) {
        let text = texts(message);
        let (question, rest) = split_question(&text);
        self.add(&rest, "your message", 1.0);
        (self.question, self.prompt) = (question, text);
        self.read_files(message);
        self.has_images = message.parts.iter().any(|part| match part {
            Part::Image(_) => true,
            Part::File(file) => file.media_type.starts_with("image/"),
            _ => false,
        });
    }

    fn read_earlier(&mut self, message: &Message) {
        let (source, trust) = match message.role {
            Role::System => ("the instructions", 0.9),
            Role::User => ("you, earlier", 1.0),
            Role::Assistant => ("an earlier answer", 0.4),
            Role::Tool => ("", 1.0),
        };
        self.add(&texts(message), source, trust);
        self.read_files(message);
        for result in message.tool_results() {
            let source = format!("the tool `{}`", result.name);
            for text in output_texts(&result.output) {
                self.add(&text, &source, 1.0);
            }
        }
    }

    fn read_files(&mut self, message: &Message) {
        for part in &message.parts {
            if let Part::File(file) = part
                && let Some(text) = file_text(&file.data, &file.media_type)
            {
                self.add(&text, file.filename.as_deref().unwrap_or("the attached file"), 1.0);
            }
        }
    }

    fn add(&mut self, text: &str, source: &str, trust: f64) {
        let said = sentences(text).into_iter().filter(|sentence| !sentence.ends_with(['?', '？']));
        let source = || source.to_owned();
        self.passages.extend(said.map(|text| Passage { text, source: source(), trust }));
    }
}

/// Returns the texts of a message, each a paragraph of its own.
fn texts(message: &Message) -> String {
    message.parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n\n")
}

fn file_text(data: &Data, media_type: &str) -> Option<String> {
    let text = data.as_text(media_type)?;
    Some(serde_json::from_str::<Value>(&text).map_or(text, |value| lines(&value).join("\n")))
}

fn output_texts(output: &ToolOutput) -> Vec<String> {
    match output {
        ToolOutput::Text(text) => {
            vec![serde_json::from_str::<Value>(text).map_or(text.clone(), |value| lines(&value).join("\n"))]
        }
        ToolOutput::Json(value) => lines(value),
        ToolOutput::Content(items) => items.iter().filter_map(item_text).collect(),
        ToolOutput::ErrorText(_) | ToolOutput::ErrorJson(_) | ToolOutput::Denied { .. } => Vec::new(),
    }
}

fn item_text(item: &OutputItem) -> Option<String> {
    match item {
        OutputItem::Text { text, .. } => Some(text.clone()),
        OutputItem::File { data, media_type, .. } => file_text(data, media_type),
        OutputItem::Custom { .. } => None,
    }
}

/// Writes a value as lines that a person reads: `sky: clear`. Each object of a list is one line.
pub(super) fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key}: {}", inline(value))).collect()
        }
        Value::Array(items) => items.iter().map(inline).collect(),
        value => vec![inline(value)],
    }
}

pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Object(_) => lines(value).join(", "),
        value => value.to_string(),
    }
}

/// Splits a message into its question and what it gives to answer with.
fn split_question(text: &str) -> (String, String) {
    let whole = || (text.trim().to_owned(), String::new());
    let marked = text.rfind("Question:").or_else(|| text.rfind("question:"));
    if let Some(at) = marked {
        let question = text[at + "question:".len()..].trim().to_owned();
        return (question, text[..at].to_owned());
    }
    let paragraphs: Vec<&str> = text.split("\n\n").map(str::trim).filter(|text| !text.is_empty()).collect();
    if paragraphs.len() > 1 {
        let asks = |index: &usize| paragraphs[*index].ends_with(['?', '？']);
        let short = |index: &usize| paragraphs[*index].chars().count() <= MAX_QUESTION;
        let ends = [paragraphs.len() - 1, 0];
        let chosen = ends.into_iter().find(asks).or_else(|| ends.into_iter().find(short));
        let Some(chosen) = chosen else { return whole() };
        let rest: Vec<&str> = paragraphs
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != chosen)
            .map(|(_, text)| *text)
            .collect();
        return (paragraphs[chosen].to_owned(), rest.join("\n\n"));
    }
    let mut all = sentences(text);
    match all.iter().rposition(|sentence| sentence.ends_with(['?', '？'])) {
        Some(at) if all.len() > 1 => {
            let question = all.remove(at);
            (question, all.join("\n"))
        }
        _ => whole(),
    }
}

/// Returns the sentences of a text, without the marks of lists and headings. Each line ends one.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches(|mark: char| mark.is_whitespace() || "#>*-•".contains(mark));
        let mut start = 0;
        let mut letters = line.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let ends = match letter {
                '.' | '!' | '?' => next.is_none_or(char::is_whitespace) && begins_anew(&line[at + 1..]),
                '。' | '！' | '？' | '।' => true,
                _ => false,
            };
            if ends {
                let end = at + letter.len_utf8();
                push(&mut sentences, &line[start..end]);
                start = end;
            }
        }
        push(&mut sentences, &line[start..]);
    }
    sentences
}

/// Returns whether a sentence may begin here: `e.g. this` is none.
fn begins_anew(rest: &str) -> bool {
    !rest.trim_start().starts_with(char::is_lowercase)
}

fn push(sentences: &mut Vec<String>, text: &str) {
    let text = text.trim();
    if text.chars().any(char::is_alphanumeric) {
        let mut sentence: String = text.chars().take(MAX_SENTENCE).collect();
        if sentence.len() < text.len() {
            sentence.push('…');
        }
        sentences.push(sentence);
    }
}
