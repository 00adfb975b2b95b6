//! Telling handlers what the outbox has for them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use loomwork_core::{RetryPolicy, Shutdown, Tasks, Time};
use loomwork_store::{Result, Row, Store, Tx, Watch};
use tokio::sync::watch;

use super::{ATTEMPTS, OutboxId, OutboxRow, Told};
use crate::exchange::OnExchange;
use crate::tool::BoxError;
use crate::usage::{OnUsage, UsageHandler};

/// How many rows of a handler are told at a time. Each is claimed when it is told, so that none waits behind its claim.
pub const TOLD_AT_A_TIME: usize = 8;

/// How long an async handler may take; one that takes longer has failed.
pub const HANDLER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long what a process has taken to tell is its own: longer than a handler may take.
const TAKEN: Duration = Duration::from_secs(150);

/// The pauses between attempts: from a second to an hour, so that all of them take a working day.
const PAUSES: RetryPolicy = RetryPolicy {
    attempts: ATTEMPTS,
    initial: Duration::from_secs(1),
    base: 3.0,
    jitter: true,
    ceiling: Duration::from_secs(60 * 60),
};

/// Returns when a handler is told again that has failed so often.
pub(super) fn again(tx: &Tx, tries: u32) -> Time {
    tx.now() + PAUSES.delay(tries, tx.random())
}

/// Whoever is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Handler {
    /// Of usage.
    Usage(OnUsage),
    /// Of exchanges with models.
    Exchange(OnExchange),
}

impl Handler {
    /// Returns the name under which rows wait for it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Usage(handler) => format!("usage {}", handler.name()),
            Self::Exchange(handler) => format!("exchange {}", handler.name()),
        }
    }
}

impl From<OnUsage> for Handler {
    fn from(handler: OnUsage) -> Self {
        Self::Usage(handler)
    }
}

impl From<OnExchange> for Handler {
    fn from(handler: OnExchange) -> Self {
        Self::Exchange(handler)
    }
}

type Known = BTreeMap<String, Handler>;

/// The handlers that this process knows, and the task that tells them.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    known: Arc<watch::Sender<Known>>,
}

impl Outbox {
    pub(crate) fn start(store: &Store, tasks: &Tasks) -> Self {
        let (known, hears) = watch::channel(Known::new());
        let store = store.clone();
        tasks.spawn("agent outbox", |shutdown| async move { tell_until(&store, hears, shutdown).await });
        Self { known: Arc::new(known) }
    }

    /// Makes a handler known. A later one of the same name takes its place for all that is told from then on.
    pub(crate) fn know(&self, handler: impl Into<Handler>) {
        let handler = handler.into();
        self.known.send_if_modified(|known| known.insert(handler.name(), handler).is_none());
    }
}

/// Tells what is due until the process or its runtime ends.
async fn tell_until(store: &Store, mut hears: watch::Receiver<Known>, shutdown: Shutdown) {
    let mut names: Vec<String> = hears.borrow_and_update().keys().cloned().collect();
    let mut dues = due_of(store, &names);
    let mut due: Option<Time> = None;
    let mut telling = FuturesUnordered::new();
    // The rows that are told now, and whose handlers are.
    let mut under_way: HashMap<OutboxId, String> = HashMap::new();
    loop {
        let is_due = async {
            match due {
                Some(due) => store.clock().sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.requested() => return,
            changed = hears.changed() => {
                if changed.is_err() {
                    return;
                }
                names = hears.borrow_and_update().keys().cloned().collect();
                dues = due_of(store, &names);
            }
            seen = dues.next() => match seen {
                Some(Ok(next)) => due = next,
                Some(Err(error)) => tracing::warn!(%error, "the outbox cannot be read"),
                None => return,
            },
            Some(told) = telling.next() => {
                under_way.remove(&told);
                // It may have kept others waiting.
                due = Some(store.clock().now());
            }
            () = is_due => {
                let room = names.iter().map(|name| {
                    let busy = under_way.values().filter(|busy| *busy == name).count();
                    (name.clone(), TOLD_AT_A_TIME.saturating_sub(busy))
                });
                let room: Vec<_> = room.filter(|(_, room)| *room > 0).collect();
                let told_now: HashSet<OutboxId> = under_way.keys().copied().collect();
                due = match store.mutate(move |tx| claim(tx, &room, &told_now)).relaxed().await {
                    Ok((claimed, next)) => {
                        for row in claimed {
                            under_way.insert(row.id, row.handler.clone());
                            // One that was put in the place of another since is the one that is told.
                            let handler = hears.borrow().get(&row.handler).cloned();
                            telling.push(async move {
                                let id = row.id;
                                tell(store, handler, row).await;
                                id
                            });
                        }
                        next
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the outbox cannot be told from; it is tried again");
                        Some(store.clock().now() + PAUSES.initial)
                    }
                };
            }
        }
    }
}

/// Watches when something is due.
fn due_of(store: &Store, names: &[String]) -> Watch<Option<Time>> {
    let names = names.to_vec();
    store.watch(move |tx| next_due(tx, &names))
}

fn next_due<'a>(tx: &Tx, names: impl IntoIterator<Item = &'a String>) -> Result<Option<Time>> {
    let mut next: Option<Time> = None;
    for name in names {
        if let Some(row) = tx.first(OutboxRow::due.eq(name.as_str()).readable())? {
            next = Some(next.map_or(row.due, |next| next.min(row.due)));
        }
    }
    Ok(next)
}

