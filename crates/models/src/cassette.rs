//! Real exchanges with a model, kept in a file and played again.

mod asked;
mod tape;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use loomwork_core::{Clock, Secret, Time};

use crate::playback::{Playback, Step};
use crate::{Chunk, Error, ErrorKind, LanguageModel, ModelName, ReplyStream, Request, Result, SchemaSupport};
use asked::Asked;
pub use tape::CassetteError;
use tape::{Event, Exchange, Head, Tape};

/// A model that records its exchanges with another one, or plays what was recorded.
///
/// The file has JSON lines that a person can read and a review can show: the model, then for each exchange
/// the request and the chunks of the answer with their times. Neither headers, keys nor time-outs are in it;
/// what looks like a key, and each of [`CassetteOptions::secrets`], is masked in all texts. An exchange is
/// written when its answer has ended, so one that is dropped before leaves nothing.
///
/// ```
/// use std::sync::Arc;
/// use loomwork_models::{Cassette, CassetteOptions, LanguageModel, Message, OfflineModel, Request};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("hello.jsonl");
/// let request = Request::new([Message::user("Hello!")]);
/// let recorder = Cassette::record(Arc::new(OfflineModel::default()), &path, CassetteOptions::default())?;
/// let answer = recorder.generate(request.clone()).await?;
///
/// let player = Cassette::replay(&path, CassetteOptions::default())?;
/// assert_eq!(player.generate(request).await?.text(), answer.text());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cassette {
    name: ModelName,
    schema_support: SchemaSupport,
    options: CassetteOptions,
    path: PathBuf,
    side: Side,
}

/// How a cassette records and plays.
#[derive(Clone, Debug)]
pub struct CassetteOptions {
    /// Which requests are the same.
    pub matching: Matching,
    /// Whether an answer takes the time that it took.
    pub timing: Timing,
    /// Texts that are masked wherever they stand.
    pub secrets: Vec<Secret>,
    /// What measures and waits.
    pub clock: Clock,
}

impl Default for CassetteOptions {
    fn default() -> Self {
        let (matching, timing) = (Matching::default(), Timing::default());
        Self { matching, timing, secrets: Vec::new(), clock: Clock::system() }
    }
}

/// Which requests are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Those that are equal in all that reaches the model. Each recorded exchange is played once, in the
    /// order in which they were recorded.
    #[default]
    Strict,
    /// Those whose messages have the same roles, words and tools. The last exchange of a kind is played
    /// again and again.
    Lenient,
}

/// Whether a played answer takes the time that it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// It comes at once.
    #[default]
    AtOnce,
    /// It takes the time that it took.
    Recorded,
}

#[derive(Debug)]
enum Side {
    Record { model: Arc<dyn LanguageModel>, tape: Arc<Tape> },
    Replay { exchanges: Vec<Exchange>, played: Mutex<Vec<bool>> },
}

impl Cassette {
    /// Returns a model that asks another one and writes the exchanges to a new file; one that is there is
    /// overwritten.
    pub fn record(
        model: Arc<dyn LanguageModel>,
        path: impl AsRef<Path>,
        options: CassetteOptions,
    ) -> Result<Self, CassetteError> {
        let path = path.as_ref().to_owned();
        let (name, schema_support) = (model.name().clone(), model.schema_support());
        let tape = Arc::new(Tape::create(&path, &Head::new(&name, schema_support))?);
        Ok(Self { name, schema_support, options, path, side: Side::Record { model, tape } })
    }

    /// Returns a model that plays the exchanges of a file and asks nobody.
    pub fn replay(path: impl AsRef<Path>, options: CassetteOptions) -> Result<Self, CassetteError> {
        let path = path.as_ref().to_owned();
        let (head, exchanges) = tape::read(&path)?;
        let played = Mutex::new(vec![false; exchanges.len()]);
        let (name, schema_support) = (head.name(), head.schema_support());
        Ok(Self { name, schema_support, options, path, side: Side::Replay { exchanges, played } })
    }

    /// Returns a model that plays the file if it is there, and records it if it is not.
    pub fn open(
        model: Arc<dyn LanguageModel>,
        path: impl AsRef<Path>,
        options: CassetteOptions,
    ) -> Result<Self, CassetteError> {
        if path.as_ref().exists() { Self::replay(path, options) } else { Self::record(model, path, options) }
    }

    fn play(
        &self,
        request: &Request,
        exchanges: &[Exchange],
        played: &Mutex<Vec<bool>>,
    ) -> Result<ReplyStream> {
        let asked = Asked::of(request, &self.options.secrets);
        let mut played = played.lock().unwrap_or_else(PoisonError::into_inner);
        let same: Vec<usize> = (0..exchanges.len())
            .filter(|index| exchanges[*index].asked.is(&asked, self.options.matching))
            .collect();
        let fresh = same.iter().copied().find(|index| !played[*index]);
        let again = || same.last().copied().filter(|_| self.options.matching == Matching::Lenient);
        let Some(index) = fresh.or_else(again) else {
            return Err(self.error(self.unmatched(&asked, exchanges, same.len())));
        };
        played[index] = true;
        let steps = exchanges[index].steps(self.options.timing);
        Ok(Playback::new(&self.name, &self.options.clock, request).play(steps, ()))
    }

