//! The desk: where a workflow's code leaves what it wants done, and finds what came of it.
//!
//! It is shared by the run's [`Flow`](crate::Flow)s and steps on the one side, and its
//! [`Machine`](crate::machine::Machine) on the other. It does no I/O and reads no clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use loomwork_core::{Random, Time};

use crate::difference::{Difference, Trouble};
use crate::journal::{Arrived, Label};
use crate::limits::{MAX_JOURNAL_BYTES, MAX_STEPS};
use crate::order::{Note, Order, Work};
use crate::tables::{StepKind, StepRow, StoredOutcome, WorkflowId, WorkflowRow};

/// What a run is, as its code may know it.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) id: WorkflowId,
    pub(crate) name: String,
    pub(crate) chapter: u32,
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
    orders: Vec<Order>,
    now: Time,
    patches: HashMap<String, bool>,
    /// Events that came to steps that were dropped.
    returned: VecDeque<Returned>,
    trouble: Option<Trouble>,
    steps: usize,
    bytes: usize,
    /// The code is being put away, so what it drops is not dropped by its own will.
    closed: bool,
}

#[derive(Debug)]
struct Recorded {
    label: Label,
    settled: bool,
}

/// Where a step waits for its outcome.
#[derive(Debug)]
struct Slot {
    kind: StepKind,
    name: String,
    waker: Option<Waker>,
    outcome: Option<StoredOutcome>,
    /// Nobody waits here any more.
    dropped: bool,
    /// The journal has its outcome, which will come in its turn.
    assured: bool,
}

