//! Driving a run in memory: carrying out what its code orders, and handing it what came of that.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use loomwork_core::{Kind, RetryPolicy, Shutdown, crash_point};
use loomwork_store::{Error, Follow, Result, Store};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::claim::{Put, Taken, park, release};
use crate::completion::Completions;
use crate::end::{Ending, conclude};
use crate::error::{failed, with_sources};
use crate::host::{Host, is_closed};
use crate::journal::{Arrived, Hold, Label, Place, news};
use crate::machine::{Advance, Handler, Machine, panic_text};
use crate::order::{
    Effect, EffectOptions, Mutated, Noted, Order, TxPart, Work, begin_once, mutate, record, refusal,
    withdrawn, write_down,
};
use crate::outbox::Outbox;
use crate::tables::StoredOutcome;

/// How long a run rests after the store failed, the first time; then longer and longer.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The longest that a run rests after the store failed.
const FAILURE_CEILING: Duration = Duration::from_secs(60);

/// What the drivers of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) handlers: Handlers,
    pub(crate) completions: Arc<Completions>,
    /// How long a run may wait in memory.
    pub(crate) idle: Duration,
    /// Whether others wait for a place in memory.
    pub(crate) crowded: watch::Sender<bool>,
}

/// The code of each name.
#[derive(Clone, Default)]
pub(crate) struct Handlers(pub(crate) HashMap<&'static str, Handler>);

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What came of an order.
#[derive(Debug)]
enum Answer {
    Arrived(Vec<Arrived>),
    /// A mutation or an action has ended that could be stopped.
    Acted(u32, Vec<Arrived>),
    /// Notes are written down; these waits are withdrawn.
    Written {
        arrived: Vec<Arrived>,
        withdrawn: Vec<u32>,
    },
    /// The run is another's, or nobody's.
    Lost,
    Failed(Error),
}

/// Where a follower of the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    next: u64,
    lost: bool,
}

type News = Follow<Option<Vec<Arrived>>, Seen>;

/// A run in memory with what is done for it.
struct Driver {
    shared: Arc<Shared>,
    hold: Hold,
    machine: Machine,
    running: FuturesUnordered<BoxFuture<'static, Answer>>,
    outbox: Outbox,
    /// What runs and may take long, and how to stop it.
    acting: HashMap<u32, CancellationToken>,
    /// Nothing is tried again any more: the run is given back.
    closing: CancellationToken,
    news: Option<News>,
}

/// Why a driver stops.
enum Stop {
    /// The run is not this process's any more, or it has ended.
    Gone,
    /// It is to be taken up again.
    Again,
    /// The store has failed: it is to be taken up again later, from its rows.
    Failed(Error),
}

/// Drives a run until it ends, is put away or belongs to somebody else.
pub(crate) async fn drive(
    shared: Arc<Shared>,
    host: Host,
    taken: Taken,
    place: OwnedSemaphorePermit,
    shutdown: Shutdown,
) {
    let Taken { hold, run, input, journal } = taken;
    let refusals = run.stumbles.refusals;
    let stop = match shared.handlers.0.get(run.name.as_str()) {
        Some(handler) => {
            let machine = Machine::new(handler, &run, input, journal);
            let mut driver = Driver::new(shared.clone(), hold, machine);
            let stop = tokio::select! {
                biased;
                () = host.lost.cancelled() => Stop::Gone,
                stop = AssertUnwindSafe(driver.run(&shutdown)).catch_unwind() => stop.unwrap_or_else(|panic| {
                    let message = format!("what the run has dropped panicked: {}", panic_text(&*panic));
                    Stop::Failed(Error::message(Kind::Internal, message))
                }),
            };
            let _ = catch_unwind(AssertUnwindSafe(|| drop(driver)));
            stop
        }
        // Only what has a handler is taken.
        None => Stop::Again,
    };
    tokio::select! {
        biased;
        () = host.lost.cancelled() => {}
        () = give_back(&shared.store, hold, stop, refusals, &shutdown) => {}
    }
    drop(place);
}

