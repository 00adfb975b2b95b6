//! What a process says before it is killed, a line each.

use std::fmt;
use std::str::{FromStr, SplitWhitespace};

use anyhow::{Context as _, Result, bail};
use loomwork_store::engine::Lane;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It begins to open the file.
    Opening,
    /// It has opened the file, in this epoch.
    Ready { epoch: u64 },
    /// A caller's mutation was answered.
    Ack { caller: u64, number: u64, lane: Lane },
    /// A backup was answered.
    Backup { number: u64 },
}

pub(super) const OPENING: &str = "opening";
pub(super) const READY: &str = "ready";

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => formatter.write_str(OPENING),
            Self::Ready { epoch } => write!(formatter, "{READY} {epoch}"),
            Self::Ack { caller, number, lane: Lane::Durable } => {
                write!(formatter, "ack {caller} {number} durable")
            }
            Self::Ack { caller, number, lane: Lane::Relaxed } => {
                write!(formatter, "ack {caller} {number} relaxed")
            }
            Self::Backup { number } => write!(formatter, "backup {number}"),
        }
    }
}

impl FromStr for Word {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        parse(line).with_context(|| format!("a killed process said {line:?}, which is no word of ours"))
    }
}

fn parse(line: &str) -> Result<Word> {
    let mut parts = line.split_whitespace();
    Ok(match parts.next().context("the line is empty")? {
        OPENING => Word::Opening,
        READY => Word::Ready { epoch: number(&mut parts)? },
        "ack" => Word::Ack {
            caller: number(&mut parts)?,
            number: number(&mut parts)?,
            lane: match parts.next() {
                Some("durable") => Lane::Durable,
                Some("relaxed") => Lane::Relaxed,
                other => bail!("there is no lane {other:?}"),
            },
        },
        "backup" => Word::Backup { number: number(&mut parts)? },
        other => bail!("{other:?} is unknown"),
    })
}

fn number(parts: &mut SplitWhitespace<'_>) -> Result<u64> {
    Ok(parts.next().context("a number is missing")?.parse()?)
}
