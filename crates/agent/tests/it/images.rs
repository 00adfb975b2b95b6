//! Images as answers.

use std::sync::Arc;

use loomwork_agent::{Agent, AgentError, AgentThread, ImageOptions, Options};
use loomwork_files::{Blobs, Files, files_of};
use loomwork_messages::runs::Prompt;
use loomwork_messages::{MessageStatus, file_url};
use loomwork_models::{
    Data, Error, ErrorKind, ImageModel, LanguageModel, Message, MockImages, MockModel, Part, Role,
};

use super::desk::{Desk, text};

const PIXELS: &[u8] = b"\x89PNG\r\n\x1a\n a picture";

struct Studio {
    desk: Desk,
    files: Files,
    images: Arc<MockImages>,
}

impl Studio {
    async fn open() -> Self {
        let desk = Desk::with([text("It is a cat.")]).await;
        let files = Files::new(desk.runtime.store(), Blobs::memory(), loomwork_files::Options::default());
        let desk = Desk { runtime: desk.runtime.with_files(files.clone()), ..desk };
        let images = Arc::new(MockImages::new(Data::Bytes(PIXELS.into())));
        Self { desk, files, images }
    }

    async fn thread(&self) -> AgentThread {
        let agent = self.desk.agent().images(self.images.clone() as Arc<dyn ImageModel>);
        self.desk.thread(&agent).await
    }
}

#[tokio::test]
async fn an_image_is_a_file_and_a_part_of_its_answer() {
    let studio = Studio::open().await;
    let thread = studio.thread().await;
    let reply = thread.generate_image("a cat").await.expect("an image");
    assert_eq!((reply.usage.images, reply.files.len()), (1, 1));
    assert_eq!(studio.files.read(reply.files[0]).await.expect("its bytes"), PIXELS);
    let rows = studio.desk.rows(&thread).await;
    assert_eq!((rows[0].message.text().as_str(), rows.len()), ("a cat", 2));
    let row = &rows[1];
    assert_eq!((row.role(), row.status), (Role::Assistant, MessageStatus::Success));
    assert_eq!((row.agent.as_deref(), row.model.as_deref()), (Some("support"), Some("mock")));
    assert_eq!(row.usage.as_ref().map(|usage| usage.images), Some(1));
    let [Part::File(part)] = row.message.parts.as_slice() else { panic!("{:?}", row.message) };
    assert_eq!((&part.data, part.media_type.as_str()), (&Data::Url(file_url(reply.files[0])), "image/png"));
    let id = row.id;
    let owned = studio.desk.runtime.store().query(move |tx| files_of(tx, id)).await.expect("its files");
    assert_eq!(owned.iter().map(|file| file.id).collect::<Vec<_>>(), reply.files);
    assert_eq!(reply.stored.map(|stored| stored.messages), Some(vec![rows[0].id, id]));
    assert!(studio.desk.model.requests().is_empty(), "the language model is not asked");
}

#[tokio::test]
async fn the_next_turn_shows_the_image_to_the_model() {
    let studio = Studio::open().await;
    let thread = studio.thread().await;
    thread.generate_image("a cat").await.expect("an image");
    thread.generate_text("What is it?").await.expect("an answer");
    let told = studio.desk.model.requests().pop().expect("it was asked").messages;
    let shown = told.iter().flat_map(|message| &message.parts).find_map(|part| match part {
        Part::File(file) => file.data.bytes(),
        _ => None,
    });
    assert_eq!(shown.as_deref(), Some(PIXELS));
}

#[tokio::test]
async fn images_of_the_prompt_are_what_is_started_from() {
    let studio = Studio::open().await;
    let thread = studio.thread().await;
    let first = thread.generate_image("a cat").await.expect("an image");
    let picture = Part::File(first.images[0].clone());
    let prompt = Message::new(Role::User, [Part::text("with a hat"), picture]);
    let options = ImageOptions { count: 2, size: Some((64, 32)), seed: Some(7), ..ImageOptions::default() };
    let reply = thread.generate_image_with(prompt, options, Options::default()).await.expect("images");
    assert_eq!(reply.images.len(), 2);
    let asked = studio.images.requests().pop().expect("it was asked");
    assert_eq!((asked.prompt.as_str(), asked.size, asked.seed), ("with a hat", Some((64, 32)), Some(7)));
    assert_eq!(asked.images, [Data::Bytes(PIXELS.into())]);
}

