//! What a process says before it is killed, a line each: the record outside of the store.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use crate::crash::deck::{OPENING, READY};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It begins to open the file.
    Opening,
    /// Its vacuum runs.
    Ready,
    /// A letter was committed, and its enclosure with it.
    Sent { number: u64 },
    /// A letter is about to be deleted.
    Leaving { number: u64 },
    /// The deletion of a letter was committed.
    Dropped { number: u64 },
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str(OPENING),
            Self::Ready => f.write_str(READY),
            Self::Sent { number } => write!(f, "sent {number}"),
            Self::Leaving { number } => write!(f, "leaving {number}"),
            Self::Dropped { number } => write!(f, "dropped {number}"),
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
    let (name, number) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match name {
        OPENING => Word::Opening,
        READY => Word::Ready,
        "sent" => Word::Sent { number: number.parse()? },
        "leaving" => Word::Leaving { number: number.parse()? },
        "dropped" => Word::Dropped { number: number.parse()? },
        other => bail!("{other:?} is unknown"),
    })
}
