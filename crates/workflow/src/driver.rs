//! Driving a run in memory: carrying out what its code orders, and handing it what came of that.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use loomwork_core::{Kind, RetryPolicy, Shutdown, crash_point};
use loomwork_store::{Error, Follow, Result, Store};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::claim::{Put, Taken, park, release};
use crate::completion::Completions;
use crate::end::{Ending, conclude};
use crate::error::failed;
use crate::host::{Host, is_closed};
use crate::journal::{Arrived, Hold, Label, news};
use crate::machine::{Advance, Handler, Machine, panic_text};
use crate::order::{
    Effect, EffectOptions, Mutated, Note, Noted, Order, TxPart, Work, Written, begin_once, mutate, record,
    refusal, write_down,
};
use crate::tables::StoredOutcome;

/// How long a run rests after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

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
    /// An action has ended.
    Acted(Vec<Arrived>),
    Written(Written),
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
    /// How many actions run, which a cancellation is to stop.
    effects: usize,
    news: Option<News>,
}

/// Why a driver stops.
enum Stop {
    /// The run is not this process's any more, or it has ended.
    Gone,
    /// It is to be taken up again.
    Again,
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
    let (Some(handler), Some(input)) = (shared.handlers.0.get(run.name.as_str()), input) else {
        let gone = "its stored input is gone".to_owned();
        let ending = Ending::Failed(crate::tables::StoredFailure::new(Kind::Corrupt, gone));
        let (store, completions) = (shared.store.clone(), shared.completions.clone());
        if let Err(error) = store.mutate(move |tx| conclude(tx, &completions, hold, ending)).await {
            tracing::error!(workflow = %hold.run, %error, "a workflow without its input cannot be ended");
        }
        return;
    };
    let machine = Machine::new(handler, &run, input, journal);
    let running = FuturesUnordered::new();
    let mut driver = Driver { shared: shared.clone(), hold, machine, running, effects: 0, news: None };
    let stop = tokio::select! {
        biased;
        () = host.lost.cancelled() => Stop::Gone,
        stop = driver.run(&shutdown) => stop,
    };
    drop(driver);
    if matches!(stop, Stop::Again)
        && let Err(error) = shared.store.mutate(move |tx| release(tx, hold)).relaxed().await
        && !is_closed(&error)
    {
        tracing::error!(workflow = %hold.run, %error, "a workflow cannot be given back; its host's end will do that");
    }
    drop(place);
}

impl Driver {
    async fn run(&mut self, shutdown: &Shutdown) -> Stop {
        loop {
            match self.machine.advance() {
                Advance::Waiting => {}
                Advance::Ended(ended) => {
                    let ending = self.machine.ending(ended);
                    return self.conclude(ending).await;
                }
                Advance::Stuck(trouble) => return self.conclude(Ending::of_trouble(&trouble)).await,
            }
            if shutdown.is_requested() {
                return self.drain().await;
            }
            if let Err(stop) = self.carry_out().await {
                return stop;
            }
            if let Err(stop) = self.wait(shutdown).await {
                return stop;
            }
        }
    }

    /// Sets in motion what the code has ordered.
    async fn carry_out(&mut self) -> Result<(), Stop> {
        let mut notes: Vec<Noted> = Vec::new();
        let mut works = Vec::new();
        for Order { number, label, work } in self.machine.orders() {
            match work {
                Work::Note(note) => notes.push((number, label, note)),
                work => works.push((number, label, work)),
            }
        }
        if !notes.is_empty() {
            let has_patch = notes.iter().any(|(_, _, note)| matches!(note, Note::Patch));
            let writing = write(self.shared.store.clone(), self.hold, self.machine.known(), notes);
            if has_patch {
                // A patch's mark is on record before any step that follows from it.
                let answer = writing.await;
                self.take_in(answer).await?;
            } else {
                self.running.push(writing.boxed());
            }
        }
        for (number, label, work) in works {
            let (store, hold, known) = (self.shared.store.clone(), self.hold, self.machine.known());
            match work {
                Work::Mutation { part, retry } => {
                    self.running.push(mutating(store, hold, known, (number, label), part, retry).boxed());
                }
                Work::Effect { run, options } => {
                    self.effects += 1;
                    self.running.push(acting(store, hold, known, (number, label), run, options).boxed());
                }
                Work::Note(_) => {}
            }
        }
        Ok(())
    }

    /// Waits until something has come; a run that waits too long is put away.
    async fn wait(&mut self, shutdown: &Shutdown) -> Result<(), Stop> {
        let outside = self.machine.desk().waits_outside();
        if !outside && self.effects == 0 {
            // Only its own transactions are under way, and they find out by themselves whose the run is.
            self.news = None;
        } else if self.news.is_none() {
            let (hold, start) = (self.hold, Seen { next: self.machine.known(), lost: false });
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
            Some(answer) => self.take_in(answer).await,
            None => self.park().await,
        }
    }

