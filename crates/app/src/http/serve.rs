//! Serving: until somebody asks the process to end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, ToSocketAddrs};

use crate::app::App;

/// How long what runs may take to end when the process is asked to.
pub const DRAIN: Duration = Duration::from_secs(30);

/// Why an app is no longer served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened at.
    #[error(
        "the server cannot listen there: {0}; another one may be running, or the address is another machine's"
    )]
    Listen(#[source] io::Error),
    /// The connections failed.
    #[error("the server failed: {0}")]
    Serve(#[source] io::Error),
    /// What ran could not be ended.
    #[error("the server has ended, but not all of what ran: {0}")]
    End(#[source] loomwork_store::Error),
}

impl App {
    /// Serves the API until the process is asked to end (Ctrl-C, or a signal to terminate), and then ends the app: no
    /// further work is taken, what runs has [`DRAIN`] to come to its end, and what is left is given back for the
    /// next start. Asked a second time, it does not wait.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(&self, address: impl ToSocketAddrs) -> Result<(), ServeError> {
        let listener = TcpListener::bind(address).await.map_err(ServeError::Listen)?;
        self.serve_on(listener).await
    }

    /// As [`serve`](Self::serve), on a socket that listens already.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve_on(&self, listener: TcpListener) -> Result<(), ServeError> {
        let address = listener.local_addr().map_err(ServeError::Listen)?;
        tracing::info!(%address, "listening");
        let ending = self.inner().http.ending().clone();
        let service = self.router().into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(ending.clone().cancelled_owned());
        let mut serving = std::pin::pin!(serving.into_future());
        tokio::select! {
            served = &mut serving => served.map_err(ServeError::Serve)?,
            () = asked_to_end() => {
                tracing::info!("asked to end; what runs comes to its end");
                ending.cancel();
            }
        }
        let ended = async {
            tokio::select! {
                served = serving => served.map_err(ServeError::Serve)?,
                () = self.clock().sleep(DRAIN) => tracing::warn!("connections did not end in time"),
            }
            self.shutdown(DRAIN).await.map_err(ServeError::End)
        };
        tokio::select! {
            ended = ended => ended,
            () = asked_to_end() => Ok(()),
        }
    }
}

/// Waits until the process is asked to end.
async fn asked_to_end() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}
