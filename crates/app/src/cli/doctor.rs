//! `loomwork doctor`: whether everything around the program is as it should be, and what to do where it is not.

use std::path::Path;

use loomwork_core::{Clock, Kind};
use loomwork_models::Environment;
use loomwork_store_sqlite::{Sqlite, SqliteError};
use serde_json::json;
use tokio::net::TcpListener;

use super::At;
use super::door::{Door, FileDoor, ServerDoor};
use super::exit::Exit;
use super::output::{Output, Style};
use super::times::is_before_us;
use crate::builder::folder_beside;
use crate::error::{Error, Result};

/// With less room than this, a database cannot grow through a busy day.
const LITTLE_ROOM: u64 = 1 << 30;

/// With less room than this, hardly anything can be written.
const NO_ROOM: u64 = 64 << 20;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// It works, and may soon not.
    Warning,
    Wrong,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// Something that was looked at.
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, found: found.into(), advice: None }
    }

    fn warning(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn wrong(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Wrong, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Looks at everything and says how it is.
pub(crate) async fn doctor(door: Result<&Door, &Error>, at: &At, out: &Output, listen: &str) -> Result<Exit> {
    let mut findings = vec![model().await, keys(), ollama().await, clock()];
    match door {
        Ok(Door::Server(server)) => findings.push(answers(server).await),
        Ok(Door::File(file)) => {
            findings.push(database(file, at).await);
            findings.extend(folder(&at.database));
            findings.push(port(listen).await);
        }
        Err(error) => findings.push(Finding::wrong("app", error.to_string(), "mend what describes the app")),
    }
    if out.is_json {
        let findings = findings.iter().map(|Finding { what, verdict, found, advice }| {
            json!({ "what": what, "verdict": verdict.as_str(), "found": found, "advice": advice })
        });
        out.json(&findings.collect::<Vec<_>>());
    } else {
        findings.iter().for_each(|finding| show(out, finding));
    }
    let is_wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    Ok(if is_wrong { Exit::FoundWrong } else { Exit::Done })
}

fn show(out: &Output, Finding { what, verdict, found, advice }: &Finding) {
    let style = match verdict {
        Verdict::Good => Style::Good,
        Verdict::Warning => Style::Warning,
        Verdict::Wrong => Style::Wrong,
    };
    out.line(&format!("{} {what:11} {found}", out.paint(style, &format!("{:7}", verdict.as_str()))));
    if let Some(advice) = advice {
        out.line(&format!("                    {advice}"));
    }
}

/// Which model would answer.
async fn model() -> Finding {
    match Environment::of_process().detect().await {
        Ok(found) if found.model.name().provider == "offline" => Finding::warning(
            "model",
            format!("{found}"),
            "it answers by simple rules; set a provider's key or start Ollama, and LOOMWORK_MODEL to choose",
        ),
        Ok(found) => Finding::good("model", format!("{found}")),
        Err(error) => {
            Finding::wrong("model", error.to_string(), "set LOOMWORK_MODEL to a model, or unset it")
        }
    }
}

/// Which variables hold keys of providers: their names alone.
fn keys() -> Finding {
    let set: Vec<_> = Environment::key_names()
        .filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
        .collect();
    match set.as_slice() {
        [] => Finding::good("keys", "none of a provider is set"),
        set => Finding::good("keys", format!("set: {}", set.join(", "))),
    }
}

async fn ollama() -> Finding {
    match Environment::of_process().ollama_models().await {
        Ok(models) if models.is_empty() => {
            Finding::warning("ollama", "it answers, and has no model", "`ollama pull qwen3` gets one")
        }
        Ok(models) => Finding::good("ollama", format!("it answers, with {}", models.join(", "))),
        Err(error) if std::env::var_os("OLLAMA_HOST").is_some() => {
            let advice = "start it, or set OLLAMA_HOST to where it is";
            Finding::warning("ollama", format!("it does not answer: {error}"), advice)
        }
        Err(_) => Finding::good("ollama", "none runs here"),
    }
}

fn clock() -> Finding {
    let now = Clock::system().now().millis();
    let shown = super::times::Zone::Utc.show(now);
    if is_before_us(now) {
        return Finding::wrong(
            "clock",
            format!("it is {shown}"),
            "set the machine's clock; ids and terms depend on it",
        );
    }
    Finding::good("clock", shown)
}

async fn answers(server: &ServerDoor) -> Finding {
    let address = server.address().as_str();
    match server.is_ready().await {
        Ok(true) => match server.ask("limits.now", &Default::default()).await {
            Ok(now) => {
                let off = now["now"].as_i64().unwrap_or_default() - Clock::system().now().millis();
                let found =
                    format!("{address} answers, and takes the key; its clock is {} s off", off.abs() / 1000);
                if off.abs() < 60_000 {
                    Finding::good("server", found)
                } else {
                    Finding::warning("server", found, "set the clock of this machine or of that one")
                }
            }
            Err(error) => {
                Finding::wrong("server", format!("{address}: {error}"), "give it a key that it knows")
            }
        },
        Ok(false) => {
            Finding::wrong("server", format!("{address} answers, and cannot work"), "look into its log")
        }
        Err(error) => Finding::wrong("server", error.to_string(), "start it, or name another"),
    }
}

async fn database(door: &FileDoor, at: &At) -> Finding {
    let path = at.database.display();
    if !at.database.exists() {
        return Finding::good("database", format!("{path} is not there yet; `loomwork serve` makes it"));
    }
    if let Err(error) = door.store().await {
        let advice = match error.kind() {
            Kind::Corrupt => "`loomwork check` says more; else take the last backup",
            Kind::Denied => "give yourself the right to read and write it and its folder",
            Kind::Unavailable => "look at what the message names, and try again",
            _ => "use the version of the program that wrote it, or name another database by `--db`",
        };
        return Finding::wrong("database", error.to_string(), advice);
    }
    let bytes = std::fs::metadata(&at.database).map_or(0, |file| file.len());
    let size = indicatif::HumanBytes(bytes);
    // It is let go again at once.
    let user = match Sqlite::open(&at.database) {
        Ok(engine) => {
            drop(engine);
            "no process has it open".to_owned()
        }
        Err(error) => match error.downcast_ref() {
            Some(SqliteError::Held { holder, .. }) => format!("{holder} has it open"),
            _ => return Finding::wrong("database", error.to_string(), "it can be read, and not written"),
        },
    };
    Finding::good("database", format!("{path}, {size}, of this version; {user}"))
}

/// The disk and the rights of where the database lies.
fn folder(database: &Path) -> Vec<Finding> {
    let parent = database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = parent.display();
    let room = match fs4::available_space(parent) {
        Ok(bytes) => {
            let found = format!("{} free in {shown}", indicatif::HumanBytes(bytes));
            match bytes {
                0..NO_ROOM => Finding::wrong("disk", found, "make room, or move the database"),
                NO_ROOM..LITTLE_ROOM => Finding::warning("disk", found, "make room, or move the database"),
                _ => Finding::good("disk", found),
            }
        }
        Err(error) => {
            Finding::wrong("disk", format!("{shown}: {error}"), "make the folder, or name another by `--db`")
        }
    };
    let files = folder_beside(database, "files");
    let mine = [parent, database, files.as_path()];
    let mut findings = vec![room];
    findings.extend(mine.into_iter().filter(|path| path.exists()).filter_map(rights).next());
    if findings.len() == 1 {
        findings.push(Finding::good("rights", "the database and its folder can be written"));
    }
    findings
}

/// What is wrong with who may read and write a path.
fn rights(path: &Path) -> Option<Finding> {
    let shown = path.display();
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(error) => {
            return Some(Finding::wrong("rights", format!("{shown}: {error}"), "give yourself the right"));
        }
    };
    if about.permissions().readonly() {
        return Some(Finding::wrong(
            "rights",
            format!("{shown} cannot be written"),
            format!("`chmod u+w {shown}`"),
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Of the folder others may know that it is there.
        if about.is_file() && about.permissions().mode() & 0o077 != 0 {
            let found = format!("others on this machine can read {shown}");
            return Some(Finding::warning("rights", found, format!("`chmod 600 {shown}`")));
        }
    }
    None
}

async fn port(listen: &str) -> Finding {
    match TcpListener::bind(listen).await {
        Ok(_) => Finding::good("port", format!("{listen} is free")),
        Err(error) => match ServerDoor::new(&format!("http://{listen}"), None) {
            Ok(server) if server.is_ready().await.is_ok_and(|is_ready| is_ready) => {
                Finding::good("port", format!("a server of ours answers at {listen}"))
            }
            _ => Finding::warning(
                "port",
                format!("{listen} cannot be listened at: {error}"),
                "`loomwork serve --listen ADDRESS` takes another",
            ),
        },
    }
}
