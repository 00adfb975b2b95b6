//! The tools of a run.

use std::fmt;
use std::sync::Arc;

use loomwork_core::{Fault, Kind};
use loomwork_models::ToolSpec;

use super::{BoxError, IntoTool, Runner, Tool, ToolInfo, ToolSource, schema};

/// The most characters that a tool's name may have: providers take no more.
pub const MAX_TOOL_NAME: usize = 64;

/// How much of a description stands in an error.
const SHOWN_CHARS: usize = 60;

/// Tools in their order, each with a name of its own. A clone is cheap.
///
/// ```
/// use loomwork_agent::{Tool, ToolContext, Tools};
///
/// let ping = Tool::new("ping", "Answers.", |_: ToolContext, (): ()| async { "pong" });
/// let tools: Tools = Tools::new().with(ping.clone())?;
/// assert_eq!(tools.names().collect::<Vec<_>>(), ["ping"]);
/// assert!(tools.with(ping).is_err());
/// # Ok::<(), loomwork_agent::ToolsError>(())
/// ```
pub struct Tools<S = ()> {
    tools: Vec<Tool<S>>,
}

impl<S: Send + Sync + 'static> Tools<S> {
    /// Returns these tools.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn of(tools: impl IntoIterator<Item = Tool<S>>) -> Result<Self, ToolsError> {
        tools.into_iter().try_fold(Self::new(), Self::with)
    }

    /// Returns the tools that a source has now, each called `prefix_name`, or as the source calls it where
    /// the prefix is empty. Letters that providers don't take in names become `_`.
    ///
    /// # Errors
    ///
    /// The source's own, and as [`add`](Self::add): two names may have become the same.
    pub async fn load(source: Arc<dyn ToolSource>, prefix: &str) -> Result<Self, ToolsError> {
        let listed = source
            .list()
            .await
            .map_err(|error| ToolsError::Source { source_name: source.name().to_owned(), source: error })?;
        listed.into_iter().try_fold(Self::new(), |tools, info| tools.with(from_source(&source, prefix, info)))
    }

    /// Adds a tool behind the others.
    ///
    /// # Errors
    ///
    /// Where the name is taken or none that providers take, where the arguments' schema is no schema of
    /// objects, and where the policy lets nothing run.
    pub fn add(&mut self, tool: impl IntoTool<S>) -> Result<(), ToolsError> {
        let tool = tool.into_tool();
        if let Some(first) = self.get(tool.name()) {
            let (name, first, second) = (tool.name().to_owned(), shown(first), shown(&tool));
            return Err(ToolsError::Duplicate { name, first, second });
        }
        check(&tool)?;
        self.tools.push(tool);
        Ok(())
    }

    /// Returns these tools and one more.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn with(mut self, tool: impl IntoTool<S>) -> Result<Self, ToolsError> {
        self.add(tool)?;
        Ok(self)
    }

    /// Returns these tools and then those.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn union(self, others: Self) -> Result<Self, ToolsError> {
        others.tools.into_iter().try_fold(self, Self::with)
    }

    /// Returns these tools without one.
    ///
    /// # Errors
    ///
    /// Where there is none of that name.
    pub fn without(mut self, name: &str) -> Result<Self, ToolsError> {
        let Some(index) = self.tools.iter().position(|tool| tool.name() == name) else {
            return Err(ToolsError::Unknown { name: name.to_owned(), known: self.known() });
        };
        self.tools.remove(index);
        Ok(self)
    }

    /// Returns these tools, each changed, such as by a layer or a policy for all.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn map(self, change: impl FnMut(Tool<S>) -> Tool<S>) -> Result<Self, ToolsError> {
        Self::of(self.tools.into_iter().map(change))
    }
}

impl<S> Tools<S> {
    /// Returns no tools.
    pub fn new() -> Self {
        Self { tools: Vec::new() }
    }

    /// Returns the tool of a name.
    pub fn get(&self, name: &str) -> Option<&Tool<S>> {
        self.iter().find(|tool| tool.name() == name)
    }

    /// Returns the tools in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Tool<S>> {
        self.tools.iter()
    }

    /// Returns their names in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(Tool::name)
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Returns the tools as models take them.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.iter().map(Tool::spec).collect()
    }

    /// Says which tools there are.
    pub(super) fn known(&self) -> String {
        let names: Vec<_> = self.names().map(|name| format!("`{name}`")).collect();
        match names.as_slice() {
            [] => "there is none".to_owned(),
            [one] => format!("there is {one}"),
            names => format!("there are {}", names.join(", ")),
        }
    }
}

