//! Long threads that are kept short.

use std::sync::Arc;

use loomwork_agent::context::{ContextOptions, Origin};
use loomwork_agent::{
    Agent, AgentThread, Compaction, CompactionLimits, Options, Runtime, StepEnd, ToSummarise, UsageKind,
    compaction, journal,
};
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{
    List, MessagePatch, MessageRow, MessageStatus, NewMessage, Place, Save, Summary, ThreadId, delete, list,
    save, summaries, update,
};
use loomwork_models::{Error, ErrorKind, Gate, LanguageModel, Message, MockModel, MockReply, Request, Usage};
use loomwork_store::{Memory, MemoryOptions, Result, Row, Tx};
use loomwork_store_sqlite::Sqlite;
use loomwork_testkit::{GUARD, soon};
use loomwork_workpool::{Workpool, cancel, status};
use tempfile::TempDir;

use super::desk::text;
use super::ledger::Heard;

/// Where the rows are.
enum Bed {
    Memory(Memory),
    File(TempDir),
}

impl Bed {
    fn both() -> [Self; 2] {
        [Self::Memory(Memory::new()), Self::file()]
    }

    fn file() -> Self {
        Self::File(tempfile::tempdir().expect("a folder"))
    }

    async fn runtime(&self) -> Runtime {
        let opened = match self {
            Self::Memory(memory) => Runtime::over(memory.clone()).await,
            Self::File(folder) => {
                Runtime::over(Sqlite::open(folder.path().join("house.db")).expect("a file")).await
            }
        };
        opened.expect("a store opens")
    }
}

/// A process that answers, and keeps threads short.
struct House {
    runtime: Runtime,
    compaction: Compaction,
    /// What the pool runs is dropped with it.
    pool: Workpool,
}

impl House {
    async fn over(bed: &Bed, compaction: Compaction) -> Self {
        let runtime = bed.runtime().await;
        let pool = compaction.bind(Workpool::builder(runtime.store()), &runtime).start().await;
        Self { runtime, compaction, pool: pool.expect("a pool starts") }
    }

    /// The process is gone.
    async fn dies(self) {
        self.runtime.store().close().await;
        drop(self.pool);
    }

    async fn ends(self) {
        self.pool.shutdown(GUARD).await.expect("the pool ends");
        self.runtime.shutdown(GUARD).await.expect("the runtime ends");
        self.runtime.store().close().await;
    }

    fn agent(&self, model: &Arc<MockModel>) -> Agent {
        Agent::new("support", model.clone() as Arc<dyn LanguageModel>).compaction(self.compaction.clone())
    }

    async fn thread(&self) -> ThreadId {
        self.commit(|tx| Ok(threads::create(tx, NewThread::for_user("alice"))?.id)).await
    }

    async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        self.runtime.store().mutate(change).await.expect("the mutation commits")
    }

    async fn read<T: Send + 'static>(&self, query: impl Fn(&Tx) -> Result<T> + Send + Sync + 'static) -> T {
        self.runtime.store().query(query).await.expect("the query succeeds")
    }

    /// Saves turns of a question and an answer, and returns the questions.
    async fn talk(&self, thread: ThreadId, turns: std::ops::Range<usize>) -> Vec<Row<MessageRow>> {
        let said = turns.flat_map(|n| [Message::user(format!("q{n}")), Message::assistant(format!("a{n}"))]);
        let said = Save::all(said.collect::<Vec<_>>());
        let rows = self.commit(move |tx| save(tx, thread, said)).await;
        rows.into_iter().step_by(2).collect()
    }

    async fn start(&self, thread: ThreadId) -> loomwork_workpool::JobId {
        let compaction = self.compaction.clone();
        self.commit(move |tx| compaction::start(tx, &compaction, thread)).await
    }

    /// Waits until no job of a thread waits or runs.
    async fn rests(&self, thread: ThreadId) {
        let mut states = self.runtime.store().watch(move |tx| compaction::state(tx, thread));
        while soon(states.next()).await.expect("open").expect("read").job.is_some() {}
    }

    async fn summary(&self, thread: ThreadId) -> Option<Row<Summary>> {
        self.read(move |tx| summaries::newest(tx, thread, None)).await
    }

    /// Returns the last turn that each summary of a thread covers, and its text.
    async fn summaries(&self, thread: ThreadId) -> Vec<(u64, String)> {
        let rows = self.read(move |tx| summaries::list(tx, thread)).await;
        rows.into_iter().map(|row| (row.to, row.text.clone())).collect()
    }
}

