//! `loomwork chat`: a conversation before a terminal, or through a pipe.

mod answer;
mod lines;

use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Clock, Kind};
use loomwork_messages::UiMessage;
use serde_json::{Value, json};

use super::door::{Args, Door, Happened};
use super::exit::Exit;
use super::output::{Output, Style};
use crate::error::{Error, Result};
use answer::Answer;
use lines::{Line, Lines};

/// How long a limit is waited for before a question is refused.
const PATIENCE: Duration = Duration::from_secs(60);

/// What somebody reads who asks for help.
const HELP: &str = "\
/new           begins another thread
/thread        tells which thread this is
/agent NAME    asks another agent from now on
/agents        lists them
/quit          ends; so does Ctrl-D. Ctrl-C calls an answer off.";

/// How to talk.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is asked once, in place of a conversation.
    pub(crate) prompt: Option<String>,
    pub(crate) thread: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) user: Option<String>,
    /// Whether every call is approved without a question.
    pub(crate) approves_all: bool,
}

/// A conversation.
struct Chat<'a> {
    door: &'a Door,
    out: &'a Output,
    lines: Lines,
    asked: Asked,
    thread: Option<String>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Answered,
    Failed,
    CalledOff,
}

/// Talks until nothing more is said.
pub(crate) async fn chat(door: &Door, out: &Output, mut asked: Asked) -> Result<Exit> {
    let prompt = asked.prompt.take();
    let thread = asked.thread.take();
    let mut chat = Chat { door, out, lines: Lines::of_stdin(out), asked, thread };
    if let Some(thread) = chat.thread.clone() {
        chat.show_thread(&thread, prompt.is_some()).await?;
    } else {
        chat.choose_agent().await?;
    }
    if let Some(prompt) = prompt {
        return Ok(match chat.turn(&prompt).await? {
            Turn::Answered => Exit::Done,
            Turn::Failed => Exit::Failed,
            Turn::CalledOff => Exit::Interrupted,
        });
    }
    chat.talk().await
}

