//! Serving: until somebody asks the process to end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, ToSocketAddrs};

use super::connections;
use crate::app::App;
use crate::auth::keys;

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
    /// An address that others reach, with nobody having said who may enter.
    #[error(
        "{address} can be reached by others, and nothing says who may enter; set a key by `Builder::key`, make an API \
         key, or accept tokens by `Builder::jwt`, and name the server in `http::Options::hosts`"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The store cannot be read, or not all of what ran could be ended.
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
        if !address.ip().is_loopback() && !self.is_guarded().await.map_err(ServeError::End)? {
            return Err(ServeError::Open { address });
        }
        tracing::info!(%address, "listening");
        let mut serving = pin!(connections::serve(self, listener, DRAIN));
        let is_over = tokio::select! {
            () = &mut serving => true,
            () = asked_to_end() => {
                tracing::info!("asked to end; what runs comes to its end");
                self.inner().http.end();
                false
            }
        };
        let ended = async {
            if !is_over {
                serving.await;
            }
            self.shutdown(DRAIN).await.map_err(ServeError::End)
        };
        tokio::select! {
            ended = ended => ended,
            () = asked_to_end() => Ok(()),
        }
    }
}

impl App {
    /// Whether somebody has said who may enter.
    async fn is_guarded(&self) -> loomwork_store::Result<bool> {
        Ok(self.gate().is_described() || self.store().query(keys::are_there).await?)
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
