//! A server that says the very bytes that a test gives it: a proxy, or what no provider would say.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, select};
use loomwork_core::Clock;
use loomwork_testkit::soon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How the first bytes of a TLS connection begin.
const TLS_HANDSHAKE: u8 = 22;

/// A server on loopback that answers one request of each connection, and keeps that open. It ends when it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
    answers: Arc<Semaphore>,
    _server: JoinSet<()>,
}

impl Server {
    /// Starts a server whose answers follow from the heads of the requests.
    pub(crate) async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (heads, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let (seen, given) = (heads.clone(), answers.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = read(&mut stream).await;
                let _ = stream.write_all(answer(&head).as_bytes()).await;
                seen.lock().unwrap().push(head);
                given.add_permits(1);
                open.push(stream);
            }
        });
        Self { address, heads, answers, _server: server }
    }

    /// Returns the host and the port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the heads of the requests that came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Waits until one more request was answered.
    pub(crate) async fn answered(&self) {
        soon(self.answers.acquire()).await.unwrap().forget();
    }
}

/// Reads a request, and returns its head.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return head.to_owned();
            }
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap_or(0);
        bytes.extend_from_slice(&piece[..count]);
        if count == 0 || bytes.first() == Some(&TLS_HANDSHAKE) {
            return text;
        }
    }
}

/// A port that takes no more connections, and refuses none: whoever comes waits.
#[derive(Debug)]
pub(crate) struct FullPort {
    url: String,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl FullPort {
    pub(crate) async fn take() -> Self {
        const QUEUE: u32 = 1;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(QUEUE).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        // The system lets one more in than it was told.
        for _ in 0..=QUEUE {
            queue.push(soon(TcpStream::connect(address)).await.unwrap());
        }
        Self { url: format!("http://{address}"), _listener: listener, _queue: queue }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Waits for what has to happen within a second, and panics if it does not.
pub(crate) async fn within_a_second<T>(event: impl Future<Output = T>) -> T {
    let (clock, second) = (Clock::system(), Duration::from_secs(1));
    match select(pin!(event), clock.sleep(second)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), _)) => panic!("it takes longer than a second"),
    }
}