impl Chat<'_> {
    async fn talk(&mut self) -> Result<Exit> {
        if self.lines.is_asked() {
            self.out.remark("/help tells what there is.");
        }
        let mut exit = Exit::Done;
        let mut was_interrupted = false;
        while !self.out.is_gone() {
            let line = match self.lines.next("> ").await {
                Line::Said(line) => line,
                Line::End => break,
                Line::Interrupted if was_interrupted => return Ok(Exit::Interrupted),
                Line::Interrupted => {
                    was_interrupted = true;
                    self.out.remark("\nOnce more, Ctrl-D or /quit ends.");
                    continue;
                }
            };
            was_interrupted = false;
            let said = line.trim();
            let told = match said.split_once(' ').unwrap_or((said, "")) {
                ("", _) => Ok(()),
                ("/quit" | "/exit", _) => break,
                ("/help", _) => {
                    self.out.remark(HELP);
                    Ok(())
                }
                ("/new", _) => {
                    self.thread = None;
                    Ok(())
                }
                ("/thread", _) => {
                    self.out.remark(self.thread.as_deref().unwrap_or("Nothing was said yet."));
                    Ok(())
                }
                ("/agent", name) if !name.trim().is_empty() => self.take_agent(name.trim()).await,
                ("/agent" | "/agents", _) => self.list_agents().await,
                (command, _) if command.starts_with('/') => {
                    self.out.remark(&format!("There is no {command}.\n{HELP}"));
                    Ok(())
                }
                _ => {
                    let turn = self.turn(said).await;
                    turn.map(|turn| exit = if turn == Turn::Failed { Exit::Failed } else { Exit::Done })
                }
            };
            if let Err(error) = told {
                super::tell(self.out, &error);
                exit = Exit::of(&error);
                // Whoever reads on a terminal tries another way; a script has none.
                if !self.lines.is_asked() {
                    break;
                }
            }
        }
        Ok(exit)
    }

    /// Has a prompt answered, and shows how that comes.
    async fn turn(&mut self, prompt: &str) -> Result<Turn> {
        let thread = self.thread().await?;
        let mut happening = self.door.live(&thread).await?;
        let mut args = object(json!({ "thread": thread, "prompt": prompt }));
        if let Some(agent) = &self.asked.agent {
            args.insert("agent".to_owned(), agent.as_str().into());
        }
        let Some(started) = self.start(args).await? else { return Ok(Turn::CalledOff) };
        let Some(run) = started["run"].as_str().map(str::to_owned) else {
            self.out.remark("It is said; a person answers in this thread.");
            return Ok(Turn::Answered);
        };
        let mut answer = Answer::new(self.out, &run, started["promptId"].as_str().unwrap_or_default());
        let mut standing = self.door.follow("runs.get", object(json!({ "run": run }))).await?;
        let mut is_called_off = false;
        let interrupted = super::interrupted();
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                biased;
                () = &mut interrupted, if !is_called_off => {
                    is_called_off = true;
                    let reason = "it was called off at the keyboard";
                    self.door.ask("runs.abort", object(json!({ "run": run, "reason": reason }))).await?;
                }
                happened = happening.next() => match happened.transpose()? {
                    None => return Err(ended_too_soon()),
                    Some(Happened::Chunks(chunks)) => answer.grow(&chunks),
                    Some(Happened::View(view)) => {
                        answer.look_at(&view);
                        for question in answer.questions() {
                            if !self.decide(&question).await? {
                                // It waits for somebody else, for days if need be.
                                self.out.remark("The answer waits for an approval, and nobody here gives it.");
                                return Ok(Turn::Failed);
                            }
                        }
                    }
                },
                run = standing.next() => {
                    let run = run.transpose()?.ok_or_else(ended_too_soon)?;
                    match run["status"].as_str().unwrap_or_default() {
                        "waiting" => self.tell_of_waiting(&thread).await?,
                        "queued" | "running" => {}
                        ended => {
                            let page = self.door.ask("messages.list", object(json!({ "thread": thread }))).await?;
                            answer.finish(&page);
                            return Ok(match ended {
                                "success" => Turn::Answered,
                                "aborted" => Turn::CalledOff,
                                _ => Turn::Failed,
                            });
                        }
                    }
                }
            }
        }
    }

    /// Has a run started. Where a limit says that it soon lets the next one through, that is waited for; `None` when
    /// somebody would not wait.
    async fn start(&self, args: Args) -> Result<Option<Value>> {
        loop {
            let error = match self.door.ask("runs.start", args.clone()).await {
                Ok(started) => return Ok(Some(started)),
                Err(error) => error,
            };
            let Kind::Limited { wait } = error.kind() else { return Err(error) };
            if wait.is_zero() || wait > PATIENCE {
                return Err(error);
            }
            self.out.remark(&format!("{error}: that is waited for."));
            tokio::select! {
                () = super::interrupted() => return Ok(None),
                () = Clock::system().sleep(wait) => {}
            }
        }
    }

    /// Says that an answer waits, where it is for nobody's approval: that is asked for here.
    async fn tell_of_waiting(&self, thread: &str) -> Result<()> {
        let open = self.door.ask("approvals.of_thread", object(json!({ "thread": thread }))).await?;
        if open.as_array().is_some_and(Vec::is_empty) {
            self.out
                .remark("The answer waits for somebody else: see `loomwork questions`. Ctrl-C calls it off.");
        }
        Ok(())
    }

    /// Asks whether a call may be made, and says so; `false` where nobody answers.
    async fn decide(&mut self, question: &answer::Question) -> Result<bool> {
        let approves = if self.asked.approves_all {
            true
        } else {
            let ask = format!("Allow {}? [y/N] ", question.call);
            match self.lines.next(&ask).await {
                Line::Said(said) => matches!(said.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
                Line::Interrupted => false,
                Line::End => return Ok(false),
            }
        };
        let operation = if approves { "approvals.approve" } else { "approvals.deny" };
        self.door.ask(operation, object(json!({ "approval": question.approval }))).await?;
        Ok(true)
    }

    /// Returns the thread, which is made before the first word.
    async fn thread(&mut self) -> Result<String> {
        if let Some(thread) = &self.thread {
            return Ok(thread.clone());
        }
        let user = self.asked.user.as_deref();
        let args = user.map(|user| object(json!({ "user": user }))).unwrap_or_default();
        let thread = self.door.ask("threads.create", args).await?;
        let id = thread["id"].as_str().unwrap_or_default().to_owned();
        if self.out.is_json {
            self.out.json(&json!({ "type": "thread", "thread": id }));
        } else {
            self.out.remark(&self.out.paint(Style::Dim, &format!("In {id}; `--thread {id}` goes on there.")));
        }
        self.thread = Some(id.clone());
        Ok(id)
    }

    /// Shows what was said in a thread that is continued.
    async fn show_thread(&mut self, thread: &str, is_brief: bool) -> Result<()> {
        let page = self.door.ask("messages.list", object(json!({ "thread": thread }))).await?;
        let last = page["messages"].as_array().and_then(|messages| {
            messages.iter().rev().find_map(|message| message.get("agentName").and_then(Value::as_str))
        });
        let last = last.map(str::to_owned);
        if !is_brief && !self.out.is_json && self.lines.is_asked() {
            super::show::answer(self.out, "messages.list", &page);
        }
        if self.asked.agent.is_none() {
            self.asked.agent = last;
        }
        match self.asked.agent {
            Some(_) => Ok(()),
            None => self.choose_agent().await,
        }
    }

    async fn agents(&self) -> Result<Vec<String>> {
        let agents = self.door.ask("agents.list", Args::new()).await?;
        let names = agents.as_array().into_iter().flatten();
        Ok(names.filter_map(|agent| Some(agent["name"].as_str()?.to_owned())).collect())
    }

    /// Takes the first agent where nobody named one, and says so where there are several.
    async fn choose_agent(&mut self) -> Result<()> {
        if self.asked.agent.is_some() {
            return Ok(());
        }
        let agents = self.agents().await?;
        let Some(first) = agents.first() else {
            return Err(Error::new(Kind::Invalid, "the app has no agent; add one by `Builder::agent`"));
        };
        if agents.len() > 1 && !self.out.is_json {
            let others = agents[1..].join(", ");
            self.out.remark(&format!("You talk to {first}; there are also {others} (`--agent NAME`)."));
        }
        self.asked.agent = Some(first.clone());
        Ok(())
    }

    async fn take_agent(&mut self, name: &str) -> Result<()> {
        let agents = self.agents().await?;
        if !agents.iter().any(|agent| agent == name) {
            let message = format!("there is no agent {name:?}; the app has {}", agents.join(", "));
            return Err(Error::new(Kind::NotFound, message));
        }
        self.asked.agent = Some(name.to_owned());
        Ok(())
    }

    async fn list_agents(&self) -> Result<()> {
        self.agents().await?.iter().for_each(|name| self.out.remark(name));
        Ok(())
    }
}

