//! Workflows: looking at them, sending them events, ending and restarting them.

use loomwork_core::Kind;
use loomwork_workflow::{self as flow, Event, Listed, RestartFrom, Status, StepStatus, WorkflowId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::jobs::Done;
use super::operation::{Answer, Call, Group, Method, Reading};
use super::page::{List, page};
use super::shapes::{Shown, shapes};
use crate::auth::Scope;
use crate::error::{Error, Result};

pub(super) fn operations() -> Group {
    Group::new("workflows")
        .get("list", "/api/workflows", Scope::Manage, "Lists workflows, the oldest first.", list)
        .get("get", "/api/workflows/{workflow}", Scope::Manage, "Returns what a workflow is doing.", get)
        .get(
            "steps",
            "/api/workflows/{workflow}/steps",
            Scope::Manage,
            "Returns a workflow's steps on record.",
            steps,
        )
        .act(
            "send",
            (Method::Post, "/api/workflows/{workflow}/events"),
            Scope::Manage,
            "Sends a workflow an event, which it takes once.",
            send,
        )
        .act(
            "cancel",
            (Method::Post, "/api/workflows/{workflow}/cancel"),
            Scope::Manage,
            "Ends a workflow with its children.",
            cancel,
        )
        .act(
            "restart",
            (Method::Post, "/api/workflows/{workflow}/restart"),
            Scope::Manage,
            "Begins a workflow that has ended, or is blocked, again: from its start or a step.",
            restart,
        )
        .act(
            "forget",
            (Method::Delete, "/api/workflows/{workflow}"),
            Scope::Manage,
            "Forgets one that has ended.",
            forget,
        )
}

shapes! {
    /// A workflow.
    WorkflowShape = "Workflow" {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The key that its starter gave it.
        key: Option<String>,
        /// Where it stands.
        state: String,
        /// The workflow that waits for it.
        parent: Option<String>,
        /// How often it went on anew, or was restarted from its start.
        chapter: u32,
        /// How often it was restarted.
        restarts: u32,
        /// When it was started, in milliseconds since 1970.
        created: i64,
        /// When it ended.
        finished: Option<i64>,
        /// How it ended.
        outcome: Option<Value>,
        /// Why it failed.
        error: Option<String>,
        /// Why it cannot go on.
        blocked: Option<String>,
        /// The steps that it waits for now.
        running: Vec<StepShape>,
    }

    /// A step on record.
    StepShape = "WorkflowStep" {
        /// Its number.
        number: u32,
        /// What it is.
        kind: Value,
        /// Its name.
        name: String,
        /// The beginning of its arguments, as JSON.
        args: Option<String>,
        /// Where it stands, with what it returned or why it failed.
        state: Value,
        /// When it began, in milliseconds since 1970.
        started: i64,
        /// When it was settled.
        finished: Option<i64>,
        /// When its sleep, or its wait, is over.
        due: Option<i64>,
        /// The job that it waits for.
        job: Option<String>,
        /// The workflow that it waits for.
        child: Option<String>,
    }
}

type WorkflowView = Shown<Status, WorkflowShape>;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListWorkflows {
    /// Only those of this name.
    name: Option<String>,
    /// With a name: `all` by default, `open` or `blocked`.
    #[serde(default)]
    which: WhichWorkflows,
    /// How many, from 1 to 200; 20 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum WhichWorkflows {
    #[default]
    All,
    Open,
    Blocked,
}

fn list(reading: &Reading<'_>, args: &ListWorkflows) -> Result<List<WorkflowView>> {
    let listed = match (args.name.as_deref(), args.which) {
        (None, WhichWorkflows::All) => Listed::All,
        (Some(name), WhichWorkflows::All) => Listed::Named(name),
        (Some(name), WhichWorkflows::Open) => Listed::Open(name),
        (Some(name), WhichWorkflows::Blocked) => Listed::Blocked(name),
        (None, _) => {
            let message = "those that are open or blocked are listed by name; give one";
            return Err(Error::new(Kind::Invalid, message).about("name"));
        }
    };
    let (found, next) = flow::list(reading.tx, listed, page(args.limit, args.after.as_deref())?)?;
    Ok(List::new(found.into_iter().map(Shown::new).collect(), next))
}

/// A workflow by its id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneWorkflow {
    /// The workflow's id.
    #[schemars(with = "String")]
    workflow: WorkflowId,
}

fn get(reading: &Reading<'_>, args: &OneWorkflow) -> Result<WorkflowView> {
    let status = flow::status(reading.tx, args.workflow)?;
    status.map(Shown::new).ok_or_else(|| {
        let message = format!("there is no {}; it never was, or is forgotten", args.workflow);
        Error::new(Kind::NotFound, message).about("workflow")
    })
}

fn steps(reading: &Reading<'_>, args: &OneWorkflow) -> Result<Vec<Shown<StepStatus, StepShape>>> {
    get(reading, args)?;
    Ok(flow::steps(reading.tx, args.workflow)?.into_iter().map(Shown::new).collect())
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendEvent {
    /// The workflow's id.
    #[schemars(with = "String")]
    workflow: WorkflowId,
    /// The event's name.
    event: String,
    /// What it says.
    #[serde(default)]
    value: Value,
}

async fn send(call: Call, args: SendEvent) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| {
        flow::send(tx, args.workflow, Event::named(args.event), &args.value)?;
        Ok(Done { done: true })
    })
    .await
}

async fn cancel(call: Call, args: OneWorkflow) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| Ok(Done { done: flow::cancel(tx, args.workflow)? })).await
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restart {
    /// The workflow's id.
    #[schemars(with = "String")]
    workflow: WorkflowId,
    /// The number of the step from which on all is done again; from the start by default.
    step: Option<u32>,
}

async fn restart(call: Call, args: Restart) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| {
        flow::restart(tx, args.workflow, args.step.map_or(RestartFrom::Start, RestartFrom::Step))?;
        Ok(Done { done: true })
    })
    .await
}

async fn forget(call: Call, args: OneWorkflow) -> Result<Answer<Done>> {
    call.mutate(move |tx, _| Ok(Done { done: flow::clean_up(tx, args.workflow)? })).await
}
