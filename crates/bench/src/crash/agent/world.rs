//! What the processes run: an agent that calls its tool five times and has the last word then, and whoever summarises
//! a thread that grows all the time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use loomwork_agent::durable::{AGENT_POOL, AGENT_POOL_PARALLEL, Registry, StartOptions, start};
use loomwork_agent::{
    Agent, BoxError, Compaction, CompactionLimits, OnUsage, Runtime, Summarised, ToSummarise, Tool,
    ToolContext, compaction, step_count, tables,
};
use loomwork_core::Clock;
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{Save, ThreadId, save};
use loomwork_models::{
    LanguageModel, Message, MockModel, MockReply, ModelName, ReplyStream, Request, Role, Usage,
};
use loomwork_store::{Store, Table, Tx};
use loomwork_store_sqlite::Sqlite;
use loomwork_workpool::{PoolOptions, Workpool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::word::Word;

/// How many steps each run has.
pub(super) const STEPS: u32 = 6;

const AGENT: &str = "weaver";

const SUMMARIES: &str = "crash summaries";

/// How many turns of the long thread are in no summary.
pub(super) const KEPT_TURNS: usize = 3;

/// How many tokens of turns one summary takes in: a few turns.
const SUMMARY_TOKENS: u64 = 60;

/// How fast the model speaks: its answers are long enough to be cut.
const PACE: Duration = Duration::from_millis(2);

/// How long the tool works, before and behind its effect.
const WORK: Duration = Duration::from_millis(4);

/// A run, by the number that all its texts have.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "crash_orders", id = "order")]
#[index(unique by_number(number))]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) thread: ThreadId,
}

/// A line of the ledger that the usage handler writes. Two of one key would be one too many.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "crash_bills", id = "bill")]
#[index(by_key(key))]
pub(super) struct Bill {
    pub(super) key: String,
    pub(super) tokens: u64,
    pub(super) estimated: bool,
}

/// The long thread, of which there is one.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "crash_talks", id = "talk")]
pub(super) struct Talk {
    pub(super) thread: ThreadId,
}

pub(super) async fn open(place: &Path) -> Result<Store> {
    let tables = tables().into_iter().chain([Order::table(), Bill::table(), Talk::table()]);
    Ok(Store::builder(Sqlite::open(place.join("agents.db"))?).tables(tables).open().await?)
}

/// Starts a run, in a thread of its own.
pub(super) fn begin(tx: &mut Tx, number: u64) -> loomwork_store::Result<()> {
    let thread = create(tx, NewThread::for_user("ada"))?.id;
    tx.insert(Order { number, thread })?;
    start(tx, AGENT, thread, format!("{number}"), StartOptions::default()).map(drop)
}

/// Says a turn of the long thread, and has its oldest ones summarised.
pub(super) fn say_turn(tx: &mut Tx) -> loomwork_store::Result<()> {
    let thread = match tx.first(Talk::all())? {
        Some(talk) => talk.thread,
        None => {
            let thread = create(tx, NewThread::for_user("ada"))?.id;
            tx.insert(Talk { thread })?;
            thread
        }
    };
    let turn = [Message::user("What comes next?"), Message::assistant("A turn that will be summarised.")];
    save(tx, thread, Save::all(turn))?;
    summarise(tx, thread)
}

/// Has the long thread summarised up to the turns that are kept.
pub(super) fn summarise(tx: &mut Tx, thread: ThreadId) -> loomwork_store::Result<()> {
    compaction::start(tx, &summaries(&Clock::system()), thread).map(drop)
}

/// Whoever summarises the long thread: a summary names all turns that are in it.
fn summaries(clock: &Clock) -> Compaction {
    let clock = clock.clone();
    let limits =
        CompactionLimits { keep_turns: KEPT_TURNS, max_input: SUMMARY_TOKENS, ..CompactionLimits::default() };
    let write = move |what: ToSummarise| {
        let clock = clock.clone();
        async move {
            clock.sleep(WORK).await;
            let input_fresh = what.turns.len() as u64;
            let turns = what.turns.iter().map(|turn| turn.order.to_string());
            let text = what.earlier.into_iter().chain(turns).collect::<Vec<_>>().join(" ");
            Ok::<_, BoxError>(Summarised { text, usage: Usage { input_fresh, ..Usage::default() } })
        }
    };
    Compaction::by(SUMMARIES, write).limits(limits)
}

/// Makes the runs and the summaries of a store.
pub(super) async fn run(
    store: &Store,
    say: impl Fn(Word) + Clone + Send + Sync + 'static,
) -> Result<(Runtime, Workpool)> {
    let runtime = Runtime::start(store).await?;
    let bill = OnUsage::new("bill", |tx, event| {
        let (key, tokens, estimated) = (event.key.clone(), event.usage.total(), event.usage.estimated);
        tx.insert(Bill { key, tokens, estimated }).map(drop)
    });
    let runtime = runtime.with_handlers([bill.clone().into()]);
    let clock = store.clock().clone();
    let note = Tool::new("note", "Writes a step down.", move |_: ToolContext, args: Note| {
        let (say, clock) = (say.clone(), clock.clone());
        async move {
            clock.sleep(WORK).await;
            say(Word::Did { number: args.number, step: args.step });
            clock.sleep(WORK).await;
            Ok::<_, BoxError>(noted(args.number, args.step))
        }
    });
    let weaver = Agent::new(AGENT, Arc::new(Weaver::new()) as Arc<dyn LanguageModel>).tool(note)?;
    let weaver = weaver.stop_when(step_count(STEPS as usize)).on_usage(bill.clone());
    let builder = Workpool::builder(store).pool(AGENT_POOL, PoolOptions::from(AGENT_POOL_PARALLEL));
    let builder = summaries(store.clock()).on_usage(bill).bind(builder, &runtime);
    let pool = Registry::new().agent(weaver)?.bind(&runtime, builder).start().await?;
    Ok((runtime, pool))
}

/// The arguments of the tool.
#[derive(Deserialize, JsonSchema)]
struct Note {
    number: u64,
    step: u32,
}

/// What the tool answers.
pub(super) fn noted(number: u64, step: u32) -> String {
    format!("step {step} of {number} is noted")
}

/// What the model says in a step, besides its call.
pub(super) fn says(number: u64, step: u32) -> String {
    format!("In step {step} of {number} the weaver says a few words that take their time. ")
}

pub(super) fn call_id(step: u32) -> String {
    format!("call-{step}")
}

/// A model whose answer follows from what it is sent: any process goes on with any run.
#[derive(Debug)]
struct Weaver {
    name: ModelName,
}

impl Weaver {
    fn new() -> Self {
        Self { name: ModelName::new("crash", "weaver") }
    }
}

#[async_trait]
impl LanguageModel for Weaver {
    fn name(&self) -> &ModelName {
        &self.name
    }

    async fn stream(&self, request: Request) -> loomwork_models::Result<ReplyStream> {
        let prompt = request.messages.iter().rfind(|message| message.role == Role::User);
        let number: u64 = prompt.and_then(|prompt| prompt.text().parse().ok()).unwrap_or_default();
        let results = request.messages.iter().map(|message| message.tool_results().count()).sum::<usize>();
        let step = u32::try_from(results).unwrap_or(u32::MAX);
        let reply = MockReply::default().text(says(number, step)).with_pace(PACE);
        let reply = if step + 1 < STEPS {
            reply.tool_call(call_id(step), "note", json!({ "number": number, "step": step }))
        } else {
            reply
        };
        MockModel::new([reply]).with_name("crash", "weaver").stream(request).await
    }
}
