//! What the fake knows: its script, and what has come in.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::check::Memory;
use super::endpoint::Endpoint;
use super::recorded::Recorded;
use super::reply::Reply;

pub(super) struct Shared {
    /// Where clients reach the fake.
    pub(super) url: String,
    /// Whether requests that break a rule of their protocol are answered as if they kept it.
    pub(super) is_lenient: AtomicBool,
    /// Tells that a request has come in.
    pub(super) arrived: Notify,
    /// One permit for each answer that a client has left.
    pub(super) departures: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) script: VecDeque<Reply>,
    pub(super) scripts: HashMap<Endpoint, VecDeque<Reply>>,
    pub(super) otherwise: Option<Otherwise>,
    pub(super) models: Option<Vec<String>>,
    pub(super) key: Option<String>,
    pub(super) requests: Vec<Recorded>,
    pub(super) unexpected: Vec<String>,
    pub(super) refused: Vec<String>,
    /// Requests whose answers were left and that nobody has asked about yet.
    pub(super) left: VecDeque<Recorded>,
    pub(super) memory: Memory,
    /// Pictures that were answered as addresses.
    pub(super) pictures: Vec<Bytes>,
}

/// Answers what the script does not.
#[derive(Clone)]
pub(super) struct Otherwise(pub(super) Arc<dyn Fn(&Recorded) -> Reply + Send + Sync>);

impl Shared {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            is_lenient: AtomicBool::new(false),
            arrived: Notify::new(),
            departures: Semaphore::new(0),
            state: Mutex::default(),
        }
    }

    /// Locks what is known; a panic elsewhere does not make it useless.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps the request, and gives it its number.
    pub(super) fn record(&self, request: &mut Recorded) {
        let mut state = self.state();
        request.number = state.requests.len() + 1;
        state.requests.push(request.clone());
        drop(state);
        self.arrived.notify_waiters();
    }

    pub(super) fn client_left(&self, request: Recorded) {
        self.state().left.push_back(request);
        self.departures.add_permits(1);
    }
}

impl State {
    /// Takes the next reply that the script has for this endpoint.
    pub(super) fn next_reply(&mut self, endpoint: Endpoint) -> Option<Reply> {
        let own = self.scripts.get_mut(&endpoint).and_then(VecDeque::pop_front);
        let is_call = !matches!(endpoint, Endpoint::Models | Endpoint::OllamaTags);
        own.or_else(|| if is_call { self.script.pop_front() } else { None })
    }

    pub(super) fn left_over(&self) -> usize {
        self.script.len() + self.scripts.values().map(VecDeque::len).sum::<usize>()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let mut shown = formatter.debug_struct("Shared");
        shown.field("url", &self.url).field("requests", &state.requests.len());
        shown.field("left_over", &state.left_over()).finish_non_exhaustive()
    }
}
