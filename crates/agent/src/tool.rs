//! What a model may call, and what is done then.

mod call;
mod changes;
mod context;
mod error;
mod handler;
mod layer;
mod output;
mod policy;
mod run;
mod schema;
mod set;
mod source;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use loomwork_models::{ProviderData, Source, ToolOutput, ToolSpec};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::humans::Inquiry;
use handler::Handler;
pub(crate) use schema::Schema;

pub use changes::ToolChanges;
pub use context::{ParentRun, ToolContext, ToolScope};
pub use error::{BoxError, ToolError};
pub use layer::ToolLayer;
pub use output::{IntoToolOutput, Json};
pub use policy::{Approval, DEFAULT_TIMEOUT, ToolPolicy};
pub use run::{
    Awaits, CANCEL_GRACE, CallEnd, Calls, Outcome, RequestedCall, ToolEvent, UNREAD_EVENTS, run_calls,
};
pub use set::{MAX_TOOL_NAME, Tools, ToolsError};
pub use source::{LIST_TIMEOUT, ToolMount, ToolSource};

/// A tool that a model may call: what it is told of the tool, what is done when it calls, and under which
/// policy.
///
/// `S` is the application's own state, which handlers reach by their [`ToolContext`]. A clone is cheap and
/// shares the limit on calls at a time.
///
/// ```
/// use loomwork_agent::{Tool, ToolContext};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Place {
///     /// A city and its country.
///     city: String,
/// }
///
/// let weather: Tool = Tool::new("weather", "Tells the weather of today.", |_: ToolContext, place: Place| async move {
///     format!("It is sunny in {}.", place.city)
/// });
/// assert_eq!(weather.info().input_schema["required"][0], "city");
/// ```
pub struct Tool<S = ()> {
    body: Arc<Body<S>>,
}

/// What a model and people are told of a tool.
///
/// New fields may come; [`ToolInfo::new`] and struct-update syntax are ready for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolInfo {
    /// Its name: letters, digits, `_` and `-`, at most [`MAX_TOOL_NAME`].
    pub name: String,
    /// Its title, for people; models don't see it.
    pub title: Option<String>,
    /// What it does and when to use it, for the model.
    pub description: String,
    /// The JSON schema of its arguments, an object.
    pub input_schema: Value,
    /// The JSON schema of its output, for programs.
    pub output_schema: Option<Value>,
    /// Whether the provider shall hold the model to the schema; `None` leaves it to the provider.
    pub strict: Option<bool>,
    /// Arguments as they might be. Not every provider has a place for them, so they are told as words behind
    /// the description.
    pub input_examples: Vec<Value>,
    /// What single providers shall do with the tool.
    pub provider_options: ProviderData,
    /// What the tool's owner attaches to its calls, for people; models don't see it.
    pub metadata: Option<Value>,
}

impl ToolInfo {
    /// Returns what is told of a tool at least.
    pub fn new(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Self {
        let (name, description) = (name.into(), description.into());
        Self { name, description, input_schema, ..Self::default() }
    }

    fn spec(&self) -> ToolSpec {
        ToolSpec::Function {
            name: self.name.clone(),
            description: self.told(),
            input_schema: schema::complete(self.input_schema.clone()),
            strict: self.strict,
            provider_options: self.provider_options.clone(),
        }
    }

    fn told(&self) -> String {
        let examples = self.input_examples.iter().map(|input| format!("\nExample of arguments: {input}"));
        examples.fold(self.description.clone(), |told, example| told + &example)
    }
}

/// What becomes a [`Tool`]: a tool itself, and a function under [`#[tool]`](macro@crate::tool).
///
/// A tool that asks for another state than the agents have does not compile:
///
/// ```compile_fail,E0277
/// use loomwork_agent::{ToolContext, Tools, tool};
///
/// /// Counts.
/// #[tool]
/// async fn count(ctx: ToolContext<u8>) -> String {
///     ctx.state().to_string()
/// }
///
/// let tools: Tools<String> = Tools::new().with(count).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tool of agents whose state is `{S}`",
    label = "this is no tool, or one that needs another state",
    note = "put `#[tool]` on the function, let it take `ToolContext<{S}>` or plain `ToolContext`, or use `Tool::new`"
)]
pub trait IntoTool<S> {
    /// Returns the tool.
    fn into_tool(self) -> Tool<S>;
}

