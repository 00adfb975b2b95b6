//! One call, from its arguments to its end.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use loomwork_core::{Fault, Kind, retry};
use loomwork_models::{ToolOutput, ToolResult, drop_filler_nulls};
use serde_json::Value;
use tokio::sync::SemaphorePermit;
use tracing::Instrument;

use super::handler::Handler;
use super::run::{CANCEL_GRACE, CallEnd, Outcome};
use super::{Runner, Tool, ToolContext, ToolError, Tools};
use crate::approvals;
use crate::spans;

/// How a call ended, and what the model is given.
type End = (Outcome, Option<ToolOutput>);

/// Runs a call to its end, whatever happens.
pub(super) async fn run<S: Send + Sync + 'static>(
    tools: &Tools<S>,
    context: ToolContext<S>,
    approved: bool,
) -> CallEnd {
    let started = context.clock().now();
    let tries = AtomicU32::new(0);
    let tool = tools.get(&context.call().name);
    let span = spans::execute_tool(context.call(), tool.map(Tool::info));
    let work = async {
        let answer = caught(&context.call().name, answer(tools, tool, &context, approved, &tries));
        tokio::select! {
            biased;
            end = answer => end.unwrap_or_else(|panicked| failed(panicked.to_string())),
            () = called_off(&context) => cancelled(),
        }
    };
    let (outcome, output) = work.instrument(span.clone()).await;
    spans::tool_ended(&span, outcome);
    let call = context.call().clone();
    let result = output.map(|output| ToolResult::new(&call, output));
    let ended = context.clock().now();
    CallEnd { call, outcome, result, tries: tries.into_inner(), started, ended, awaits: None }
}

async fn answer<S: Send + Sync + 'static>(
    tools: &Tools<S>,
    tool: Option<&Tool<S>>,
    context: &ToolContext<S>,
    approved: bool,
    tries: &AtomicU32,
) -> End {
    let call = context.call();
    if context.cancelled().is_cancelled() {
        return cancelled();
    }
    if let Some(why) = &call.invalid {
        return failed(why.clone());
    }
    let Some(tool) = tool else {
        return failed(format!("there is no tool `{}`; {}", call.name, tools.known()));
    };
    let input = match tool.enter(context, call.input.clone()).await {
        Ok(input) => input,
        Err((depth, refused)) => return ended(tool.leave(context, depth, refused).await),
    };
    let input = match tool.fit(input) {
        Ok(input) => input,
        Err(why) => {
            let output = ToolOutput::error(format!("the arguments of `{}` are wrong: {why}", call.name));
            return ended(tool.leave(context, 0, output).await);
        }
    };
    if !approved && needs_approval(tool, context, &input).await {
        return (Outcome::NeedsApproval, None);
    }
    let handler = match &tool.body.runner {
        Runner::Handler(handler) => handler,
        Runner::Declared | Runner::Person(_) => return (Outcome::Unanswered, None),
        Runner::Provider(_) => return failed(format!("`{}` is run by the provider alone", call.name)),
    };
    let Some(_turn) = tool.turn(context).await else { return cancelled() };
    let done = attempt(tool, handler, context, &input, tries).await;
    let was_called_off = done.is_err() && context.cancelled().is_cancelled();
    let output = done.unwrap_or_else(|error| ToolOutput::error(error.to_string()));
    let (outcome, output) = ended(tool.leave(context, 0, output).await);
    (if was_called_off { Outcome::Cancelled } else { outcome }, output)
}

/// Whether somebody has to approve the call. Whoever answers it themselves need not.
async fn needs_approval<S>(tool: &Tool<S>, context: &ToolContext<S>, input: &Value) -> bool
where
    S: Send + Sync + 'static,
{
    tool.inquiry().is_none()
        && tool.policy().needs_approval.is_needed(context, input).await
        && !is_granted(context).await
}

/// Whether somebody lets the agent call the tool in its thread without being asked.
async fn is_granted<S>(context: &ToolContext<S>) -> bool {
    let Some(thread) = context.thread() else { return false };
    let (agent, tool) = (context.agent().to_owned(), context.call().name.clone());
    let granted = context.store().query(move |tx| approvals::is_granted(tx, thread, &agent, &tool)).await;
    granted.unwrap_or_else(|error| {
        tracing::warn!(%error, "whether a call is granted could not be read; somebody is asked");
        false
    })
}

