//! The desk: where a workflow's code leaves what it wants done, and finds what came of it.
//!
//! It is shared by the run's [`Flow`](crate::Flow)s and steps on the one side, and its
//! [`Machine`](crate::machine::Machine) on the other. It does no I/O and reads no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use loomwork_core::{Random, Time};

use crate::difference::{Difference, Outside, Trouble};
use crate::journal::{Arrived, Label};
use crate::limits::{MAX_STEPS, SPARE_STEPS};
use crate::order::{Note, Order, Work};
use crate::tables::{StepKind, StepRow, StoredOutcome, WorkflowId, WorkflowRow};

/// What a run is, as its code may know it.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) id: WorkflowId,
    pub(crate) name: String,
    pub(crate) chapter: u32,
    pub(crate) restarts: u32,
    pub(crate) depth: u32,
}

/// One run's desk.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) about: About,
    random: Random,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of the next step.
    next: u32,
    /// What the journal has, and the code has not asked for yet.
    journal: BTreeMap<u32, Recorded>,
    slots: HashMap<u32, Slot>,
    /// How many slots somebody waits at.
    waiting: usize,
    /// How many of them wait for something from outside.
    outside: usize,
    /// How many outcomes the code has been given: the position behind the last one.
    given: u64,
    orders: Vec<Order>,
    /// Steps whose orders lie here still, and were dropped.
    called_off: HashSet<u32>,
    /// Waits that were dropped, and are not known to be withdrawn yet.
    withdrawing: BTreeSet<u32>,
    now: Time,
    patches: HashMap<String, bool>,
    trouble: Option<Trouble>,
    steps: usize,
    /// A step was refused since there were too many.
    refused: bool,
    /// Who polls the code at the moment.
    polling: Option<ThreadId>,
    /// The code is being put away, so what it drops is not dropped by its own will.
    closed: bool,
}

#[derive(Debug)]
struct Recorded {
    label: Label,
    settled: bool,
    /// Something comes of dropping it.
    open: bool,
}

/// Where a step waits for its outcome.
#[derive(Debug)]
struct Slot {
    kind: StepKind,
    name: String,
    waker: Option<Waker>,
    outcome: Option<StoredOutcome>,
    standing: Standing,
}

/// How far a step has come that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its order lies here still.
    Ordered,
    /// Its order is being carried out.
    UnderWay,
    /// The journal had it: open, or with all that can come of it.
    Recorded { open: bool },
}

