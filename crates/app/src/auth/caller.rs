//! Callers and their scopes.

use loomwork_core::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::Proof;
#[cfg(feature = "http")]
use super::keys::Proven;

/// What a caller may do at all. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read.
    Read,
    /// Write messages and have agents answer.
    Chat,
    /// Look after the whole: jobs, limits, prices, knowledge, other users' threads.
    Manage,
}

impl Scope {
    /// Returns its name, as it is in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Chat => "chat",
            Self::Manage => "manage",
        }
    }
}

/// Who makes a request.
///
/// A caller with a user is that user, and sees what is theirs. One without is a program of the operator's: it acts
/// for whichever user it names, as far as its scope goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: String,
    user: Option<String>,
    scope: Scope,
    /// The key that it came with: what it asks is refused once that has ended.
    proof: Option<Proof>,
    /// When it is nobody any more.
    ends: Option<Time>,
}

impl Caller {
    /// Returns the operator, who may do everything: who holds the file, such as the command line.
    pub fn operator() -> Self {
        Self { name: "operator".to_owned(), ..Self::program("", Scope::Manage) }
    }

    /// Returns a program of the operator's, by the name that its requests and idempotency keys go under.
    pub fn program(name: impl Into<String>, scope: Scope) -> Self {
        let name = format!("program {}", name.into());
        Self { name, user: None, scope, proof: None, ends: None }
    }

    /// Returns a user, who may do so much.
    pub fn user(user: impl Into<String>, scope: Scope) -> Self {
        let user = user.into();
        Self { name: format!("user {user}"), user: Some(user), scope, proof: None, ends: None }
    }

    /// Returns whoever holds an API key.
    #[cfg(feature = "http")]
    pub(super) fn of_key(Proven { proof, key, ends }: &Proven) -> Self {
        Self {
            name: format!("key {} ({:?})", key.id, key.name),
            user: key.user.clone(),
            scope: key.scope,
            proof: Some(*proof),
            ends: *ends,
        }
    }

    /// Ends it at a time: what it follows ends then too.
    #[must_use]
    pub fn until(mut self, ends: Time) -> Self {
        self.ends = Some(ends);
        self
    }

    /// Returns when it is nobody any more.
    pub fn ends(&self) -> Option<Time> {
        self.ends
    }

    pub(super) fn proof(&self) -> Option<Proof> {
        self.proof
    }

    /// Returns the name that tells it from all others: what it is, and which. So no program has the name of a user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the user, if it is one.
    pub fn as_user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns what it may do at all.
    pub fn scope(&self) -> Scope {
        self.scope
    }
}