/// Has others take a run up again that this driver stops to drive. It is tried until it works: a run that nobody
/// has in memory must not be this host's.
async fn give_back(store: &Store, hold: Hold, stop: Stop, refusals: u32, shutdown: &Shutdown) {
    let pauses = RetryPolicy::default().with_initial(FAILURE_PAUSE).with_ceiling(FAILURE_CEILING);
    let mut failures = refusals;
    let refused = match stop {
        Stop::Gone => return,
        Stop::Again => None,
        Stop::Failed(error) if is_closed(&error) => return,
        Stop::Failed(error) => {
            tracing::error!(workflow = %hold.run, %error, "a workflow cannot go on and will be taken up again");
            Some(with_sources(&error))
        }
    };
    let mut pause = refused.is_some();
    loop {
        if pause {
            failures = failures.saturating_add(1);
            let pause = pauses.delay(failures, &loomwork_core::Random::system());
            tokio::select! {
                () = store.clock().sleep(pause) => {}
                () = shutdown.requested() => {}
            }
        }
        let refused = refused.clone();
        let released = store.mutate(move |tx| release(tx, hold, refused.as_deref())).relaxed().await;
        match released {
            Ok(()) => return,
            Err(error) if is_closed(&error) => return,
            Err(error) => {
                tracing::error!(workflow = %hold.run, %error, "a workflow cannot be given back");
                // The host's own end gives it back then.
                if shutdown.is_requested() {
                    return;
                }
            }
        }
        pause = true;
    }
}

impl Driver {
    fn new(shared: Arc<Shared>, hold: Hold, machine: Machine) -> Self {
        Self {
            shared,
            hold,
            machine,
            running: FuturesUnordered::new(),
            outbox: Outbox::default(),
            acting: HashMap::new(),
            closing: CancellationToken::new(),
            news: None,
        }
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Stop {
        loop {
            if let Some(ending) = self.advance() {
                return self.conclude(ending).await;
            }
            if shutdown.is_requested() {
                return self.drain().await;
            }
            self.carry_out();
            if let Err(stop) = self.wait(shutdown).await {
                return stop;
            }
        }
    }

    /// Has the code go on as far as it comes; returns how it came to its end.
    fn advance(&mut self) -> Option<Ending> {
        match self.machine.advance() {
            Advance::Waiting => None,
            Advance::Ended(ended) => Some(Ending::of(ended)),
            Advance::Stuck(trouble) => Some(Ending::of_trouble(&trouble)),
        }
    }

    /// Sets in motion what the code has ordered.
    fn carry_out(&mut self) {
        self.outbox.put(self.machine.orders());
        if let Some(notes) = self.outbox.notes() {
            self.running
                .push(write(self.shared.store.clone(), self.hold, self.machine.known(), notes).boxed());
        }
        for Order { number, label, work } in self.outbox.works() {
            let (store, hold, known) = (self.shared.store.clone(), self.hold, self.machine.known());
            match work {
                Work::Mutation { part, retry: None } => {
                    self.running.push(mutating(store, hold, known, (number, label), part, None).boxed());
                }
                Work::Mutation { part, retry: Some(retry) } => {
                    let ends = self.stoppable(number);
                    self.running.push(
                        mutating(store, hold, known, (number, label), part, Some((retry, ends))).boxed(),
                    );
                }
                Work::Effect { run, options } => {
                    let ends = self.stoppable(number);
                    self.running
                        .push(acting(store, hold, known, (number, label), run, options, ends).boxed());
                }
                Work::Stop => self.stop(number),
                Work::Note(_) => {}
            }
        }
    }

    /// Stops what runs for a step that the code has dropped.
    fn stop(&self, number: u32) {
        if let Some(stop) = self.acting.get(&number) {
            stop.cancel();
        }
    }

    fn stoppable(&mut self, number: u32) -> Ends {
        let stop = CancellationToken::new();
        self.acting.insert(number, stop.clone());
        Ends { stop, closing: self.closing.clone() }
    }

    /// Waits until something has come; a run that waits too long is put away.
    async fn wait(&mut self, shutdown: &Shutdown) -> Result<(), Stop> {
        let follows =
            self.machine.desk().waits_outside() || self.machine.has_gap() || !self.acting.is_empty();
        if !follows {
            // Only its own transactions are under way, and they find out by themselves whose the run is.
            self.news = None;
        } else if self.news.is_none() {
            let (hold, start) = (self.hold, Seen { next: self.machine.known().position, lost: false });
            self.news = Some(self.shared.store.follow(start, move |tx, seen: &Seen| {
                let arrived = news(tx, &hold, seen.next)?;
                let seen = match &arrived {
                    None => Seen { lost: true, ..*seen },
                    Some(arrived) => {
                        Seen { next: arrived.last().map_or(seen.next, |last| last.position + 1), ..*seen }
                    }
                };
                Ok((arrived, seen))
            }));
        }
        let (shared, quiet) = (self.shared.clone(), self.running.is_empty());
        let came = tokio::select! {
            biased;
            Some(answer) = self.running.next(), if !self.running.is_empty() => Some(answer),
            news = next_news(&mut self.news) => Some(news),
            () = shutdown.requested() => return Ok(()),
            () = waited_long(&shared), if quiet => None,
        };
        match came {
            Some(answer) => self.take_in(answer),
            None => self.park().await,
        }
    }

    fn take_in(&mut self, answer: Answer) -> Result<(), Stop> {
        let arrived = match answer {
            Answer::Arrived(arrived) => arrived,
            Answer::Acted(number, arrived) => {
                self.acting.remove(&number);
                arrived
            }
            Answer::Written { arrived, withdrawn } => {
                self.outbox.written();
                self.machine.desk().withdrawn(&withdrawn);
                arrived
            }
            Answer::Lost => return Err(Stop::Gone),
            Answer::Failed(error) => return Err(Stop::Failed(error)),
        };
        arrived.into_iter().for_each(|arrived| self.machine.arrive(arrived));
        Ok(())
    }

    async fn park(&mut self) -> Result<(), Stop> {
        let (hold, known) = (self.hold, self.machine.known().position);
        match self.shared.store.mutate(move |tx| park(tx, hold, known)).relaxed().await {
            Ok(Put::Away | Put::Lost) => Err(Stop::Gone),
            Ok(Put::News(arrived)) => {
                arrived.into_iter().for_each(|arrived| self.machine.arrive(arrived));
                Ok(())
            }
            Err(error) => Err(Stop::Failed(error)),
        }
    }

    /// Lets what runs come to its end, and begins nothing. The code goes on with what comes of it: it may drop what
    /// else runs, or come to its own end.
    async fn drain(&mut self) -> Stop {
        self.closing.cancel();
        loop {
            for Order { number, work, .. } in self.machine.orders() {
                if let Work::Stop = work {
                    self.stop(number);
                }
            }
            match self.running.next().await {
                None => return Stop::Again,
                // It is on record or not, which is found out when the run is taken up again.
                Some(Answer::Failed(_)) => {}
                Some(answer) => {
                    if let Err(stop) = self.take_in(answer) {
                        return stop;
                    }
                }
            }
            if let Some(ending) = self.advance() {
                return self.conclude(ending).await;
            }
        }
    }

    async fn conclude(&mut self, ending: Ending) -> Stop {
        crash_point("workflow.returned");
        let (hold, completions, unseen) =
            (self.hold, self.shared.completions.clone(), self.machine.desk().unseen());
        let ended =
            self.shared.store.mutate(move |tx| conclude(tx, &completions, hold, ending, &unseen)).await;
        match ended {
            Ok(_) => {
                crash_point("workflow.ended");
                Stop::Gone
            }
            Err(error) => Stop::Failed(error),
        }
    }
}

/// When something ends that may take long, though it has not come to its end.
struct Ends {
    /// The code has dropped it.
    stop: CancellationToken,
    /// It is tried no more, and nothing is recorded: the next process tries it again.
    closing: CancellationToken,
}

impl Ends {
    /// Waits out the pause before a further attempt; says whether there may be one.
    async fn pause(&self, store: &Store, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.closing.cancelled() => false,
            () = store.clock().sleep(wait) => true,
        }
    }
}