/// Ten turns are enough to have five of them summarised.
const SHORT: CompactionLimits = CompactionLimits {
    keep_turns: 5,
    above_tokens: 1_000_000,
    above_turns: 4,
    max_input: 30_000,
    max_output: 500,
};

/// Remembers facts and forgets all else.
fn facts() -> Compaction {
    let write = |what: ToSummarise| async move {
        let facts = what.text.lines().filter(|line| line.contains("fact:"));
        let earlier =
            what.earlier.iter().flat_map(|earlier| earlier.lines()).filter(|line| line.contains("fact:"));
        let lines: Vec<_> = earlier.chain(facts).collect();
        Ok(format!("of turns up to {}\n{}", what.turns.last().map_or(0, |turn| turn.order), lines.join("\n")))
    };
    Compaction::by("facts", write).limits(SHORT)
}

fn by_model(model: &Arc<MockModel>, heard: &Heard) -> Compaction {
    Compaction::new("summaries", model.clone() as Arc<dyn LanguageModel>)
        .limits(SHORT)
        .on_usage(heard.handler())
}

fn told(request: &Request) -> String {
    request.messages.iter().map(Message::text).collect::<Vec<_>>().join("\n")
}

/// Returns how each call of the summariser ended, and how many tokens were told of it.
fn ends(heard: &Heard) -> Vec<(StepEnd, u64)> {
    heard.events().iter().map(|event| (event.end, event.usage.total())).collect()
}

#[tokio::test]
async fn five_hundred_turns_make_a_context_of_one_size_that_has_a_fact_of_the_third() {
    for bed in Bed::both() {
        let house = House::over(&bed, facts()).await;
        let model = Arc::new(MockModel::always(text("I see.")));
        let thread = house.agent(&model).create_thread(&house.runtime, NewThread::for_user("alice")).await;
        let thread = thread.expect("a thread");
        // A file takes its time for each answer, so most of its turns are saved at once.
        let saved = if matches!(bed, Bed::File(_)) { 5..480 } else { 0..0 };
        for turn in 0..500 {
            let said =
                if turn == 3 { "fact: my cat is called Ada".to_owned() } else { format!("question {turn}") };
            if turn == saved.start && !saved.is_empty() {
                house.talk(thread.id(), saved.clone()).await;
            }
            if saved.contains(&turn) {
                continue;
            }
            thread.generate_text(said).await.expect("an answer");
            house.rests(thread.id()).await;
        }
        let requests = model.requests();
        let last = requests.last().expect("it was asked");
        assert!(told(last).contains("fact: my cat is called Ada"), "{}", told(last));
        assert!(told(last).contains("question 499") && !told(last).contains("question 480\n"));
        let sizes: Vec<_> = requests.iter().rev().take(15).map(|request| request.messages.len()).collect();
        // The summary, so many turns of two, and the question.
        let most = 1 + 2 * (SHORT.keep_turns + SHORT.above_turns + 1) + 1;
        assert!(sizes.iter().all(|size| *size <= most), "{sizes:?}");
        house.ends().await;
    }
}

