//! Connections: as many as there may be, none of which waits for nothing for ever.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use loomwork_core::{Shutdown, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower_service::Service as _;

use super::peer;
use crate::app::App;

/// How long no connection is taken after that failed for want of files or memory.
const REST: Duration = Duration::from_secs(1);

/// One address may have this part of all connections.
const PART_OF_ADDRESS: usize = 4;

/// Takes connections until the app ends; then those that are open come to their end, for `drain` at most.
pub(super) async fn serve(app: &App, listener: TcpListener, drain: Duration) {
    let http = &app.inner().http;
    let router = app.whole_router();
    let places = Arc::new(Semaphore::new(http.options.connections.min(Semaphore::MAX_PERMITS)));
    let addresses = Arc::new(Addresses::default());
    let connections = Tasks::new();
    let taking = async {
        // The semaphore is never closed.
        while let Ok(place) = places.clone().acquire_owned().await {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !is_of_one(&error) {
                        tracing::error!(%error, "no connection could be taken");
                        app.clock().sleep(REST).await;
                    }
                    continue;
                }
            };
            let Some(held) = addresses.hold(app, peer.ip()) else { continue };
            let (router, patience) = (router.clone(), http.options.header_patience);
            connections.spawn("connection", move |ending| async move {
                let _held = (place, held);
                talk(stream, peer, router, patience, ending).await;
            });
        }
    };
    tokio::select! {
        () = taking => {}
        () = http.ending().cancelled() => {}
    }
    drop(listener);
    if connections.shutdown(drain).await.is_err() {
        tracing::warn!("connections did not end in time");
    }
}

/// Answers the requests of a connection.
async fn talk(stream: TcpStream, peer: SocketAddr, router: Router, patience: Duration, ending: Shutdown) {
    // Pieces of an answer go out as they come.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ending.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Whether a connection failed, and not the taking of connections.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

/// How many connections each address has.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

impl Addresses {
    /// Counts one of an address, unless it has as many as it may.
    fn hold(self: &Arc<Self>, app: &App, address: IpAddr) -> Option<Held> {
        let http = &app.inner().http;
        let address = address.to_canonical();
        let is_known = address.is_loopback() || http.proxies().iter().any(|proxy| proxy.contains(&address));
        let most = http.options.connections.div_ceil(PART_OF_ADDRESS);
        let address = peer::home(address);
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= most && !is_known {
            return None;
        }
        *count += 1;
        Some(Held { addresses: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection of an address.
struct Held {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
