//! Connections that are counted, and that can be cut.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The fake's end of one connection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Which connection it is, from 1.
    pub(super) number: usize,
    cut: CancellationToken,
}

impl Line {
    /// Closes the connection once what has been written is sent, whatever is missing.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

/// Where clients connect.
pub(super) struct Lines {
    pub(super) listener: TcpListener,
    pub(super) accepted: Arc<AtomicUsize>,
    /// Cuts all lines.
    pub(super) closing: CancellationToken,
}

impl Listener for Lines {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            // Without it the system would gather small writes.
            let _ = stream.set_nodelay(true);
            let number = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
            let line = Line { number, cut: self.closing.child_token() };
            let is_cut = Box::pin(line.cut.clone().cancelled_owned());
            return (Wire { stream, line, is_cut, is_flushed: true }, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that seems to be closed by the peer once it is cut, so that the server lets go of it.
pub(super) struct Wire {
    stream: TcpStream,
    line: Line,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_flushed: bool,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_cut = self.is_cut.as_mut().poll(context).is_ready();
        if is_cut && self.is_flushed {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() && !self.is_flushed {
            self.is_flushed = true;
            // A cut waits for this, and reads come first in a turn of the server.
            context.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