#[derive(Debug)]
struct Returned {
    from: u32,
    name: String,
    value: StoredOutcome,
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
            };
            (step.number, Recorded { label, settled: step.is_settled() })
        });
        let state = State {
            next: 0,
            journal: recorded.collect(),
            slots: HashMap::new(),
            waiting: 0,
            outside: 0,
            orders: Vec::new(),
            now: row.begun,
            patches: HashMap::new(),
            returned: VecDeque::new(),
            trouble: None,
            steps: 0,
            bytes: 0,
            closed: false,
        };
        let about = About { id, name: row.name.clone(), chapter, depth: row.depth };
        Arc::new(Self { about, random: Random::seeded(seed), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds a desk")
    }

    // What the code sees.

    pub(crate) fn now(&self) -> Time {
        self.state().now
    }

    pub(crate) fn random(&self) -> &Random {
        &self.random
    }

    /// Takes the next number, passing over marks of patches that the code no longer asks for.
    pub(crate) fn number(&self) -> u32 {
        let mut state = self.state();
        while state.journal.get(&state.next).is_some_and(|recorded| recorded.label.kind == StepKind::Patch) {
            let passed = state.next;
            state.journal.remove(&passed);
            state.next += 1;
        }
        state.next += 1;
        state.next - 1
    }

    /// Whether this run takes the way of a patch: it does where it comes to it for the first time, or has
    /// taken it before.
    pub(crate) fn patched(&self, name: &str) -> bool {
        let mut state = self.state();
        if let Some(known) = state.patches.get(name) {
            return *known;
        }
        let number = state.next;
        let label = Label { kind: StepKind::Patch, name: name.to_owned(), fingerprint: None, args: None };
        let patched = match state.journal.get(&number) {
            Some(recorded) if recorded.label == label => {
                state.journal.remove(&number);
                state.next += 1;
                true
            }
            _ if state.journal.range(number..).next().is_some() => false,
            _ => {
                state.next += 1;
                state.orders.push(Order { number, label, work: Work::Note(Note::Patch) });
                true
            }
        };
        state.patches.insert(name.to_owned(), patched);
        patched
    }

    /// Begins a step at its first poll: it is what the journal has, or an order.
    pub(crate) fn issue(&self, number: u32, label: Label, loose: bool, work: Work, waker: &Waker) {
        let mut state = self.state();
        if state.trouble.is_some() {
            return;
        }
        state.steps += 1;
        let recorded = state.journal.remove(&number);
        let assured = recorded.as_ref().is_some_and(|recorded| recorded.settled);
        let (kind, name) = (label.kind, label.name.clone());
        match recorded {
            Some(recorded) if !fits(&recorded.label, &label, loose) => {
                let difference = Difference { number, recorded: recorded.label, asked: Some(label) };
                state.trouble = Some(Trouble::Differs(difference));
            }
            Some(recorded) => {
                let cut_short = !recorded.settled && kind == StepKind::Effect;
                if cut_short {
                    state.orders.push(Order { number, label, work: Work::Note(Note::Interrupt) });
                }
            }
            None if state.steps > MAX_STEPS || state.bytes > MAX_JOURNAL_BYTES => {
                state.trouble = Some(Trouble::Full { steps: state.steps, bytes: state.bytes });
            }
            None => {
                let returned = match kind {
                    StepKind::Event => state.returned.iter().position(|returned| returned.name == name),
                    _ => None,
                };
                let work = match returned.and_then(|at| state.returned.remove(at)) {
                    Some(Returned { from, value, .. }) => {
                        Work::Note(Note::Return { value, from, waits: false })
                    }
                    None => work,
                };
                state.orders.push(Order { number, label, work });
            }
        }
        state.waiting += 1;
        state.outside += usize::from(Note::waits(kind));
        let waker = Some(waker.clone());
        state.slots.insert(number, Slot { kind, name, waker, outcome: None, dropped: false, assured });
    }

    /// Takes a step's outcome, if it has come.
    pub(crate) fn take(&self, number: u32, context: &Context<'_>) -> Poll<StoredOutcome> {
        let mut state = self.state();
        let Some(slot) = state.slots.get_mut(&number) else { return Poll::Pending };
        match slot.outcome.take() {
            Some(outcome) => {
                state.slots.remove(&number);
                Poll::Ready(outcome)
            }
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Says that nobody waits for a step any more.
    pub(crate) fn drop_step(&self, number: u32) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        let Some(slot) = state.slots.get_mut(&number) else { return };
        let kind = slot.kind;
        let waker = slot.waker.take();
        if let Some(value) = slot.outcome.take() {
            // It came, and was not seen.
            let name = std::mem::take(&mut slot.name);
            state.slots.remove(&number);
            state.give_back(number, kind, name, value);
        } else {
            slot.dropped = true;
            let (assured, name) = (slot.assured, slot.name.clone());
            state.waiting -= 1;
            state.outside -= usize::from(Note::waits(kind));
            if !assured && Note::waits(kind) {
                let label = Label { kind, name, fingerprint: None, args: None };
                state.orders.push(Order { number, label, work: Work::Note(Note::Withdraw) });
            }
        }
        drop(state);
        // Dropped without the lock: a waker may hold other steps.
        drop(waker);
    }

    // What the machine does.

    /// Hands an outcome to the code.
    pub(crate) fn deliver(&self, arrived: Arrived) {
        let Arrived { number, kind, name, at, outcome, returned_from, .. } = arrived;
        let mut state = self.state();
        state.now = state.now.max(at);
        state.bytes += outcome.bytes();
        if let Some(from) = returned_from
            && let Some(at) = state.returned.iter().position(|returned| returned.from == from)
        {
            state.returned.remove(at);
        }
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
        if slot.dropped {
            state.slots.remove(&number);
            state.give_back(number, kind, name, outcome);
            return;
        }
        slot.outcome = Some(outcome);
        let waker = slot.waker.take();
        state.waiting -= 1;
        state.outside -= usize::from(Note::waits(kind));
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes back an event that a step could not have.
    pub(crate) fn take_back(&self, from: u32, name: String, value: StoredOutcome) {
        self.state().give_back(from, StepKind::Event, name, value);
    }

    /// Takes the orders that the code has left.
    pub(crate) fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.state().orders)
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

    /// Returns the events that were given back and not taken again.
    pub(crate) fn take_returned(&self) -> Vec<(String, StoredOutcome)> {
        self.state().returned.drain(..).map(|returned| (returned.name, returned.value)).collect()
    }

    /// From now on nothing is ordered.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }
}

impl State {
    /// Keeps an event for the next step that waits for one of its name; of other steps nothing is kept.
    fn give_back(&mut self, from: u32, kind: StepKind, name: String, value: StoredOutcome) {
        if kind != StepKind::Event || !matches!(value, StoredOutcome::Success(_) | StoredOutcome::Failed(_)) {
            return;
        }
        let waits = self.slots.iter().filter(|(_, slot)| {
            slot.kind == StepKind::Event
                && slot.name == name
                && !slot.dropped
                && !slot.assured
                && slot.outcome.is_none()
        });
        match waits.map(|(number, _)| *number).min() {
            Some(number) => {
                let label = Label { kind, name, fingerprint: None, args: None };
                let work = Work::Note(Note::Return { value, from, waits: true });
                self.orders.push(Order { number, label, work });
            }
            None => self.returned.push_back(Returned { from, name, value }),
        }
    }
}

/// Whether the code's step is the journal's.
fn fits(recorded: &Label, asked: &Label, loose: bool) -> bool {
    recorded.kind == asked.kind
        && recorded.name == asked.name
        && (loose || recorded.fingerprint == asked.fingerprint)
}