    /// Says why nothing can be played, and what differs from the nearest exchange.
    fn unmatched(&self, asked: &Asked, exchanges: &[Exchange], same: usize) -> String {
        let (path, count) = (self.path.display(), exchanges.len());
        if same > 0 {
            return format!(
                "the cassette `{path}` has this request {same} times, and it was asked once more"
            );
        }
        let differences =
            exchanges.iter().enumerate().map(|(index, one)| (index, one.asked.differences(asked)));
        match differences.min_by_key(|(_, differences)| differences.len()) {
            None => format!("the cassette `{path}` is empty"),
            Some((index, differences)) => {
                let shown = asked::show(&differences);
                format!(
                    "none of the {count} requests on the cassette `{path}` is this one; exchange {index} is nearest: {shown}"
                )
            }
        }
    }

    fn error(&self, text: impl Into<String>) -> Error {
        Error::new(ErrorKind::BadRequest, &self.name.provider, &self.name.model, text)
    }
}

#[async_trait]
impl LanguageModel for Cassette {
    fn name(&self) -> &ModelName {
        &self.name
    }

    fn schema_support(&self) -> SchemaSupport {
        self.schema_support
    }

    async fn stream(&self, request: Request) -> Result<ReplyStream> {
        let (model, tape) = match &self.side {
            Side::Replay { exchanges, played } => return self.play(&request, exchanges, played),
            Side::Record { model, tape } => (model, tape),
        };
        let recording = Recording {
            name: self.name.clone(),
            exchange: Exchange { asked: Asked::of(&request, &self.options.secrets), events: Vec::new() },
            tape: tape.clone(),
            clock: self.options.clock.clone(),
            start: self.options.clock.now(),
            secrets: self.options.secrets.clone(),
        };
        match model.stream(request).await {
            Ok(stream) => Ok(recording.follow(stream)),
            Err(error) => {
                recording.end(Some(&error)).await?;
                Err(error)
            }
        }
    }
}

/// An exchange that is being recorded.
struct Recording {
    name: ModelName,
    exchange: Exchange,
    tape: Arc<Tape>,
    clock: Clock,
    start: Time,
    secrets: Vec<Secret>,
}

impl Recording {
    /// Hands the chunks on, and writes the exchange before the last of them.
    fn follow(self, stream: ReplyStream) -> ReplyStream {
        let chunks = stream::unfold(Some((stream, self)), async |state| {
            let (mut stream, mut recording) = state?;
            let item = match stream.next().await? {
                Ok(chunk) => {
                    let is_last = matches!(chunk, Chunk::Finish(_));
                    recording.add(&chunk);
                    if !is_last {
                        return Some((Ok(chunk), Some((stream, recording))));
                    }
                    recording.end(None).await.map(|()| chunk)
                }
                Err(error) => recording.end(Some(&error)).await.and(Err(error)),
            };
            Some((item, None))
        });
        Box::pin(chunks.fuse())
    }

    fn add(&mut self, chunk: &Chunk) {
        let chunk = asked::masked_chunk(chunk.clone(), &self.secrets);
        self.exchange.events.push((self.elapsed(), Event::Chunk(chunk)));
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().since(self.start)
    }

    async fn end(mut self, error: Option<&Error>) -> Result<()> {
        if let Some(error) = error {
            self.exchange.events.push((self.elapsed(), Event::Error(error.clone())));
        }
        let chunks = self.exchange.events.iter_mut().filter_map(|(_, event)| match event {
            Event::Chunk(chunk) => Some(chunk),
            Event::Error(_) => None,
        });
        asked::mask_deltas(chunks, &self.secrets);
        let (name, tape) = (self.name, self.tape);
        let (exchange, secrets) = (self.exchange, self.secrets);
        let written = tokio::task::spawn_blocking(move || tape.append(&exchange, &secrets)).await;
        let error = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => format!("the cassette could not be written: {error}"),
        };
        Err(Error::new(ErrorKind::BadRequest, name.provider, name.model, error))
    }
}

impl Exchange {
    fn steps(&self, timing: Timing) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut now = Duration::ZERO;
        for (at, event) in &self.events {
            if timing == Timing::Recorded && *at > now {
                steps.push(Step::Wait(*at - now));
                now = *at;
            }
            steps.push(match event {
                Event::Chunk(chunk) => Step::Chunk(chunk.clone()),
                Event::Error(error) => Step::Fail(error.clone()),
            });
        }
        steps
    }
}