impl Desk {
    pub(crate) fn new(id: WorkflowId, row: &WorkflowRow, journal: &[StepRow]) -> Arc<Self> {
        let bytes = id.raw().to_bytes();
        let (mut seed, chapter) = (u64::from(row.chapter), row.chapter);
        for half in bytes.chunks(8) {
            let half: [u8; 8] = half.try_into().unwrap_or_default();
            seed = seed.rotate_left(23) ^ u64::from_be_bytes(half);
        }
        let recorded = journal.iter().map(|step| {
            let label = Label {
                kind: step.kind,
                name: step.name.clone(),
                fingerprint: step.fingerprint,
                args: step.args.clone(),
                behind: step.behind,
            };
            (step.number, Recorded { label, settled: step.is_settled(), open: step.is_open() })
        });
        let state = State {
            next: 0,
            journal: recorded.collect(),
            slots: HashMap::new(),
            waiting: 0,
            outside: 0,
            given: 0,
            orders: Vec::new(),
            called_off: HashSet::new(),
            withdrawing: BTreeSet::new(),
            now: row.begun,
            patches: HashMap::new(),
            trouble: None,
            steps: 0,
            refused: false,
            polling: None,
            closed: false,
        };
        let about = About { id, name: row.name.clone(), chapter, restarts: row.restarts, depth: row.depth };
        Arc::new(Self { about, random: Random::seeded(seed), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What holds the lock leaves nothing half done, so it may go on behind a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the code sees.

    pub(crate) fn now(&self) -> Time {
        self.state().now
    }

    #[track_caller]
    pub(crate) fn random(&self) -> &Random {
        self.state().is_used_inside("random numbers are drawn", Some(Location::caller()));
        &self.random
    }

    /// Takes the next number, passing over marks of patches that the code no longer asks for; none, where no
    /// replay would come.
    #[track_caller]
    pub(crate) fn number(&self) -> Option<u32> {
        let mut state = self.state();
        if !state.is_used_inside("a step is made", Some(Location::caller())) {
            return None;
        }
        while state.journal.get(&state.next).is_some_and(|recorded| recorded.label.kind == StepKind::Patch) {
            state.pass_over_patch();
        }
        state.next += 1;
        Some(state.next - 1)
    }

    /// Whether this run takes the way of a patch: it does where it comes to it for the first time, or has
    /// taken it before.
    #[track_caller]
    pub(crate) fn patched(&self, name: &str) -> bool {
        let mut state = self.state();
        if let Some(known) = state.patches.get(name) {
            return *known;
        }
        if !state.is_used_inside("a patch is asked for", Some(Location::caller())) {
            return false;
        }
        let (kind, name_) = (StepKind::Patch, name.to_owned());
        let label = Label { kind, name: name_, fingerprint: None, args: None, behind: state.given };
        // Marks of other patches are those of calls that were removed.
        while state.journal.get(&state.next).is_some_and(|recorded| recorded.label.kind == StepKind::Patch) {
            let found = state.pass_over_patch();
            if found == label.name {
                return true;
            }
        }
        let number = state.next;
        let patched = state.journal.range(number..).next().is_none();
        if patched {
            state.next += 1;
            state.orders.push(Order { number, label, work: Work::Note(Note::Patch) });
        }
        state.patches.insert(name.to_owned(), patched);
        patched
    }

    /// Begins a step at its first poll: it is what the journal has, or an order.
    pub(crate) fn issue(&self, number: u32, mut label: Label, loose: bool, work: Work, waker: &Waker) {
        let mut state = self.state();
        label.behind = state.given;
        if state.trouble.is_some() || !state.is_used_inside("a step is awaited", None) {
            return;
        }
        state.steps += 1;
        let refuses = state.steps > MAX_STEPS && !state.refused;
        state.refused |= refuses;
        let (kind, name) = (label.kind, label.name.clone());
        let standing = match state.journal.remove(&number) {
            Some(recorded) if !fits(&recorded.label, &label, loose) => {
                let difference = Difference { number, recorded: recorded.label, asked: Some(label) };
                state.trouble = Some(Trouble::Differs(difference));
                return;
            }
            Some(recorded) => {
                let cut_short = !recorded.settled && kind == StepKind::Effect;
                if cut_short {
                    state.orders.push(Order { number, label, work: Work::Note(Note::Interrupt) });
                }
                Standing::Recorded { open: recorded.open }
            }
            None if state.steps > MAX_STEPS + SPARE_STEPS => {
                state.trouble = Some(Trouble::Full { steps: state.steps });
                return;
            }
            None => {
                let work = if refuses { Work::Note(Note::Refuse) } else { work };
                state.orders.push(Order { number, label, work });
                Standing::Ordered
            }
        };
        state.waiting += 1;
        state.outside += usize::from(Note::waits(kind));
        let waker = Some(waker.clone());
        state.slots.insert(number, Slot { kind, name, waker, outcome: None, standing });
    }

    /// Takes a step's outcome, if it has come.
    pub(crate) fn take(&self, number: u32, context: &Context<'_>) -> Poll<StoredOutcome> {
        let mut state = self.state();
        if !state.is_used_inside("a step is awaited", None) {
            return Poll::Pending;
        }
        let Some(slot) = state.slots.get_mut(&number) else { return Poll::Pending };
        match slot.outcome.take() {
            Some(outcome) => {
                state.slots.remove(&number);
                Poll::Ready(outcome)
            }
            None => {
                let before = slot.waker.replace(context.waker().clone());
                drop(state);
                // Dropped without the lock: a waker may hold other steps.
                drop(before);
                Poll::Pending
            }
        }
    }

    /// Says that nobody waits for a step any more: what is under way for it is called off.
    pub(crate) fn drop_step(&self, number: u32) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        let Some(slot) = state.slots.remove(&number) else { return };
        let Slot { kind, name, waker, outcome, standing } = slot;
        if outcome.is_none() {
            state.waiting -= 1;
            state.outside -= usize::from(Note::waits(kind));
        }
        let work = match standing {
            Standing::Ordered => {
                state.called_off.insert(number);
                None
            }
            Standing::Recorded { open: false } => None,
            // An event goes to the next one who waits for it, even if it has come already.
            _ if kind == StepKind::Event => {
                state.withdrawing.insert(number);
                Some(Work::Note(Note::Withdraw))
            }
            _ if outcome.is_some() => None,
            Standing::UnderWay if matches!(kind, StepKind::Effect | StepKind::Mutation) => Some(Work::Stop),
            _ => Some(Work::Note(Note::Withdraw)),
        };
        if let Some(work) = work {
            let label = Label { kind, name, fingerprint: None, args: None, behind: state.given };
            state.orders.push(Order { number, label, work });
        }
        drop(state);
        // Dropped without the lock: a waker may hold other steps.
        drop(waker);
    }

    // What the machine does.

    /// Says that this thread begins to poll the code, or that nobody does.
    pub(crate) fn set_polling(&self, polling: bool) {
        self.state().polling = polling.then(|| thread::current().id());
    }

    /// Hands an outcome to the code.
    pub(crate) fn deliver(&self, arrived: Arrived) {
        let Arrived { position, number, kind, at, outcome, .. } = arrived;
        let mut state = self.state();
        state.given = position + 1;
        state.now = state.now.max(at);
        if kind == StepKind::Patch {
            return;
        }
        let Some(slot) = state.slots.get_mut(&number) else {
            if let Some(recorded) = state.journal.remove(&number) {
                let difference = Difference { number, recorded: recorded.label, asked: None };
                state.trouble.get_or_insert(Trouble::Differs(difference));
            }
            return;
        };
        slot.outcome = Some(outcome);
        let waker = slot.waker.take();
        state.waiting -= 1;
        state.outside -= usize::from(Note::waits(kind));
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the orders that the code has left; of what it has dropped meanwhile, nothing is begun.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let mut state = self.state();
        let called_off = std::mem::take(&mut state.called_off);
        let orders = std::mem::take(&mut state.orders);
        let (dropped, orders): (Vec<_>, Vec<_>) =
            orders.into_iter().partition(|order| called_off.contains(&order.number));
        for order in &orders {
            if let Some(slot) = state.slots.get_mut(&order.number)
                && slot.standing == Standing::Ordered
            {
                slot.standing = Standing::UnderWay;
            }
        }
        drop(state);
        // Dropped without the lock: what a closure has captured may hold other steps, and a destructor that panics is
        // the code's own affair.
        for order in dropped {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(order)));
        }
        orders
    }

