//! Why a workflow cannot go on: its code and its journal do not fit, or its code waits for something that no
//! journal knows.

use std::fmt;
use std::panic::Location;

use crate::journal::Label;
use crate::limits::{MAX_STEPS, SPARE_STEPS};

/// Why a run stops being run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its code asks for another step than the journal has: it is blocked until code comes that fits.
    Differs(Difference),
    /// It waits for something that is no step: it is blocked until code comes that does not.
    Foreign,
    /// Its code was used where no replay finds it again: it is blocked until code comes that does not.
    Outside(Outside),
    /// It took too many steps, and all that it had left then: it fails.
    Full { steps: usize },
}

/// Something of a run that was used outside of its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    /// What was done.
    pub(crate) what: &'static str,
    /// Where, if it is known.
    pub(crate) place: Option<&'static Location<'static>>,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if let Some(place) = self.place {
            write!(f, " at {place}")?;
        }
        f.write_str(
            " outside of the workflow's own code, as in the closure of an effect or a mutation, or in a task of \
             the runtime: a replay would not find it again. Do it in the code itself, and give the closure what \
             comes of it",
        )
    }
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
            Self::Outside(outside) => write!(f, "{outside}; the run then goes on by itself"),
            Self::Full { steps } => write!(
                f,
                "the journal has {steps} steps; the limit `MAX_STEPS` is {MAX_STEPS}, and the {SPARE_STEPS} behind \
                 it are used up too. A workflow without an end goes on anew with `wf.continue_with(..)`"
            ),
        }
    }
}