impl<S> IntoTool<S> for Tool<S> {
    fn into_tool(self) -> Self {
        self
    }
}

struct Body<S> {
    info: ToolInfo,
    runner: Runner<S>,
    policy: ToolPolicy<S>,
    /// Lets only so many calls run at a time as the policy says.
    turnstile: Option<Arc<Semaphore>>,
    /// The innermost first.
    layers: Vec<Arc<dyn ToolLayer<S>>>,
    /// The source that lists the tool.
    origin: Option<String>,
    schema: Schema,
    /// Says what an output is from.
    sources: Option<Arc<SourcesOf>>,
}

type SourcesOf = dyn Fn(&ToolOutput) -> Vec<Source> + Send + Sync;

/// Who does what is called for.
enum Runner<S> {
    Handler(Handler<S>),
    /// Somebody outside: the client, or whoever the application lets answer.
    Declared,
    /// A person, who is asked here.
    Person(Inquiry),
    /// The provider, which is given these fields of its own.
    Provider(Value),
}

impl<S: Send + Sync + 'static> Tool<S> {
    /// Returns a tool whose arguments are a type.
    ///
    /// The schema comes from the type, and arguments that are not of it are told to the model as an error that
    /// names the field. `()` are no arguments.
    pub fn new<Args, F, Fut>(name: impl Into<String>, description: impl Into<String>, handler: F) -> Self
    where
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(ToolContext<S>, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToolOutput> + Send + 'static,
    {
        let info = ToolInfo::new(name, description, schema::arguments::<Args>());
        Self::of(info, Runner::Handler(Handler::typed(handler)))
    }

    /// Returns a tool whose arguments are known at run time only: any JSON that fits the schema.
    pub fn dynamic<F, Fut>(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: Value,
        handler: F,
    ) -> Self
    where
        F: Fn(ToolContext<S>, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToolOutput> + Send + 'static,
    {
        let info = ToolInfo::new(name, description, input_schema);
        Self::of(info, Runner::Handler(Handler::dynamic(handler)))
    }

    /// Returns a tool that the client answers, or whoever the application lets. A call of it ends as
    /// [unanswered](Outcome::Unanswered), and the result is saved when it is known. [`human`](Self::human) asks people.
    pub fn declared(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Self {
        Self::of(ToolInfo::new(name, description, input_schema), Runner::Declared)
    }

    /// Returns a tool that a person answers, who is asked in the [inbox](crate::humans): a name alone says who. The
    /// run waits for the answer, which has to fit the schema of the [output](Self::with_output) where there is one.
    /// Nobody is asked to approve such a call. Outside of threads nobody is asked at all.
    pub fn human(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: Value,
        inquiry: impl Into<Inquiry>,
    ) -> Self {
        Self::of(ToolInfo::new(name, description, input_schema), Runner::Person(inquiry.into()))
    }

    /// Returns a tool that the provider runs, such as a search of the web: its id `openai.web_search`, and the
    /// provider's own fields for it. Its name is its id.
    pub fn provider(id: impl Into<String>, args: Value) -> Self {
        let info = ToolInfo { name: id.into(), ..ToolInfo::default() };
        Self::of(info, Runner::Provider(args))
    }

    fn of(info: ToolInfo, runner: Runner<S>) -> Self {
        Self {
            body: Arc::new(Body {
                info,
                runner,
                policy: ToolPolicy::default(),
                turnstile: None,
                layers: Vec::new(),
                origin: None,
                schema: Schema::default(),
                sources: None,
            }),
        }
    }

    /// Sets the title that people read.
    #[must_use]
    pub fn with_title(self, title: impl Into<String>) -> Self {
        self.with_info(|info| info.title = Some(title.into()))
    }

    /// Sets the schema of the output to that of a type.
    #[must_use]
    pub fn with_output<T: JsonSchema>(self) -> Self {
        self.with_info(|info| info.output_schema = Some(schema::of::<T>()))
    }

    /// Sets whether the provider shall hold the model to the schema.
    #[must_use]
    pub fn with_strict(self, strict: bool) -> Self {
        self.with_info(|info| info.strict = Some(strict))
    }

    /// Adds arguments as they might be.
    #[must_use]
    pub fn with_example(self, input: Value) -> Self {
        self.with_info(|info| info.input_examples.push(input))
    }

    /// Changes what the model and people are told of the tool.
    #[must_use]
    pub fn with_info(self, change: impl FnOnce(&mut ToolInfo)) -> Self {
        self.change(|body| {
            change(&mut body.info);
            body.schema = Schema::default();
        })
    }

    /// Sets under which limits the tool runs. Calls that run already count for the former policy.
    #[must_use]
    pub fn with_policy(self, policy: ToolPolicy<S>) -> Self {
        self.change(|body| {
            body.turnstile = policy.concurrency.map(|at_once| Arc::new(Semaphore::new(at_once)));
            body.policy = policy;
        })
    }

    /// Wraps the tool: the layer sees each call before the tool and those layers that it has already, and each
    /// output behind them.
    #[must_use]
    pub fn layer(self, layer: impl ToolLayer<S>) -> Self {
        self.change(|body| body.layers.push(Arc::new(layer)))
    }

    /// Says by a function what an output of the tool is from: the answer's message has these sources too, for people.
    /// Their ids are to be unique within an answer.
    #[must_use]
    pub fn with_sources(self, sources: impl Fn(&ToolOutput) -> Vec<Source> + Send + Sync + 'static) -> Self {
        self.change(|body| body.sources = Some(Arc::new(sources)))
    }

    fn change(mut self, change: impl FnOnce(&mut Body<S>)) -> Self {
        change(Arc::make_mut(&mut self.body));
        self
    }
}

impl<S> Tool<S> {
    /// Returns what a model and people are told of the tool.
    pub fn info(&self) -> &ToolInfo {
        &self.body.info
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.body.info.name
    }

    /// Returns under which limits the tool runs.
    pub fn policy(&self) -> &ToolPolicy<S> {
        &self.body.policy
    }

    /// Returns whether a call is answered here, not by a person, the client or the provider.
    pub fn has_handler(&self) -> bool {
        matches!(self.body.runner, Runner::Handler(_))
    }

    /// Returns whom it asks, if that is a person.
    pub fn inquiry(&self) -> Option<&Inquiry> {
        match &self.body.runner {
            Runner::Person(inquiry) => Some(inquiry),
            _ => None,
        }
    }

    /// Returns what an output of the tool is from.
    pub(crate) fn sources_of(&self, output: &ToolOutput) -> Vec<Source> {
        self.body.sources.as_ref().map(|sources| sources(output)).unwrap_or_default()
    }

    /// Returns the tool as models take it.
    pub fn spec(&self) -> ToolSpec {
        match &self.body.runner {
            Runner::Provider(args) => ToolSpec::Provider { id: self.name().to_owned(), args: args.clone() },
            Runner::Handler(_) | Runner::Declared | Runner::Person(_) => self.body.info.spec(),
        }
    }
}

impl<S> Clone for Tool<S> {
    fn clone(&self) -> Self {
        Self { body: self.body.clone() }
    }
}

impl<S> Clone for Body<S> {
    fn clone(&self) -> Self {
        Self {
            info: self.info.clone(),
            runner: self.runner.clone(),
            policy: self.policy.clone(),
            turnstile: self.turnstile.clone(),
            layers: self.layers.clone(),
            origin: self.origin.clone(),
            schema: Schema::default(),
            sources: self.sources.clone(),
        }
    }
}

impl<S> Clone for Runner<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Handler(handler) => Self::Handler(handler.clone()),
            Self::Declared => Self::Declared,
            Self::Person(inquiry) => Self::Person(inquiry.clone()),
            Self::Provider(args) => Self::Provider(args.clone()),
        }
    }
}

impl<S> fmt::Debug for Tool<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Tool");
        shown.field("info", self.info()).field("policy", self.policy());
        shown.field("layers", &self.body.layers.len()).finish_non_exhaustive()
    }
}
