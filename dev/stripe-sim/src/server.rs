//! The HTTP server: the simulated API under `/v1`, controls under `/_sim`, pages for browsers, and
//! connections that can be reset.
//!
//! A reset is a real one: the socket is closed with nothing lingering, so the client's kernel sees
//! an RST. Deliberately absent: TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::simulator::Simulator;

/// Breaks the connection that a request came on.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResetSwitch(Arc<AtomicBool>);

impl ResetSwitch {
    pub(crate) fn pull(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn pulled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Connected<IncomingStream<'_, ResettableListener>> for ResetSwitch {
    fn connect_info(stream: IncomingStream<'_, ResettableListener>) -> Self {
        stream.io().switch.clone()
    }
}

/// Accepts connections that can be reset.
pub(crate) struct ResettableListener(TcpListener);

impl Listener for ResettableListener {
    type Io = ResettableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are written whole; waiting for more would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        (
            ResettableStream {
                stream,
                switch: ResetSwitch::default(),
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A connection that can be reset.
pub(crate) struct ResettableStream {
    stream: TcpStream,
    switch: ResetSwitch,
}

impl ResettableStream {
    fn check(&self) -> io::Result<()> {
        if !self.switch.pulled() {
            return Ok(());
        }
        self.stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.get_mut().stream).poll_write(context, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn router(simulator: Arc<Simulator>) -> Router {
    let api = Router::new()
        .fallback(crate::api::serve)
        .with_state(Arc::clone(&simulator))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(middleware::from_fn(with_switch));
    crate::control::router(Arc::clone(&simulator))
        .merge(crate::api::hosted_pages(simulator))
        .fallback_service(api)
}

/// Puts the connection's switch where the API finds it.
async fn with_switch(
    ConnectInfo(switch): ConnectInfo<ResetSwitch>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(switch);
    next.run(request).await
}

/// Serves until `stop` is cancelled.
pub(crate) async fn run(
    listener: TcpListener,
    simulator: Arc<Simulator>,
    stop: CancellationToken,
) -> io::Result<()> {
    let service = router(simulator).into_make_service_with_connect_info::<ResetSwitch>();
    axum::serve(ResettableListener(listener), service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// The user name in the credentials of HTTP Basic, which is where a key may stand.
pub(crate) fn basic_user(credentials: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(credentials).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_hold_the_key() {
        assert_eq!(basic_user("c2tfdGVzdF8xOg==").as_deref(), Some("sk_test_1"));
        assert_eq!(basic_user("c2tf dGVz"), None);
    }
}
