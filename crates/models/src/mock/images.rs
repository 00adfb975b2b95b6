//! An image model for tests.

use std::sync::Mutex;

use async_trait::async_trait;

use super::{Script, locked};
use crate::{
    Data, Error, ErrorKind, GeneratedImage, ImageModel, ImageRequest, Images, ModelName, Result, Usage,
    guess_media_type,
};

/// An image model that gives one image again and again, and fails when it is told to.
///
/// ```
/// use loomwork_models::{Data, ImageModel, ImageRequest, MockImages};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let model = MockImages::new(Data::Url("https://example.com/cat.png".into()));
/// let request = ImageRequest { prompt: "a cat".into(), count: 2, ..ImageRequest::default() };
/// assert_eq!(model.generate(request).await?.images.len(), 2);
/// assert_eq!(model.requests()[0].prompt, "a cat");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MockImages {
    name: ModelName,
    image: Data,
    /// Failures of the calls to come; a call for which there is nothing succeeds.
    script: Script<Option<Error>>,
    asked: Mutex<Vec<ImageRequest>>,
}

impl MockImages {
    /// Returns a model that gives this image.
    pub fn new(image: impl Into<Data>) -> Self {
        let name = ModelName::new("mock", "mock");
        Self { name, image: image.into(), script: Script::always(None), asked: Mutex::default() }
    }

    /// Makes the next call that has no outcome yet fail.
    pub fn fail_next(&self, error: Error) {
        self.script.push(Some(error));
    }

    /// Returns what it was asked, in the order of the calls.
    pub fn requests(&self) -> Vec<ImageRequest> {
        locked(&self.asked).clone()
    }
}

#[async_trait]
impl ImageModel for MockImages {
    fn name(&self) -> &ModelName {
        &self.name
    }

    async fn generate(&self, request: ImageRequest) -> Result<Images> {
        let count = request.count.max(1);
        locked(&self.asked).push(request);
        let error = |text| Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text);
        if let Some(error) = self.script.next().map_err(error)? {
            return Err(error);
        }
        let media_type = self.image.bytes().map(|bytes| guess_media_type(&bytes).to_owned());
        let image = GeneratedImage { data: self.image.clone(), media_type, revised_prompt: None };
        let usage = Usage { images: u64::from(count), ..Usage::default() };
        Ok(Images { images: vec![image; count as usize], usage, ..Images::default() })
    }
}