impl<S> Default for Tools<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for Tools<S> {
    fn clone(&self) -> Self {
        Self { tools: self.tools.clone() }
    }
}

impl<S> fmt::Debug for Tools<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.tools).finish()
    }
}

/// Why tools cannot be used together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolsError {
    /// Two have one name.
    #[error("two tools are called `{name}`, {first} and {second}: each needs a name of its own")]
    Duplicate {
        /// The name.
        name: String,
        /// The one that was there.
        first: String,
        /// The one that came to it.
        second: String,
    },
    /// A name that providers don't take.
    #[error("`{name}` cannot name a tool: take letters, digits, `_` and `-`, {MAX_TOOL_NAME} at most")]
    Name {
        /// The name.
        name: String,
    },
    /// A schema of arguments that is none.
    #[error("the arguments of tool `{name}` have a schema that cannot be used: {why}")]
    Schema {
        /// The tool.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A policy that lets nothing run.
    #[error("the policy of tool `{name}` cannot be kept: {why}")]
    Policy {
        /// The tool.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no tool of that name.
    #[error("there is no tool `{name}`; {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Which tools there are.
        known: String,
    },
    /// A source did not say which tools it has.
    #[error("the tools of `{source_name}` cannot be listed")]
    Source {
        /// The source.
        source_name: String,
        /// Why.
        source: BoxError,
    },
}

impl Fault for ToolsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::NotFound,
            Self::Source { .. } => Kind::Unavailable,
            Self::Duplicate { .. } | Self::Name { .. } | Self::Schema { .. } | Self::Policy { .. } => {
                Kind::Invalid
            }
        }
    }
}

fn check<S>(tool: &Tool<S>) -> Result<(), ToolsError> {
    if matches!(tool.body.runner, Runner::Provider(_)) {
        return Ok(());
    }
    let name = || tool.name().to_owned();
    let length = tool.name().len();
    if length == 0 || length > MAX_TOOL_NAME || !tool.name().chars().all(is_taken) {
        return Err(ToolsError::Name { name: name() });
    }
    let input_schema = &tool.info().input_schema;
    if !schema::is_object(input_schema) {
        let why = "it has to be one of objects, with `\"type\": \"object\"`; put the arguments into a struct";
        return Err(ToolsError::Schema { name: name(), why: why.to_owned() });
    }
    tool.body.schema.validator(input_schema).map_err(|why| ToolsError::Schema { name: name(), why })?;
    let policy = tool.policy();
    policy.retries.validate().map_err(|error| ToolsError::Policy { name: name(), why: error.to_string() })?;
    if policy.concurrency == Some(0) {
        let why = "it has `concurrency` 0, it must be at least 1, or `None` for any number".to_owned();
        return Err(ToolsError::Policy { name: name(), why });
    }
    Ok(())
}

/// Whether providers take a letter in names of tools.
fn is_taken(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

fn shown<S>(tool: &Tool<S>) -> String {
    let description = &tool.info().description;
    let mut shown: String = description.chars().take(SHOWN_CHARS).collect();
    if shown.len() < description.len() {
        shown.push('…');
    }
    let origin = tool.body.origin.as_deref();
    format!("{shown:?}{}", origin.map_or_else(String::new, |source| format!(" of `{source}`")))
}

fn from_source<S: Send + Sync + 'static>(
    source: &Arc<dyn ToolSource>,
    prefix: &str,
    info: ToolInfo,
) -> Tool<S> {
    let own: Arc<str> = info.name.as_str().into();
    let whole = if prefix.is_empty() { info.name.clone() } else { format!("{prefix}_{}", info.name) };
    let name = whole.chars().map(|letter| if is_taken(letter) { letter } else { '_' }).collect();
    let origin = source.name().to_owned();
    let source = source.clone();
    let handler = move |context: super::ToolContext<S>, input| {
        let (source, own) = (source.clone(), own.clone());
        async move { source.call(&own, context.without_state(), input).await }
    };
    Tool::dynamic(String::new(), String::new(), info.input_schema.clone(), handler)
        .with_info(|told| *told = ToolInfo { name, ..info })
        .change(|body| body.origin = Some(origin))
}
