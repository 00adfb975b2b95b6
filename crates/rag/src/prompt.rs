//! Prompts of what was found, in the shapes that families of models read best.

use loomwork_models::ModelName;
use serde::{Deserialize, Serialize};

use crate::query::Found;

/// What a model is told to do with what was found, if nobody says otherwise.
pub const INSTRUCTION: &str = "You answer questions. Use only the context that comes with the question, and do \
    not mention it. If the answer is not in it, say that you do not know.";

/// The shape of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The context as text, a rule, and the question in triple quotes.
    Quoted,
    /// The context as text, a rule, and the question under a label.
    Labelled,
    /// The context as elements, and the question behind them.
    Tagged,
    /// The context and the question as elements.
    TaggedQuestion,
    /// The context as text, a rule, and the question.
    Plain,
}

impl Shape {
    /// Returns the shape for a model, by its provider or its name.
    ///
    /// ```
    /// use loomwork_models::ModelName;
    /// use loomwork_rag::Shape;
    ///
    /// assert_eq!(Shape::of(&ModelName::new("openrouter", "anthropic/claude-sonnet-4")), Shape::Tagged);
    /// assert_eq!(Shape::of(&ModelName::new("openai.chat", "gpt-4o")), Shape::Quoted);
    /// ```
    pub fn of(name: &ModelName) -> Self {
        let names = [name.model.as_str(), name.provider.as_str()];
        // A gateway's models are named after their makers.
        let words = names.into_iter().flat_map(|name| name.split('/')).map(str::to_ascii_lowercase);
        let shape = |word: String| {
            let begins = |starts: &[&str]| starts.iter().any(|start| word.starts_with(start));
            if begins(&["openai", "gpt", "o1", "o3", "o4", "chatgpt"]) {
                Some(Self::Quoted)
            } else if begins(&["anthropic", "claude"]) {
                Some(Self::Tagged)
            } else if begins(&["google", "gemini", "gemma"]) {
                Some(Self::TaggedQuestion)
            } else if begins(&["meta", "llama", "ollama"]) {
                Some(Self::Labelled)
            } else {
                None
            }
        };
        words.into_iter().find_map(shape).unwrap_or(Self::Plain)
    }
}

/// Returns a question with what was found for it, for one message to a model. What was found and asked is
/// escaped where it stands among elements.
pub fn prompt(shape: Shape, found: &Found, question: &str) -> String {
    let plain =
        || format!("Use this context to answer:\n\n{}\n\n--------------------------------\n\n", found.text);
    match shape {
        Shape::Quoted => {
            format!("{}**Question:**\n\n\"\"\"\n{}\n\"\"\"", plain(), question.replace("\"\"\"", "'''"))
        }
        Shape::Labelled => format!("{}**Question:**\n\n{question}", plain()),
        Shape::Tagged => format!("{}\n{}", elements(found), escaped(question)),
        Shape::TaggedQuestion => {
            format!("{}\n<question>{}</question>", elements(found), escaped(question))
        }
        Shape::Plain => format!("{}{question}", plain()),
    }
}

fn elements(found: &Found) -> String {
    let mut text = "<context>\n".to_owned();
    for entry in &found.entries {
        match &entry.entry.title {
            Some(title) => text.push_str(&format!("<document title=\"{}\">", escaped(title))),
            None => text.push_str("<document>"),
        }
        text.push_str(&format!("{}</document>\n", escaped(&entry.text)));
    }
    text.push_str("</context>");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
