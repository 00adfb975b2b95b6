//! The world of the simulation: processes, what they have in memory, and what goes on in it by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use loomwork_core::{Clock, ManualClock, Random, Time};
use loomwork_store::{Result, Store, Table as _, Tx};
use loomwork_workpool::{Done, Outcome as JobOutcome};
use serde_json::value::RawValue;

use super::code::Run as CodeRun;
use super::code::{EVENTS, GO, Heard, Plan, TOLD, Trace, WORK, takes_events, work};
use super::process::{Process, Run, UnderWay};
use crate::blocked::unblock;
use crate::claim::{Taken, claim};
use crate::clean::{clean_up, sweep};
use crate::completion::{Completions, tell_due};
use crate::end::conclude;
use crate::event::send;
use crate::forgetting::forget_next;
use crate::host::{beat, register};
use crate::journal::{Arrived, Hold, Place, news};
use crate::machine::{Handler, Machine};
use crate::options::Options;
use crate::order::{Mutated, begin_once, mutate, record, withdrawn, write_down};
use crate::outbox::Outbox;
use crate::outcome;
use crate::serve::step_ended;
use crate::start::start;
use crate::steps::result;
use crate::tables::{State, StepKind, StepRow, WorkflowId, WorkflowRow};
use crate::timers::{begin, ring};

/// How many things happen before the world comes to rest.
const EVENTFUL: u64 = 120;

/// How many rounds a world may take to come to rest; a run that has not ended by then never will.
const PATIENCE: usize = 400;

const START: Time = Time::from_millis(1_700_000_000_000);

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    handler: Handler,
    pub(super) heard: Heard,
    completions: Arc<Completions>,
    pub(super) processes: Vec<Process>,
    /// Those whose runs others have taken, and who don't know it.
    pub(super) zombies: Vec<Process>,
    pub(super) plans: BTreeMap<WorkflowId, Plan>,
    /// How many events a run was sent; each has the next number.
    pub(super) sent: BTreeMap<WorkflowId, usize>,
    pub(super) cancelled: BTreeSet<WorkflowId>,
    /// Begun again otherwise than where they stopped: they may have used up events for nothing.
    pub(super) restarted: BTreeSet<WorkflowId>,
    happened: Vec<String>,
}

impl World {
    pub(super) async fn open(seed: u64) -> Self {
        let clock = Clock::manual(START);
        let builder = Store::memory().clock(clock.clock()).random(Random::seeded(seed));
        let builder = builder.tables(loomwork_workpool::tables()).tables(crate::tables::tables());
        let store = builder.tables([Trace::table()]).open().await.expect("the store opens");
        let heard = Heard::default();
        let hears = heard.clone();
        let handler: Handler = Arc::new(move |flow, input| {
            let heard = hears.clone();
            Box::pin(async move {
                let plan = serde_json::from_str(input.get()).expect("the input is a plan");
                result(&work(CodeRun { wf: flow, heard }, plan).await?)
            })
        });
        let mut completions = Completions::default();
        completions.0.insert(
            TOLD.name(),
            Arc::new(|tx: &mut Tx, told| {
                let told = outcome::Done::<bool, Vec<u64>>::decode(&told)?;
                let row = tx.require(told.workflow)?;
                let text = format!("{} told of {}.{}", told.workflow, row.chapter, row.restarts);
                tx.insert(Trace { text })?;
                if told.context {
                    assert!(clean_up(tx, told.workflow)?, "a completion forgets its workflow");
                }
                Ok(())
            }),
        );
        Self {
            seed,
            random: Random::seeded(!seed),
            store,
            clock,
            handler,
            heard,
            completions: Arc::new(completions),
            processes: Vec::new(),
            zombies: Vec::new(),
            plans: BTreeMap::new(),
            sent: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            restarted: BTreeSet::new(),
            happened: Vec::new(),
        }
    }

    /// Returns all that happened, with numbers in place of ids.
    pub(super) fn happened(self) -> Vec<String> {
        self.happened
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.happened.push(what.into());
    }

    pub(super) fn told(&self) -> String {
        format!("LOOMWORK_SEED={}\n{}", self.seed, self.happened.join("\n"))
    }