/// Returns the message of a run in a view, and the number of the turn that a prompt is of.
fn in_view(view: &Value, run: &str, prompt: &str) -> (Option<UiMessage>, Option<u64>) {
    let messages = || view["messages"].as_array().into_iter().flatten();
    let of_run = messages().find(|message| message["runId"] == run && message["role"] == "assistant");
    let order =
        messages().find(|message| message["id"] == prompt).and_then(|message| message["order"].as_u64());
    let read = of_run.and_then(|message| serde_json::from_value(message.clone()).ok());
    (read, order)
}

fn ended_too_soon() -> Error {
    Error::new(Kind::Unavailable, "the app has ended before the answer did; the thread has what came")
}

fn object(value: Value) -> Args {
    match value {
        Value::Object(object) => object,
        _ => Args::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use loomwork_agent::{Agent, Approval, IntoTool as _, ToolPolicy, step_count, tool};
    use loomwork_models::OfflineModel;
    use serde_json::{Value, json};

    use super::super::door::{Door, FileDoor};
    use super::super::exit::Exit;
    use super::super::output::Output;
    use super::super::times::Zone;
    use super::{Asked, chat, object};
    use crate::Builder;
    use crate::builder::Work;

    /// Gives money back.
    #[tool]
    async fn refund(
        /// How much.
        amount: u32,
    ) -> String {
        format!("{amount} crowns were given back.")
    }

    #[tokio::test]
    async fn a_call_that_was_approved_is_made_and_the_answer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let policy = ToolPolicy { needs_approval: Approval::Always, ..ToolPolicy::default() };
        let model = Arc::new(OfflineModel::default().with_pace(Duration::ZERO));
        let support = Agent::new("support", model)
            .tool(refund.into_tool().with_policy(policy))
            .unwrap()
            .stop_when(step_count(3));
        let door = Door::File(Box::new(FileDoor::new(
            path.clone(),
            Builder::at(&path).agent(support),
            Work::All,
            true,
        )));
        let out = Output::new(false, Zone::Utc);
        let asked = Asked {
            prompt: Some("Use refund with amount 7.".to_owned()),
            thread: None,
            agent: None,
            user: Some("ada".to_owned()),
            approves_all: true,
        };
        assert_eq!(chat(&door, &out, asked).await.unwrap(), Exit::Done);

        let threads = door.ask("threads.list", object(json!({ "user": "ada" }))).await.unwrap();
        let page =
            door.ask("messages.list", object(json!({ "thread": threads["items"][0]["id"] }))).await.unwrap();
        let parts = page["messages"][1]["parts"].as_array().unwrap();
        let call = parts.iter().find(|part| part["type"] == "tool-refund" || part["toolName"] == "refund");
        assert_eq!(call.unwrap()["output"], "7 crowns were given back.", "{parts:?}");
        let open = door.ask("approvals.list", object(Value::Null)).await.unwrap();
        assert_eq!(open.as_array().or(open["items"].as_array()).map(Vec::len), Some(0));
        door.close().await.unwrap();
    }
}
