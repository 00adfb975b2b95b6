//! The world of the simulation: processes, what they have in memory, and what happens to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use loomwork_core::{Clock, ManualClock, Random, Time};
use loomwork_store::{Id, Result, Store, Table as _, Tx};
use loomwork_workpool::{Done, Outcome as JobOutcome};
use serde_json::value::RawValue;

use super::code::{EVENTS, GO, Plan, Trace, WORK, right, takes_events, traces, work};
use crate::cancel::cancel;
use crate::claim::{Put, Taken, claim, park};
use crate::completion::Completions;
use crate::end::{Ending, conclude};
use crate::event::send;
use crate::host::{beat, bury, register};
use crate::journal::{Arrived, Hold, Label, news};
use crate::machine::{Advance, Handler, Machine};
use crate::order::{Mutated, Note, Noted, Order, TxPart, Work, mutate, record, write_down};
use crate::outcome::{Outcome, outcome};
use crate::restart::{From, restart};
use crate::serve::step_ended;
use crate::start::start;
use crate::status::status;
use crate::steps::result;
use crate::tables::{HostRow, State, StepKind, StepRow, StoredOutcome, WorkflowId, WorkflowRow};
use crate::timers::{begin, ring};

/// How many things happen before the world comes to rest.
const EVENTFUL: u64 = 120;

/// How many rounds a world may take to come to rest; a run that has not ended by then never will.
const PATIENCE: usize = 400;

const START: Time = Time::from_millis(1_700_000_000_000);

/// A process that has runs in memory.
struct Process {
    id: Id<HostRow>,
    runs: Vec<Run>,
}

/// A run in memory, with what is under way for it.
struct Run {
    hold: Hold,
    machine: Machine,
    under_way: Vec<UnderWay>,
}

enum UnderWay {
    Notes(Vec<Noted>),
    Mutation(u32, Label, Box<dyn TxPart<Box<RawValue>>>),
    /// An action that has ended, and is not on record yet.
    Acted(u32, Label, StoredOutcome),
    End(Ending),
}

pub(super) struct World {
    seed: u64,
    random: Random,
    store: Store,
    clock: ManualClock,
    handler: Handler,
    processes: Vec<Process>,
    /// Those whose runs others have taken, and who don't know it.
    zombies: Vec<Process>,
    plans: BTreeMap<WorkflowId, Plan>,
    sent: BTreeMap<WorkflowId, Vec<u64>>,
    cancelled: Vec<WorkflowId>,
    happened: Vec<String>,
}

impl World {
    pub(super) async fn open(seed: u64) -> Self {
        let clock = Clock::manual(START);
        let builder = Store::memory().clock(clock.clock()).random(Random::seeded(seed));
        let builder = builder.tables(loomwork_workpool::tables()).tables(crate::tables::tables());
        let store = builder.tables([Trace::table()]).open().await.expect("the store opens");
        let handler: Handler = Arc::new(|flow, input| {
            Box::pin(async move {
                let plan = serde_json::from_str(input.get()).expect("the input is a plan");
                result(&work(flow, plan).await?)
            })
        });
        Self {
            seed,
            random: Random::seeded(!seed),
            store,
            clock,
            handler,
            processes: Vec::new(),
            zombies: Vec::new(),
            plans: BTreeMap::new(),
            sent: BTreeMap::new(),
            cancelled: Vec::new(),
            happened: Vec::new(),
        }
    }

    /// Returns all that happened, with numbers in place of ids.
    pub(super) fn happened(self) -> Vec<String> {
        self.happened
    }

    fn note(&mut self, what: impl Into<String>) {
        self.happened.push(what.into());
    }

    fn told(&self) -> String {
        format!("LOOMWORK_SEED={}\n{}", self.seed, self.happened.join("\n"))
    }