    pub(super) fn draw(&self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u64) as usize
    }

    pub(super) async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx) -> Result<T> + Clone + Send + 'static,
    ) -> T {
        match self.store.mutate(change).await {
            Ok(done) => done,
            Err(error) => panic!("a mutation failed: {error}\n{}", self.told()),
        }
    }

    /// One of the runs, drawn.
    pub(super) fn any(&self) -> Option<WorkflowId> {
        self.plans.keys().nth(self.draw(self.plans.len())).copied()
    }

    /// Starts a few runs and two processes.
    pub(super) async fn begin(&mut self) {
        for number in 0..3 {
            let plan = match self.draw(10) {
                0 => Plan::Straight(number),
                1 => Plan::Patient,
                2 => Plan::Timed,
                3 => Plan::Wide(number),
                4 => Plan::Endless(Vec::new()),
                5 => Plan::Turns(Vec::new()),
                6 => Plan::Own,
                7 => Plan::Careful,
                8 => Plan::Early,
                _ => Plan::Sorry(number),
            };
            let (begun, forgets) = (plan.clone(), self.draw(8) == 0);
            let options = Options::from(TOLD.with(forgets));
            let id = self.commit(move |tx| start(tx, &WORK, begun, options)).await;
            self.note(format!("start {number} {plan:?}"));
            self.plans.insert(id, plan);
        }
        for _ in 0..2 {
            self.join(false).await;
        }
    }

    pub(super) async fn join(&mut self, is_odd: bool) {
        let id = self.commit(register).await;
        self.note(if is_odd { "a process of another version joins" } else { "a process joins" });
        self.processes.push(Process { id, is_odd, runs: Vec::new() });
    }

    /// Has many things happen.
    pub(super) async fn stir(&mut self) {
        for _ in 0..EVENTFUL {
            match self.draw(29) {
                0..=2 => self.claim().await,
                3..=8 => self.advance(false),
                9..=13 => self.carry_out(false).await,
                14 | 15 => self.hear(false).await,
                16 => {
                    self.end_job().await;
                }
                17 => self.send(EVENTS).await,
                18 => self.pass(true).await,
                19 => self.park().await,
                20 => self.crash().await,
                21 => self.bury_alive().await,
                22 => self.late().await,
                23 | 24 => self.look_after().await,
                25 => self.restart().await,
                26 => self.forget().await,
                27 => self.refuse().await,
                _ => self.cancel().await,
            }
        }
    }

    /// Has what is left come to its end, with nothing going wrong any more.
    pub(super) async fn come_to_rest(&mut self) {
        self.note("from here on nothing goes wrong");
        self.restart_cancelled().await;
        // Those of another version go, and what they have is taken over.
        while let Some(at) = self.processes.iter().position(|process| process.is_odd) {
            self.kill(at);
        }
        if self.processes.is_empty() {
            self.join(false).await;
        }
        for _ in 0..PATIENCE {
            if self.all_ended().await {
                return;
            }
            for _ in 0..self.plans.len() {
                self.send(4 * EVENTS).await;
            }
            self.claim().await;
            for _ in 0..12 {
                self.advance(true);
                self.carry_out(true).await;
                self.hear(true).await;
                self.late().await;
            }
            while self.end_job().await {}
            self.look_after().await;
            self.pass(false).await;
        }
        let mut left = String::new();
        for id in self.plans.keys().copied().collect::<Vec<_>>() {
            let found = self.commit(move |tx| crate::history::history(tx, id)).await;
            left.push_str(&found.map(|found| found.to_string()).unwrap_or_default());
        }
        panic!("runs never end:\n{left}\n{}", self.told());
    }

    /// Whether all have ended, and whoever was to be told was told.
    async fn all_ended(&self) -> bool {
        let ids: Vec<_> = self.plans.keys().copied().collect();
        self.commit(move |tx| {
            for id in ids {
                if tx.get(id)?.is_some_and(|row| row.state != State::Ended || row.is_untold()) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    pub(super) async fn claim(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let at = self.draw(self.processes.len());
        let Process { id: host, is_odd, .. } = self.processes[at];
        let names: Arc<[&'static str]> = [WORK.name()].into();
        let taken =
            self.commit(move |tx| if beat(tx, host)? { claim(tx, host, &names, 2) } else { Ok(None) });
        let taken = taken.await.unwrap_or_default();
        self.note(format!("process {at} takes {}", taken.len()));
        for Taken { hold, run, input, journal } in taken {
            let does_not_fit = is_odd && !journal.is_empty();
            let machine = Machine::new(&self.handler, &run, input, journal);
            let outbox = Outbox::default();
            self.processes[at].runs.push(Run { hold, machine, outbox, under_way: Vec::new(), does_not_fit });
        }
    }

    /// A run that is in the memory of a process, drawn.
    pub(super) fn pick(&self) -> Option<(usize, usize)> {
        let all = self.everyone();
        if all.is_empty() { None } else { Some(all[self.draw(all.len())]) }
    }

    fn everyone(&self) -> Vec<(usize, usize)> {
        let runs = |(at, process): (usize, &Process)| {
            (0..process.runs.len()).map(move |run| (at, run)).collect::<Vec<_>>()
        };
        self.processes.iter().enumerate().flat_map(runs).collect()
    }

    fn advance(&mut self, all: bool) {
        let picked = if all { self.everyone() } else { self.pick().into_iter().collect() };
        for (at, number) in picked {
            self.go_on(at, number);
        }
    }

    pub(super) fn go_on(&mut self, at: usize, number: usize) {
        if let Err(trouble) = self.processes[at].runs[number].go_on() {
            panic!("a run is stuck: {trouble}\n{}", self.told());
        }
        self.note(format!("process {at} goes on with run {number}"));
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
            // A run that ends has handed in what else is under way, which may be done before its end or behind it.
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
                Answer::Lost => {
                    self.processes[at].runs.remove(number);
                }
                Answer::Arrived(arrived) => {
                    arrived.into_iter().for_each(|arrived| run.machine.arrive(arrived));
                }
                Answer::Written(arrived, withdrawn) => {
                    run.outbox.written();
                    run.machine.desk().withdrawn(&withdrawn);
                    arrived.into_iter().for_each(|arrived| run.machine.arrive(arrived));
                }
                Answer::Begun(acted) => run.under_way.push(acted),
            }
        }
    }

    /// Commits something that was under way.
    pub(super) async fn record(&self, hold: Hold, known: Place, under_way: UnderWay) -> Answer {
        match under_way {
            UnderWay::Notes(notes) => {
                let withdrawn = withdrawn(&notes);
                let written = self.commit(move |tx| write_down(tx, hold, known, notes)).await;
                written.map_or(Answer::Lost, |arrived| Answer::Written(arrived, withdrawn))
            }
            UnderWay::Mutation(number, label, part) => {
                match self.commit(move |tx| mutate(tx, hold, known, (number, &label), part, None)).await {
                    Mutated::Recorded(arrived) => Answer::Arrived(arrived),
                    Mutated::Lost | Mutated::Again { .. } => Answer::Lost,
                }
            }
            UnderWay::Once(number, label, outcome) => {
                let begun = label.clone();
                match self.commit(move |tx| begin_once(tx, hold, known, (number, &begun))).await {
                    true => Answer::Begun(UnderWay::Acted(number, label, outcome, true)),
                    false => Answer::Lost,
                }
            }
            UnderWay::Acted(number, label, outcome, once) => {
                let step = (number, label, once);
                let recorded = self.commit(move |tx| {
                    let (number, label, once) = &step;
                    record(tx, hold, known, (*number, label, *once), START, outcome)
                });
                recorded.await.map_or(Answer::Lost, Answer::Arrived)
            }
            UnderWay::End(ending, unseen) => {
                let mine = if self.draw(2) == 0 { self.completions.clone() } else { Arc::default() };
                self.commit(move |tx| conclude(tx, &mine, hold, ending, &unseen)).await;
                Answer::Lost
            }
        }
    }

    async fn hear(&mut self, all: bool) {
        let mut picked = if all { self.everyone() } else { self.pick().into_iter().collect() };
        picked.reverse();
        for (at, number) in picked {
            let run = &self.processes[at].runs[number];
            let (hold, known) = (run.hold, run.machine.known().position);
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

    /// Sends a run its next event. One that was begun again gets more of them.
    async fn send(&mut self, most: usize) {
        let ids: Vec<_> =
            self.plans.iter().filter(|(_, plan)| takes_events(plan)).map(|(id, _)| *id).collect();
        let Some(id) = ids.get(self.draw(ids.len())).copied() else { return };
        let number = self.sent.get(&id).copied().unwrap_or(0);
        let most = if self.restarted.contains(&id) { most } else { EVENTS };
        if number >= most {
            return;
        }
        let went = self
            .commit(move |tx| {
                if tx.get(id)?.is_none_or(|row| row.has_ended()) {
                    return Ok(false);
                }
                send(tx, id, GO, &(number as u64))?;
                Ok(true)
            })
            .await;
        if went {
            self.note(format!("event {number} is sent"));
            self.sent.insert(id, number + 1);
        }
    }

    /// Lets time pass; now and then the clock is set.
    async fn pass(&mut self, may_leap: bool) {
        let seconds = 1 + self.draw(8) as u64;
        match self.draw(10) {
            0 if may_leap => {
                self.note("the clock is set back");
                let now = self.clock.clock().now();
                self.clock.set(Time::from_millis(now.millis() - 20_000));
            }
            1 if may_leap => {
                self.note("an hour passes");
                self.clock.advance(Duration::from_secs(3_600));
            }
            _ => {
                self.note(format!("{seconds} seconds pass"));
                self.clock.advance(Duration::from_secs(seconds));
            }
        }
        self.commit(|tx| {
            begin(tx)?;
            ring(tx).map(drop)
        })
        .await;
    }

    /// Does what engines do by themselves: tells ends, sweeps, tries again what is blocked.
    async fn look_after(&mut self) {
        let completions = self.completions.clone();
        self.commit(move |tx| {
            tell_due(tx, &completions)?;
            sweep(tx)?;
            forget_next(tx)?;
            let blocked = tx.scan(WorkflowRow::blocked.eq(WORK.name()))?;
            blocked.iter().try_for_each(|run| unblock(tx, run))
        })
        .await;
        self.note("the engines look after what is left");
    }
}

/// What came of something that was under way.
pub(super) enum Answer {
    Lost,
    Arrived(Vec<Arrived>),
    Written(Vec<Arrived>, Vec<u32>),
    Begun(UnderWay),
}
