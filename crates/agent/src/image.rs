//! Images as answers.

use loomwork_files::{About, FileId, Files};
use loomwork_messages::runs::{Prompt, RunError, Then};
use loomwork_messages::{MessageId, MessageStatus, NewMessage, ThreadId, UiChunk, file_url};
use loomwork_models::{
    Data, Extras, File, Finish, GeneratedImage, ImageModel, ImageRequest, Images, Message, Part, Reply,
    ReplyInfo, Role, Usage, Warning, guess_media_type,
};
use loomwork_store::Tx;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::context::ContextError;
use crate::error::AgentError;
use crate::generate::{Generation, Plan, Record, inline, unless_called_off};
use crate::reply::Stored;
use crate::spans;
use crate::stream::Pending;

/// How the images of an answer shall be. What they show is the prompt.
///
/// New fields may come; `..ImageOptions::default()` is ready for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageOptions {
    /// Width and height in pixels; the model's own where it is `None`.
    pub size: Option<(u32, u32)>,
    /// How many images to make; 1 where it is 0.
    pub count: u32,
    /// Where the first image of the prompt may be changed: its transparent pixels.
    pub mask: Option<Data>,
    /// Makes the images repeatable where a provider can.
    pub seed: Option<i64>,
}

/// Images that an agent gave.
#[derive(Clone, Debug)]
pub struct ImageReply {
    /// The images, as parts of the answer.
    pub images: Vec<File>,
    /// The files that hold them. Images that a provider gives as addresses have none.
    pub files: Vec<FileId>,
    /// The prompts as the provider rewrote them, where it says so.
    pub revised_prompts: Vec<String>,
    /// What the call used.
    pub usage: Usage,
    /// What was asked for and could not be done.
    pub warnings: Vec<Warning>,
    /// Where they are stored; nowhere outside of threads.
    pub stored: Option<Stored>,
}

/// Asks for images, and waits for them.
pub(crate) async fn generate<S: Send + Sync + 'static>(
    generation: Generation<S>,
    options: ImageOptions,
) -> Result<ImageReply, AgentError> {
    Pending::spawn(generation.of_one_step(), |generation| make(generation, options)).or_call_off().await
}

/// Asks for images, and stores them as files of an answer.
async fn make<S: Send + Sync + 'static>(
    generation: Generation<S>,
    options: ImageOptions,
) -> Result<ImageReply, AgentError> {
    let model = generation.options.image_model.as_ref().map(|model| model.name());
    let span = spans::invoke_agent(&generation, model);
    let made = answer(generation, options).instrument(span.clone()).await;
    spans::agent_ended(&span, made.as_ref().map(|reply| &reply.usage));
    made
}

async fn answer<S: Send + Sync + 'static>(
    generation: Generation<S>,
    options: ImageOptions,
) -> Result<ImageReply, AgentError> {
    let agent = || generation.agent.name().to_owned();
    let lacks = |lacks| AgentError::Lacks { agent: agent(), what: "make an image", lacks };
    let model = generation.options.image_model.clone();
    let model =
        model.ok_or_else(|| lacks("it has no image model; give it one, or give one with the call"))?;
    let files = generation.runtime.files.clone();
    let files = files.ok_or_else(|| lacks("there is no file store; give the runtime one by `with_files`"))?;
    let (call_off, run) = (generation.call_off.clone(), generation.unstored);
    let asked = unless_called_off(&call_off, run, request(&generation, &files, options)).await?;
    if asked.prompt.trim().is_empty() {
        return Err(lacks("the prompt has no words; say what the image shall show"));
    }
    let plan = Plan::of_image(generation.counter(), model.name(), &asked.prompt);
    let begun = Record::begin(&generation, &plan, Vec::new());
    let mut record = unless_called_off(&call_off, run, begun).await?;
    record.asking(plan);
    let cancel = call_off.token().child_token();
    let making = write(&generation, &*model, asked, &files, &record, &cancel);
    let (images, mut reply) = match generation.while_held(&record, &cancel, making).await {
        Ok(made) => made,
        Err(error) => return Err(generation.fail(&mut record, error).await),
    };
    let name = model.name();
    let said = NewMessage {
        model: Some(name.model.clone()),
        provider: Some(name.provider.clone()),
        usage: Some(reply.usage.clone()),
        warnings: reply.warnings.clone(),
        files: reply.files.clone(),
        ..NewMessage::new(Message::new(Role::Assistant, images.into_iter().map(Part::File)))
    };
    record.commit(vec![said], Then::End, Vec::new()).await?;
    reply.stored = record.stored();
    Ok(reply)
}