#[tokio::test]
async fn a_model_folds_the_last_summary_into_the_next_and_what_it_used_is_told_once() {
    for bed in Bed::both() {
        let (model, heard) =
            (Arc::new(MockModel::new([text("They greet."), text("They greet and part.")])), Heard::default());
        let house = House::over(&bed, by_model(&model, &heard)).await;
        let thread = house.thread().await;
        house.talk(thread, 0..10).await;
        let job = house.start(thread).await;
        house.rests(thread).await;
        house.talk(thread, 10..12).await;
        house.start(thread).await;
        house.rests(thread).await;
        let summary = house.summary(thread).await.expect("there is one");
        assert_eq!((summary.from, summary.to, summary.text.as_str()), (0, 6, "They greet and part."));
        assert_eq!(summary.author, "mock");
        let asked = model.requests();
        assert!(told(&asked[0]).contains("user: q0\nassistant: a0\n") && !told(&asked[0]).contains("q5"));
        let second = told(&asked[1]);
        assert!(second.contains("<memory>\nThey greet.\n</memory>"), "{second}");
        assert!(second.contains("user: q5\nassistant: a5\nuser: q6") && !second.contains("q4"), "{second}");
        assert_eq!(asked[1].settings.max_output_tokens, Some(500));
        assert_eq!(ends(&heard), [(StepEnd::Success, 13), (StepEnd::Success, 13)]);
        let event = heard.events().remove(0);
        assert_eq!((event.kind, event.agent.as_str()), (UsageKind::Summary, "summaries"));
        assert_eq!((event.thread, event.user.as_deref()), (Some(thread), Some("alice")));
        assert_eq!((event.run, event.model.as_str()), (compaction::run_of(job), "mock"));
        let steps = house.read(move |tx| journal::steps(tx, compaction::run_of(job))).await;
        assert_eq!(
            steps.iter().map(|step| (step.kind, step.end)).collect::<Vec<_>>(),
            [(UsageKind::Summary, Some(StepEnd::Success))]
        );
        house.ends().await;
    }
}

#[tokio::test]
async fn a_context_has_the_summary_in_the_place_of_its_turns_and_a_dry_run_shows_it() {
    let house = House::over(&Bed::Memory(Memory::new()), facts()).await;
    let thread = house.thread().await;
    let rows = house.talk(thread, 0..10).await;
    house.start(thread).await;
    house.rests(thread).await;
    let model = Arc::new(MockModel::always(text("I see.")));
    let support = house.agent(&model).in_thread(&house.runtime, thread);
    let shown = support.dry_run("And now?", Options::default()).await.expect("it is shown");
    let summary = house.summary(thread).await.expect("there is one");
    let pieces = &shown.context.pieces;
    assert_eq!(pieces[0].origin, Origin::Summary { summary: summary.id, first: 0, last: 4 });
    assert!(pieces[0].message.text().contains("of turns up to 4"));
    assert_eq!(pieces[1].message.text(), "q5");
    assert_eq!(pieces.len(), 1 + 10 + 1);
    assert!(shown.to_string().contains("summary"), "{shown}");
    // What was said long ago is answered with what was known then.
    let old = rows[3].id;
    let asked = loomwork_agent::context::Asked::answering(thread, old);
    let then = house.read(move |tx| loomwork_agent::context::fetch_context(tx, &asked)).await;
    assert!(then.pieces.iter().all(|piece| !matches!(piece.origin, Origin::Summary { .. })));
    for context in [
        ContextOptions { summary: false.into(), ..ContextOptions::default() },
        ContextOptions { recent: 0.into(), ..ContextOptions::default() },
    ] {
        let without = Options { context, ..Options::default() };
        let shown = support.dry_run("And now?", without).await.expect("it is shown");
        assert!(shown.context.pieces.iter().all(|piece| !matches!(piece.origin, Origin::Summary { .. })));
    }
}

