//! What became of a run, as data: a timeline for a person, JSON for a program, a picture of its steps.

use std::fmt::{self, Write as _};

use loomwork_core::Time;
use loomwork_store::{Result, Tx};
use serde::Serialize;

use crate::status::{Status, StepState, StepStatus, status, steps};
use crate::tables::{StepKind, WorkflowId};

/// The history of a run: its status and its steps. It is JSON by `serde`, a timeline by `Display`, and a
/// picture by [`mermaid`](Self::mermaid).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// What the run is doing.
    #[serde(flatten)]
    pub status: Status,
    /// Its steps that are on record, in the order of their numbers.
    pub steps: Vec<StepStatus>,
}

/// Returns the history of a workflow; `None` when there is none of this id.
///
/// # Errors
/// When the store cannot be read.
pub fn history(tx: &Tx, workflow: WorkflowId) -> Result<Option<History>> {
    let Some(status) = status(tx, workflow)? else { return Ok(None) };
    Ok(Some(History { status, steps: steps(tx, workflow)? }))
}

/// Results are shown up to so many characters in a line of the timeline.
const SHOWN_RESULT: usize = 100;

impl History {
    /// Returns the run as a Mermaid flowchart: its steps in the order in which they began, those that ran at the
    /// same time side by side.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        let _ = writeln!(text, "  start([\"{}\"])", escaped(&self.status.name));
        let mut before = vec!["start".to_owned()];
        for (at, group) in self.groups().into_iter().enumerate() {
            // Between two wide groups all go through one node: an edge for each pair would be too many.
            if before.len() > 1 && group.len() > 1 {
                let _ = writeln!(text, "  join{at}(( ))");
                for before in &before {
                    let _ = writeln!(text, "  {before} --> join{at}");
                }
                before = vec![format!("join{at}")];
            }
            for step in &group {
                let (open, close) = match step.kind {
                    StepKind::Sleep | StepKind::Event => ("{{", "}}"),
                    StepKind::Child | StepKind::Start => ("[[", "]]"),
                    _ => ("[", "]"),
                };
                let name = escaped(&format!("{} {}: {}", step.number, step.kind.as_str(), step.name));
                let _ = writeln!(text, "  s{}{open}\"{name}\"{close}", step.number);
                if step.state.mark() != "✓" {
                    let _ = writeln!(text, "  class s{} {}", step.number, step.state.word());
                }
                for before in &before {
                    let _ = writeln!(text, "  {before} --> s{}", step.number);
                }
            }
            before = group.iter().map(|step| format!("s{}", step.number)).collect();
        }
        let _ = writeln!(text, "  finish([\"{}\"])", self.end());
        for before in &before {
            let _ = writeln!(text, "  {before} --> finish");
        }
        for (word, style) in [
            ("failed", "stroke:#c00,stroke-width:2px"),
            ("pending", "stroke-dasharray:4 4"),
            ("off", "stroke:#999,color:#999"),
        ] {
            let _ = writeln!(text, "  classDef {word} {style}");
        }
        text
    }

    /// Steps that were under way at the same time, together.
    fn groups(&self) -> Vec<Vec<&StepStatus>> {
        let mut groups: Vec<Vec<&StepStatus>> = Vec::new();
        let mut ends = Time::MIN;
        for step in &self.steps {
            let end = step.finished.unwrap_or(Time::MAX);
            match groups.last_mut() {
                Some(group) if step.started < ends => {
                    group.push(step);
                    ends = ends.max(end);
                }
                _ => {
                    groups.push(vec![step]);
                    ends = end;
                }
            }
        }
        groups
    }

    fn end(&self) -> String {
        let state = format!("{:?}", self.status.state).to_lowercase();
        self.status.outcome.map_or(state, |outcome| format!("{outcome:?}").to_lowercase())
    }
}

impl StepState {
    /// One sign for how it stands.
    fn mark(&self) -> &'static str {
        match self {
            Self::Pending | Self::Untold => "…",
            Self::Success(_) => "✓",
            Self::Failed(_) | Self::Interrupted | Self::TimedOut => "✗",
            Self::Cancelled | Self::Withdrawn | Self::CutOff => "–",
        }
    }

    /// One word for how it stands, as a class of the picture.
    fn word(&self) -> &'static str {
        match self {
            Self::Pending | Self::Untold => "pending",
            Self::Success(_) => "done",
            Self::Failed(_) | Self::Interrupted | Self::TimedOut => "failed",
            Self::Cancelled | Self::Withdrawn | Self::CutOff => "off",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Pending => "waits".to_owned(),
            Self::Untold => "ended, and nobody tells".to_owned(),
            Self::Success(result) => result.clone(),
            Self::Failed(error) => format!("failed: {error}"),
            Self::Cancelled => "cancelled".to_owned(),
            Self::TimedOut => "timed out".to_owned(),
            Self::Interrupted => "interrupted".to_owned(),
            Self::Withdrawn => "called off".to_owned(),
            Self::CutOff => "cut off".to_owned(),
        }
    }
}

/// The timeline: a line for the run, and one for each step.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { id, name, created, finished, error, blocked, chapter, .. } = &self.status;
        write!(f, "{name} {id}, {}, started {created}", self.end())?;
        if *chapter > 0 {
            write!(f, ", chapter {chapter}")?;
        }
        writeln!(f)?;
        for step in &self.steps {
            let StepStatus { number, kind, name, args, state, started, finished, due, .. } = step;
            let began = started.since(*created);
            write!(f, "{:>12} {} {number:>4} {:<8} {name}", offset(began), state.mark(), kind.as_str())?;
            if let Some(args) = args {
                write!(f, " {args}")?;
            }
            match (finished, due) {
                (Some(finished), _) => {
                    write!(f, " → {} in {}", short(&state.text()), offset(finished.since(*started)))?;
                }
                (None, Some(due)) => write!(f, " … until {due}")?,
                (None, None) => write!(f, " …")?,
            }
            writeln!(f)?;
        }
        if let Some(finished) = finished {
            write!(f, "{:>12} ended", offset(finished.since(*created)))?;
            match error {
                Some(error) => writeln!(f, ": {error}")?,
                None => writeln!(f)?,
            }
        }
        match blocked {
            Some(blocked) => writeln!(f, "blocked: {blocked}"),
            None => Ok(()),
        }
    }
}

fn offset(time: std::time::Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_RESULT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Mermaid knows quotes in a label by their entity.
fn escaped(text: &str) -> String {
    text.replace('"', "#quot;").replace(['\n', '\r'], " ")
}
