//! What a process says before it is killed, a line each: the record outside of the store.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use crate::crash::deck::{OPENING, READY};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It begins to open the file.
    Opening,
    /// Its engine runs.
    Ready,
    /// The start of an order was answered.
    Started { number: u64 },
    /// The sending of an event was answered; so many were sent by now.
    Sent { number: u64, count: u64 },
    /// A cancellation was answered; it found something to cancel, or not.
    Cancelled { number: u64, found: bool },
    /// The action of an order has begun.
    Acted { number: u64 },
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str(OPENING),
            Self::Ready => f.write_str(READY),
            Self::Started { number } => write!(f, "started {number}"),
            Self::Sent { number, count } => write!(f, "sent {number} {count}"),
            Self::Cancelled { number, found } => write!(f, "cancelled {number} {found}"),
            Self::Acted { number } => write!(f, "acted {number}"),
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
    let parts: Vec<&str> = line.split_whitespace().collect();
    Ok(match parts[..] {
        [OPENING] => Word::Opening,
        [READY] => Word::Ready,
        ["started", number] => Word::Started { number: number.parse()? },
        ["sent", number, count] => Word::Sent { number: number.parse()?, count: count.parse()? },
        ["cancelled", number, found] => Word::Cancelled { number: number.parse()?, found: found.parse()? },
        ["acted", number] => Word::Acted { number: number.parse()? },
        _ => bail!("it is unknown"),
    })
}