#[tokio::test]
async fn a_stored_prompt_is_answered_with_an_image() {
    let studio = Studio::open().await;
    let thread = studio.thread().await;
    let id = thread.id();
    let saved = studio.desk.runtime.store().mutate(move |tx| loomwork_messages::save(tx, id, "a dog")).await;
    let prompt = saved.expect("saved")[0].id;
    thread.generate_image(Prompt::Message(prompt)).await.expect("an image");
    assert_eq!(studio.images.requests()[0].prompt, "a dog");
    assert_eq!(studio.desk.rows(&thread).await.len(), 2);
}

#[tokio::test]
async fn an_image_that_fails_leaves_a_failed_answer() {
    let studio = Studio::open().await;
    studio.images.fail_next(Error::new(ErrorKind::ContentPolicy, "mock", "mock", "no cats"));
    let thread = studio.thread().await;
    let error = thread.generate_image("a cat").await.expect_err("it is refused");
    assert!(matches!(error, AgentError::Model { .. }), "{error}");
    let row = &studio.desk.rows(&thread).await[1];
    assert_eq!(row.status, MessageStatus::Failed);
    assert_eq!(row.error.as_ref().map(|error| error.message.as_str()), Some("no cats"));
}

#[tokio::test]
async fn what_an_image_needs_is_named_and_nothing_is_stored() {
    let studio = Studio::open().await;
    let without_model = studio.desk.thread(&studio.desk.agent()).await;
    let error = without_model.generate_image("a cat").await.expect_err("no model").to_string();
    assert_eq!(
        error,
        "agent \"support\" cannot make an image: it has no image model; give it one, or give one with the call"
    );
    assert!(studio.desk.rows(&without_model).await.is_empty());
    let thread = studio.thread().await;
    let wordless = thread.generate_image(" ").await.expect_err("no words").to_string();
    assert!(wordless.contains("no words"), "{wordless}");

    let desk = Desk::with([]).await;
    let model = Arc::new(MockModel::new([text("never")])) as Arc<dyn LanguageModel>;
    let agent = Agent::new("painter", model).images(studio.images.clone() as Arc<dyn ImageModel>);
    let error = desk.thread(&agent).await.generate_image("a cat").await.expect_err("no files").to_string();
    assert!(error.contains("`with_files`"), "{error}");
}

#[tokio::test]
async fn outside_of_threads_the_image_is_a_file_alone() {
    let studio = Studio::open().await;
    let agent = studio.desk.agent().images(studio.images.clone() as Arc<dyn ImageModel>);
    let reply = agent.for_nobody(&studio.desk.runtime).generate_image("a cat").await.expect("an image");
    assert_eq!((reply.stored, reply.files.len()), (None, 1));
}

#[tokio::test]
async fn a_stored_prompt_is_one_of_the_thread_and_whole() {
    let studio = Studio::open().await;
    let (thread, other) = (studio.thread().await, studio.thread().await);
    let id = other.id();
    let failed = loomwork_messages::NewMessage { status: MessageStatus::Failed, .."a secret".into() };
    let store = studio.desk.runtime.store();
    let saved = store.mutate(move |tx| {
        let whole = loomwork_messages::save(tx, id, "a dog")?[0].id;
        Ok((whole, loomwork_messages::save(tx, id, failed)?[0].id))
    });
    let (whole, failed) = saved.await.expect("saved");
    let error = thread.generate_image(Prompt::Message(whole)).await.expect_err("it is another thread's");
    assert!(matches!(error, AgentError::Context { .. }), "{error}");
    let agent = studio.desk.agent().images(studio.images.clone() as Arc<dyn ImageModel>);
    let outside = agent.for_user(&studio.desk.runtime, "alice");
    let error = outside.generate_image(Prompt::Message(whole)).await.expect_err("it is in no thread");
    assert!(matches!(error, AgentError::Context { .. }), "{error}");
    other.generate_image(Prompt::Message(failed)).await.expect_err("it has failed");
    assert!(studio.images.requests().is_empty(), "no model was told of them");
}