/// Takes what is due, of each handler as many rows as it has room for, and says when something is due next. A row that
/// is told now is left alone, though a clock that leapt may say that its claim is over.
fn claim(
    tx: &mut Tx,
    room: &[(String, usize)],
    told_now: &HashSet<OutboxId>,
) -> Result<(Vec<Row<OutboxRow>>, Option<Time>)> {
    let now = tx.now();
    let (mut claimed, mut next) = (Vec::new(), None::<Time>);
    for (name, room) in room {
        let first = OutboxRow::due.eq(name.as_str()).readable().take(room + told_now.len() + 1);
        let waiting = tx.scan(first)?.into_iter().filter(|row| !told_now.contains(&row.id));
        for (number, row) in waiting.enumerate() {
            if row.due > now {
                next = Some(next.map_or(row.due, |next| next.min(row.due)));
                break;
            }
            // What is due of a handler that has no room waits until one of its rows is told.
            if number == *room {
                break;
            }
            claimed.push(tx.update(row.id, |row| {
                row.due = now + TAKEN;
                row.tries += 1;
            })?);
        }
    }
    Ok((claimed, next))
}

/// Tells one row, and writes what became of it.
async fn tell(store: &Store, handler: Option<Handler>, row: Row<OutboxRow>) {
    let Row { id, record: OutboxRow { handler: name, told, tries, .. } } = row;
    let told = match (&handler, told) {
        (Some(Handler::Usage(on_usage)), Told::Usage(event)) => match on_usage.handler() {
            UsageHandler::InCommit(handler) => {
                let handler = handler.clone();
                let told = store.mutate(move |tx| match is_ours(tx, id, tries)? {
                    true => handler(tx, &event).and_then(|()| tx.delete(id).map(drop)),
                    false => Ok(()),
                });
                told.await.map_err(BoxError::from)
            }
            UsageHandler::Later(handler) => told_in_time(store, id, tries, || handler(*event)).await,
        },
        (Some(Handler::Exchange(handler)), Told::Exchange(exchange)) => {
            told_in_time(store, id, tries, || handler.tell(*exchange)).await
        }
        _ => Err("a handler of this name is told of other things".into()),
    };
    let Err(error) = told else { return };
    let error = error.to_string();
    tracing::warn!(handler = name, row = %id, tries, error, "a handler failed");
    let noted = store.mutate(move |tx| note_failure(tx, id, tries, error));
    if let Err(error) = noted.await {
        // It is told again when the time is over for which it was taken.
        tracing::warn!(handler = name, row = %id, %error, "the failure of a handler was not noted");
    }
}

/// Runs an async handler, and lets go of its row if it succeeds.
async fn told_in_time<F>(
    store: &Store,
    id: OutboxId,
    tries: u32,
    tell: impl FnOnce() -> F,
) -> std::result::Result<(), BoxError>
where
    F: Future<Output = std::result::Result<(), BoxError>>,
{
    // Called inside, since a handler may panic before there is a future.
    let telling = AssertUnwindSafe(async { tell().await }).catch_unwind();
    tokio::select! {
        biased;
        told = telling => told.unwrap_or_else(|_| Err("the handler panicked".into()))?,
        () = store.clock().sleep(HANDLER_TIMEOUT) => {
            return Err(format!("the handler took longer than {HANDLER_TIMEOUT:?}").into());
        }
    }
    let forgotten = store.mutate(move |tx| match is_ours(tx, id, tries)? {
        true => tx.delete(id).map(drop),
        false => Ok(()),
    });
    forgotten.await.map_err(BoxError::from)
}

/// Whether nobody else has taken the row since.
fn is_ours(tx: &Tx, id: OutboxId, tries: u32) -> Result<bool> {
    Ok(tx.get(id)?.is_some_and(|row| row.tries == tries && !row.dead))
}

fn note_failure(tx: &mut Tx, id: OutboxId, tries: u32, error: String) -> Result<()> {
    if !is_ours(tx, id, tries)? {
        return Ok(());
    }
    let (dead, due) = (tries >= ATTEMPTS, again(tx, tries));
    if dead {
        tracing::error!(row = %id, error, "a handler failed too often; what it was to be told is put aside");
    }
    tx.update(id, |row| {
        row.dead = dead;
        row.due = due;
        row.last_error = Some(error);
    })
    .map(drop)
}