/// Returns what the model is asked: the words of the prompt, and the images in it to start from.
async fn request<S: Send + Sync + 'static>(
    generation: &Generation<S>,
    files: &Files,
    options: ImageOptions,
) -> Result<ImageRequest, AgentError> {
    let mut messages: Vec<Message> = match &generation.prompt {
        Prompt::New(messages) => messages.iter().map(|new| new.message.clone()).collect(),
        Prompt::Message(prompt) => {
            let (prompt, thread) = (*prompt, generation.target.thread);
            let read = generation.runtime.store.query(move |tx| prompt_of(tx, thread, prompt));
            vec![read.await.map_err(|error| match error.downcast::<ContextError>() {
                Ok(error) => generation.no_context(error),
                Err(error) => error.into(),
            })?]
        }
    };
    inline(files, &mut messages).await?;
    generation.guard_input(&mut messages, 0).await?;
    let prompt = messages.iter().map(Message::text).filter(|text| !text.trim().is_empty());
    let prompt = prompt.collect::<Vec<_>>().join("\n\n");
    let images = messages.into_iter().flat_map(|message| message.parts).filter_map(|part| match part {
        Part::Image(image) => Some(image.data),
        Part::File(file) if file.media_type.starts_with("image/") => Some(file.data),
        _ => None,
    });
    let ImageOptions { size, count, mask, seed } = options;
    Ok(ImageRequest {
        prompt,
        images: images.collect(),
        mask,
        size,
        count,
        seed,
        settings: generation.options.settings.clone(),
        provider_options: generation.options.provider_options.clone(),
    })
}

/// Returns what a stored prompt says: one of the thread, and whole.
fn prompt_of(tx: &Tx, thread: Option<ThreadId>, prompt: MessageId) -> loomwork_store::Result<Message> {
    let thread = thread.ok_or(ContextError::PromptWithoutThread { prompt })?;
    let row = tx.get(prompt)?.filter(|row| row.thread == thread);
    let row = row.ok_or(ContextError::NoPrompt { prompt, thread })?;
    if row.status != MessageStatus::Success {
        let why = row.record.error.map(|why| why.message);
        let failure = why.unwrap_or_else(|| "it is not complete".to_owned());
        return Err(RunError::PromptFailed { message: prompt, failure }.into());
    }
    Ok(row.record.message)
}

/// Makes the images, and stores their bytes.
async fn write<S: Send + Sync + 'static>(
    generation: &Generation<S>,
    model: &dyn ImageModel,
    asked: ImageRequest,
    files: &Files,
    record: &Record,
    cancel: &CancellationToken,
) -> Result<(Vec<File>, ImageReply), AgentError> {
    record.push(UiChunk::StartStep).await?;
    let failed = |error| generation.model_failed(error);
    let called_off = || {
        let (name, text) = (model.name(), "the images were called off");
        loomwork_models::Error::new(loomwork_models::ErrorKind::Cancelled, &name.provider, &name.model, text)
    };
    let span = spans::generate_content(model.name());
    let made = tokio::select! {
        made = model.generate(asked).instrument(span.clone()) => {
            spans::content_ended(&span, made.as_ref().map(|made| &made.usage));
            made.map_err(failed)?
        }
        () = cancel.cancelled() => return Err(failed(called_off())),
    };
    let Images { images, usage, warnings, .. } = made;
    let (name, came) = (model.name(), Finish { usage: usage.clone(), ..Finish::default() });
    let info = ReplyInfo {
        provider: name.provider.clone(),
        model: name.model.clone(),
        warnings: warnings.clone(),
        ..ReplyInfo::default()
    };
    record.knows(&Reply { parts: Vec::new(), finish: came, info });
    let revised_prompts = images.iter().filter_map(|image| image.revised_prompt.clone()).collect();
    let (mut parts, mut ids) = (Vec::new(), Vec::new());
    for image in images {
        let (part, id) = keep(files, image).await?;
        if let Data::Url(url) = &part.data {
            let (url, media_type) = (url.clone(), part.media_type.clone());
            record.push(UiChunk::File { url, media_type, filename: None, provider_metadata: None }).await?;
        }
        parts.push(part);
        ids.extend(id);
    }
    record.push(UiChunk::FinishStep).await?;
    let images = parts.clone();
    Ok((parts, ImageReply { images, files: ids, revised_prompts, usage, warnings, stored: None }))
}

/// Returns an image as a part, whose bytes are in a file whatever their size.
async fn keep(files: &Files, image: GeneratedImage) -> Result<(File, Option<FileId>), AgentError> {
    let GeneratedImage { data, media_type, .. } = image;
    let part = |data, media_type| File { data, media_type, filename: None, extras: Extras::default() };
    let Some(bytes) = data.bytes() else {
        return Ok((part(data, media_type.unwrap_or_else(|| "image/*".to_owned())), None));
    };
    let media_type = media_type.unwrap_or_else(|| guess_media_type(&bytes).to_owned());
    let about = About { media_type: Some(media_type.clone()), ..About::default() };
    let file = files.put(bytes, about).await?.id;
    Ok((part(Data::Url(file_url(file)), media_type), Some(file)))
}
