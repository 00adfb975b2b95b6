//! Why a workflow cannot go on: its code and its journal do not fit, or its code waits for something that no
//! journal knows.

use std::fmt;

use crate::journal::Label;
use crate::limits::{MAX_JOURNAL_BYTES, MAX_STEPS};

/// Why a run stops being run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its code asks for another step than the journal has: it is blocked until code comes that fits.
    Differs(Difference),
    /// It waits for something that is no step: it is blocked until code comes that does not.
    Foreign,
    /// Its journal is full: it fails.
    Full { steps: usize, bytes: usize },
}

/// The first place where a workflow's code does not fit its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) number: u32,
    pub(crate) recorded: Label,
    /// What the code does there; `None` when it does not come there at all.
    pub(crate) asked: Option<Label>,
}

/// One side of a difference.
struct Side<'a>(&'a Label);

impl fmt::Display for Side<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {:?}", self.0.kind.as_str(), self.0.name)?;
        if let Some(args) = &self.0.args {
            write!(f, " with {args}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, recorded, asked } = self;
        write!(f, "step {number} differs: the journal has {}", Side(recorded))?;
        match asked {
            Some(asked) if asked.kind == recorded.kind && asked.name == recorded.name => {
                write!(
                    f,
                    ", the code gives it other arguments: {}",
                    asked.args.as_deref().unwrap_or("none")
                )?;
            }
            Some(asked) => write!(f, ", the code has {}", Side(asked))?,
            None => f.write_str(", the code does not come to it")?,
        }
        f.write_str(
            ". Bring back the code that this run was begun with, or put what is new behind `wf.patched(..)`; \
             the run then goes on by itself. `restart` begins it again from a step before this one",
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(difference) => difference.fmt(f),
            Self::Foreign => f.write_str(
                "the code waits for something that is no step, such as a timer or a channel of the runtime: a \
                 replay would not find it again. Put it into `wf.effect(..)`, or use `wf.sleep(..)`; the run then \
                 goes on by itself",
            ),
            Self::Full { steps, bytes } => write!(
                f,
                "the journal has {steps} steps and {bytes} bytes of results; the limits `MAX_STEPS` and \
                 `MAX_JOURNAL_BYTES` are {MAX_STEPS} and {MAX_JOURNAL_BYTES}. A workflow without an end goes on \
                 anew with `wf.continue_with(..)`"
            ),
        }
    }
}
