//! The text of PDF files, read in a process of its own.
//!
//! A PDF file from somewhere else can make a reader loop, or take all memory there is. So it is read by a
//! child, which bounds its own memory and processor time and is killed when it takes too long. The child is
//! the program `loomwork-rag-pdf` of this crate, or any program that begins with [`serve`].

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use loomwork_core::Clock;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::Document;
use crate::{Error, Result};

/// The variable that makes a program which calls [`serve`] read a PDF file instead of doing its work.
const CHILD: &str = "LOOMWORK_RAG_PDF";

/// The most bytes of text that are taken out of one file.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// Whether this program reads PDF files when it is started for that.
static IS_SERVING: AtomicBool = AtomicBool::new(false);

/// How many bytes of an error are shown.
const SHOWN: usize = 400;

/// How PDF files are read.
#[derive(Clone, Debug)]
pub struct Pdf {
    /// The program that reads. Default: this one, if it has called [`serve`] first; it is not started again
    /// otherwise.
    pub program: Option<PathBuf>,
    /// How long it may take. Default: 60 seconds.
    pub timeout: Duration,
    /// How much memory it may take. Default: 1 GiB.
    pub memory: u64,
    /// On which clock it takes too long.
    pub clock: Clock,
}

impl Default for Pdf {
    fn default() -> Self {
        Self { program: None, timeout: Duration::from_secs(60), memory: 1 << 30, clock: Clock::system() }
    }
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Read { title: Option<String>, pages: Vec<String> },
    Failed(String),
}

impl Pdf {
    /// Returns how files are read by a program of its own, such as `loomwork-rag-pdf`.
    pub fn with_program(program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()), ..Self::default() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// For what is no PDF file, or damaged or encrypted; where it takes too long or too much memory; when
    /// there is no program to read it, or it cannot be run.
    pub async fn read(&self, name: &str, pdf: Bytes) -> Result<Document> {
        let unreadable =
            |reason: String| Error::Unreadable { name: name.to_owned(), format: "a PDF file", reason };
        let program = match &self.program {
            Some(program) => program.clone(),
            None if IS_SERVING.load(Ordering::Relaxed) => {
                std::env::current_exe().map_err(|source| io("this program", source))?
            }
            None => {
                let (name, kind) = (name.to_owned(), "a PDF file".to_owned());
                let needs = "a program that reads it: `Pdf::with_program`, or `pdf::serve` first in `main`";
                return Err(Error::NoReader { name, kind, needs });
            }
        };
        let shown = program.display().to_string();
        let limits = format!("{} {}", self.memory, self.timeout.as_secs().max(1));
        let mut child = Command::new(&program)
            .env(CHILD, limits)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| io(&shown, source))?;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let work = async {
            let writing = async {
                if let Some(mut stdin) = stdin.take() {
                    // A child that has seen enough reads no more.
                    let _ = stdin.write_all(&pdf).await;
                }
            };
            let mut said = Vec::new();
            let reading = async {
                let Some(stdout) = stdout else { return Ok(0) };
                stdout.take(2 * MAX_TEXT_BYTES as u64).read_to_end(&mut said).await
            };
            let ((), read) = tokio::join!(writing, reading);
            read.map_err(|source| io(&shown, source))?;
            let status = child.wait().await.map_err(|source| io(&shown, source))?;
            Ok::<_, Error>((said, status))
        };
        let (said, status) = tokio::select! {
            worked = work => worked?,
            () = self.clock.sleep(self.timeout) => {
                return Err(unreadable(format!("reading it takes longer than {:?}", self.timeout)));
            }
        };
        match serde_json::from_slice(&said) {
            Ok(Said::Read { title, pages }) => Ok(document(title, pages)),
            Ok(Said::Failed(reason)) => Err(unreadable(reason)),
            Err(_) => Err(unreadable(format!(
                "its reader ended with {status}: it may take more than {} bytes of memory, or {shown} is no reader",
                self.memory
            ))),
        }
    }
}

fn io(path: &str, source: std::io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

fn document(title: Option<String>, texts: Vec<String>) -> Document {
    let mut text = String::new();
    let mut pages = Vec::new();
    for page in texts {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        pages.push(text.len());
        text.push_str(page.trim());
    }
    Document { title, text, pages, ..Document::default() }
}

/// Reads a PDF file from standard input and ends the program, if it was started for that by [`Pdf`]; else
/// does nothing. A program that is to be its own reader calls this before anything else.
pub fn serve() {
    IS_SERVING.store(true, Ordering::Relaxed);
    let Ok(limits) = std::env::var(CHILD) else { return };
    let said = match bounded(&limits).and_then(|()| read_input()) {
        Ok((title, pages)) => Said::Read { title, pages },
        Err(reason) => Said::Failed(reason.chars().take(SHOWN).collect()),
    };
    let written = serde_json::to_vec(&said).map_err(std::io::Error::other);
    let written = written.and_then(|said| std::io::stdout().write_all(&said));
    std::process::exit(i32::from(written.is_err()));
}

/// Bounds memory and processor time of this process.
fn bounded(limits: &str) -> Result<(), String> {
    let mut numbers = limits.split(' ').map(str::parse::<u64>);
    let (Some(Ok(memory)), Some(Ok(seconds))) = (numbers.next(), numbers.next()) else {
        return Err(format!("{CHILD} has to be two numbers, not {limits:?}"));
    };
    let set = |resource: rlimit::Resource, limit: u64| {
        resource.set(limit, limit).map_err(|error| error.to_string())
    };
    set(rlimit::Resource::CPU, seconds)?;
    // Systems that cannot bound this stop at nothing but the time.
    if cfg!(target_os = "linux") { set(rlimit::Resource::AS, memory) } else { Ok(()) }
}

fn read_input() -> Result<(Option<String>, Vec<String>), String> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let pdf = lopdf::Document::load_mem(&bytes).map_err(|error| error.to_string())?;
    if pdf.is_encrypted() {
        return Err("it is encrypted".to_owned());
    }
    let numbers: Vec<u32> = pdf.get_pages().into_keys().collect();
    if numbers.is_empty() {
        return Err("it has no pages".to_owned());
    }
    let mut pages = Vec::new();
    let mut bytes = 0;
    for number in numbers {
        let text = pdf
            .extract_text_with_limit(&[number], MAX_TEXT_BYTES)
            .map_err(|error| format!("page {number}: {error}"))?;
        bytes += text.len();
        if bytes > MAX_TEXT_BYTES {
            return Err(format!("it has more than {MAX_TEXT_BYTES} bytes of text"));
        }
        pages.push(text);
    }
    Ok((title(&pdf), pages))
}

fn title(pdf: &lopdf::Document) -> Option<String> {
    let info = pdf.trailer.get(b"Info").ok()?;
    let (_, info) = pdf.dereference(info).ok()?;
    let title = info.as_dict().ok()?.get(b"Title").ok()?;
    let title = lopdf::decode_text_string(title).ok()?;
    let title = title.trim();
    (!title.is_empty()).then(|| title.to_owned())
}