/// The next thing that others have settled; never, where nobody looks.
async fn next_news(news: &mut Option<News>) -> Answer {
    let Some(news) = news else { return std::future::pending().await };
    match news.next().await {
        None => Answer::Lost,
        Some(Ok(Some(arrived))) => Answer::Arrived(arrived),
        Some(Ok(None)) => Answer::Lost,
        Some(Err(error)) => Answer::Failed(error),
    }
}

async fn waited_long(shared: &Shared) {
    let mut crowded = shared.crowded.subscribe();
    tokio::select! {
        () = shared.store.clock().sleep(shared.idle) => {}
        _ = crowded.wait_for(|crowded| *crowded) => {}
    }
}

async fn write(store: Store, hold: Hold, known: Place, notes: Vec<Noted>) -> Answer {
    crash_point("workflow.step");
    let withdrawn = withdrawn(&notes);
    let written = store.mutate(move |tx| write_down(tx, hold, known, notes)).await;
    crash_point("workflow.recorded");
    match written {
        Ok(Some(arrived)) => Answer::Written { arrived, withdrawn },
        Ok(None) => Answer::Lost,
        Err(error) => Answer::Failed(error),
    }
}

async fn mutating(
    store: Store,
    hold: Hold,
    known: Place,
    (number, label): (u32, Label),
    part: Box<dyn TxPart<Box<serde_json::value::RawValue>>>,
    retry: Option<(RetryPolicy, Ends)>,
) -> Answer {
    let mut attempt = 0;
    let label = Arc::new(label);
    loop {
        attempt += 1;
        crash_point("workflow.step");
        let policy = retry.as_ref().map(|(policy, _)| (*policy, attempt));
        let (part, label) = (part.clone(), label.clone());
        let mutated = store.mutate(move |tx| mutate(tx, hold, known, (number, &label), part, policy)).await;
        crash_point("workflow.recorded");
        match (mutated, &retry) {
            (Ok(Mutated::Lost), _) => return Answer::Lost,
            (Ok(Mutated::Recorded(arrived)), None) => return Answer::Arrived(arrived),
            (Ok(Mutated::Recorded(arrived)), Some(_)) => return Answer::Acted(number, arrived),
            (Ok(Mutated::Again { wait }), Some((_, ends))) => {
                if !ends.pause(&store, wait).await {
                    return Answer::Acted(number, Vec::new());
                }
            }
            (Ok(Mutated::Again { wait }), None) => store.clock().sleep(wait).await,
            (Err(error), _) => return Answer::Failed(error),
        }
    }
}