    /// Says that the waits of these numbers are withdrawn.
    pub(crate) fn withdrawn(&self, numbers: &[u32]) {
        let mut state = self.state();
        for number in numbers {
            state.withdrawing.remove(number);
        }
    }

    /// Returns the waits that may have got an event which the code has not seen.
    pub(crate) fn unseen(&self) -> Vec<u32> {
        let state = self.state();
        let waits = state.slots.iter().filter(|(_, slot)| slot.kind == StepKind::Event);
        waits.map(|(number, _)| *number).chain(state.withdrawing.iter().copied()).collect()
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.state().trouble.clone()
    }

    /// Whether the code waits for a step at all.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state().waiting > 0
    }

    /// Whether it waits for something that happens outside of it.
    pub(crate) fn waits_outside(&self) -> bool {
        self.state().outside > 0
    }

    /// Returns the first step of the journal that the code has not come to.
    pub(crate) fn left_over(&self) -> Option<Difference> {
        let mut state = self.state();
        let mut journal = std::mem::take(&mut state.journal).into_iter();
        let (number, left) = journal.find(|(_, recorded)| recorded.label.kind != StepKind::Patch)?;
        Some(Difference { number, recorded: left.label, asked: None })
    }

    /// From now on nothing is ordered.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }
}

impl State {
    /// Whether it is the code that does this; anything else blocks the run.
    fn is_used_inside(&mut self, what: &'static str, place: Option<&'static Location<'static>>) -> bool {
        let inside = self.polling == Some(thread::current().id());
        if !inside && !self.closed {
            self.trouble.get_or_insert(Trouble::Outside(Outside { what, place }));
        }
        inside
    }

    /// Passes over the mark that comes next, and returns whose it is.
    fn pass_over_patch(&mut self) -> String {
        let next = self.next;
        self.next += 1;
        let name = self.journal.remove(&next).map(|recorded| recorded.label.name).unwrap_or_default();
        self.patches.insert(name.clone(), true);
        name
    }
}

/// Whether the code's step is the journal's.
fn fits(recorded: &Label, asked: &Label, loose: bool) -> bool {
    recorded.kind == asked.kind
        && recorded.name == asked.name
        && (loose || recorded.fingerprint == asked.fingerprint)
}
