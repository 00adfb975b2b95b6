//! Reading with a language model what has no text of its own.

use bytes::Bytes;
use loomwork_models::{Data, Image, LanguageModel, Message, Part, Request, Role, Usage};

use crate::{Error, Result};

const DESCRIBE: &str = "Describe the image so that it can be found and understood by who cannot see it: first all \
    text in it, word for word, then what it shows. Write Markdown, and nothing about yourself.";

const TRANSCRIBE: &str = "Write down the whole text of the document as Markdown, in its order, with its headings, \
    lists and tables. Describe figures in a sentence. Leave out page numbers and repeated headers. Add nothing.";

const CONVERT: &str = "Write the text as clean Markdown. Keep every statement, and its order. Add nothing, and leave \
    out only what is layout.";

/// What a model read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// The text.
    pub text: String,
    /// What that used.
    pub usage: Usage,
}

/// Has a model say what an image shows and which text is in it.
///
/// # Errors
/// When the model fails; [`Error::NoAnswer`], with what that used, when it has nothing to say.
pub async fn describe_image(
    model: &dyn LanguageModel,
    image: impl Into<Bytes>,
    media_type: Option<&str>,
) -> Result<Transcript> {
    let data = Data::Bytes(image.into());
    let media_type = media_type.map(str::to_owned);
    let image = Part::Image(Image { data, media_type, extras: Default::default() });
    read(model, DESCRIBE, image, "an image").await
}

/// Has a model write down a PDF file: for scans, and where no text can be taken out.
///
/// # Errors
/// For bytes that are no PDF file; when the model fails; [`Error::NoAnswer`], with what that used, when it has
/// nothing to say.
pub async fn transcribe_pdf(model: &dyn LanguageModel, pdf: impl Into<Bytes>) -> Result<Transcript> {
    let pdf = pdf.into();
    if !pdf.starts_with(b"%PDF-") {
        let reason = "it does not begin as one".to_owned();
        return Err(Error::Unreadable { name: "the file".to_owned(), format: "a PDF file", reason });
    }
    let file = Part::file(Data::Bytes(pdf), "application/pdf");
    read(model, TRANSCRIBE, file, "a PDF file").await
}

/// Has a model write any text as Markdown: pages of the web, mails, what a machine has read.
///
/// # Errors
/// When the model fails; [`Error::NoAnswer`], with what that used, when it has nothing to say.
pub async fn to_markdown(model: &dyn LanguageModel, text: impl Into<String>) -> Result<Transcript> {
    read(model, CONVERT, Part::text(text.into()), "a text").await
}

async fn read(model: &dyn LanguageModel, ask: &str, part: Part, format: &str) -> Result<Transcript> {
    let request = Request::new([Message::system(ask), Message::new(Role::User, [part])]);
    let reply = model.generate(request).await?;
    let text = reply.text().trim().to_owned();
    if text.is_empty() {
        let reason = format!("says nothing of {format}; ask another one");
        return Err(Error::NoAnswer {
            model: model.name().clone(),
            reason,
            usage: Box::new(reply.usage().clone()),
        });
    }
    Ok(Transcript { text, usage: reply.usage().clone() })
}