async fn acting(
    store: Store,
    hold: Hold,
    known: Place,
    (number, label): (u32, Label),
    mut run: Effect,
    options: EffectOptions,
    ends: Ends,
) -> Answer {
    let label = Arc::new(label);
    if options.once {
        let label = label.clone();
        match store.mutate(move |tx| begin_once(tx, hold, known, (number, &label))).await {
            Ok(true) => {}
            Ok(false) => return Answer::Lost,
            Err(error) => return Answer::Failed(error),
        }
    }
    crash_point("workflow.step");
    let started = store.clock().now();
    let outcome = tokio::select! {
        biased;
        () = ends.stop.cancelled() => StoredOutcome::Withdrawn,
        outcome = attempts(&store, &mut run, options, &ends) => match outcome {
            Some(outcome) => outcome,
            None => return Answer::Acted(number, Vec::new()),
        },
    };
    crash_point("workflow.acted");
    let once = options.once;
    let recorded =
        store.mutate(move |tx| record(tx, hold, known, (number, &label, once), started, outcome)).await;
    crash_point("workflow.recorded");
    match recorded {
        Ok(Some(arrived)) => Answer::Acted(number, arrived),
        Ok(None) => Answer::Lost,
        Err(error) => Answer::Failed(error),
    }
}

/// Runs an action until it succeeds, fails for good or was tried often enough; `None` when another process is to try
/// it again.
async fn attempts(
    store: &Store,
    run: &mut Effect,
    options: EffectOptions,
    ends: &Ends,
) -> Option<StoredOutcome> {
    let mut attempt = 1;
    loop {
        let error = match once(store, run, options.timeout).await {
            Ok(outcome) => return Some(outcome),
            Err(error) => error,
        };
        let may_again =
            |policy: &RetryPolicy| !options.once && attempt < policy.attempts && error.kind().is_retryable();
        let again = options.retry.filter(may_again);
        let Some(policy) = again else { return Some(failed(&error)) };
        let demanded = if let Kind::Limited { wait } = error.kind() { wait } else { Duration::ZERO };
        let random = loomwork_core::Random::system();
        if !ends.pause(store, policy.delay(attempt, &random).max(demanded)).await {
            return None;
        }
        attempt += 1;
    }
}

async fn once(store: &Store, run: &mut Effect, timeout: Option<Duration>) -> Result<StoredOutcome> {
    // Asserted, since an action that panicked is never polled again, only dropped.
    let acted = AssertUnwindSafe(async { run().await }).catch_unwind();
    let too_long = async {
        match timeout {
            Some(timeout) => store.clock().sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        acted = acted => match acted {
            Ok(acted) => acted.map(StoredOutcome::Success),
            Err(panic) => Ok(refusal(Kind::Internal, format!("it panicked: {}", panic_text(&*panic)))),
        },
        () = too_long => {
            let message = format!("it took longer than its timeout of {:?}", timeout.unwrap_or_default());
            Err(Error::message(Kind::Unavailable, message))
        }
    }
}
