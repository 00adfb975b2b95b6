//! What a process says before it is killed, a line each: the record outside of the store.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use crate::crash::deck::{OPENING, READY};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It begins to open the file.
    Opening,
    /// Its pool runs.
    Ready,
    /// The start of a run was answered.
    Started { number: u64 },
    /// The tool of a step has had its effect.
    Did { number: u64, step: u32 },
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str(OPENING),
            Self::Ready => f.write_str(READY),
            Self::Started { number } => write!(f, "started {number}"),
            Self::Did { number, step } => write!(f, "did {number} {step}"),
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
    let words: Vec<_> = line.split_whitespace().collect();
    Ok(match words[..] {
        [OPENING] => Word::Opening,
        [READY] => Word::Ready,
        ["started", number] => Word::Started { number: number.parse()? },
        ["did", number, step] => Word::Did { number: number.parse()?, step: step.parse()? },
        _ => bail!("it is unknown"),
    })
}
