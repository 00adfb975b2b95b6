//! Options that merge over levels.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An option at one level: said, taken back, or left to the level above.
///
/// In JSON a name that is missing is left to the level above, and `null` goes back to the default.
///
/// ```
/// use loomwork_agent::context::Setting;
///
/// let (agent, thread, call) = (Setting::Set(20), Setting::Inherit, Setting::Unset);
/// assert_eq!(thread.over(agent).or(100), 20);
/// assert_eq!(call.over(thread.over(agent)).or(100), 100);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting<T> {
    /// What the level above says.
    #[default]
    Inherit,
    /// The default, whatever the levels above say.
    Unset,
    /// This.
    Set(T),
}

impl<T> Setting<T> {
    /// Returns whether this level says nothing.
    pub fn is_inherited(&self) -> bool {
        matches!(self, Self::Inherit)
    }

    /// Returns what holds where this level stands over another one.
    pub fn over(self, base: Self) -> Self {
        if self.is_inherited() { base } else { self }
    }

    /// Returns the value, if one was said.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Inherit | Self::Unset => None,
        }
    }

    /// Returns the value, or the default.
    pub fn or(self, default: T) -> T {
        self.value().unwrap_or(default)
    }
}

impl<T> From<T> for Setting<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

/// Both that nothing is said and that it is taken back are `null`; so fields skip what is inherited.
impl<T: Serialize> Serialize for Setting<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => value.serialize(serializer),
            Self::Inherit | Self::Unset => serializer.serialize_none(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(value) => Self::Set(value),
            None => Self::Unset,
        })
    }
}
