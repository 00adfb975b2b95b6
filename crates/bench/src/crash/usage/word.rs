//! What a process says before it is killed, a line each: the record outside of the store.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use crate::crash::deck::{OPENING, READY};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It begins to open the file.
    Opening,
    /// Its loops run.
    Ready,
    /// A sale was committed, and its event with it.
    Recorded { number: u64 },
    /// The reversal of a sale's event was committed.
    Reversed { number: u64 },
    /// An invoice was finalised.
    Billed { number: String, hash: String },
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str(OPENING),
            Self::Ready => f.write_str(READY),
            Self::Recorded { number } => write!(f, "recorded {number}"),
            Self::Reversed { number } => write!(f, "reversed {number}"),
            Self::Billed { number, hash } => write!(f, "billed {number} {hash}"),
        }
    }
}

impl FromStr for Word {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let parts: Vec<_> = line.split(' ').collect();
        Ok(match parts.as_slice() {
            [OPENING] => Self::Opening,
            [READY] => Self::Ready,
            ["recorded", number] => Self::Recorded { number: parse(number)? },
            ["reversed", number] => Self::Reversed { number: parse(number)? },
            ["billed", number, hash] => {
                Self::Billed { number: (*number).to_owned(), hash: (*hash).to_owned() }
            }
            _ => bail!("a killed process said {line:?}, which is no word of ours"),
        })
    }
}

fn parse(number: &str) -> Result<u64> {
    number.parse().with_context(|| format!("{number:?} is no number"))
}
