//! A call that its budget does not allow.

use std::fmt;

use loomwork_core::{Fault, Kind, Time};
use loomwork_store::Error;
use serde::Serialize;

use crate::budget::{Amount, Budget, Measure, Standing};
use crate::event::Level;

/// A call that a hard budget refuses: nothing was put on hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetExceeded {
    /// The budget's name.
    pub budget: String,
    /// The level.
    pub level: Level,
    /// Whose budget it is.
    pub owner: String,
    /// What it counts.
    pub measure: Measure,
    /// How much may be used.
    pub limit: Amount,
    /// How much was used.
    pub spent: Amount,
    /// How much other calls have on hold.
    pub held: Amount,
    /// How much was asked for.
    pub wanted: Amount,
    /// When the budget begins anew; `None` is never.
    pub resets: Option<Time>,
    /// When it was asked.
    #[serde(skip)]
    asked: Time,
}

impl BudgetExceeded {
    pub(crate) fn new(budget: &Budget, stands: Standing, wanted: Amount, asked: Time) -> Self {
        let Standing { name, limit, spent, held, resets, .. } = stands;
        let (level, owner, measure) = (budget.level, budget.owner.clone(), budget.measure.clone());
        Self { budget: name, level, owner, measure, limit, spent, held, wanted, resets, asked }
    }

    fn is_too_large(&self) -> bool {
        self.wanted.parts() > self.limit.parts()
    }

    /// Takes the refusal out of an error that came from a transaction, if it is one.
    pub fn of(error: &Error) -> Option<&Self> {
        error.downcast_ref()
    }
}

impl fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budget, level, owner, measure, limit, spent, held, wanted, resets, .. } = self;
        let level = level.as_str();
        write!(
            f,
            "budget {budget:?} of {level} {owner:?} allows {limit} {measure}: {spent} are spent, {held} on hold, "
        )?;
        write!(f, "and {wanted} more are asked for; ")?;
        match resets {
            _ if self.is_too_large() => {
                f.write_str("that is more than all of it, so ask for less or raise it")
            }
            Some(resets) => write!(f, "it begins anew at {resets}, or raise it"),
            None => f.write_str("raise it to go on"),
        }
    }
}

impl std::error::Error for BudgetExceeded {}

/// It waits for the budget to begin anew; without that, and where the call alone is more than the budget, it is
/// denied.
impl Fault for BudgetExceeded {
    fn kind(&self) -> Kind {
        let resets = self.resets.filter(|_| !self.is_too_large());
        resets.map_or(Kind::Denied, |resets| Kind::Limited { wait: resets.since(self.asked) })
    }
}