/// Calls the handler as often as the policy lets it.
async fn attempt<S: Send + Sync + 'static>(
    tool: &Tool<S>,
    handler: &Handler<S>,
    context: &ToolContext<S>,
    input: &Value,
    tries: &AtomicU32,
) -> Result<ToolOutput, ToolError> {
    let kind = |error: &ToolError| match context.cancelled().is_cancelled() {
        true => Kind::Cancelled,
        false => error.kind(),
    };
    let attempt = |number| {
        tries.store(number, Ordering::Relaxed);
        try_once(tool, handler, context.for_try(number), input.clone())
    };
    retry(&tool.policy().tries(), context.clock(), &context.scope().random, kind, attempt).await
}

async fn try_once<S: Send + Sync + 'static>(
    tool: &Tool<S>,
    handler: &Handler<S>,
    context: ToolContext<S>,
    input: Value,
) -> Result<ToolOutput, ToolError> {
    let clock = context.clock().clone();
    // What the try left behind elsewhere hears that it is over.
    let _over = context.cancelled().clone().drop_guard();
    let doing = async { caught(tool.name(), async { handler.run(context, input).await }).await? };
    let Some(timeout) = tool.policy().timeout else { return doing.await };
    tokio::select! {
        biased;
        done = doing => done,
        () = clock.sleep(timeout) => {
            Err(ToolError::new(Kind::Unavailable, format!("`{}` took longer than {timeout:?}", tool.name())))
        }
    }
}

/// Waits until the run was called off and the call had its time to end by itself.
async fn called_off<S>(context: &ToolContext<S>) {
    context.cancelled().cancelled().await;
    context.clock().sleep(CANCEL_GRACE).await;
}

/// Makes a panic an error. Its words go to the log alone: they are not meant for a model.
async fn caught<T>(tool: &str, work: impl Future<Output = T>) -> Result<T, ToolError> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        tracing::error!(tool, panic = panic_message(panic.as_ref()), "tool panicked");
        ToolError::internal(format!("`{tool}` failed unexpectedly"))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

fn ended(output: ToolOutput) -> End {
    let outcome = match &output {
        ToolOutput::Denied { .. } => Outcome::Denied,
        output if output.is_error() => Outcome::Failed,
        _ => Outcome::Succeeded,
    };
    (outcome, Some(output))
}

fn failed(why: String) -> End {
    (Outcome::Failed, Some(ToolOutput::ErrorText(why)))
}

fn cancelled() -> End {
    (Outcome::Cancelled, Some(ToolOutput::error("the call was called off")))
}

impl<S: Send + Sync + 'static> Tool<S> {
    /// Takes arguments through the layers, from the outermost on. A refusal says how many layers lie within.
    async fn enter(&self, context: &ToolContext<S>, mut input: Value) -> Result<Value, (usize, ToolOutput)> {
        for (depth, layer) in self.body.layers.iter().enumerate().rev() {
            input = layer.before(context, input).await.map_err(|refused| (depth + 1, refused))?;
        }
        Ok(input)
    }

    /// Takes an output through the layers from `depth` on, to the outermost.
    async fn leave(&self, context: &ToolContext<S>, depth: usize, mut output: ToolOutput) -> ToolOutput {
        for layer in &self.body.layers[depth..] {
            output = layer.after(context, output).await;
        }
        output
    }

    /// Returns arguments that the tool takes; the error says which field is wrong and why.
    fn fit(&self, mut input: Value) -> Result<Value, String> {
        let schema = &self.info().input_schema;
        if self.info().strict == Some(true) {
            drop_filler_nulls(schema, &mut input);
        }
        let fits = match &self.body.runner {
            Runner::Handler(Handler { fits: Some(fits), .. }) => {
                // The type decides; the schema knows better how to say where it does not fit.
                let told = |error: serde_json::Error| {
                    self.body.schema.faults(schema, &input).unwrap_or_else(|| error.to_string())
                };
                fits(&input).map_err(told)
            }
            Runner::Handler(_) | Runner::Declared | Runner::Person(_) => {
                self.body.schema.faults(schema, &input).map_or(Ok(()), Err)
            }
            Runner::Provider(_) => Ok(()),
        };
        fits.map(|()| input)
    }

    /// Waits until the call may run beside those that do; `None` if it was called off before.
    async fn turn(&self, context: &ToolContext<S>) -> Option<Option<SemaphorePermit<'_>>> {
        let Some(turnstile) = &self.body.turnstile else { return Some(None) };
        // A turnstile is never closed.
        let turn = async { turnstile.acquire().await.ok() };
        context.cancelled().run_until_cancelled(turn).await
    }
}