    fn draw(&self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u64) as usize
    }

    async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        match self.store.mutate(change).await {
            Ok(done) => done,
            Err(error) => panic!("a mutation failed: {error}\n{}", self.told()),
        }
    }

    /// Starts a few runs and two processes.
    pub(super) async fn begin(&mut self) {
        for number in 0..3 {
            let plan = match self.draw(5) {
                0 => Plan::Straight(number),
                1 => Plan::Patient { taken: 0, sum: 0 },
                2 => Plan::Wide(number),
                3 => Plan::Endless { taken: 0, sum: 0 },
                _ => Plan::Sorry(number),
            };
            let id = self.commit(move |tx| start(tx, &WORK, plan, ())).await;
            self.note(format!("start {number} {plan:?}"));
            self.plans.insert(id, plan);
        }
        for _ in 0..2 {
            self.join().await;
        }
    }

    async fn join(&mut self) {
        let id = self.commit(register).await;
        self.note("a process joins");
        self.processes.push(Process { id, runs: Vec::new() });
    }

    /// Has many things happen.
    pub(super) async fn stir(&mut self) {
        for _ in 0..EVENTFUL {
            match self.draw(24) {
                0..=2 => self.claim().await,
                3..=8 => self.advance(false),
                9..=13 => self.carry_out(false).await,
                14 | 15 => self.hear(false).await,
                16 => {
                    self.end_job().await;
                }
                17 => self.send().await,
                18 => self.pass().await,
                19 => self.park().await,
                20 => self.crash().await,
                21 => self.bury_alive().await,
                22 => self.late().await,
                _ => self.cancel().await,
            }
        }
    }

    /// Has what is left come to its end, with nothing going wrong any more.
    pub(super) async fn come_to_rest(&mut self) {
        self.note("from here on nothing goes wrong");
        for id in std::mem::take(&mut self.cancelled) {
            if self.draw(2) == 0 {
                self.cancelled.push(id);
                continue;
            }
            self.note("restart");
            self.commit(move |tx| restart(tx, id, From::End)).await;
        }
        if self.processes.is_empty() {
            self.join().await;
        }
        for _ in 0..PATIENCE {
            if self.all_ended().await {
                return;
            }
            for _ in 0..self.plans.len() {
                self.send().await;
            }
            self.claim().await;
            for _ in 0..12 {
                self.advance(true);
                self.carry_out(true).await;
                self.hear(true).await;
                self.late().await;
            }
            while self.end_job().await {}
            self.pass().await;
        }
        let mut left = String::new();
        for id in self.plans.keys().copied().collect::<Vec<_>>() {
            let found = self.commit(move |tx| crate::history::history(tx, id)).await;
            left.push_str(&found.map(|found| found.to_string()).unwrap_or_default());
        }
        panic!("runs never end:\n{left}\n{}", self.told());
    }

    async fn all_ended(&self) -> bool {
        let ids: Vec<_> = self.plans.keys().copied().collect();
        self.commit(move |tx| {
            for id in ids {
                if tx.get(id)?.is_some_and(|row| row.state != State::Ended) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    async fn claim(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let at = self.draw(self.processes.len());
        let host = self.processes[at].id;
        let names: Arc<[&'static str]> = [WORK.name()].into();
        let taken =
            self.commit(move |tx| if beat(tx, host)? { claim(tx, host, &names, 2) } else { Ok(None) });
        let taken = taken.await.unwrap_or_default();
        self.note(format!("process {at} takes {}", taken.len()));
        for Taken { hold, run, input, journal } in taken {
            let input = input.expect("the input is there");
            let machine = Machine::new(&self.handler, &run, input, journal);
            self.processes[at].runs.push(Run { hold, machine, under_way: Vec::new() });
        }
    }

    /// A run that is in the memory of a process, drawn; in turn, when nothing goes wrong any more.
    fn pick(&self) -> Option<(usize, usize)> {
        let all: Vec<_> = self
            .processes
            .iter()
            .enumerate()
            .flat_map(|(at, process)| (0..process.runs.len()).map(move |run| (at, run)))
            .collect();
        if all.is_empty() { None } else { Some(all[self.draw(all.len())]) }
    }

    fn advance(&mut self, all: bool) {
        let picked = if all { self.everyone() } else { self.pick().into_iter().collect() };
        for (at, number) in picked {
            self.go_on(at, number);
        }
    }

    /// Runs the code of a run as far as it comes.
    fn go_on(&mut self, at: usize, number: usize) {
        let run = &mut self.processes[at].runs[number];
        if run.under_way.iter().any(|under_way| matches!(under_way, UnderWay::End(_))) {
            return;
        }
        let advanced = run.machine.advance();
        match advanced {
            Advance::Waiting => run.take_orders(),
            Advance::Ended(ended) => {
                let ending = run.machine.ending(ended);
                run.under_way = vec![UnderWay::End(ending)];
            }
            Advance::Stuck(trouble) => panic!("a run is stuck: {trouble}\n{}", self.told()),
        }
        self.note(format!("process {at} goes on with run {number}"));
    }

    fn everyone(&self) -> Vec<(usize, usize)> {
        let runs = |(at, process): (usize, &Process)| {
            (0..process.runs.len()).map(move |run| (at, run)).collect::<Vec<_>>()
        };
        self.processes.iter().enumerate().flat_map(runs).collect()
    }

    /// Does something that is under way; now and then the process dies before it hears of it.
    async fn carry_out(&mut self, all: bool) {
        let mut picked = if all { self.everyone() } else { self.pick().into_iter().collect() };
        picked.reverse();
        for (at, number) in picked {
            let run = &mut self.processes[at].runs[number];
            if run.under_way.is_empty() {
                continue;
            }
            let which = if all { 0 } else { self.random.below(run.under_way.len() as u64) as usize };
            let under_way = run.under_way.remove(which);
            let (hold, known) = (run.hold, run.machine.known());
            self.note(format!("process {at} records something of run {number}"));
            let answer = self.record(hold, known, under_way).await;
            if !all && self.draw(12) == 0 {
                self.note(format!("process {at} dies before it hears of it"));
                self.kill(at);
                return;
            }
            let run = &mut self.processes[at].runs[number];
            match answer {
                None => {
                    self.processes[at].runs.remove(number);
                }
                Some((arrived, unfit)) => {
                    for (from, name, value) in unfit {
                        run.machine.take_back(from, name, value);
                    }
                    arrived.into_iter().for_each(|arrived| run.machine.arrive(arrived));
                }
            }
        }
    }

    /// Commits something that was under way; `None` when the run is over or another's.
    async fn record(
        &self,
        hold: Hold,
        known: u64,
        under_way: UnderWay,
    ) -> Option<(Vec<Arrived>, Vec<(u32, String, StoredOutcome)>)> {
        match under_way {
            UnderWay::Notes(notes) => {
                let written = self.commit(move |tx| write_down(tx, hold, known, notes)).await;
                written.map(|written| (written.arrived, written.unfit))
            }
            UnderWay::Mutation(number, label, part) => {
                match self.commit(move |tx| mutate(tx, hold, known, (number, &label), part, None)).await {
                    Mutated::Recorded(arrived) => Some((arrived, Vec::new())),
                    Mutated::Lost | Mutated::Again { .. } => None,
                }
            }
            UnderWay::Acted(number, label, outcome) => {
                let recorded =
                    self.commit(move |tx| record(tx, hold, known, (number, &label), START, outcome)).await;
                recorded.map(|arrived| (arrived, Vec::new()))
            }
            UnderWay::End(ending) => {
                self.commit(move |tx| conclude(tx, &Completions::default(), hold, ending)).await;
                None
            }
        }
    }

    async fn hear(&mut self, all: bool) {
        let mut picked = if all { self.everyone() } else { self.pick().into_iter().collect() };
        picked.reverse();
        for (at, number) in picked {
            let run = &self.processes[at].runs[number];
            let (hold, known) = (run.hold, run.machine.known());
            match self.commit(move |tx| news(tx, &hold, known)).await {
                None => {
                    self.note(format!("process {at} has lost run {number}"));
                    self.processes[at].runs.remove(number);
                }
                Some(arrived) => {
                    if !arrived.is_empty() {
                        self.note(format!("process {at} hears {} things of run {number}", arrived.len()));
                    }
                    let run = &mut self.processes[at].runs[number];
                    arrived.into_iter().for_each(|arrived| run.machine.arrive(arrived));
                }
            }
        }
    }

    /// Has a job end, well or not; says whether there was one.
    async fn end_job(&mut self) -> bool {
        let fails = self.draw(4) == 0;
        let draw = self.random.u64();
        let ended = self
            .commit(move |tx| {
                let jobs: Vec<_> = tx
                    .scan(StepRow::all())?
                    .into_iter()
                    .filter(|step| step.kind == StepKind::Job && step.is_pending())
                    .collect();
                let Some(step) = jobs.get((draw % jobs.len().max(1) as u64) as usize) else {
                    return Ok(false);
                };
                let args: u64 = step.args.as_deref().unwrap_or("0").parse().unwrap_or_default();
                let outcome = if fails {
                    JobOutcome::Failed("on purpose".to_owned())
                } else {
                    let doubled = RawValue::from_string((2 * args).to_string()).expect("a number is JSON");
                    JobOutcome::Success(doubled)
                };
                let job = step.job.expect("a pending job has an id");
                let done = Done { job, name: "double".into(), attempts: 1, context: step.id, outcome };
                step_ended(tx, step.id, done)?;
                Ok(true)
            })
            .await;
        if ended {
            self.note("a job ends");
        }
        ended
    }

    /// Sends a run one of its events.
    async fn send(&mut self) {
        let ids: Vec<_> =
            self.plans.iter().filter(|(_, plan)| takes_events(**plan)).map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.draw(ids.len())];
        let number = self.sent.get(&id).map_or(0, Vec::len) as u64;
        if number == EVENTS {
            return;
        }
        let value = 10_u64.pow(number as u32);
        let went = self
            .commit(move |tx| {
                if tx.require(id)?.has_ended() {
                    return Ok(false);
                }
                send(tx, id, GO, &value)?;
                Ok(true)
            })
            .await;
        if went {
            self.note(format!("event {number} is sent"));
            self.sent.entry(id).or_default().push(value);
        }
    }

    async fn pass(&mut self) {
        let seconds = 1 + self.draw(8) as u64;
        self.note(format!("{seconds} seconds pass"));
        self.clock.advance(Duration::from_secs(seconds));
        self.commit(|tx| {
            begin(tx)?;
            ring(tx).map(drop)
        })
        .await;
    }

    async fn park(&mut self) {
        let Some((at, number)) = self.pick() else { return };
        self.go_on(at, number);
        let run = &self.processes[at].runs[number];
        if !run.under_way.is_empty() {
            return;
        }
        let (hold, known) = (run.hold, run.machine.known());
        match self.commit(move |tx| park(tx, hold, known)).await {
            Put::Away | Put::Lost => {
                self.note(format!("process {at} puts run {number} away"));
                self.processes[at].runs.remove(number);
            }
            Put::News(arrived) => {
                let run = &mut self.processes[at].runs[number];
                arrived.into_iter().for_each(|arrived| run.machine.arrive(arrived));
            }
        }
    }

    /// A process is gone with all that it had in memory.
    fn kill(&mut self, at: usize) {
        let process = self.processes.remove(at);
        // Its rows are still its own: somebody has to bury it.
        self.zombies.push(Process { id: process.id, runs: Vec::new() });
    }

    async fn crash(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let at = self.draw(self.processes.len());
        self.note(format!("process {at} dies"));
        self.kill(at);
        self.join().await;
    }

    /// A process stands still for so long that its runs are taken over, and then goes on as if nothing were.
    async fn bury_alive(&mut self) {
        if self.processes.len() < 2 {
            return self.join().await;
        }
        let at = self.draw(self.processes.len());
        let process = self.processes.remove(at);
        self.note(format!("process {at} is taken for dead"));
        let id = process.id;
        while self.commit(move |tx| bury(tx, id)).await {}
        self.zombies.push(process);
    }

    /// What was taken for dead does something after all, and what is dead is buried.
    async fn late(&mut self) {
        let mut zombies = std::mem::take(&mut self.zombies);
        if zombies.is_empty() {
            return;
        }
        let at = self.draw(zombies.len());
        let mut process = zombies.remove(at);
        match process.runs.pop() {
            Some(mut run) => {
                run.machine.advance();
                run.take_orders();
                for under_way in std::mem::take(&mut run.under_way) {
                    self.note("a process that was taken for dead records something");
                    let (hold, known) = (run.hold, run.machine.known());
                    if self.record(hold, known, under_way).await.is_some() {
                        panic!("a run was written by a process that had lost it\n{}", self.told());
                    }
                }
                zombies.push(process);
            }
            None => {
                let id = process.id;
                while self.commit(move |tx| bury(tx, id)).await {}
            }
        }
        self.zombies = zombies;
    }

    async fn cancel(&mut self) {
        if self.draw(6) != 0 {
            return;
        }
        let ids: Vec<_> = self.plans.keys().copied().collect();
        let id = ids[self.draw(ids.len())];
        if self.commit(move |tx| cancel(tx, id)).await {
            self.note("a run is cancelled");
            self.cancelled.push(id);
        }
    }

    /// Checks that each run ended as it should, and that all it did was done once.
    pub(super) async fn check(self) {
        for (id, plan) in &self.plans {
            let (id, plan) = (*id, *plan);
            let (ended, left) = self
                .commit(move |tx| {
                    let left = tx.scan(Trace::by_text.all())?;
                    let own = format!("{id} ");
                    let left: Vec<_> = left.into_iter().filter(|row| row.text.starts_with(&own)).collect();
                    let left: Vec<_> = left.into_iter().map(|row| row.record.text).collect();
                    Ok((outcome(tx, &WORK, id)?, left))
                })
                .await;
            let mut once = left.clone();
            once.dedup();
            assert_eq!(once, left, "a mutation took effect twice\n{}", self.told());
            if self.cancelled.contains(&id) {
                assert_eq!(ended, Some(Outcome::Cancelled), "{plan:?}\n{}", self.told());
                continue;
            }
            let events = self.sent.get(&id).cloned().unwrap_or_default();
            assert_eq!(ended, Some(Outcome::Success(right(plan, &events))), "{plan:?}\n{}", self.told());
            assert_eq!(left.len(), traces(plan), "{plan:?} left {left:?}\n{}", self.told());
            let still = self.commit(move |tx| Ok(status(tx, id)?.map(|status| status.running.len()))).await;
            assert_eq!(still, Some(0), "an ended run waits for nothing\n{}", self.told());
        }
        let open = self.commit(|tx| tx.count(WorkflowRow::open.all())).await;
        let report = self.store.check().await.expect("the store is checked");
        assert!(report.is_clean(), "{report:?}\n{}", self.told());
        assert_eq!(open, 0, "no child is left\n{}", self.told());
    }
}

impl Run {
    /// Takes what the code has ordered; actions are run at once, and recorded later.
    fn take_orders(&mut self) {
        let mut notes = Vec::new();
        for Order { number, label, work } in self.machine.orders() {
            match work {
                Work::Note(Note::Patch) => {}
                Work::Note(note) => notes.push((number, label, note)),
                Work::Mutation { part, .. } => self.under_way.push(UnderWay::Mutation(number, label, part)),
                Work::Effect { mut run, .. } => {
                    let acted = run().now_or_never().expect("the actions here never wait");
                    let outcome = StoredOutcome::Success(acted.expect("the actions here succeed"));
                    self.under_way.push(UnderWay::Acted(number, label, outcome));
                }
            }
        }
        if !notes.is_empty() {
            self.under_way.push(UnderWay::Notes(notes));
        }
    }
}
