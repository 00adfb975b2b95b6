//! What an application attaches to a generation.

use loomwork_messages::{BadMetadata, Metadata, Run, metadata};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent_tool::PARENT;
use crate::durable::STARTED;

/// What an application attaches to a generation, as JSON by name: a tenant, a place, the trace of a request.
///
/// It is said by [`Options::values`](crate::Options::values), merges by name, is kept with the run, and reaches
/// tools, guards, admissions, whoever prepares steps, usage events and exchanges, agents that are called as tools, and
/// whoever takes the run up. No model is told of it.
///
/// ```
/// use loomwork_agent::{Options, Values};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Desk {
///     tenant: String,
///     room: u32,
/// }
///
/// let desk = Desk { tenant: "loom".into(), room: 12 };
/// let options: Options = Options { values: Values::of(&desk)?, ..Options::default() };
/// assert_eq!(options.values.get("room"), Some(&12.into()));
/// assert_eq!(options.values.read::<Desk>()?, desk);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(Metadata);

impl Values {
    /// Returns the fields of a struct or map.
    ///
    /// # Errors
    /// When it is no JSON, or JSON without names.
    pub fn of(value: &impl Serialize) -> Result<Self, BadMetadata> {
        metadata(value).map(Self)
    }

    /// Returns a value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Reads the values as a type. Those that it does not name are passed over.
    ///
    /// # Errors
    /// When they are not of the type, or some that it needs are missing.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&Value::Object(self.0.clone()))
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns these, and those of a nearer level over them.
    #[must_use]
    pub fn merged(mut self, nearer: Self) -> Self {
        self.0.extend(nearer.0);
        self
    }

    /// Returns what was kept with a run.
    pub(crate) fn of_run(run: &Run) -> Self {
        let mut kept = run.values.clone();
        for name in [PARENT, STARTED] {
            kept.remove(name);
        }
        Self(kept)
    }

    /// Returns what is kept with a run, with what is its own: of the run that called, or of its start.
    pub(crate) fn kept_with(&self, own: Metadata) -> Metadata {
        let mut kept = self.0.clone();
        kept.extend(own);
        kept
    }
}
