//! A step as the code sees it: a future.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use loomwork_core::Kind;
use loomwork_store::Result;
use serde::de::DeserializeOwned;

use crate::desk::Desk;
use crate::error::{Failure, StepError};
use crate::journal::Label;
use crate::limits::{MAX_TEXT_BYTES, fingerprint, shown};
use crate::order::{Note, Until, Work};
use crate::tables::{StepKind, StoredFailure, StoredOutcome};

/// A step that was begun or is about to be: awaiting it gives its outcome once that is on record.
///
/// Its number is taken when it is made, so steps are numbered as they stand in the code. It begins when it is
/// first polled. Dropping it calls it off: a sleep ends, an event goes to the next who waits for it, a job or
/// child is cancelled, an effect is stopped at its next await, and a mutation is tried no more.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Step<T> {
    desk: Arc<Desk>,
    number: u32,
    kind: StepKind,
    name: String,
    /// The sleep before it begins.
    before: Option<Box<Step<()>>>,
    state: State,
    result: PhantomData<fn() -> T>,
}

enum State {
    Planned(Option<Box<Plan>>),
    Begun,
    Done,
}

struct Plan {
    label: Label,
    loose: bool,
    work: Result<Work, StepError>,
}

impl<T> fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<T> Unpin for Step<T> {}

impl<T> Drop for Step<T> {
    fn drop(&mut self) {
        if matches!(self.state, State::Begun) {
            self.desk.drop_step(self.number);
        }
    }
}

impl<T: DeserializeOwned> Future for Step<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(before) = &mut self.before {
            // A sleep tells no errors.
            if Pin::new(before).poll(context).is_pending() {
                return Poll::Pending;
            }
            self.before = None;
        }
        if let State::Planned(plan) = &mut self.state {
            let plan = plan.take();
            self.state = State::Begun;
            if let Some(Plan { label, loose, work }) = plan.map(|plan| *plan) {
                match work {
                    Ok(work) => self.desk.issue(self.number, label, loose, work, context.waker()),
                    Err(error) => {
                        self.state = State::Done;
                        return Poll::Ready(Err(error.into()));
                    }
                }
            }
        }
        let Poll::Ready(outcome) = self.desk.take(self.number, context) else { return Poll::Pending };
        self.state = State::Done;
        Poll::Ready(self.read(outcome))
    }
}

impl<T> Step<T> {
    /// Names a step otherwise that has not begun.
    pub(crate) fn rename(&mut self, name: String) {
        if let State::Planned(Some(plan)) = &mut self.state
            && plan.work.is_ok()
        {
            if let Err(message) = checked(&name) {
                let failure = Failure::Failed { kind: Kind::Invalid, message };
                let name = self.name.clone();
                plan.work = Err(StepError { number: self.number, step: self.kind, name, failure });
                return;
            }
            plan.label.name.clone_from(&name);
            self.name = name;
        }
    }
}

/// Checks the name of a step or of its event.
pub(crate) fn checked(name: &str) -> Result<(), String> {
    match name.len() {
        1..=MAX_TEXT_BYTES => Ok(()),
        bytes => Err(format!("its name has {bytes} bytes; it must have 1 to {MAX_TEXT_BYTES}")),
    }
}

impl<T: DeserializeOwned> Step<T> {
    fn read(&self, outcome: StoredOutcome) -> Result<T> {
        let failure = match outcome {
            StoredOutcome::Success(json) => match serde_json::from_str(json.get()) {
                Ok(value) => return Ok(value),
                Err(error) => Failure::Failed {
                    kind: Kind::Invalid,
                    message: format!("its result is not what this program takes it for: {error}"),
                },
            },
            StoredOutcome::Failed(failure) => {
                let kind = failure.kind();
                let StoredFailure { message, .. } = failure;
                Failure::Failed { kind, message }
            }
            StoredOutcome::Cancelled | StoredOutcome::Withdrawn => Failure::Cancelled,
            StoredOutcome::TimedOut => Failure::TimedOut,
            StoredOutcome::Interrupted => Failure::Interrupted,
        };
        Err(StepError { number: self.number, step: self.kind, name: self.name.clone(), failure }.into())
    }
}

/// What the steps of all kinds have in common while they are described.
#[derive(Clone)]
pub(crate) struct Draft {
    desk: Arc<Desk>,
    number: u32,
    /// It is made where no replay would come.
    outside: bool,
    kind: StepKind,
    name: String,
    loose: bool,
    /// The number of the sleep before it, and how long that lasts.
    later: Option<(u32, Until)>,
}

impl Draft {
    #[track_caller]
    pub(crate) fn new(desk: &Arc<Desk>, kind: StepKind, name: impl Into<String>) -> Self {
        let number = desk.number();
        let (outside, number) = (number.is_none(), number.unwrap_or(u32::MAX));
        Self { desk: desk.clone(), number, outside, kind, name: name.into(), loose: false, later: None }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Has a sleep before it.
    #[track_caller]
    pub(crate) fn set_start(&mut self, until: Until) {
        let number = match self.later {
            Some((number, _)) => Some(number),
            None => self.desk.number(),
        };
        match number {
            Some(number) => self.later = Some((number, until)),
            None => self.outside = true,
        }
    }

    pub(crate) fn set_name(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    pub(crate) fn set_loose(&mut self, loose: bool) {
        self.loose = loose;
    }

    pub(crate) fn about(&self) -> &crate::desk::About {
        &self.desk.about
    }

    /// Makes the step; `args` are its arguments as JSON, or why there are none.
    pub(crate) fn step<T>(self, args: Option<&str>, work: Result<Work, String>) -> Step<T> {
        let Self { desk, number, outside, kind, name, loose, later } = self;
        let before = later.filter(|_| !outside && work.is_ok()).map(|(number, until)| {
            let (kind, name, desk) = (StepKind::Sleep, name.clone(), desk.clone());
            let sleep = Self { desk, number, outside, kind, name, loose: false, later: None };
            Box::new(sleep.step(None, Ok(Work::Note(Note::Sleep(until)))))
        });
        let work = match work {
            _ if outside => Err("it is made outside of the workflow's own code".to_owned()),
            Ok(work) => checked(&name).map(|()| work),
            Err(message) => Err(message),
        };
        let work = work.map_err(|message| {
            let failure = Failure::Failed { kind: Kind::Invalid, message };
            StepError { number, step: kind, name: name.chars().take(MAX_TEXT_BYTES).collect(), failure }
        });
        let label = Label {
            kind,
            name: name.clone(),
            fingerprint: args.map(fingerprint),
            args: args.map(shown),
            behind: 0,
        };
        let plan = Box::new(Plan { label, loose, work });
        Step { desk, number, kind, name, before, state: State::Planned(Some(plan)), result: PhantomData }
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("number", &self.number)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
