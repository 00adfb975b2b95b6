//! The fake provider itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::answer::answer;
use super::endpoint::Endpoint;
use super::line::{Line, Lines};
use super::recorded::Recorded;
use super::reply::Reply;
use super::shared::{Otherwise, Shared};
use crate::soon;

/// A model provider on loopback that does what it is told. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeProvider {
    shared: Arc<Shared>,
    connections: Arc<AtomicUsize>,
    _cuts_connections: DropGuard,
    _server: JoinSet<()>,
}

impl FakeProvider {
    /// Starts a provider on a port of its own.
    ///
    /// # Panics
    /// When loopback has no port left.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a port left");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::new(format!("http://{address}")));
        let connections = Arc::new(AtomicUsize::new(0));
        let closing = CancellationToken::new();
        let lines = Lines { listener, accepted: Arc::clone(&connections), closing: closing.clone() };
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<Line>();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let _ = axum::serve(lines, router).await;
        });
        Self { shared, connections, _cuts_connections: closing.drop_guard(), _server: server }
    }

    /// Returns the address, such as `http://127.0.0.1:43210`. Clients may put any prefix behind it, so it
    /// serves as it is, or with `/v1`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }
}

/// Telling it what to do.
impl FakeProvider {
    /// Adds a reply to the script: the calls are answered in its order. Lists of models are no calls.
    pub fn reply(&self, reply: impl Into<Reply>) -> &Self {
        self.shared.state().script.push_back(reply.into());
        self
    }

    /// Adds a reply that only this endpoint gives, before those of [`reply`](Self::reply).
    pub fn reply_to(&self, endpoint: Endpoint, reply: impl Into<Reply>) -> &Self {
        self.shared.state().scripts.entry(endpoint).or_default().push_back(reply.into());
        self
    }

    /// Answers every call that the script has no reply for.
    pub fn otherwise(&self, reply: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> &Self {
        self.shared.state().otherwise = Some(Otherwise(Arc::new(reply)));
        self
    }

    /// Has these models: it lists them, and refuses calls for others. Default: any model that is
    /// asked for, and one in the lists.
    pub fn has_models<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> &Self {
        self.shared.state().models = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    /// Refuses requests with another key, or with none. Default: it takes any.
    pub fn requires_key(&self, key: impl Into<String>) -> &Self {
        self.shared.state().key = Some(key.into());
        self
    }

    /// Answers requests that break a rule of their protocol as if they kept it.
    pub fn lenient(&self) -> &Self {
        self.shared.is_lenient.store(true, Ordering::SeqCst);
        self
    }
}

/// Asking it what has happened.
impl FakeProvider {
    /// Returns all requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.clone()
    }

    /// Returns the last request.
    ///
    /// # Panics
    /// When there was none.
    pub fn last_request(&self) -> Recorded {
        self.shared.state().requests.last().expect("a request has come in").clone()
    }

    /// Waits until so many requests have come in, and returns them.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn arrived(&self, count: usize) -> Vec<Recorded> {
        soon(async {
            loop {
                let arrived = self.shared.arrived.notified();
                let requests = self.requests();
                if requests.len() >= count {
                    return requests;
                }
                arrived.await;
            }
        })
        .await
    }

    /// Waits until one more client has closed its connection before the end of its answer, and returns
    /// what it had asked for.
    ///
    /// # Panics
    /// When no client does.
    pub async fn dropped(&self) -> Recorded {
        let departure = soon(self.shared.departures.acquire()).await;
        departure.expect("nobody closes the departures").forget();
        self.shared.state().left.pop_front().expect("each departure leaves its request")
    }

    /// Returns how many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns what came in that the script had no reply for, or that no provider knows.
    pub fn unexpected(&self) -> Vec<String> {
        self.shared.state().unexpected.clone()
    }

    /// Returns what was refused because it breaks a rule of its protocol, and which one.
    pub fn refused(&self) -> Vec<String> {
        self.shared.state().refused.clone()
    }

    /// Returns how many replies of the script are left.
    pub fn left_over(&self) -> usize {
        self.shared.state().left_over()
    }
}

/// An address that refuses connections. The port stays taken, so nobody else answers there.
#[derive(Debug)]
pub struct ClosedPort {
    url: String,
    _taken: TcpSocket,
}

impl ClosedPort {
    /// Takes a port.
    ///
    /// # Panics
    /// When loopback has no port left.
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("the system has a socket left");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("loopback has a port left");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { url: format!("http://{address}"), _taken: socket }
    }

    /// Returns the address.
    pub fn url(&self) -> &str {
        &self.url
    }
}