#[tokio::test]
async fn nothing_is_summarised_where_nobody_says_so_or_the_limits_are_not_reached() {
    let house = House::over(&Bed::Memory(Memory::new()), facts()).await;
    let model = Arc::new(MockModel::always(text("I see.")));
    let thread = house.thread().await;
    house.talk(thread, 0..50).await;
    let plain =
        Agent::new("plain", model.clone() as Arc<dyn LanguageModel>).in_thread(&house.runtime, thread);
    plain.generate_text("Hello.").await.expect("an answer");
    let short = house.thread().await;
    house.talk(short, 0..9).await;
    let support = house.agent(&model).in_thread(&house.runtime, short);
    support.generate_text("Hello.").await.expect("an answer");
    for thread in [thread, short] {
        let state = house.read(move |tx| compaction::state(tx, thread)).await;
        assert_eq!((state.summary, state.job), (None, None));
    }
    support.generate_text("One more.").await.expect("an answer");
    house.rests(short).await;
    // The job may begin before the prompt's turn is there.
    let covered = house.summary(short).await.map(|summary| summary.to);
    assert!(matches!(covered, Some(4 | 5)), "{covered:?}");
}

#[tokio::test]
async fn many_tokens_are_reason_enough_and_so_are_turns_that_fall_out_of_the_window() {
    let many = CompactionLimits { above_tokens: 100, above_turns: 1_000, ..SHORT };
    let none = CompactionLimits { above_turns: 1_000, ..SHORT };
    let narrow = ContextOptions { recent: 12.into(), ..ContextOptions::default() };
    for (limits, context) in [(many, ContextOptions::default()), (none, narrow)] {
        let house = House::over(&Bed::Memory(Memory::new()), facts().limits(limits)).await;
        let thread = house.thread().await;
        house.talk(thread, 0..20).await;
        let model = Arc::new(MockModel::always(text("I see.")));
        let support = house.agent(&model).in_thread(&house.runtime, thread);
        let options = Options { context, ..Options::default() };
        support.generate_text_with("Hello.", options).await.expect("an answer");
        house.rests(thread).await;
        // The job may begin before the prompt's turn is there.
        let covered = house.summary(thread).await.map(|summary| summary.to);
        assert!(matches!(covered, Some(14 | 15)), "{covered:?}");
    }
}

#[tokio::test]
async fn a_long_thread_is_read_in_stretches_and_a_turn_that_is_not_complete_is_left_for_later() {
    let limits = CompactionLimits { max_input: 20, ..SHORT };
    let house = House::over(&Bed::Memory(Memory::new()), facts().limits(limits)).await;
    let thread = house.thread().await;
    let rows = house.talk(thread, 0..12).await;
    let late = NewMessage { status: MessageStatus::Pending, ..NewMessage::from(Message::assistant("")) };
    let place = Place::Reply(rows[5].id);
    let pending = house.commit(move |tx| save(tx, thread, Save::all([late]).at(place))).await[0].id;
    house.start(thread).await;
    house.rests(thread).await;
    let covered: Vec<_> = house.summaries(thread).await.into_iter().map(|(to, _)| to).collect();
    assert!(covered.len() > 1 && covered.last() == Some(&4), "{covered:?}");
    let done = MessagePatch { status: Some(MessageStatus::Success), ..MessagePatch::default() };
    house.commit(move |tx| update(tx, pending, done)).await;
    house.start(thread).await;
    house.rests(thread).await;
    assert_eq!(house.summary(thread).await.map(|summary| summary.to), Some(6));
}

