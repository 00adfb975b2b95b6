//! OpenAI Images.

mod form;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{OpenAi, Provider, errors, usage};
use crate::content::from_base64;
use crate::http::{Ask, Body, Call};
use crate::{
    Data, Error, ErrorKind, Estimator, GeneratedImage, ImageModel, ImageRequest, Images, ModelName, Result,
    TokenCounter as _, Usage, Warning, guess_media_type,
};
use form::Form;

impl OpenAi {
    /// Returns a model that makes images: `gpt-image-1`. A request with images to start from is an edit.
    ///
    /// The options of a request for this provider are fields of its body, such as `quality`,
    /// `background`, `output_format`, or `response_format` for models that can answer with addresses.
    pub fn images(&self, model: impl Into<String>) -> Arc<dyn ImageModel> {
        let name = self.0.name(model.into());
        Arc::new(OpenAiImages { provider: self.0.clone(), name })
    }
}

/// An image model behind `POST /images/generations` and `POST /images/edits`.
#[derive(Clone, Debug)]
struct OpenAiImages {
    provider: Arc<Provider>,
    name: ModelName,
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Vec<Picture>,
    #[serde(default)]
    output_format: Option<String>,
    #[serde(default)]
    usage: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Picture {
    #[serde(default)]
    b64_json: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    revised_prompt: Option<String>,
}

#[async_trait]
impl ImageModel for OpenAiImages {
    fn name(&self) -> &ModelName {
        &self.name
    }

    async fn generate(&self, request: ImageRequest) -> Result<Images> {
        let mut warnings = Vec::new();
        let fields = self.fields(&request, &mut warnings)?;
        let (model, cancel) = (self.name.model.as_str(), CancellationToken::new());
        let term = self.provider.http.term(model, &request.settings, &cancel);
        let call = Call { term: &term, settings: &request.settings, read_error: errors::read };
        let headers = self.provider.headers();
        let (answer, headers) = if request.images.is_empty() {
            let path = self.provider.path("images/generations", model);
            let body = Value::Object(fields);
            let ask = Ask { path: &path, headers: &headers, body: Body::Json(&body) };
            self.provider.http.json::<Answer>(&call, &ask).await?
        } else {
            let path = self.provider.path("images/edits", model);
            let form =
                Form::new(&fields, &request).map_err(|text| self.error(ErrorKind::BadRequest, text))?;
            let make = || form.multipart();
            let ask = Ask { path: &path, headers: &headers, body: Body::Form(&make) };
            self.provider.http.json::<Answer>(&call, &ask).await?
        };
        let made = self.read(answer, &request.prompt, warnings)?;
        Ok(Images { headers, ..made })
    }
}

impl OpenAiImages {
    fn fields(&self, request: &ImageRequest, warnings: &mut Vec<Warning>) -> Result<Map<String, Value>> {
        if request.prompt.trim().is_empty() {
            return Err(
                self.error(ErrorKind::BadRequest, "the prompt is empty; say what the image shall show")
            );
        }
        if request.mask.is_some() && request.images.is_empty() {
            let text = "a mask says where an image may be changed, but there is no image";
            return Err(self.error(ErrorKind::BadRequest, text));
        }
        let mut fields = Map::from_iter([
            ("model".to_owned(), Value::from(self.name.model.as_str())),
            ("prompt".to_owned(), request.prompt.as_str().into()),
            ("n".to_owned(), request.count.max(1).into()),
        ]);
        if let Some((width, height)) = request.size {
            fields.insert("size".to_owned(), format!("{width}x{height}").into());
        }
        match request.seed {
            Some(_) if matches!(self.name.provider.as_str(), "openai" | "azure") => warnings.push(Warning {
                what: "seed".to_owned(),
                why: format!("{} does not take it, so it was left out", self.name.provider),
            }),
            Some(seed) => drop(fields.insert("seed".to_owned(), seed.into())),
            None => {}
        }
        let options = request.provider_options.get(&self.name.provider).and_then(Value::as_object);
        fields.extend(options.cloned().unwrap_or_default());
        Ok(fields)
    }

    fn read(&self, answer: Answer, prompt: &str, warnings: Vec<Warning>) -> Result<Images> {
        if answer.data.is_empty() {
            return Err(self.error(ErrorKind::Protocol, "the answer has no image"));
        }
        let format = answer.output_format.as_deref();
        let images = answer.data.into_iter().enumerate();
        let images = images.map(|(index, picture)| self.image(index, picture, format));
        let images = images.collect::<Result<Vec<_>>>()?;
        let report = answer.usage.and_then(|report| usage::read(report.get()));
        let mut usage = report.unwrap_or_else(|| estimate(prompt));
        // All that an image model puts out is images, if its report does not say otherwise.
        if usage.output_image == 0 {
            usage.output_image = std::mem::take(&mut usage.output_text);
        }
        let usage = Usage { images: images.len() as u64, ..usage };
        Ok(Images { images, usage, warnings, headers: BTreeMap::new() })
    }

    fn image(&self, index: usize, picture: Picture, format: Option<&str>) -> Result<GeneratedImage> {
        let Picture { b64_json, url, revised_prompt } = picture;
        let (data, media_type) = match (b64_json, url) {
            (Some(base64), _) => {
                let bytes = from_base64(&base64).map(Bytes::from).ok_or_else(|| {
                    self.error(ErrorKind::Protocol, format!("image {index} of the answer is no base64"))
                })?;
                let guess = guess_media_type(&bytes).to_owned();
                let media_type = format.map_or(guess, |format| format!("image/{format}"));
                (Data::Bytes(bytes), Some(media_type))
            }
            (None, Some(url)) => (Data::Url(url), None),
            (None, None) => {
                let text = format!("image {index} of the answer has neither bytes nor an address");
                return Err(self.error(ErrorKind::Protocol, text));
            }
        };
        Ok(GeneratedImage { data, media_type, revised_prompt })
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, &self.name.provider, &self.name.model, message)
    }
}

/// Returns what is known of a call whose server does not say what it used.
fn estimate(prompt: &str) -> Usage {
    Usage { input_fresh: Estimator.count(prompt), estimated: true, ..Usage::default() }
}
