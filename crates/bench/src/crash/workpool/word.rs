//! What a process says before it is killed, a line each: the record outside of the store.

use std::fmt;
use std::str::{FromStr, SplitWhitespace};

use anyhow::{Context as _, Result, bail};

use crate::crash::deck::{OPENING, READY};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It begins to open the file.
    Opening,
    /// Its pool runs.
    Ready,
    /// The enqueuing of an order was answered.
    Enqueued { number: u64 },
    /// A cancellation was answered; it found something to cancel, or not.
    Cancelled { number: u64, found: bool },
    /// A handler began.
    Began { number: u64, attempt: u32 },
    /// A handler returned.
    Returned { number: u64, attempt: u32, well: bool },
    /// More handlers ran at once than the pool or the key may, or two of one job.
    Crowded { number: u64, attempt: u32 },
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str(OPENING),
            Self::Ready => f.write_str(READY),
            Self::Enqueued { number } => write!(f, "enqueued {number}"),
            Self::Cancelled { number, found } => write!(f, "cancelled {number} {found}"),
            Self::Began { number, attempt } => write!(f, "began {number} {attempt}"),
            Self::Returned { number, attempt, well } => write!(f, "returned {number} {attempt} {well}"),
            Self::Crowded { number, attempt } => write!(f, "crowded {number} {attempt}"),
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
        READY => Word::Ready,
        "enqueued" => Word::Enqueued { number: next(&mut parts)? },
        "cancelled" => Word::Cancelled { number: next(&mut parts)?, found: next(&mut parts)? },
        "began" => Word::Began { number: next(&mut parts)?, attempt: next(&mut parts)? },
        "returned" => {
            Word::Returned { number: next(&mut parts)?, attempt: next(&mut parts)?, well: next(&mut parts)? }
        }
        "crowded" => Word::Crowded { number: next(&mut parts)?, attempt: next(&mut parts)? },
        other => bail!("{other:?} is unknown"),
    })
}

fn next<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    parts: &mut SplitWhitespace<'_>,
) -> Result<T> {
    Ok(parts.next().context("a part is missing")?.parse()?)
}