    async fn take_in(&mut self, answer: Answer) -> Result<(), Stop> {
        let arrived = match answer {
            Answer::Arrived(arrived) => arrived,
            Answer::Acted(arrived) => {
                self.effects -= 1;
                arrived
            }
            Answer::Written(Written { arrived, unfit }) => {
                for (from, name, value) in unfit {
                    self.machine.take_back(from, name, value);
                }
                arrived
            }
            Answer::Lost => return Err(Stop::Gone),
            Answer::Failed(error) => return Err(self.fail(error).await),
        };
        arrived.into_iter().for_each(|arrived| self.machine.arrive(arrived));
        Ok(())
    }

    /// The store has failed: the run is taken up again later, from its rows.
    async fn fail(&mut self, error: Error) -> Stop {
        if is_closed(&error) {
            return Stop::Gone;
        }
        tracing::error!(workflow = %self.hold.run, %error, "a workflow cannot go on and will be taken up again");
        self.shared.store.clock().sleep(FAILURE_PAUSE).await;
        Stop::Again
    }

    async fn park(&mut self) -> Result<(), Stop> {
        let (hold, known) = (self.hold, self.machine.known());
        match self.shared.store.mutate(move |tx| park(tx, hold, known)).relaxed().await {
            Ok(Put::Away | Put::Lost) => Err(Stop::Gone),
            Ok(Put::News(arrived)) => {
                arrived.into_iter().for_each(|arrived| self.machine.arrive(arrived));
                Ok(())
            }
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Lets what runs come to its end, and begins nothing.
    async fn drain(&mut self) -> Stop {
        while let Some(answer) = self.running.next().await {
            match answer {
                Answer::Lost => return Stop::Gone,
                Answer::Arrived(_) | Answer::Acted(_) | Answer::Written(_) | Answer::Failed(_) => {}
            }
        }
        Stop::Again
    }

    async fn conclude(&mut self, ending: Ending) -> Stop {
        crash_point("workflow.returned");
        let (hold, completions) = (self.hold, self.shared.completions.clone());
        let ended = self.shared.store.mutate(move |tx| conclude(tx, &completions, hold, ending)).await;
        match ended {
            Ok(_) => {
                crash_point("workflow.ended");
                Stop::Gone
            }
            Err(error) => self.fail(error).await,
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

async fn write(store: Store, hold: Hold, known: u64, notes: Vec<Noted>) -> Answer {
    crash_point("workflow.step");
    let written = store.mutate(move |tx| write_down(tx, hold, known, notes)).await;
    crash_point("workflow.recorded");
    match written {
        Ok(Some(written)) => Answer::Written(written),
        Ok(None) => Answer::Lost,
        Err(error) => Answer::Failed(error),
    }
}

async fn mutating(
    store: Store,
    hold: Hold,
    known: u64,
    (number, label): (u32, Label),
    part: Box<dyn TxPart<Box<serde_json::value::RawValue>>>,
    retry: Option<RetryPolicy>,
) -> Answer {
    let mut attempt = 0;
    let label = Arc::new(label);
    loop {
        attempt += 1;
        crash_point("workflow.step");
        let (part, label, retry) = (part.clone(), label.clone(), retry.map(|policy| (policy, attempt)));
        let mutated = store.mutate(move |tx| mutate(tx, hold, known, (number, &label), part, retry)).await;
        crash_point("workflow.recorded");
        match mutated {
            Ok(Mutated::Lost) => return Answer::Lost,
            Ok(Mutated::Recorded(arrived)) => return Answer::Arrived(arrived),
            Ok(Mutated::Again { wait }) => store.clock().sleep(wait).await,
            Err(error) => return Answer::Failed(error),
        }
    }
}

async fn acting(
    store: Store,
    hold: Hold,
    known: u64,
    (number, label): (u32, Label),
    mut run: Effect,
    options: EffectOptions,
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
    let outcome = attempts(&store, &mut run, options).await;
    crash_point("workflow.acted");
    let recorded = store.mutate(move |tx| record(tx, hold, known, (number, &label), started, outcome)).await;
    crash_point("workflow.recorded");
    match recorded {
        Ok(Some(arrived)) => Answer::Acted(arrived),
        Ok(None) => Answer::Lost,
        Err(error) => Answer::Failed(error),
    }
}

/// Runs an action until it succeeds, fails for good or was tried often enough.
async fn attempts(store: &Store, run: &mut Effect, options: EffectOptions) -> StoredOutcome {
    let mut attempt = 1;
    loop {
        let error = match once(store, run, options.timeout).await {
            Ok(outcome) => return outcome,
            Err(error) => error,
        };
        let may_again =
            |policy: &RetryPolicy| !options.once && attempt < policy.attempts && error.kind().is_retryable();
        let again = options.retry.filter(may_again);
        let Some(policy) = again else { return failed(&error) };
        let demanded = if let Kind::Limited { wait } = error.kind() { wait } else { Duration::ZERO };
        let random = loomwork_core::Random::system();
        store.clock().sleep(policy.delay(attempt, &random).max(demanded)).await;
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
