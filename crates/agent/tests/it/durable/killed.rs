//! A process that is killed in the middle of its answers, and the one that comes behind it.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use loomwork_agent::{Agent, StepEnd, Tool, ToolContext, journal, step_count, tables};
use loomwork_messages::{DeltaRow, MessageStatus, Run, RunStatus};
use loomwork_models::{Gate, LanguageModel, MockModel, MockReply};
use loomwork_store::{Store, Table as _};
use loomwork_store_sqlite::Sqlite;
use loomwork_testkit::soon;
use serde_json::json;

use super::house::{END, House};
use crate::desk::text;

/// Where the process that is killed finds its store; without it, a test is the one that kills.
const PLACE: &str = "LOOMWORK_KILLED_IN";

/// What that process says when it may be killed.
const SPEAKS: &str = "it speaks";

const NAME: &str = "durable::killed::a_process_that_is_killed_while_its_models_speak_is_gone_on_for";

async fn open(place: &Path) -> Store {
    let engine = Sqlite::open(place.join("killed.db")).expect("a file");
    Store::builder(engine).tables(tables()).open().await.expect("the store opens")
}

/// An agent whose tool has an effect outside of the store.
fn clerk(place: &Path, replies: impl IntoIterator<Item = MockReply>) -> Agent {
    let effects = place.join("effects");
    let pay = Tool::new("pay", "Pays.", move |_: ToolContext, (): ()| {
        let file = OpenOptions::new().create(true).append(true).open(&effects);
        let paid = file.and_then(|mut file| file.write_all(b"paid\n"));
        async move { paid.map(|()| "paid").map_err(|error| error.to_string()) }
    });
    let model = Arc::new(MockModel::new(replies)) as Arc<dyn LanguageModel>;
    Agent::new("clerk", model).tool(pay).expect("a tool").stop_when(step_count(5))
}

/// What the process does that is killed: it pays, and is cut while its model speaks of it; and it answers in the
/// foreground, and is cut there too.
async fn live(place: &Path) {
    let hangs = Gate::new();
    let pays = MockReply::default().tool_call("1", "pay", json!({}));
    let durable = clerk(place, [pays, text("It is half").gate(&hangs)]);
    let house = House::over(open(place).await).await;
    let process = house.process(&durable).await;
    house.run(&durable, "Pay.").await;
    soon(hangs.reached()).await;
    let speaks = Gate::new();
    let spoken = clerk(place, [text("What I wanted to say").gate(&speaks)]);
    let thread = spoken.in_thread(&process.runtime, house.thread);
    let _stream = thread.stream_text("Speak.").await.expect("it begins");
    soon(speaks.reached()).await;
    let mut stored = house.store.watch(|tx| {
        let said = |delta: &DeltaRow| delta.chunks.get().contains("wanted");
        Ok(tx.scan(DeltaRow::all())?.iter().any(|delta| said(delta)))
    });
    while !soon(stored.next()).await.expect("open").expect("read") {}
    writeln!(std::io::stdout(), "{SPEAKS}").expect("somebody listens");
    std::future::pending::<()>().await;
}

/// Kills this very test, run by another process, when it has come so far.
fn kill_in(place: &Path) {
    let this = std::env::current_exe().expect("a test is a program");
    let mut child = Command::new(this)
        .args(["--exact", NAME, "--nocapture"])
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(child.stdout.take().expect("it is heard"));
    let has_spoken = said.lines().any(|line| line.expect("a line").contains(SPEAKS));
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    assert!(has_spoken, "it ended before it could be killed");
}

#[tokio::test]
async fn a_process_that_is_killed_while_its_models_speak_is_gone_on_for() {
    if let Some(place) = std::env::var_os(PLACE) {
        return live(Path::new(&place)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    kill_in(folder.path());
    let store = open(folder.path()).await;
    let runs = store.query(|tx| tx.scan(Run::all())).await.expect("read");
    let [durable, foreground] = &runs[..] else { panic!("two runs have begun: {runs:?}") };
    assert_eq!((durable.status, durable.steps), (RunStatus::Running, 1));
    let house = House { store, thread: durable.thread };
    let process = house.process(&clerk(folder.path(), [text("It is paid.")])).await;
    assert_eq!(house.ended(durable.id).await, RunStatus::Success);
    assert_eq!(house.ended(foreground.id).await, RunStatus::Aborted);
    let effects = std::fs::read_to_string(folder.path().join("effects")).expect("it has paid");
    assert_eq!(effects, "paid\n", "what has ended is not done again");
    let said = house.said().await;
    let said: Vec<_> =
        said.iter().map(|(order, role, text, status)| (*order, *role, text.as_str(), *status)).collect();
    let (whole, cut) = (MessageStatus::Success, MessageStatus::Aborted);
    let right = [
        (0, "user", "Pay.", whole),
        (0, "assistant", "", whole),
        (0, "tool", "", whole),
        (0, "assistant", "It is paid.", whole),
        (1, "user", "Speak.", whole),
        (1, "assistant", "What I wanted to say", cut),
    ];
    assert_eq!(said, right);
    let run = durable.id;
    let steps = house.store.query(move |tx| journal::steps(tx, run)).await.expect("read");
    let steps: Vec<_> = steps
        .iter()
        .map(|row| (row.step, row.attempt, row.end, row.usage.as_ref().map(|usage| usage.estimated)))
        .collect();
    let right = [
        (0, 1, Some(StepEnd::Success), Some(false)),
        (1, 1, Some(StepEnd::Cut), Some(true)),
        (1, 2, Some(StepEnd::Success), Some(false)),
    ];
    assert_eq!(steps, right, "the attempt that was cut counts, as estimated");
    process.end(END).await;
}