#[tokio::test]
async fn what_changes_while_the_model_writes_is_read_again_and_both_calls_are_told() {
    for bed in Bed::both() {
        let (gate, heard) = (Gate::new(), Heard::default());
        let model = Arc::new(MockModel::new([MockReply::default().gate(&gate).text("Old."), text("New.")]));
        let house = House::over(&bed, by_model(&model, &heard)).await;
        let thread = house.thread().await;
        let rows = house.talk(thread, 0..10).await;
        house.start(thread).await;
        soon(gate.reached()).await;
        let (edited, deleted) = (rows[1].id, rows[2].id);
        let message = Some(Message::user("something else"));
        house
            .commit(move |tx| {
                update(tx, edited, MessagePatch { message, ..MessagePatch::default() })?;
                delete(tx, &[deleted])
            })
            .await;
        gate.open();
        house.rests(thread).await;
        assert_eq!(house.summaries(thread).await, [(4, "New.".to_owned())]);
        let asked = told(&model.requests()[1]);
        assert!(asked.contains("something else") && !asked.contains("user: q2"), "{asked}");
        assert_eq!(ends(&heard).len(), 2);
        house.ends().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_while_the_model_writes_leaves_one_summary_to_the_next() {
    let (bed, heard) = (Bed::file(), Heard::default());
    let model = Arc::new(MockModel::new([MockReply::default().hang(), text("They greet.")]));
    let house = House::over(&bed, by_model(&model, &heard)).await;
    let thread = house.thread().await;
    house.talk(thread, 0..10).await;
    house.start(thread).await;
    let mut steps = house.runtime.store().watch(move |tx| Ok(compaction::state(tx, thread)?.job));
    while soon(steps.next()).await.expect("open").expect("read").is_none_or(|job| job.started.is_none()) {}
    while model.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    house.dies().await;
    let house = House::over(&bed, by_model(&model, &heard)).await;
    house.rests(thread).await;
    assert_eq!(house.summaries(thread).await, [(4, "They greet.".to_owned())]);
    let mut waiting = house.runtime.store().watch(|tx| Ok(loomwork_agent::outbox::waiting(tx, 1)?.len()));
    while heard.events().len() < 2 {
        soon(waiting.next()).await.expect("open").expect("read");
    }
    let mut ends = ends(&heard);
    ends.sort_by_key(|(end, _)| *end == StepEnd::Success);
    assert_eq!((ends[0].0, ends[1]), (StepEnd::Cut, (StepEnd::Success, 13)));
    assert!(ends[0].1 > 0, "what the dead call was sent is counted as estimated");
    house.ends().await;
}

#[tokio::test]
async fn of_two_processes_that_write_at_once_one_keeps_its_summary() {
    let memory = Memory::with(MemoryOptions { shared: true, ..MemoryOptions::default() });
    let bed = Bed::Memory(memory);
    let (gate, other_gate) = (Gate::new(), Gate::new());
    let (heard, other_heard) = (Heard::default(), Heard::default());
    let model = Arc::new(MockModel::new([MockReply::default().gate(&gate).text("One.")]));
    let other_model = Arc::new(MockModel::new([MockReply::default().gate(&other_gate).text("Two.")]));
    let house = House::over(&bed, by_model(&model, &heard)).await;
    let thread = house.thread().await;
    house.talk(thread, 0..10).await;
    house.start(thread).await;
    soon(gate.reached()).await;
    // A compaction of another name has jobs of its own.
    let named = Compaction::new("others", other_model.clone() as Arc<dyn LanguageModel>);
    let other = House::over(&bed, named.limits(SHORT).on_usage(other_heard.handler())).await;
    other.start(thread).await;
    soon(other_gate.reached()).await;
    gate.open();
    other_gate.open();
    house.rests(thread).await;
    while heard.events().is_empty() || other_heard.events().is_empty() {
        tokio::task::yield_now().await;
    }
    let summaries = house.summaries(thread).await;
    assert!(summaries.len() == 1 && ["One.", "Two."].contains(&summaries[0].1.as_str()), "{summaries:?}");
    assert_eq!((ends(&heard).len(), ends(&other_heard).len()), (1, 1), "both were paid");
    house.ends().await;
    other.ends().await;
}

#[tokio::test]
async fn a_thread_that_is_deleted_while_the_model_writes_gets_no_summary_and_the_call_is_told() {
    for bed in Bed::both() {
        let (gate, heard) = (Gate::new(), Heard::default());
        let model = Arc::new(MockModel::new([MockReply::default().gate(&gate).text("Late.")]));
        let house = House::over(&bed, by_model(&model, &heard)).await;
        let thread = house.thread().await;
        house.talk(thread, 0..10).await;
        house.start(thread).await;
        soon(gate.reached()).await;
        house.commit(move |tx| threads::delete(tx, thread)).await;
        gate.open();
        house.rests(thread).await;
        assert_eq!(house.summaries(thread).await, []);
        assert_eq!(ends(&heard), [(StepEnd::Success, 13)]);
        assert_eq!(model.requests().len(), 1);
        house.ends().await;
    }
}

#[tokio::test]
async fn a_call_that_fails_is_tried_again_and_one_that_is_called_off_is_told_too() {
    let heard = Heard::default();
    let busy = Error::new(ErrorKind::Overloaded, "mock", "mock", "try later");
    let failing = MockReply::default().text("They gr").fail(busy);
    let model = Arc::new(MockModel::new([failing, text("They greet."), MockReply::default().hang()]));
    let house = House::over(&Bed::Memory(Memory::new()), by_model(&model, &heard)).await;
    let thread = house.thread().await;
    house.talk(thread, 0..10).await;
    house.start(thread).await;
    house.rests(thread).await;
    assert_eq!(house.summaries(thread).await, [(4, "They greet.".to_owned())]);
    house.talk(thread, 10..12).await;
    let job = house.start(thread).await;
    while model.requests().len() < 3 {
        tokio::task::yield_now().await;
    }
    house.commit(move |tx| cancel(tx, job)).await;
    house.rests(thread).await;
    while heard.events().len() < 3 {
        tokio::task::yield_now().await;
    }
    let ends = ends(&heard);
    assert_eq!(
        ends.iter().map(|(end, _)| *end).collect::<Vec<_>>(),
        [StepEnd::Failed, StepEnd::Success, StepEnd::Aborted]
    );
    assert!(ends[0].1 > 0 && ends[2].1 > 0, "{ends:?}");
    let ended = house.read(move |tx| status(tx, job)).await.expect("it is kept for a while");
    assert!(ended.finished.is_some());
}

#[tokio::test]
async fn a_function_may_say_what_it_used_and_a_summary_of_nothing_is_a_failure() {
    let heard = Heard::default();
    let write = |what: ToSummarise| async move {
        assert_eq!(what.earlier, None);
        let used = Usage { input_fresh: 7, ..Usage::default() };
        Ok(loomwork_agent::Summarised {
            text: what.text.lines().next().unwrap_or_default().to_owned(),
            usage: used,
        })
    };
    let house = House::over(
        &Bed::Memory(Memory::new()),
        Compaction::by("first lines", write).limits(SHORT).on_usage(heard.handler()),
    )
    .await;
    let thread = house.thread().await;
    house.talk(thread, 0..10).await;
    house.start(thread).await;
    house.rests(thread).await;
    assert_eq!(house.summaries(thread).await, [(4, "user: q0".to_owned())]);
    let event = heard.events().remove(0);
    assert_eq!((event.provider.as_str(), event.model.as_str()), (compaction::FUNCTION, "first lines"));
    assert_eq!(event.usage.total(), 7);
}

#[tokio::test]
async fn turns_stay_in_the_thread_and_an_edited_one_is_told_anew() {
    let house = House::over(&Bed::Memory(Memory::new()), facts()).await;
    let model = Arc::new(MockModel::always(text("I see.")));
    let thread = house.thread().await;
    let fact = [Message::user("fact: the cat is called Ada"), Message::assistant("I see.")];
    let fact = house.commit(move |tx| save(tx, thread, Save::all(fact))).await[0].id;
    house.talk(thread, 1..10).await;
    house.start(thread).await;
    house.rests(thread).await;
    let message = Some(Message::user("fact: the cat is called Grace"));
    house.commit(move |tx| update(tx, fact, MessagePatch { message, ..MessagePatch::default() })).await;
    assert_eq!(house.summary(thread).await, None, "it is gone with the edit");
    let support: AgentThread = house.agent(&model).in_thread(&house.runtime, thread);
    support.generate_text("What is its name?").await.expect("an answer");
    house.rests(thread).await;
    support.generate_text("Are you sure?").await.expect("an answer");
    let last = told(model.requests().last().expect("it was asked"));
    assert!(last.contains("Grace") && !last.contains("Ada") && last.contains("<summary>"), "{last}");
    let all = house.read(move |tx| list(tx, thread, &List::oldest(100))).await;
    assert_eq!(all.messages.len(), 24);
}
